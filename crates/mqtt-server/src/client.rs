//! One client's connection, from CONNECT to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use arch::topic;
use mqtt_protocol_core::mqtt::packet::{Packet, Property, Qos, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, SubackReasonCode,
};
use mqtt_protocol_core::mqtt::{ArcPayload, IntoPayload, Version};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::broker::{Attached, Broker, Hello};
use crate::journal::Recorder;
use crate::link::Link;
use crate::message::{Delivery, Message, Refusal};
use crate::wire;

/// How long a new connection may take to send CONNECT.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The state that all clients share.
pub struct Shared {
    pub broker: Broker,
    pub recorder: Option<Recorder>,
    pub max_packet: u32,
    pub stop: CancellationToken,
}

/// Why a connection ended without a request of its client.
enum Broken {
    Network(io::Error),
    Protocol(MqttError),
    /// A refused message of MQTT 3.1.1, which has no other way to refuse one.
    Refused(Refusal),
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => write!(out, "{error}"),
            Self::Protocol(error) => write!(out, "protocol: {error}"),
            Self::Refused(refusal) => write!(out, "refused a message: {refusal:?}"),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Network(error)
    }
}

impl From<MqttError> for Broken {
    fn from(error: MqttError) -> Self {
        Self::Protocol(error)
    }
}

/// The parameters of CONNECT, in either version.
struct Opening {
    hello: Hello,
    assigned: bool,
    /// How long the session is kept after the connection, `None` for forever.
    expiry: Option<Duration>,
    will: Option<Will>,
}

struct Will {
    message: Message,
    delay: Duration,
}

/// A connected client.
struct Client {
    link: Link,
    shared: Arc<Shared>,
    id: String,
    attached: Attached,
    expiry: Option<Duration>,
    will: Option<Will>,
}

/// Serves one connection until it ends.
pub async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Small packets, such as answers, are sent without delay.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("no TCP_NODELAY: {error}");
    }
    let mut link = Link::new(stream, shared.max_packet);
    let opening = tokio::select! {
        opening = timeout(HANDSHAKE, open(&mut link)) => opening,
        () = shared.stop.cancelled() => return,
    };
    match opening {
        Ok(Ok(Some(opening))) => match begin(link, shared, opening).await {
            Ok(client) => client.run().await,
            Err(broken) => debug!("not connected: {broken}"),
        },
        // The core's answer to an invalid CONNECT.
        Ok(Ok(None)) => drop(link.flush().await),
        Ok(Err(error)) => debug!("no CONNECT: {error}"),
        Err(_) => debug!("no CONNECT within {HANDSHAKE:?}"),
    }
}

/// Reads CONNECT. Returns `None` for another packet, or a refused CONNECT.
async fn open(link: &mut Link) -> io::Result<Option<Opening>> {
    loop {
        if let Some(packet) = link.next() {
            let opening = match packet {
                Packet::V3_1_1Connect(connect) => old_opening(&connect),
                Packet::V5_0Connect(connect) => new_opening(&connect),
                _ => return Ok(None),
            };
            return Ok(match opening {
                Ok(opening) => Some(opening),
                Err((old, new)) => {
                    if let Ok(packet) = wire::refuse(link.version(), old, new) {
                        link.send(packet);
                    }
                    None
                }
            });
        }
        if link.is_closing() || !link.fill().await? {
            return Ok(None);
        }
    }
}

type Rejection = (ConnectReturnCode, ConnectReasonCode);

fn old_opening(connect: &v3_1_1::Connect) -> Result<Opening, Rejection> {
    let clean = connect.clean_session();
    if connect.client_id().is_empty() && !clean {
        return Err((ConnectReturnCode::IdentifierRejected, ConnectReasonCode::ClientIdentifierNotValid));
    }
    let (client, assigned) = identity(connect.client_id());
    let will = connect.will_topic().map(|topic| {
        let (qos, retain) = (connect.will_qos(), connect.will_retain());
        will(&client, topic, connect.will_payload(), qos, retain, &[])
    });
    Ok(Opening {
        will: will.transpose()?,
        hello: Hello { client, version: Version::V3_1_1, clean },
        assigned,
        expiry: clean.then_some(Duration::ZERO),
    })
}

