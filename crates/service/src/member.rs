//! Membership: a service registers at the placement center and sends heartbeats until it stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use crate::settings;
use protocol::placement::placement_client::PlacementClient;
use protocol::placement::{DeregisterRequest, HeartbeatRequest, Node, RegisterRequest};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tracing::{info, warn};

/// The first wait after a failure; it doubles with each failure, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);
/// The time limit of one call.
const CALL: Duration = Duration::from_secs(3);

/// The settings of a service that registers.
#[derive(clap::Args, Clone, Debug)]
pub struct Membership {
    /// The placement center to register at, as http://HOST:PORT; without it the node does not register
    #[arg(long, value_name = "URL", env = "PLACEMENT_CENTER", value_parser = settings::endpoint)]
    pub placement_center: Option<Endpoint>,
    /// This node's id in the cluster [default: its kind and its address]
    #[arg(long, value_name = "ID", env = "NODE_ID")]
    pub node_id: Option<String>,
    /// The address of this node for clients, as HOST:PORT [default: the address on which it listens]
    #[arg(long, value_name = "ADDRESS", env = "NODE_ADDRESS")]
    pub node_address: Option<String>,
}

impl Membership {
    /// Keeps a service of this kind, which listens on this address, registered until `stop`, and deregisters it then. If the
    /// center cannot be reached, it tries again while the service continues. Returns immediately without a center.
    pub async fn keep(self, kind: &'static str, listen: SocketAddr, stop: CancellationToken) {
        let Some(center) = self.placement_center else { return };
        let address = self.node_address.unwrap_or_else(|| listen.to_string());
        let node = Node {
            id: self.node_id.unwrap_or_else(|| format!("{kind}@{address}")),
            kind: kind.to_owned(),
            address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            target: crate::TARGET.to_owned(),
            path: arch::Path::chosen().to_string(),
        };
        let mut client = PlacementClient::new(center.timeout(CALL).connect_timeout(CALL).connect_lazy());
        if stop.run_until_cancelled(register(&mut client, &node)).await.is_none() {
            let farewell = client.deregister(DeregisterRequest { id: node.id });
            if !matches!(timeout(Duration::from_secs(1), farewell).await, Ok(Ok(_))) {
                warn!("placement center: cannot deregister this node; its lease will expire");
            }
        }
    }
}

async fn register(client: &mut PlacementClient<Channel>, node: &Node) -> Infallible {
    let mut wait = FIRST;
    loop {
        let Err(status) = stay(client, node, &mut wait).await;
        warn!(code = ?status.code(), "placement center: {}; retrying in {wait:?}", status.message());
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
    }
}

/// Registers, then sends three heartbeats per lease for as long as they are answered.
async fn stay(
    client: &mut PlacementClient<Channel>,
    node: &Node,
    wait: &mut Duration,
) -> Result<std::convert::Infallible, Status> {
    loop {
        let reply = client.register(RegisterRequest { node: Some(node.clone()) }).await?;
        let mut lease = reply.into_inner().lease_ms;
        info!(id = node.id, lease_ms = lease, "registered at the placement center");
        *wait = FIRST;
        loop {
            sleep(Duration::from_millis((lease / 3).max(1))).await;
            match client.heartbeat(HeartbeatRequest { id: node.id.clone() }).await {
                Ok(reply) => lease = reply.into_inner().lease_ms,
                Err(status) if status.code() == Code::NotFound => break,
                Err(status) => return Err(status),
            }
        }
    }
}
