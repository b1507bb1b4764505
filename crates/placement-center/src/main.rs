//! Lists the nodes of the broker: they register, send heartbeats, and are removed when they stop.

mod nodes;
mod rpc;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use protocol::placement::placement_server::PlacementServer;
use service::health::Target;
use service::lifecycle::Service;
use service::{Common, listen};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::info;

use crate::nodes::Nodes;
use crate::rpc::Center;

/// Lists the nodes of the broker
#[derive(Parser)]
#[command(name = "placement-center")]
struct Settings {
    #[command(flatten)]
    common: Common,
    /// The address on which it listens, gRPC
    #[arg(long, value_name = "ADDRESS", env = "PLACEMENT_CENTER_LISTEN", default_value = "127.0.0.1:1228")]
    listen: SocketAddr,
    /// The directory of its database
    #[arg(long, value_name = "DIR", env = "PLACEMENT_CENTER_DATA", default_value = "data/placement-center")]
    data: PathBuf,
    /// Milliseconds after which a node without a heartbeat is removed
    #[arg(long, value_name = "MS", env = "PLACEMENT_CENTER_LEASE_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=86_400_000))]
    lease_ms: u64,
}

impl Service for Settings {
    const NAME: &'static str = "placement-center";

    fn common(&self) -> &Common {
        &self.common
    }

    fn health(&self) -> Target {
        Target::grpc(self.listen)
    }

    async fn serve(self, stop: CancellationToken) -> Result<()> {
        let lease = Duration::from_millis(self.lease_ms);
        std::fs::create_dir_all(&self.data)
            .with_context(|| format!("cannot create {}", self.data.display()))?;
        let file = self.data.join("nodes.redb");
        let nodes = Nodes::open(&file, lease).with_context(|| format!("cannot open {}", file.display()))?;
        let nodes = Arc::new(nodes);
        info!(nodes = nodes.list("", Instant::now()).len(), database = %file.display(), "opened");

        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<PlacementServer<Center>>().await;
        let router = Server::builder()
            .add_service(health_service)
            .add_service(PlacementServer::new(Center::new(nodes.clone())));
        let (listener, _) = listen::bind(self.listen).await?;
        let expire = tokio::spawn(stop.clone().run_until_cancelled_owned(rpc::expire(nodes)));
        listen::grpc(listener, router, stop).await?;
        expire.await.context("the removal of expired nodes failed")?;
        Ok(())
    }
}

fn main() -> ExitCode {
    service::run::<Settings>()
}
