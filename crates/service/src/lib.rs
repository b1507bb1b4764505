//! What every program of the broker does alike: it reads its settings, writes its logs, says its version, starts,
//! keeps itself registered, answers for its health, and stops when it is told to.

pub mod health;
pub mod lifecycle;
pub mod listen;
pub mod log;
pub mod member;
pub mod settings;

pub use lifecycle::run;
pub use settings::Common;

/// The target triple that this was compiled for.
pub const TARGET: &str = env!("SERVICE_TARGET");

/// What `--version` tells: number, target, commit.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("SERVICE_TARGET"), ", ", env!("SERVICE_COMMIT"), ")");
