//! The journal for its only writer: the last segment, the records to write, and the records that are safely on disk.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tracing::warn;

use crate::record::{self, Entry};
use crate::segment::{self, Cursor, MAGIC, Step};

/// When records are synced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before they are acknowledged: they survive a power failure.
    Always,
    /// At this interval: a power failure loses the records acknowledged since; a crash of the process loses none.
    Every(Duration),
    /// When the kernel decides: as `Every`, without an upper bound.
    Never,
}

impl FromStr for Fsync {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let every = |number: &str, unit| {
            number
                .parse::<u64>()
                .ok()
                .filter(|count| *count > 0)
                .map(|count| Self::Every(unit * saturated(count)))
        };
        let read = match word {
            "always" => Some(Self::Always),
            "never" => Some(Self::Never),
            _ => match (word.strip_suffix("ms"), word.strip_suffix('s')) {
                (Some(number), _) => every(number, Duration::from_millis(1)),
                (None, Some(number)) => every(number, Duration::from_secs(1)),
                _ => None,
            },
        };
        read.ok_or_else(|| "expected always, never, or a time such as 200ms or 1s".to_owned())
    }
}

fn saturated(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl fmt::Display for Fsync {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => out.write_str("always"),
            Self::Every(time) => write!(out, "{time:?}"),
            Self::Never => out.write_str("never"),
        }
    }
}

/// The written end of the journal; readers stop here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The offset of the next record.
    pub next: u64,
    /// The offset of the first record of the last segment.
    pub base: u64,
    /// The size of the last segment in bytes.
    pub position: u64,
}

/// The journal, with its last segment open for writing.
pub struct Log {
    folder: PathBuf,
    segment_bytes: u64,
    fsync: Fsync,
    file: File,
    end: End,
    /// Encoded records that are not written yet, and their number.
    staged: Vec<u8>,
    staged_count: u64,
    /// Whether written data may not be on disk yet.
    dirty: bool,
    /// The error after which nothing can be written any more.
    broken: Option<String>,
    /// The lock file, held for the lifetime of this value.
    _lock: File,
}

impl Log {
    /// Opens the journal in `folder`, or creates it. An incomplete end of the last segment, which a crash during a write
    /// leaves, is cut off and kept in a file beside it.
    ///
    /// # Errors
    /// If the directory cannot be read or written, is in use by another process, or has files of another format.
    pub fn open(folder: &Path, segment_bytes: u64, fsync: Fsync) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let lock = File::options().create(true).append(true).open(folder.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "in use by another process")
            }
            TryLockError::Error(error) => error,
        })?;
        let base = segment::bases(folder)?.last().copied().unwrap_or(0);
        let (file, end) = recover(folder, base)?;
        let folder = folder.to_owned();
        Ok(Self {
            folder,
            segment_bytes,
            fsync,
            file,
            end,
            staged: Vec::new(),
            staged_count: 0,
            dirty: false,
            broken: None,
            _lock: lock,
        })
    }

    /// The written end.
    pub fn end(&self) -> End {
        self.end
    }

    /// The number of bytes that [`Self::commit`] will write.
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Adds `entry` to the records of the next [`Self::commit`]. Returns its offset.
    pub fn stage(&mut self, time_ms: u64, entry: &Entry) -> u64 {
        let offset = self.end.next + self.staged_count;
        record::encode(&mut self.staged, offset, time_ms, entry);
        self.staged_count += 1;
        offset
    }

    /// Writes the staged records with one write, and syncs it to disk if the policy is `Always`.
    ///
    /// # Errors
    /// The disk's error. None of the staged records is in the journal then. After a failed fsync the content of the disk is
    /// unknown, so every later call fails as well.
    pub fn commit(&mut self) -> io::Result<()> {
        let (bytes, count) = (std::mem::take(&mut self.staged), std::mem::take(&mut self.staged_count));
        let outcome = self.write(&bytes, count);
        self.staged = bytes;
        self.staged.clear();
        outcome
    }

    fn write(&mut self, bytes: &[u8], count: u64) -> io::Result<()> {
        if let Some(reason) = &self.broken {
            return Err(io::Error::other(format!("{reason}; restart the server to read what is on disk")));
        }
        if self.end.position >= self.segment_bytes {
            self.roll()?;
        }
        if let Err(error) = self.file.write_all_at(bytes, self.end.position) {
            // A half-written batch must be removed, or the next one would follow it and could not be read.
            if let Err(error) = self.file.set_len(self.end.position) {
                self.broken = Some(format!("cannot undo a failed write: {error}"));
            }
            return Err(error);
        }
        self.dirty = true;
        if self.fsync == Fsync::Always {
            self.sync()?;
        }
        self.end.position += bytes.len() as u64;
        self.end.next += count;
        Ok(())
    }

    /// Syncs all written data to disk.
    ///
    /// # Errors
    /// The disk's error, see [`Self::commit`].
    pub fn sync(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        self.file.sync_data().inspect_err(|error| self.broken = Some(format!("fsync failed: {error}")))
    }

    /// Starts the next segment.
    fn roll(&mut self) -> io::Result<()> {
        if self.fsync != Fsync::Never {
            self.sync()?;
        }
        let base = self.end.next;
        self.file = begin(&self.folder, base)?;
        self.end = End { next: base, base, position: MAGIC.len() as u64 };
        Ok(())
    }
}