fn new_opening(connect: &v5_0::Connect) -> Result<Opening, Rejection> {
    let mut expiry = Some(Duration::ZERO);
    for property in connect.props() {
        match property {
            Property::SessionExpiryInterval(time) => expiry = session_expiry(time.val()),
            Property::AuthenticationMethod(_) => {
                return Err((ConnectReturnCode::NotAuthorized, ConnectReasonCode::BadAuthenticationMethod));
            }
            _ => {}
        }
    }
    let (client, assigned) = identity(connect.client_id());
    let will = connect.will_topic().map(|topic| {
        let (qos, retain) = (connect.will_qos(), connect.will_retain());
        will(&client, topic, connect.will_payload(), qos, retain, connect.will_props())
    });
    Ok(Opening {
        will: will.transpose()?,
        hello: Hello { client, version: Version::V5_0, clean: connect.clean_start() },
        assigned,
        expiry,
    })
}

/// Seconds as MQTT 5 counts them (section 3.1.2.11.2): the largest number means forever.
fn session_expiry(seconds: u32) -> Option<Duration> {
    (seconds != u32::MAX).then(|| Duration::from_secs(seconds.into()))
}

fn will(
    client: &str,
    topic: &str,
    payload: Option<&[u8]>,
    qos: Qos,
    retain: bool,
    properties: &[Property],
) -> Result<Will, Rejection> {
    let payload: ArcPayload = payload.unwrap_or_default().into_payload();
    let message = Message::new(client, topic, payload, qos, retain, properties).map_err(|refusal| {
        let code = match refusal {
            Refusal::PayloadFormat => ConnectReasonCode::PayloadFormatInvalid,
            _ => ConnectReasonCode::TopicNameInvalid,
        };
        (ConnectReturnCode::NotAuthorized, code)
    })?;
    let delay = properties.iter().find_map(|property| match property {
        Property::WillDelayInterval(time) => Some(Duration::from_secs(time.val().into())),
        _ => None,
    });
    Ok(Will { message, delay: delay.unwrap_or_default() })
}

/// The client's id, or an assigned one.
fn identity(requested: &str) -> (String, bool) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if !requested.is_empty() {
        return (requested.to_owned(), false);
    }
    // Assigned ids differ from those of an earlier run, whose clients may reconnect.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    (format!("auto-{now:x}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed)), true)
}

/// Attaches to the session and answers CONNECT.
async fn begin(mut link: Link, shared: Arc<Shared>, opening: Opening) -> Result<Client, Broken> {
    let Opening { hello, assigned, expiry, will } = opening;
    let (id, version) = (hello.client.clone(), hello.version);
    let mut attached = shared.broker.attach(hello).await;
    link.resume(&mut attached.kept);
    let packet = wire::accept(version, attached.present, assigned.then_some(&id))?;
    link.send(packet);
    info!(client = id, ?version, present = attached.present, "connected");
    Ok(Client { link, shared, id, attached, expiry, will })
}

impl Client {
    async fn run(mut self) {
        let outcome = self.talk().await;
        // The last packet, for a client that still reads.
        drop(self.link.flush().await);
        match &outcome {
            Ok(()) => info!(client = self.id, "disconnected"),
            Err(broken) => info!(client = self.id, reason = %broken, "disconnected"),
        }
        let Self { link, shared, id, mut attached, expiry, will } = self;
        link.leave(&mut attached.kept);
        shared.broker.detach(&id, attached, expiry);
        if let Some(will) = will {
            tokio::spawn(publish_will(shared, id, will, expiry));
        }
    }

