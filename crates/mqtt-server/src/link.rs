//! Converts the bytes of one connection to packets and back. mqtt-protocol-core implements the protocol (answers to pings,
//! timers, flow control) without I/O; the I/O is here.

use std::io;
use std::time::Duration;

use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait, Packet, Qos};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt_protocol_core::mqtt::{self, Version, common::Cursor, role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::broker::Kept;
use crate::message::Delivery;
use crate::wire;

/// How long a client may not read before the connection is closed.
const WRITE: Duration = Duration::from_secs(10);
/// The maximum number of unacknowledged messages to a client, even if it allows more.
const IN_FLIGHT: usize = 256;
/// QoS 1 and 2 messages that a client may send before it waits for an answer.
const RECEIVE_MAXIMUM: u16 = 256;
/// The minimum size of the read buffer of each client.
const READ: usize = 4 << 10;
/// The number of bytes that are collected before a write.
const CHUNK: usize = 16 << 10;

/// One connection.
pub struct Link {
    stream: TcpStream,
    core: mqtt::Connection<role::Server>,
    /// The bytes that were read; `inbox[at..]` is not decoded yet.
    inbox: Vec<u8>,
    at: usize,
    outbox: Vec<u8>,
    /// When the keep alive expires.
    deadline: Option<Instant>,
    in_flight: usize,
    closing: bool,
}

impl Link {
    /// A new connection; a packet with more bytes ends it.
    pub fn new(stream: TcpStream, max_packet: u32) -> Self {
        let options =
            ConnectionOptions::new().maximum_packet_size_recv(max_packet).receive_maximum(RECEIVE_MAXIMUM);
        let mut core = mqtt::Connection::with_options(Version::Undetermined, options);
        core.set_auto_ping_response(true);
        Self {
            stream,
            core,
            inbox: Vec::new(),
            at: 0,
            outbox: Vec::new(),
            deadline: None,
            in_flight: 0,
            closing: false,
        }
    }

    pub fn version(&self) -> Version {
        self.core.get_protocol_version()
    }

    /// Whether nothing more will be sent.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Sends nothing more after the packets that are queued.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Waits for bytes or for the keep alive to expire. Returns whether the connection continues.
    ///
    /// # Errors
    /// The network's error. Cancel safe.
    pub async fn fill(&mut self) -> io::Result<bool> {
        self.inbox.drain(..self.at);
        self.at = 0;
        self.inbox.reserve(READ);
        let late = async {
            match self.deadline {
                Some(time) => tokio::time::sleep_until(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = self.stream.read_buf(&mut self.inbox) => Ok(read? > 0),
            () = late => {
                debug!("keep alive expired");
                let events = self.core.notify_timer_fired(TimerKind::PingreqRecv);
                self.take(events);
                self.closing = true;
                Ok(true)
            }
        }
    }

    /// The next complete packet that was read.
    pub fn next(&mut self) -> Option<Packet> {
        while self.at < self.inbox.len() && !self.closing {
            let mut cursor = Cursor::new(&self.inbox[self.at..]);
            let events = self.core.recv(&mut cursor);
            self.at += usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            // The core closes the connection for most errors; it cannot continue after any of them.
            self.closing |= events.iter().any(|event| matches!(event, Event::NotifyError(_)));
            let packet = self.take(events);
            if packet.is_some() && !self.closing {
                return packet;
            }
        }
        None
    }

    /// Queues a packet.
    pub fn send(&mut self, packet: Packet) {
        let events = self.core.send(packet);
        self.take(events);
    }

    /// Whether the client can accept one more message now.
    pub fn has_room(&self) -> bool {
        self.in_flight < IN_FLIGHT && self.core.get_receive_maximum_vacancy_for_send() != Some(0)
    }

    /// Sends a message. One that is too large for the client, or expired, is skipped, as the standard requires.
    ///
    /// # Errors
    /// If it cannot be expressed in this version of MQTT.
    pub fn deliver(&mut self, delivery: &Delivery) -> Result<(), MqttError> {
        if delivery.message.is_expired() {
            return Ok(());
        }
        let id = if delivery.qos == Qos::AtMostOnce { None } else { Some(self.core.acquire_packet_id()?) };
        let packet = wire::publish(self.version(), delivery, id)?;
        self.in_flight += usize::from(id.is_some());
        let events = self.core.send(packet);
        let refused = events.iter().any(|event| matches!(event, Event::NotifyError(_)));
        self.take(events);
        if let (true, Some(id)) = (refused, id) {
            let events = self.core.release_packet_id(id);
            self.take(events);
        }
        Ok(())
    }

    /// Writes the queued packets.
    ///
    /// # Errors
    /// The network's error, and `TimedOut` for a client that does not read.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.outbox.is_empty() {
            timeout(WRITE, self.stream.write_all(&self.outbox)).await.map_err(io::Error::from)??;
            self.outbox.clear();
        }
        Ok(())
    }

    /// Whether enough packets are queued for a write.
    pub fn is_full(&self) -> bool {
        self.outbox.len() >= CHUNK
    }

    /// Restores the state of an earlier connection of the session; the core sends its packets again after CONNACK.
    pub fn resume(&mut self, kept: &mut Kept) {
        let in_flight = std::mem::take(&mut kept.in_flight);
        self.in_flight = in_flight.len();
        self.core.restore_packets(in_flight);
        self.core.restore_qos2_publish_handled(kept.unreleased.drain(..).collect());
    }

    /// Returns the unfinished exchanges for the session.
    pub fn leave(&self, kept: &mut Kept) {
        kept.in_flight = self.core.get_stored_packets();
        kept.unreleased = self.core.get_qos2_publish_handled().into_iter().collect();
    }

    /// Executes the core's events, and returns the received packet, if there is one.
    fn take(&mut self, events: Vec<Event>) -> Option<Packet> {
        let mut received = None;
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => received = Some(packet),
                Event::RequestSendPacket { packet, .. } => {
                    self.outbox.extend_from_slice(&packet.to_continuous_buffer());
                }
                Event::NotifyPacketIdReleased(_) => self.in_flight = self.in_flight.saturating_sub(1),
                Event::RequestTimerReset { kind: TimerKind::PingreqRecv, duration_ms } => {
                    self.deadline = Some(Instant::now() + Duration::from_millis(duration_ms));
                }
                Event::RequestTimerCancel(TimerKind::PingreqRecv) => self.deadline = None,
                // Timers of clients.
                Event::RequestTimerReset { .. } | Event::RequestTimerCancel(_) => {}
                Event::NotifyError(error) => debug!("{error}"),
                Event::RequestClose => self.closing = true,
            }
        }
        received
    }
}