/// Creates an empty segment that survives a power failure.
fn begin(folder: &Path, base: u64) -> io::Result<File> {
    let path = segment::path(folder, base);
    let file = File::options().create(true).truncate(true).write(true).open(path)?;
    file.write_all_at(&MAGIC, 0)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Opens the last segment and reads all of it. Everything after its last complete record is cut off.
fn recover(folder: &Path, base: u64) -> io::Result<(File, End)> {
    let path = segment::path(folder, base);
    let size = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if size < MAGIC.len() as u64 {
        let end = End { next: base, base, position: MAGIC.len() as u64 };
        return Ok((begin(folder, base)?, end));
    }
    let mut cursor = Cursor::open(&path)?;
    let mut next = base;
    let reason = loop {
        match cursor.next(next, size)? {
            Step::Record(_) => next += 1,
            Step::End => break None,
            Step::Damaged(reason) => break Some(reason),
        }
    };
    let end = End { next, base, position: cursor.position() };
    let file = File::options().write(true).open(&path)?;
    if let Some(reason) = reason {
        let kept = keep(&path, &end)?;
        let (cut, kept) = (size - end.position, kept.display());
        warn!(segment = %path.display(), next, cut, reason, "cut off an incomplete end, kept as {kept}");
        file.set_len(end.position)?;
        file.sync_all()?;
    }
    Ok((file, end))
}

/// Copies the bytes after the end of a segment to a file beside it. They were never acknowledged, unless the disk is damaged;
/// then they may be needed to recover records.
fn keep(path: &Path, end: &End) -> io::Result<PathBuf> {
    let kept = path.with_extension(format!("torn-{}", end.position));
    let mut from = File::open(path)?;
    io::Seek::seek(&mut from, io::SeekFrom::Start(end.position))?;
    let mut to = File::create(&kept)?;
    io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    fn entry(number: usize) -> Entry {
        Entry {
            key: format!("key {number}"),
            value: vec![u8::try_from(number % 251).unwrap_or(0); number % 90],
        }
    }

    fn filled(folder: &Path, segment_bytes: u64, count: usize) -> Log {
        let mut log = Log::open(folder, segment_bytes, Fsync::Never).expect("open");
        for number in 0..count {
            assert_eq!(log.stage(5, &entry(number)), number as u64);
            log.commit().expect("written");
        }
        log
    }

    fn read(folder: &Path, from: u64, end: End) -> Vec<Entry> {
        let mut reader = Reader::open(folder, from).expect("open");
        std::iter::from_fn(|| reader.next(end).expect("whole"))
            .map(|record| Entry { key: record.key, value: record.value })
            .collect()
    }

    #[test]
    fn the_fsync_policy_is_parsed() {
        for (word, expected) in [
            ("always", Some(Fsync::Always)),
            ("never", Some(Fsync::Never)),
            ("200ms", Some(Fsync::Every(Duration::from_millis(200)))),
            ("2s", Some(Fsync::Every(Duration::from_secs(2)))),
            ("0s", None),
            ("s", None),
            ("5", None),
            ("-1s", None),
            ("", None),
        ] {
            assert_eq!(word.parse::<Fsync>().ok(), expected, "{word}");
        }
    }

    #[test]
    fn segments_follow_each_other_and_are_read_as_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let end = filled(folder.path(), 500, 100).end();
        let bases = segment::bases(folder.path()).expect("listed");
        assert!(
            bases.len() > 5 && end.base == bases[bases.len() - 1] && end.next == 100,
            "{bases:?} {end:?}"
        );
        for from in [0, 1, 50, 99, 100] {
            let expected: Vec<_> = (from..100).map(entry).collect();
            assert_eq!(read(folder.path(), from as u64, end), expected);
        }
        let again = Log::open(folder.path(), 500, Fsync::Never).expect("open again");
        assert_eq!(again.end(), end);
    }

    #[test]
    fn a_second_process_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let _first = filled(folder.path(), 500, 1);
        let error = Log::open(folder.path(), 500, Fsync::Never).err().expect("in use");
        assert_eq!(error.to_string(), "in use by another process");
    }

    /// However much of the last write remains: the records before it are read, the rest is kept aside, appends continue.
    #[test]
    fn an_incomplete_end_is_cut_off_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, whole) = (segment::path(folder.path(), 0), 40);
        let end = filled(folder.path(), 1 << 20, whole).end();
        let bytes = std::fs::read(&path).expect("read");
        let mut last = Cursor::open(&path).expect("open");
        for offset in 0..39 {
            last.next(offset, u64::MAX).expect("whole");
        }
        let before = usize::try_from(last.position()).expect("small");
        for left in before..bytes.len() {
            for noise in [&[][..], &[0; 64], &[0xFF; 64]] {
                let torn = [&bytes[..left], noise].concat();
                std::fs::write(&path, &torn).expect("written");
                let mut log = Log::open(folder.path(), 1 << 20, Fsync::Never).expect("open");
                assert_eq!((log.end().next, log.end().position), (39, before as u64));
                let kept = path.with_extension(format!("torn-{before}"));
                if torn.len() > before {
                    assert_eq!(std::fs::read(kept).expect("kept"), &torn[before..]);
                }
                log.stage(5, &entry(39));
                log.commit().expect("written");
                assert_eq!((log.end(), std::fs::read(&path).expect("read") == bytes), (end, true));
            }
        }
    }

    #[test]
    fn a_file_of_another_kind_is_refused_and_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = segment::path(folder.path(), 0);
        std::fs::write(&path, "another file").expect("written");
        let error = Log::open(folder.path(), 500, Fsync::Never).err().expect("refused");
        assert_eq!(error.to_string(), "not a segment of this version's format");
        assert_eq!(std::fs::read(&path).expect("read"), b"another file");
    }

    #[test]
    fn damage_in_the_middle_is_an_error_for_readers() {
        let folder = tempfile::tempdir().expect("a folder");
        let end = filled(folder.path(), 500, 100).end();
        let path = segment::path(folder.path(), 0);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[100] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let mut reader = Reader::open(folder.path(), 0).expect("open");
        let error =
            std::iter::from_fn(|| reader.next(end).transpose()).find_map(Result::err).expect("damage");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("00000000000000000000.segment, byte 75"), "{error}");
    }
}
