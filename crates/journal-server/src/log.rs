//! The journal as its one writer sees it: the last segment, what is to be written, and what is safe on disk.

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

/// When records are forced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before they are acknowledged: they survive a power cut.
    Always,
    /// So often: a power cut loses what was acknowledged since, the end of this process nothing.
    Every(Duration),
    /// When the kernel likes to: as `Every`, without a bound.
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
        read.ok_or_else(|| "wanted is always, never, or a time such as 200ms or 1s".to_owned())
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

/// Up to where the journal is written; readers look at nothing behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The offset that the next record gets.
    pub next: u64,
    /// The offset of the first record of the last segment.
    pub base: u64,
    /// Bytes of the last segment.
    pub position: u64,
}

/// The last segment of the folder, open for writing.
pub struct Log {
    folder: PathBuf,
    segment_bytes: u64,
    fsync: Fsync,
    file: File,
    end: End,
    /// Encoded records that are not written yet, and how many.
    staged: Vec<u8>,
    staged_count: u64,
    /// Written, but perhaps not on disk.
    dirty: bool,
    /// Why nothing can be written any more.
    broken: Option<String>,
    /// Held locked for as long as this lives.
    _lock: File,
}

impl Log {
    /// Opens the journal in `folder`, or begins one. A torn end of the last segment, as a crash in the middle of a write
    /// leaves it, is cut off and kept beside it.
    ///
    /// # Errors
    /// When the folder cannot be read or written, is another process's, or has files of another format.
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

    /// Up to where it is written.
    pub fn end(&self) -> End {
        self.end
    }

    /// Bytes that wait for [`Self::commit`].
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Adds `entry` to what the next [`Self::commit`] writes; the offset it will have.
    pub fn stage(&mut self, time_ms: u64, entry: &Entry) -> u64 {
        let offset = self.end.next + self.staged_count;
        record::encode(&mut self.staged, offset, time_ms, entry);
        self.staged_count += 1;
        offset
    }

    /// Writes what is staged with one write, and forces it to disk where that is asked for each time.
    ///
    /// # Errors
    /// What the disk says. Nothing of what was staged is in the journal then. After a failed fsync nobody can know what is
    /// on disk, so that every later call fails, too.
    pub fn commit(&mut self) -> io::Result<()> {
        let (bytes, count) = (std::mem::take(&mut self.staged), std::mem::take(&mut self.staged_count));
        let outcome = self.write(&bytes, count);
        self.staged = bytes;
        self.staged.clear();
        outcome
    }

    fn write(&mut self, bytes: &[u8], count: u64) -> io::Result<()> {
        if let Some(reason) = &self.broken {
            return Err(io::Error::other(format!("{reason}; start again to see what is on disk")));
        }
        if self.end.position >= self.segment_bytes {
            self.roll()?;
        }
        if let Err(error) = self.file.write_all_at(bytes, self.end.position) {
            // A half-written batch has to go, or the next one would stand behind it, out of reach.
            if let Err(error) = self.file.set_len(self.end.position) {
                self.broken = Some(format!("cannot take back a failed write: {error}"));
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

    /// Forces what is written to disk.
    ///
    /// # Errors
    /// What the disk says, see [`Self::commit`].
    pub fn sync(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        self.file.sync_data().inspect_err(|error| self.broken = Some(format!("fsync failed: {error}")))
    }

    /// Begins the next segment.
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

/// Makes an empty segment that is there after a power cut, too.
fn begin(folder: &Path, base: u64) -> io::Result<File> {
    let path = segment::path(folder, base);
    let file = File::options().create(true).truncate(true).write(true).open(path)?;
    file.write_all_at(&MAGIC, 0)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Opens the last segment and reads all of it; what follows its last whole record is cut off.
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
        warn!(segment = %path.display(), next, cut, reason, "cut off a torn end, kept as {kept}");
        file.set_len(end.position)?;
        file.sync_all()?;
    }
    Ok((file, end))
}

/// Copies what is behind the end of a segment to a file beside it: it was never acknowledged, unless the disk itself
/// is damaged, and then a person may want it.
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
    fn words_of_the_fsync_policy() {
        for (word, wanted) in [
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
            assert_eq!(word.parse::<Fsync>().ok(), wanted, "{word}");
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
            let wanted: Vec<_> = (from..100).map(entry).collect();
            assert_eq!(read(folder.path(), from as u64, end), wanted);
        }
        let again = Log::open(folder.path(), 500, Fsync::Never).expect("open again");
        assert_eq!(again.end(), end);
    }

    #[test]
    fn one_process_writes() {
        let folder = tempfile::tempdir().expect("a folder");
        let _first = filled(folder.path(), 500, 1);
        let error = Log::open(folder.path(), 500, Fsync::Never).err().expect("in use");
        assert_eq!(error.to_string(), "in use by another process");
    }

    /// Whatever is left of the last write: the records before it are there, the rest is kept aside, the journal goes on.
    #[test]
    fn a_torn_end_is_cut_off_and_kept() {
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
    fn a_file_of_another_kind_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = segment::path(folder.path(), 0);
        std::fs::write(&path, "somebody's letters").expect("written");
        let error = Log::open(folder.path(), 500, Fsync::Never).err().expect("refused");
        assert_eq!(error.to_string(), "not a segment that this version reads");
        assert_eq!(std::fs::read(&path).expect("read"), b"somebody's letters");
    }

    #[test]
    fn damage_in_the_middle_is_an_error_for_who_reads_it() {
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
