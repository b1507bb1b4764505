//! The features of the CPU that this program runs on, and the kernels on the hot path of the services.
//!
//! Each kernel has a plain implementation, which is the reference in its tests, and implementations for vector
//! units where they are faster. The first call detects the CPU; later calls use a function pointer. [`path::Path`]
//! describes how to force an implementation.

mod arch;
pub mod crc32c;
pub mod machine;
pub mod path;
pub mod text;
pub mod topic;

pub use machine::{ArchOptimization, Layout, Report, this_machine};
pub use path::Path;
