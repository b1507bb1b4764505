//! An append-only journal in a folder of segment files.
//!
//! [`record`] is what a record looks like on disk, [`segment`] reads one file, [`log`] is the whole folder as its one
//! writer sees it, [`reader`] as its readers do, and [`writer`] is the thread that makes one write of many appends.

pub mod log;
pub mod reader;
pub mod record;
pub mod segment;
pub mod writer;
