//! `node …`: the nodes that the placement center lists.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use protocol::placement::ListRequest;
use protocol::placement::placement_client::PlacementClient;
use tonic::transport::Endpoint;

use crate::printable;

#[derive(Subcommand)]
pub enum Command {
    /// List the nodes whose lease is valid: id, kind, address, version, target, path, milliseconds since the last heartbeat
    List {
        /// Only nodes of this kind, such as mqtt-server
        #[arg(long)]
        kind: Option<String>,
    },
}

pub async fn run(command: Command, center: Endpoint, limit: Duration) -> Result<()> {
    let Command::List { kind } = command;
    let url = crate::url(&center);
    let channel = center.connect_timeout(limit).timeout(limit).connect().await;
    let channel = channel.with_context(|| format!("cannot reach the placement center at {url}"))?;
    let request = ListRequest { kind: kind.unwrap_or_default() };
    let reply = PlacementClient::new(channel).list(request).await;
    let mut out = io::stdout().lock();
    for listed in reply.map_err(|status| crate::journal::server_error(&url, &status))?.into_inner().nodes {
        let node = listed.node.unwrap_or_default();
        let facts = [&node.id, &node.kind, &node.address, &node.version, &node.target, &node.path];
        let facts: Vec<String> = facts.into_iter().map(|fact| printable(fact)).collect();
        writeln!(out, "{}\t{}", facts.join("\t"), listed.seen_ms_ago)?;
    }
    Ok(())
}
