//! The journal for its readers: records in order, through all segments, up to the written end.

use std::io;
use std::path::{Path, PathBuf};

use crate::log::End;
use crate::record::Record;
use crate::segment::{self, Cursor, Step};

/// Reads from an offset on. It may run concurrently with the writer, in another thread.
pub struct Reader {
    folder: PathBuf,
    base: u64,
    cursor: Cursor,
    /// The offset of the record at the cursor.
    at: u64,
    /// The offset of the next record to return.
    next: u64,
}

impl Reader {
    /// Opens a reader whose next record is `from`.
    ///
    /// # Errors
    /// If the directory cannot be read, or the journal starts after `from`.
    pub fn open(folder: &Path, from: u64) -> io::Result<Self> {
        let bases = segment::bases(folder)?;
        let base = bases.into_iter().rev().find(|base| *base <= from);
        let base =
            base.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no segment has this offset"))?;
        let cursor = Cursor::open(&segment::path(folder, base))?;
        Ok(Self { folder: folder.to_owned(), base, cursor, at: base, next: from })
    }

    /// The next record, `None` at `end`, which the writer has reported. A later call with a later end continues.
    ///
    /// # Errors
    /// If a file cannot be read, and [`io::ErrorKind::InvalidData`] for a damaged record.
    pub fn next(&mut self, end: End) -> io::Result<Option<Record>> {
        while self.at < end.next {
            let limit = if self.base == end.base { end.position } else { u64::MAX };
            match self.cursor.next(self.at, limit)? {
                Step::Record(record) => {
                    self.at += 1;
                    if record.offset == self.next {
                        self.next += 1;
                        return Ok(Some(record));
                    }
                }
                Step::End => return Err(self.damage("records are missing")),
                // After the last record of a segment, the next segment continues.
                Step::Damaged(_) if self.is_followed() => {
                    self.cursor = Cursor::open(&segment::path(&self.folder, self.at))?;
                    self.base = self.at;
                }
                Step::Damaged(reason) => return Err(self.damage(reason)),
            }
        }
        Ok(None)
    }

    fn is_followed(&self) -> bool {
        self.at > self.base && segment::path(&self.folder, self.at).exists()
    }

    fn damage(&self, reason: &str) -> io::Error {
        let path = segment::path(&self.folder, self.base);
        let place = format!("{}, byte {}", path.display(), self.cursor.position());
        io::Error::new(io::ErrorKind::InvalidData, format!("{place}: {reason}"))
    }
}