    /// Runs until the connection ends. A client that disconnects properly has cancelled its will.
    async fn talk(&mut self) -> Result<(), Broken> {
        let stop = self.shared.stop.clone();
        // A client need not wait for CONNACK before it sends more packets.
        self.read().await?;
        loop {
            self.send_kept()?;
            self.link.flush().await?;
            if self.link.is_closing() {
                return Ok(());
            }
            tokio::select! {
                more = self.link.fill() => {
                    if !more? {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    self.read().await?;
                }
                Some(delivery) = self.attached.inbox.recv(), if self.can_send() => self.link.deliver(&delivery)?,
                () = self.attached.kicked.cancelled() => self.end(DisconnectReasonCode::SessionTakenOver),
                () = stop.cancelled() => self.end(DisconnectReasonCode::ServerShuttingDown),
            }
        }
    }

    /// Sends queued messages to this client, as many as it can accept.
    fn send_kept(&mut self) -> Result<(), MqttError> {
        while self.link.has_room() && !self.link.is_full() {
            let queue = &mut self.attached.kept.queue;
            let Some(delivery) = queue.pop_front().or_else(|| self.attached.inbox.try_recv().ok()) else {
                break;
            };
            self.link.deliver(&delivery)?;
        }
        Ok(())
    }

    /// Messages are sent in order: those from the channel after the queued ones.
    fn can_send(&self) -> bool {
        self.link.has_room() && self.attached.kept.queue.is_empty()
    }

    fn end(&mut self, code: DisconnectReasonCode) {
        if let Some(packet) = wire::disconnect(self.link.version(), code) {
            self.link.send(packet);
        }
        self.link.close();
    }

    /// Handles the packets that were read.
    async fn read(&mut self) -> Result<(), Broken> {
        while let Some(packet) = self.link.next() {
            self.receive(packet).await?;
            if self.link.is_full() {
                self.link.flush().await?;
            }
        }
        Ok(())
    }

    async fn receive(&mut self, packet: Packet) -> Result<(), Broken> {
        let version = self.link.version();
        match packet {
            Packet::V3_1_1Publish(packet) => {
                let (qos, id, payload) = (packet.qos(), packet.packet_id(), packet.payload().clone());
                let message = Message::new(&self.id, packet.topic_name(), payload, qos, packet.retain(), &[]);
                match self.publish(message).await {
                    // No answer is expected.
                    Err(Refusal::Journal) if qos == Qos::AtMostOnce => {}
                    outcome => outcome.map_err(Broken::Refused)?,
                }
                self.acknowledge(qos, id, Ok(()))?;
            }
            Packet::V5_0Publish(packet) => {
                let (qos, id, payload) = (packet.qos(), packet.packet_id(), packet.payload().clone());
                let (name, properties) = (packet.topic_name(), packet.props());
                let message = Message::new(&self.id, name, payload, qos, packet.retain(), properties);
                let outcome = self.publish(message).await;
                self.acknowledge(qos, id, outcome)?;
            }
            Packet::V3_1_1Subscribe(packet) => self.subscribe(packet.packet_id(), packet.entries(), None)?,
            Packet::V5_0Subscribe(packet) => {
                let numbered =
                    packet.props().iter().any(|it| matches!(it, Property::SubscriptionIdentifier(_)));
                let refusal = numbered.then_some(SubackReasonCode::SubscriptionIdentifiersNotSupported);
                self.subscribe(packet.packet_id(), packet.entries(), refusal)?;
            }
            Packet::V3_1_1Unsubscribe(packet) => {
                self.unsubscribe(packet.packet_id(), packet.entries().iter().map(|filter| filter.as_str()))?;
            }
            Packet::V5_0Unsubscribe(packet) => {
                self.unsubscribe(packet.packet_id(), packet.entries().iter().map(|filter| filter.as_str()))?;
            }
            Packet::V3_1_1Pubrec(packet) => self.link.send(wire::pubrel(version, packet.packet_id())?),
            // From 0x80 on the receiver has refused the message, and the core has discarded it.
            Packet::V5_0Pubrec(packet) if packet.reason_code().is_none_or(|code| (code as u8) < 0x80) => {
                self.link.send(wire::pubrel(version, packet.packet_id())?);
            }
            Packet::V3_1_1Pubrel(packet) => self.link.send(wire::pubcomp(version, packet.packet_id())?),
            Packet::V5_0Pubrel(packet) => self.link.send(wire::pubcomp(version, packet.packet_id())?),
            Packet::V3_1_1Disconnect(_) => self.goodbye(DisconnectReasonCode::NormalDisconnection, &[]),
            Packet::V5_0Disconnect(packet) => {
                let code = packet.reason_code().unwrap_or(DisconnectReasonCode::NormalDisconnection);
                self.goodbye(code, packet.props().as_deref().unwrap_or_default());
            }
            // Acknowledgements and pings, which the core has handled; a client cannot send anything else.
            _ => {}
        }
        Ok(())
    }

    /// Publishes a message, first to the journal.
    async fn publish(&self, message: Result<Message, Refusal>) -> Result<(), Refusal> {
        let message = message?;
        if let Some(recorder) = &self.shared.recorder {
            recorder.record(&message).await?;
        }
        self.shared.broker.publish(message);
        Ok(())
    }

    fn acknowledge(&mut self, qos: Qos, id: Option<u16>, outcome: Result<(), Refusal>) -> Result<(), Broken> {
        let version = self.link.version();
        match (qos, id) {
            (Qos::AtLeastOnce, Some(id)) => self.link.send(wire::puback(version, id, outcome)?),
            (Qos::ExactlyOnce, Some(id)) => self.link.send(wire::pubrec(version, id, outcome)?),
            // No answer is expected; an invalid topic is a protocol error (section 3.3.2.1).
            _ if outcome == Err(Refusal::TopicName) => self.end(DisconnectReasonCode::TopicNameInvalid),
            _ => {}
        }
        Ok(())
    }

    /// Subscribes to each valid filter, unless all are refused for one reason.
    fn subscribe(
        &mut self,
        id: u16,
        entries: &[SubEntry],
        refusal: Option<SubackReasonCode>,
    ) -> Result<(), Broken> {
        let mut answers = Vec::new();
        let mut retained: Vec<Delivery> = Vec::new();
        for entry in entries {
            let filter = entry.topic_filter();
            if let Some(code) = refusal {
                answers.push(code);
                continue;
            }
            answers.push(match entry.sub_opts().qos() {
                _ if !topic::is_filter(filter) => SubackReasonCode::TopicFilterInvalid,
                _ if filter.starts_with("$share/") => SubackReasonCode::SharedSubscriptionsNotSupported,
                qos => {
                    retained.extend(self.shared.broker.subscribe(&self.id, filter, *entry.sub_opts()));
                    match qos {
                        Qos::AtMostOnce => SubackReasonCode::GrantedQos0,
                        Qos::AtLeastOnce => SubackReasonCode::GrantedQos1,
                        Qos::ExactlyOnce => SubackReasonCode::GrantedQos2,
                    }
                }
            });
        }
        self.link.send(wire::suback(self.link.version(), id, answers)?);
        self.attached.kept.queue.extend(retained);
        Ok(())
    }

    fn unsubscribe<'a>(&mut self, id: u16, filters: impl Iterator<Item = &'a str>) -> Result<(), Broken> {
        let existed: Vec<bool> =
            filters.map(|filter| self.shared.broker.unsubscribe(&self.id, filter)).collect();
        self.link.send(wire::unsuback(self.link.version(), id, &existed)?);
        Ok(())
    }

