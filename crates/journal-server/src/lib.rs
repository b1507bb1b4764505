//! An append-only journal in a directory of segment files.
//!
//! [`record`] is the format of a record on disk, [`segment`] reads one file, [`log`] writes the whole directory, [`reader`]
//! reads it, and [`writer`] is the thread that combines many appends into one write.

pub mod log;
pub mod reader;
pub mod record;
pub mod segment;
pub mod writer;
