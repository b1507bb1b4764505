//! An MQTT 3.1.1 and 5 broker.

mod broker;
mod client;
mod journal;
mod link;
mod message;
mod topics;
mod wire;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use arch::topic;
use clap::Parser;
use service::health::Target;
use service::lifecycle::Service;
use service::member::Membership;
use service::{Common, listen, settings};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Endpoint;
use tracing::warn;

use crate::broker::Broker;
use crate::client::Shared;
use crate::journal::Recorder;

/// An MQTT 3.1.1 and 5 broker
#[derive(Parser)]
#[command(name = "mqtt-server")]
struct Settings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    membership: Membership,
    /// The address on which it listens, MQTT over TCP
    #[arg(long, value_name = "ADDRESS", env = "MQTT_SERVER_LISTEN", default_value = "127.0.0.1:1883")]
    listen: SocketAddr,
    /// The largest packet that is accepted
    #[arg(long, value_name = "BYTES", env = "MQTT_SERVER_MAX_PACKET", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(128..=268_435_455))]
    max_packet: u32,
    /// The maximum number of messages that wait for one client; more are dropped
    #[arg(long, value_name = "COUNT", env = "MQTT_SERVER_MAX_QUEUED", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_queued: u32,
    /// A journal server, as http://HOST:PORT, that stores messages before they are acknowledged
    #[arg(long, value_name = "URL", env = "JOURNAL_SERVER", value_parser = settings::endpoint)]
    journal: Option<Endpoint>,
    /// The topic filter of the messages for the journal
    #[arg(long, value_name = "FILTER", env = "MQTT_SERVER_JOURNAL_FILTER", default_value = "#", value_parser = filter)]
    journal_filter: String,
}

fn filter(word: &str) -> Result<String, &'static str> {
    if topic::is_filter(word) { Ok(word.to_owned()) } else { Err("not a topic filter") }
}

impl Service for Settings {
    const NAME: &'static str = "mqtt-server";

    fn common(&self) -> &Common {
        &self.common
    }

    fn health(&self) -> Target {
        Target::mqtt(self.listen)
    }

    async fn serve(self, stop: CancellationToken) -> Result<()> {
        let (listener, address) = listen::bind(self.listen).await?;
        let shared = Arc::new(Shared {
            broker: Broker::new(usize::try_from(self.max_queued)?),
            recorder: self.journal.map(|journal| Recorder::new(journal, self.journal_filter)),
            max_packet: self.max_packet,
            stop: stop.clone(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(self.membership.keep(Self::NAME, address, stop.clone()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(sweep(shared.clone())));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => drop(tasks.spawn(client::serve(stream, shared.clone()))),
                Err(error) => {
                    // Mostly out of file descriptors: existing connections continue, new ones wait.
                    warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
        Ok(())
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        shared.broker.sweep();
    }
}

fn main() -> ExitCode {
    service::run::<Settings>()
}
