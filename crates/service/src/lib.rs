//! The parts that all programs of the broker share: settings, logs, the version, the start, registration, health checks, and
//! the stop on a signal.

pub mod health;
pub mod lifecycle;
pub mod listen;
pub mod log;
pub mod member;
pub mod settings;

pub use lifecycle::run;
pub use settings::Common;

/// The target triple of this program.
pub const TARGET: &str = env!("SERVICE_TARGET");

/// The output of `--version`: number, target, commit.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("SERVICE_TARGET"), ", ", env!("SERVICE_COMMIT"), ")");
