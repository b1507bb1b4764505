//! `mqtt …`: publish and subscribe.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use arch::topic;
use clap::Subcommand;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, PubRecReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::time::timeout;

use crate::{printable, write_line};

/// The largest packet that this client accepts: the maximum of the protocol.
const LARGEST: u32 = 268_435_455;

#[derive(Subcommand)]
pub enum Command {
    /// Publish a message, and wait until the broker acknowledges it
    Pub {
        topic: String,
        /// The payload; an empty one clears a retained message
        #[arg(default_value = "")]
        payload: String,
        /// 0: at most once, 1: at least once, 2: exactly once
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
        qos: u8,
        /// Let the broker retain it for later subscribers
        #[arg(long)]
        retain: bool,
    },
    /// Print the payloads of messages, one per line
    Sub {
        filter: String,
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
        qos: u8,
        /// Stop after this number of messages
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
        /// Print the topic before each payload
        #[arg(long)]
        long: bool,
    },
}

/// A broker's host and port.
#[derive(Clone, Debug)]
pub struct Address {
    host: String,
    port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

/// Reads HOST:PORT, for clap.
pub fn address(word: &str) -> Result<Address, &'static str> {
    let parts = word.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let (host, port) = parts.ok_or("expected HOST:PORT")?;
    Ok(Address { host: host.to_owned(), port: port.parse().map_err(|_| "expected HOST:PORT")? })
}

pub async fn run(command: Command, broker: &Address, limit: Duration) -> Result<()> {
    match command {
        Command::Pub { topic: name, payload, qos, retain } => {
            ensure!(topic::is_name(&name), "{}: not a topic that can be published to", printable(&name));
            let mut session = Session::open(broker, limit).await?;
            session.client.publish(name, level(qos), retain, payload).await?;
            timeout(limit, session.delivered(level(qos))).await.map_err(|_| session.silent())??;
            session.close(limit).await
        }
        Command::Sub { filter, qos, count, long } => {
            ensure!(topic::is_filter(&filter), "{}: not a topic filter", printable(&filter));
            let mut session = Session::open(broker, limit).await?;
            session.client.subscribe(filter, level(qos)).await?;
            timeout(limit, session.subscribed()).await.map_err(|_| session.silent())??;
            let mut left = count.unwrap_or(u64::MAX);
            while left > 0 {
                let Packet::Publish(message) = session.next().await? else { continue };
                let mut line = Vec::new();
                if long {
                    write!(line, "{}\t", printable(&String::from_utf8_lossy(&message.topic)))?;
                }
                line.extend(&message.payload);
                write_line(&line)?;
                left -= 1;
            }
            session.close(limit).await
        }
    }
}

fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// A connection that the broker has accepted. It is not reconnected when it is lost: the command fails instead.
struct Session {
    client: AsyncClient,
    events: EventLoop,
    broker: String,
}

impl Session {
    async fn open(broker: &Address, limit: Duration) -> Result<Self> {
        // Without a client id, the broker assigns one.
        let mut options = MqttOptions::new("", &broker.host, broker.port);
        options.set_clean_start(true).set_connection_timeout(limit.as_secs());
        options.set_max_packet_size(Some(LARGEST));
        let (client, events) = AsyncClient::new(options, 8);
        let mut session = Self { client, events, broker: broker.to_string() };
        let accepted = timeout(limit, session.next()).await.map_err(|_| session.silent())??;
        ensure!(matches!(accepted, Packet::ConnAck(_)), "{broker}: answered CONNECT with {accepted:?}");
        Ok(session)
    }

    fn silent(&self) -> anyhow::Error {
        anyhow!("{}: no answer in time", self.broker)
    }

    async fn event(&mut self) -> Result<Event> {
        self.events.poll().await.map_err(|error| anyhow!("{}: {error}", self.broker))
    }

    async fn next(&mut self) -> Result<Packet> {
        loop {
            if let Event::Incoming(packet) = self.event().await? {
                return Ok(packet);
            }
        }
    }

    async fn delivered(&mut self, qos: QoS) -> Result<()> {
        loop {
            match self.event().await? {
                Event::Outgoing(rumqttc::Outgoing::Publish(_)) if qos == QoS::AtMostOnce => return Ok(()),
                Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => return Ok(()),
                    reason => bail!("{}: refused: {reason:?}", self.broker),
                },
                Event::Incoming(Packet::PubRec(ack)) => match ack.reason {
                    PubRecReason::Success | PubRecReason::NoMatchingSubscribers => {}
                    reason => bail!("{}: refused: {reason:?}", self.broker),
                },
                Event::Incoming(Packet::PubComp(_)) => return Ok(()),
                _ => {}
            }
        }
    }

    async fn subscribed(&mut self) -> Result<()> {
        loop {
            if let Packet::SubAck(ack) = self.next().await? {
                let refused = ack.return_codes.iter().find(|code| {
                    !matches!(code, rumqttc::v5::mqttbytes::v5::SubscribeReasonCode::Success(_))
                });
                return match refused {
                    Some(code) => Err(anyhow!("{}: refused: {code:?}", self.broker)),
                    None => Ok(()),
                };
            }
        }
    }

    /// Disconnects. The work is done, so errors are ignored here.
    async fn close(mut self, limit: Duration) -> Result<()> {
        if self.client.disconnect().await.is_ok() {
            let _ = timeout(limit, async { while self.events.poll().await.is_ok() {} }).await;
        }
        Ok(())
    }
}
