//! The writer thread: appends that arrive while it waits for the disk are combined into one write and one fsync.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::log::{End, Fsync, Log};
use crate::record::Entry;

/// The maximum number of queued appends; further callers wait for a place in the queue.
const WAITING: usize = 1024;
/// A batch with more bytes is written without adding more appends.
const BATCH: usize = 4 << 20;

type Done = oneshot::Sender<io::Result<u64>>;

/// The journal, for many concurrent tasks.
#[derive(Clone)]
pub struct Journal {
    folder: PathBuf,
    appends: mpsc::Sender<(Vec<Entry>, Done)>,
    end: watch::Receiver<End>,
}

impl Journal {
    /// Starts the thread. When the last clone of the journal is dropped, it syncs everything to disk and exits.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(folder: &Path, log: Log, fsync: Fsync) -> io::Result<(Self, JoinHandle<()>)> {
        let (appends, inbox) = mpsc::channel(WAITING);
        let (written, end) = watch::channel(log.end());
        let (runtime, name) = (Handle::current(), "journal".to_owned());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || runtime.block_on(write(log, fsync, inbox, written)))?;
        Ok((Self { folder: folder.to_owned(), appends, end }, thread))
    }

    /// Appends all entries or none. Returns the offset of the first. The fsync policy defines how durable they are.
    ///
    /// # Errors
    /// The disk's error.
    pub async fn append(&self, entries: Vec<Entry>) -> io::Result<u64> {
        let stopping = || io::Error::other("the journal is stopping");
        let (done, outcome) = oneshot::channel();
        self.appends.send((entries, done)).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())?
    }

    /// The written end, now and after each write.
    pub fn end(&self) -> watch::Receiver<End> {
        self.end.clone()
    }

    /// The directory of its segments.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

async fn write(
    mut log: Log,
    fsync: Fsync,
    mut inbox: mpsc::Receiver<(Vec<Entry>, Done)>,
    written: watch::Sender<End>,
) {
    let mut sync_at = None;
    loop {
        let received = match sync_at {
            None => Ok(inbox.recv().await),
            Some(time) => timeout_at(time, inbox.recv()).await,
        };
        match received {
            Ok(Some(first)) => {
                write_batch(&mut log, first, &mut inbox, &written);
                if let Fsync::Every(time) = fsync {
                    sync_at = sync_at.or_else(|| Some(Instant::now() + time));
                }
            }
            Ok(None) => break,
            Err(_) => {
                sync_at = None;
                sync(&mut log);
            }
        }
        if sync_at.is_some_and(|time| time <= Instant::now()) {
            sync_at = None;
            sync(&mut log);
        }
    }
    sync(&mut log);
}

fn write_batch(
    log: &mut Log,
    first: (Vec<Entry>, Done),
    inbox: &mut mpsc::Receiver<(Vec<Entry>, Done)>,
    written: &watch::Sender<End>,
) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let time_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let mut waiting = Vec::new();
    let mut next = Some(first);
    while let Some((entries, done)) = next {
        let offsets: Vec<u64> = entries.iter().map(|entry| log.stage(time_ms, entry)).collect();
        waiting.push((done, offsets.first().copied()));
        next = if log.staged() < BATCH { inbox.try_recv().ok() } else { None };
    }
    let outcome = log.commit();
    if let Err(error) = &outcome {
        error!("cannot write: {error}");
    }
    written.send_replace(log.end());
    for (done, first) in waiting {
        let answer = match &outcome {
            Ok(()) => Ok(first.unwrap_or(log.end().next)),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        // The caller may have gone; the records are in the journal all the same.
        let _ = done.send(answer);
    }
}

fn sync(log: &mut Log) {
    if let Err(error) = log.sync() {
        error!("cannot sync to disk: {error}");
    }
}
