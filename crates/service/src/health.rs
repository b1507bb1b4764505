//! Health checks of a service from outside: over gRPC's health protocol, or with an MQTT handshake.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::settings;

/// CONNECT of MQTT 3.1.1 (section 3.1): level 4, a clean session, no keep alive, no client id.
const CONNECT: [u8; 14] = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 0];
/// CONNACK (section 3.2): no session, accepted.
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
/// DISCONNECT (section 3.14).
const DISCONNECT: [u8; 2] = [0xE0, 0];

/// A service, and the protocol of its health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `http://HOST:PORT`: gRPC.
    Grpc(String),
    /// `mqtt://HOST:PORT`: MQTT; the address without its scheme.
    Mqtt(String),
}

impl Target {
    /// The gRPC service that listens on this address, as this machine reaches it.
    pub fn grpc(listen: SocketAddr) -> Self {
        Self::Grpc(format!("http://{}", reachable(listen)))
    }

    /// The MQTT broker that listens on this address, as this machine reaches it.
    pub fn mqtt(listen: SocketAddr) -> Self {
        Self::Mqtt(reachable(listen).to_string())
    }

    /// Checks once.
    ///
    /// # Errors
    /// If there is no answer within `limit`, or another answer than "healthy".
    pub async fn check(&self, limit: Duration) -> Result<()> {
        let answer = async {
            match self {
                Self::Grpc(url) => ask_grpc(url).await,
                Self::Mqtt(address) => ask_mqtt(address).await,
            }
        };
        let answer = tokio::time::timeout(limit, answer).await;
        answer.unwrap_or_else(|_| bail!("no answer within {limit:?}")).with_context(|| self.to_string())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc(url) => out.write_str(url),
            Self::Mqtt(address) => write!(out, "mqtt://{address}"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if let Some(address) = url.strip_prefix("mqtt://") {
            return Ok(Self::Mqtt(address.trim_end_matches('/').to_owned()));
        }
        if settings::endpoint(url).is_ok() {
            return Ok(Self::Grpc(url.to_owned()));
        }
        Err("expected http://HOST:PORT or mqtt://HOST:PORT".to_owned())
    }
}

/// A service that listens on all addresses is reached on the loopback interface.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if ip.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask_grpc(url: &str) -> Result<()> {
    let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
    let reply = HealthClient::new(channel).check(HealthCheckRequest::default()).await?.into_inner();
    ensure!(reply.status() == ServingStatus::Serving, "answered {}", reply.status().as_str_name());
    Ok(())
}

async fn ask_mqtt(address: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&CONNECT).await?;
    let mut answer = [0; CONNACK.len()];
    stream.read_exact(&mut answer).await?;
    ensure!(answer == CONNACK, "answered CONNECT with {answer:02x?}");
    stream.write_all(&DISCONNECT).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_all_addresses_is_reached_on_the_loopback_interface() {
        for (listen, target) in [
            ("0.0.0.0:1", "mqtt://127.0.0.1:1"),
            ("[::]:1", "mqtt://[::1]:1"),
            ("192.0.2.1:1", "mqtt://192.0.2.1:1"),
        ] {
            assert_eq!(Target::mqtt(listen.parse().expect("an address")).to_string(), target);
        }
    }

    #[test]
    fn urls_are_parsed() {
        for url in ["http://127.0.0.1:1228", "mqtt://broker:1883"] {
            assert_eq!(url.parse::<Target>().map(|target| target.to_string()), Ok(url.to_owned()));
        }
        assert!("https://x:1".parse::<Target>().is_err() && "x:1".parse::<Target>().is_err());
    }
}
