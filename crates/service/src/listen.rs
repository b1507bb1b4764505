//! The sockets that services listen on.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;
use tracing::info;

/// Listens, and says where: with port 0 the system chooses.
///
/// # Errors
/// When the address is taken or not ours.
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot tell where it listens")?;
    info!(%address, "listening");
    Ok((listener, address))
}

/// Serves gRPC until `stop`, and then until the last call has its answer.
///
/// # Errors
/// What the server fails with.
pub async fn grpc(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<()> {
    let incoming = TcpListenerStream::new(listener);
    router
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .context("the gRPC server failed")
}
