//! Bytes of one connection to packets and back. What the protocol asks for meanwhile (answers to pings, timers, flow control) is
//! mqtt-protocol-core's work; it does no I/O, so that is done here.

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

/// A client that does not take what is written to it for so long is gone.
const WRITE: Duration = Duration::from_secs(10);
/// Messages that a client has not acknowledged, at most, whatever it allows.
const IN_FLIGHT: usize = 256;
/// QoS 1 and 2 messages that a client may send before it waits for an answer.
const RECEIVE_MAXIMUM: u16 = 256;
/// Room for what is read at once, at least; each client has it.
const READ: usize = 4 << 10;
/// Bytes that are gathered before they are written.
const CHUNK: usize = 16 << 10;

/// One connection.
pub struct Link {
    stream: TcpStream,
    core: mqtt::Connection<role::Server>,
    /// What was read; `inbox[at..]` is not used up.
    inbox: Vec<u8>,
    at: usize,
    outbox: Vec<u8>,
    /// When the keep alive runs out.
    deadline: Option<Instant>,
    in_flight: usize,
    closing: bool,
}

impl Link {
    /// A connection that nothing was said on; a packet of more bytes ends it.
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

    /// Whether nothing more is to be said.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Nothing more is said after what is said already.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Reads what there is, waiting for it or for the keep alive to run out; whether the connection goes on.
    ///
    /// # Errors
    /// What the network says. Cancel safe.
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
                debug!("keep alive ran out");
                let events = self.core.notify_timer_fired(TimerKind::PingreqRecv);
                self.take(events);
                self.closing = true;
                Ok(true)
            }
        }
    }

    /// The next whole packet of what was read.
    pub fn next(&mut self) -> Option<Packet> {
        while self.at < self.inbox.len() && !self.closing {
            let mut cursor = Cursor::new(&self.inbox[self.at..]);
            let events = self.core.recv(&mut cursor);
            self.at += usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            // The core closes for most errors; none of them leaves a connection that could go on.
            self.closing |= events.iter().any(|event| matches!(event, Event::NotifyError(_)));
            let packet = self.take(events);
            if packet.is_some() && !self.closing {
                return packet;
            }
        }
        None
    }

    /// Says something.
    pub fn send(&mut self, packet: Packet) {
        let events = self.core.send(packet);
        self.take(events);
    }

    /// Whether the client can take one more message now.
    pub fn has_room(&self) -> bool {
        self.in_flight < IN_FLIGHT && self.core.get_receive_maximum_vacancy_for_send() != Some(0)
    }

    /// Sends a message; one that is too large for the client, or too old, is left out, as the standard has it.
    ///
    /// # Errors
    /// When it cannot be said in this version of MQTT.
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

    /// Writes what was said.
    ///
    /// # Errors
    /// What the network says, and `TimedOut` for a client that reads nothing.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.outbox.is_empty() {
            timeout(WRITE, self.stream.write_all(&self.outbox)).await.map_err(io::Error::from)??;
            self.outbox.clear();
        }
        Ok(())
    }

    /// Whether enough was said to write it.
    pub fn is_full(&self) -> bool {
        self.outbox.len() >= CHUNK
    }

    /// Takes up what an earlier connection of the session has left; the core says it again after CONNACK.
    pub fn resume(&mut self, kept: &mut Kept) {
        let in_flight = std::mem::take(&mut kept.in_flight);
        self.in_flight = in_flight.len();
        self.core.restore_packets(in_flight);
        self.core.restore_qos2_publish_handled(kept.unreleased.drain(..).collect());
    }

    /// Leaves to the session what is not finished.
    pub fn leave(&self, kept: &mut Kept) {
        kept.in_flight = self.core.get_stored_packets();
        kept.unreleased = self.core.get_qos2_publish_handled().into_iter().collect();
    }

    /// Does what the core asks for, and hands out the packet that came, if one did.
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
