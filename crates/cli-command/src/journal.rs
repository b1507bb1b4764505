//! `journal …`: append to the journal and read it.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Subcommand;
use protocol::journal::journal_client::JournalClient;
use protocol::journal::{AppendRequest, Entry, ReadRequest, StatusRequest};
use tokio::sync::mpsc;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::{printable, write_line};

/// The largest record that the server accepts, with room for its framing.
const LONGEST: usize = 17 << 20;
/// The maximum number of lines of standard input in one batch, and of its bytes.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 8 << 20;

#[derive(Subcommand)]
pub enum Command {
    /// Append records and print the offset of each; printed offsets are in the journal
    Append {
        /// The key of the records
        #[arg(long, default_value = "")]
        key: String,
        /// The records; without any, each line of standard input
        #[arg(value_name = "VALUE")]
        values: Vec<String>,
    },
    /// Print the values of records, or all their fields
    Read {
        /// The first offset
        #[arg(long, value_name = "OFFSET", default_value_t = 0)]
        from: u64,
        /// The maximum number of records
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
        /// Wait for more records at the end
        #[arg(long)]
        follow: bool,
        /// Print offset, time in milliseconds since 1970, key and value
        #[arg(long)]
        long: bool,
    },
    /// Print the end and the size of the journal, and the path of its checksums
    Status,
}

/// The error that a server answered with.
pub fn server_error(url: &str, status: &Status) -> anyhow::Error {
    anyhow!("{url}: {}: {}", status.code(), status.message())
}

pub async fn run(command: Command, journal: Endpoint, limit: Duration) -> Result<()> {
    let url = crate::url(&journal);
    // A stream has no time limit; only calls have one.
    let connecting = journal.connect_timeout(limit).connect().await;
    let channel = connecting.with_context(|| format!("cannot reach the journal at {url}"))?;
    let mut client = JournalClient::new(channel).max_decoding_message_size(LONGEST);
    match command {
        Command::Append { key, values } if values.is_empty() => {
            let mut lines = stdin();
            loop {
                let mut batch = Vec::new();
                if lines.recv_many(&mut batch, BATCH).await == 0 {
                    return Ok(());
                }
                let mut lines: Vec<Vec<u8>> =
                    batch.into_iter().collect::<io::Result<_>>().context("standard input")?;
                while !lines.is_empty() {
                    let rest = lines.split_off(fitting(&lines));
                    append(&mut client, &url, &key, lines, limit).await?;
                    lines = rest;
                }
            }
        }
        Command::Append { key, values } => {
            append(&mut client, &url, &key, values.into_iter().map(String::into_bytes).collect(), limit).await
        }
        Command::Read { from, limit, follow, long } => {
            let request = ReadRequest { from_offset: from, limit: limit.unwrap_or(0), follow };
            let mut records =
                client.read(request).await.map_err(|status| server_error(&url, &status))?.into_inner();
            while let Some(record) = records.message().await.map_err(|status| server_error(&url, &status))? {
                let mut line = Vec::new();
                if long {
                    write!(line, "{}\t{}\t{}\t", record.offset, record.time_ms, printable(&record.key))?;
                }
                line.extend(record.value);
                write_line(&line)?;
            }
            Ok(())
        }
        Command::Status => {
            let mut request = tonic::Request::new(StatusRequest {});
            request.set_timeout(limit);
            let status =
                client.status(request).await.map_err(|status| server_error(&url, &status))?.into_inner();
            let mut out = io::stdout().lock();
            writeln!(out, "next offset: {}", status.next_offset)?;
            writeln!(out, "segments: {}", status.segments)?;
            writeln!(out, "bytes: {}", status.size)?;
            writeln!(out, "path: {}", status.path)?;
            Ok(())
        }
    }
}

/// How many of the lines fit into one batch: at least one, and no more than the server accepts.
fn fitting(lines: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let fits = |line: &&Vec<u8>| {
        bytes += line.len();
        bytes <= BATCH_BYTES
    };
    lines.iter().take_while(fits).count().max(1)
}

/// The lines of standard input, read by a separate thread: a batch is sent before it is full, and a signal ends the wait.
fn stdin() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (lines, received) = mpsc::channel(BATCH);
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    received
}

async fn append(
    client: &mut JournalClient<Channel>,
    url: &str,
    key: &str,
    values: Vec<Vec<u8>>,
    limit: Duration,
) -> Result<()> {
    let count = values.len() as u64;
    let entries = values.into_iter().map(|value| Entry { key: key.to_owned(), value }).collect();
    let mut request = tonic::Request::new(AppendRequest { entries });
    request.set_timeout(limit);
    let reply = client.append(request).await.map_err(|status| server_error(url, &status))?;
    let first = reply.into_inner().first_offset;
    let mut out = io::stdout().lock();
    for offset in first..first + count {
        writeln!(out, "{offset}")?;
    }
    Ok(())
}