    /// The client disconnects properly.
    fn goodbye(&mut self, code: DisconnectReasonCode, properties: &[Property]) {
        if code == DisconnectReasonCode::NormalDisconnection {
            self.will = None;
        }
        for property in properties {
            // A session that ends with its connection cannot be extended later (section 3.14.2.2.2).
            if let (Property::SessionExpiryInterval(time), true) =
                (property, self.expiry != Some(Duration::ZERO))
            {
                self.expiry = session_expiry(time.val());
            }
        }
        self.link.close();
    }
}

/// Publishes the will of a client that was disconnected, unless it reconnects before the delay is over.
async fn publish_will(shared: Arc<Shared>, client: String, will: Will, expiry: Option<Duration>) {
    // A stopping broker has no subscribers left.
    if shared.stop.is_cancelled() {
        return;
    }
    let delay = expiry.map_or(will.delay, |expiry| will.delay.min(expiry));
    let come_back = !delay.is_zero() && {
        let waited = shared.stop.run_until_cancelled(sleep(delay)).await;
        waited.is_none() || !shared.broker.is_away(&client)
    };
    if come_back {
        return;
    }
    debug!(client, topic = will.message.topic, "publishing its will");
    if let Some(recorder) = &shared.recorder {
        // The failure is logged already; no client waits for an answer.
        let _ = recorder.record(&will.message).await;
    }
    shared.broker.publish(will.message);
}
