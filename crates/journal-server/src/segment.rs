//! One segment: a file of records, named after the offset of its first record.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::record::{self, Decoded, HEADER, Record};

/// The first bytes of every segment; the last byte is the version of the format.
pub const MAGIC: [u8; 8] = *b"journal\x01";

/// The number of bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// The file of the segment whose first record has this offset.
pub fn path(folder: &Path, base: u64) -> PathBuf {
    folder.join(format!("{base:020}.segment"))
}

/// The offsets of the first records of all segments, in order.
///
/// # Errors
/// If the directory cannot be read.
pub fn bases(folder: &Path) -> io::Result<Vec<u64>> {
    let mut bases = Vec::new();
    for file in folder.read_dir()? {
        let name = file?.file_name();
        bases.extend(name.to_str().and_then(|name| name.strip_suffix(".segment")?.parse::<u64>().ok()));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// The next part of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Record(Record),
    /// There are no more records before the limit.
    End,
    /// Not a complete record, with the reason.
    Damaged(&'static str),
}

/// Reads a segment from its beginning.
pub struct Cursor {
    file: File,
    /// The bytes that were read; `buffer[at..]` is not decoded yet.
    buffer: Vec<u8>,
    at: usize,
    /// The position of `buffer[at]` in the file.
    position: u64,
}

impl Cursor {
    /// Opens a segment of this format.
    ///
    /// # Errors
    /// If it cannot be read, and [`io::ErrorKind::InvalidData`] for a file of another kind.
    pub fn open(file: &Path) -> io::Result<Self> {
        let file = File::open(file)?;
        let mut magic = [0; MAGIC.len()];
        file.read_exact_at(&mut magic, 0)?;
        if magic != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a segment of this version's format"));
        }
        Ok(Self { file, buffer: Vec::new(), at: 0, position: MAGIC.len() as u64 })
    }

    /// The position after the last complete record that was read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next record, which must have this offset. Nothing after `limit`, a position in the file, is read.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self, offset: u64, limit: u64) -> io::Result<Step> {
        let mut needed = HEADER;
        loop {
            if self.position >= limit {
                return Ok(Step::End);
            }
            if self.buffer.len() - self.at < needed {
                self.fill(needed, limit)?;
            }
            match record::decode(&self.buffer[self.at..]) {
                Decoded::Record(record, _) if record.offset != offset => {
                    return Ok(Step::Damaged("a record with another offset"));
                }
                Decoded::Record(record, size) => {
                    self.at += size;
                    self.position += size as u64;
                    return Ok(Step::Record(record));
                }
                Decoded::Partial(size) if size > needed => needed = size,
                Decoded::Partial(_) => return Ok(Step::Damaged("an incomplete record")),
                Decoded::Damaged(reason) => return Ok(Step::Damaged(reason)),
            }
        }
    }

    /// Fills the buffer with `needed` bytes, or with all bytes before `limit`.
    fn fill(&mut self, needed: usize, limit: u64) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let have = self.buffer.len();
        let left = usize::try_from(limit - self.position).unwrap_or(usize::MAX);
        self.buffer.resize(needed.max(CHUNK).min(left).max(have), 0);
        let mut end = have;
        while end < self.buffer.len() {
            match self.file.read_at(&mut self.buffer[end..], self.position + end as u64) {
                Ok(0) => break,
                Ok(bytes) => end += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.truncate(end);
        Ok(())
    }
}
