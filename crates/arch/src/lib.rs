//! What the CPU that this runs on can do, and the few kernels that the services have on their hot path.
//!
//! Each kernel exists in a plain version, the oracle of its tests, and in versions for the
//! vector units where they pay. The first call looks at the CPU, and from then on a function pointer is
//! called; see [`path::Path`] for how one is forced.

mod arch;
pub mod crc32c;
pub mod machine;
pub mod path;
pub mod text;
pub mod topic;

pub use machine::{ArchOptimization, Layout, Report, this_machine};
pub use path::Path;
