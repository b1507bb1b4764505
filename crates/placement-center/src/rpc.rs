//! The nodes over gRPC.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::placement::placement_server::Placement;
use protocol::placement::{
    DeregisterReply, DeregisterRequest, HeartbeatReply, HeartbeatRequest, ListReply, ListRequest, Node,
    RegisterReply, RegisterRequest,
};
use tokio::task::spawn_blocking;
use tonic::{Request, Response, Status};
use tracing::{error, info};

use crate::nodes::Nodes;

/// The maximum length of an id, kind or address in bytes, so that nothing large gets into the database by mistake.
const LONGEST: usize = 255;

/// The placement service.
pub struct Center {
    nodes: Arc<Nodes>,
    lease_ms: u64,
}

impl Center {
    pub fn new(nodes: Arc<Nodes>) -> Self {
        let lease_ms = u64::try_from(nodes.lease().as_millis()).unwrap_or(u64::MAX);
        Self { nodes, lease_ms }
    }

    /// Changes the nodes on a thread that may block on the disk.
    async fn change(
        &self,
        change: impl FnOnce(&Nodes) -> Result<(), redb::Error> + Send + 'static,
    ) -> Result<(), Status> {
        let nodes = self.nodes.clone();
        let outcome = spawn_blocking(move || change(&nodes)).await;
        outcome.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| {
            error!("database: {error}");
            Status::unavailable(format!("database: {error}"))
        })
    }
}

#[tonic::async_trait]
impl Placement for Center {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
        let node = checked(request.into_inner().node)?;
        info!(id = node.id, kind = node.kind, address = node.address, triple = node.target, "registered");
        self.change(|nodes| nodes.register(node, Instant::now())).await?;
        Ok(Response::new(RegisterReply { lease_ms: self.lease_ms }))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatReply>, Status> {
        let id = request.into_inner().id;
        if !self.nodes.heartbeat(&id, Instant::now()) {
            return Err(Status::not_found(format!("unknown node {id}: register again")));
        }
        Ok(Response::new(HeartbeatReply { lease_ms: self.lease_ms }))
    }

    async fn deregister(
        &self,
        request: Request<DeregisterRequest>,
    ) -> Result<Response<DeregisterReply>, Status> {
        let id = request.into_inner().id;
        info!(id, "deregistered");
        self.change(move |nodes| nodes.remove(&[id])).await?;
        Ok(Response::new(DeregisterReply {}))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        Ok(Response::new(ListReply { nodes: self.nodes.list(&request.into_inner().kind, Instant::now()) }))
    }
}

fn checked(node: Option<Node>) -> Result<Node, Status> {
    let node = node.ok_or_else(|| Status::invalid_argument("no node"))?;
    for (name, value) in [("id", &node.id), ("kind", &node.kind), ("address", &node.address)] {
        if value.is_empty() || value.len() > LONGEST {
            return Err(Status::invalid_argument(format!("{name}: 1 to {LONGEST} bytes")));
        }
    }
    Ok(node)
}

/// Removes nodes with an expired lease, four times per lease.
pub async fn expire(nodes: Arc<Nodes>) -> Infallible {
    let mut tick = tokio::time::interval((nodes.lease() / 4).max(Duration::from_millis(10)));
    loop {
        tick.tick().await;
        let late = nodes.late(Instant::now());
        if late.is_empty() {
            continue;
        }
        info!(ids = ?late, "lease expired");
        let nodes = nodes.clone();
        if let Ok(Err(error)) = spawn_blocking(move || nodes.remove(&late)).await {
            error!("database: {error}");
        }
    }
}
