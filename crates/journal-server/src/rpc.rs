//! The journal over gRPC.

use std::io;

use journal_server::reader::Reader;
use journal_server::record::{Entry, LONGEST};
use journal_server::segment;
use journal_server::writer::Journal;
use protocol::journal::journal_server::Journal as Service;
use protocol::journal::{AppendReply, AppendRequest, ReadRequest, Record, StatusReply, StatusRequest};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// The maximum number of records that wait for a slow client.
const WAITING: usize = 64;

/// The journal service.
pub struct Server {
    journal: Journal,
    stop: CancellationToken,
}

impl Server {
    /// Streams that follow the journal end at `stop`.
    pub fn new(journal: Journal, stop: CancellationToken) -> Self {
        Self { journal, stop }
    }
}

#[tonic::async_trait]
impl Service for Server {
    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendReply>, Status> {
        let entries = request.into_inner().entries.into_iter();
        let entries: Vec<Entry> = entries.map(|entry| Entry { key: entry.key, value: entry.value }).collect();
        if entries.is_empty() {
            return Err(Status::invalid_argument("no entries"));
        }
        if let Some(long) = entries.iter().find(|entry| entry.len() > LONGEST) {
            return Err(Status::invalid_argument(format!(
                "an entry of {} bytes, at most {LONGEST}",
                long.len()
            )));
        }
        let first_offset = self.journal.append(entries).await.map_err(|error| status(&error))?;
        Ok(Response::new(AppendReply { first_offset }))
    }

    type ReadStream = ReceiverStream<Result<Record, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        let next = self.journal.end().borrow().next;
        if request.from_offset > next {
            let message = format!("offset {} is after the end, {next}", request.from_offset);
            return Err(Status::out_of_range(message));
        }
        let (records, stream) = mpsc::channel(WAITING);
        let (journal, stop) = (self.journal.clone(), self.stop.clone());
        spawn_blocking(move || {
            if let Err(error) = send(&journal, &request, &records, &stop) {
                // The client may have disconnected; then nothing needs to be sent.
                let _ = records.blocking_send(Err(status(&error)));
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let folder = self.journal.folder().to_owned();
        let next_offset = self.journal.end().borrow().next;
        let (segments, size) = spawn_blocking(move || size(&folder))
            .await
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| status(&error))?;
        let path = arch::Path::chosen().to_string();
        Ok(Response::new(StatusReply { next_offset, segments, size, path }))
    }
}

/// The number of segments, and their size in bytes.
fn size(folder: &std::path::Path) -> io::Result<(u32, u64)> {
    let mut total = (0, 0);
    for base in segment::bases(folder)? {
        total = (total.0 + 1, total.1 + segment::path(folder, base).metadata()?.len());
    }
    Ok(total)
}

/// Sends the requested records; returns when all are sent, or when the client has disconnected.
fn send(
    journal: &Journal,
    request: &ReadRequest,
    records: &mpsc::Sender<Result<Record, Status>>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut reader = Reader::open(journal.folder(), request.from_offset)?;
    let mut end = journal.end();
    let mut left = if request.limit == 0 { u64::MAX } else { request.limit };
    while left > 0 {
        let seen = *end.borrow_and_update();
        if let Some(record) = reader.next(seen)? {
            let (offset, time_ms) = (record.offset, record.time_ms);
            let record = Record { offset, time_ms, key: record.key, value: record.value };
            if records.blocking_send(Ok(record)).is_err() {
                return Ok(());
            }
            left -= 1;
        } else if !request.follow || !Handle::current().block_on(more(&mut end, records, stop)) {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits for more records. Returns whether there may be some.
async fn more(
    end: &mut tokio::sync::watch::Receiver<journal_server::log::End>,
    records: &mpsc::Sender<Result<Record, Status>>,
    stop: &CancellationToken,
) -> bool {
    tokio::select! {
        changed = end.changed() => changed.is_ok(),
        () = records.closed() => false,
        () = stop.cancelled() => false,
    }
}

fn status(error: &io::Error) -> Status {
    let message = error.to_string();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::resource_exhausted(message),
        io::ErrorKind::InvalidData => Status::data_loss(message),
        _ => Status::unavailable(message),
    }
}
