//! The sockets on which services listen.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;
use tracing::info;

/// Listens on an address and returns it: for port 0 the system chooses one.
///
/// # Errors
/// If the address is in use or does not belong to this machine.
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot read the local address")?;
    info!(%address, "listening");
    Ok((listener, address))
}

/// Serves gRPC until `stop`, and then until the last call is answered.
///
/// # Errors
/// The server's error.
pub async fn grpc(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<()> {
    let incoming = TcpListenerStream::new(listener);
    router
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
        .context("the gRPC server failed")
}
