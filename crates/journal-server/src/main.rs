//! An append-only journal over gRPC.

mod rpc;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use journal_server::log::{Fsync, Log};
use journal_server::record::LONGEST;
use journal_server::writer::Journal;
use protocol::journal::journal_server::JournalServer;
use service::health::Target;
use service::lifecycle::Service;
use service::member::Membership;
use service::{Common, listen};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::info;

/// An append-only journal
#[derive(Parser)]
#[command(name = "journal-server")]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    membership: Membership,
    /// The address on which it listens, gRPC
    #[arg(long, value_name = "ADDRESS", env = "JOURNAL_SERVER_LISTEN", default_value = "127.0.0.1:1229")]
    listen: SocketAddr,
    /// The directory of its segments
    #[arg(long, value_name = "DIR", env = "JOURNAL_SERVER_DATA", default_value = "data/journal-server")]
    data: PathBuf,
    /// The size at which a new segment is started
    #[arg(long, value_name = "BYTES", env = "JOURNAL_SERVER_SEGMENT_BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(4096..))]
    segment_bytes: u64,
    /// When records are synced to disk: always (before they are acknowledged), never, or at an interval such as 200ms
    #[arg(long, value_name = "POLICY", env = "JOURNAL_SERVER_FSYNC", default_value = "always")]
    fsync: Fsync,
}

impl Service for Settings {
    const NAME: &'static str = "journal-server";

    fn common(&self) -> &Common {
        &self.common
    }

    fn health(&self) -> Target {
        Target::grpc(self.listen)
    }

    async fn serve(self, stop: CancellationToken) -> Result<()> {
        let (data, bytes, fsync) = (self.data.clone(), self.segment_bytes, self.fsync);
        let log = spawn_blocking(move || Log::open(&data, bytes, fsync)).await?;
        let log = log.with_context(|| format!("cannot open {}", self.data.display()))?;
        info!(data = %self.data.display(), next_offset = log.end().next, fsync = %fsync, "opened");
        let (journal, thread) = Journal::start(&self.data, log, fsync).context("cannot start the writer")?;

        let (health, health_service) = tonic_health::server::health_reporter();
        let rpc = JournalServer::new(rpc::Server::new(journal, stop.clone()));
        health.set_serving::<JournalServer<rpc::Server>>().await;
        // A batch of one record of the maximum length, its key, and protobuf's framing.
        let rpc = rpc.max_decoding_message_size(LONGEST + 4096).max_encoding_message_size(LONGEST + 4096);
        let router = Server::builder().add_service(health_service).add_service(rpc);
        let (listener, address) = listen::bind(self.listen).await?;
        let member = tokio::spawn(self.membership.keep(Self::NAME, address, stop.clone()));
        listen::grpc(listener, router, stop).await?;
        member.await?;
        // The server has dropped the last handle of the journal: the writer syncs everything to disk and exits.
        spawn_blocking(move || thread.join()).await?.ok().context("the writer has panicked")
    }
}

fn main() -> ExitCode {
    service::run::<Settings>()
}
