//! The real broker, and clients of another library.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Filter, LastWill, Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use testbed::{Service, command};
use tokio::time::timeout;

/// The time limit for an expected event.
const SOON: Duration = Duration::from_secs(20);
/// How long to wait to see that nothing happens.
const WHILE: Duration = Duration::from_millis(400);

fn program() -> String {
    testbed::program!("mqtt-server")
}

fn start(more: &[&str]) -> Service {
    Service::start(&program(), &[&["--listen", "127.0.0.1:0"][..], more].concat())
}

/// A client of MQTT 5, and the packets that the broker sends to it.
struct Client {
    client: AsyncClient,
    events: EventLoop,
}

impl Client {
    fn options(service: &Service, id: &str) -> MqttOptions {
        let mut options = MqttOptions::new(id, "127.0.0.1", service.address().port());
        options.set_keep_alive(Duration::from_secs(20)).set_clean_start(true);
        options
    }

    /// Connects. Returns whether a session existed.
    async fn connect(options: MqttOptions) -> (Self, bool) {
        let (client, events) = AsyncClient::new(options, 64);
        let mut client = Self { client, events };
        let Packet::ConnAck(ack) = client.next().await else { panic!("no CONNACK") };
        (client, ack.session_present)
    }

    async fn plain(service: &Service, id: &str) -> Self {
        Self::connect(Self::options(service, id)).await.0
    }

    async fn next(&mut self) -> Packet {
        loop {
            let event = timeout(SOON, self.events.poll()).await.expect("soon").expect("a connection");
            if let Event::Incoming(packet) = event {
                return packet;
            }
        }
    }

    async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.client.subscribe(filter, qos).await.expect("queued");
        while !matches!(self.next().await, Packet::SubAck(_)) {}
    }

    /// Publishes, and waits for the broker's acknowledgement.
    async fn publish(&mut self, topic: &str, qos: QoS, retain: bool, payload: &str) {
        self.client.publish(topic, qos, retain, payload.to_owned()).await.expect("queued");
        self.settle(qos).await;
    }

    async fn settle(&mut self, qos: QoS) {
        loop {
            let event = timeout(SOON, self.events.poll()).await.expect("soon").expect("a connection");
            match (event, qos) {
                (Event::Outgoing(rumqttc::Outgoing::Publish(_)), QoS::AtMostOnce)
                | (Event::Incoming(Packet::PubAck(_)), QoS::AtLeastOnce)
                | (Event::Incoming(Packet::PubComp(_)), QoS::ExactlyOnce) => return,
                _ => {}
            }
        }
    }

    async fn message(&mut self) -> Publish {
        loop {
            if let Packet::Publish(publish) = self.next().await {
                return publish;
            }
        }
    }

    /// Asserts that nothing arrives for a while.
    async fn silence(&mut self) {
        let message = timeout(WHILE, self.message()).await;
        assert!(message.is_err(), "{message:?}");
    }
}

fn facts(message: &Publish) -> (&str, &str, QoS, bool) {
    let [topic, payload] =
        [&message.topic, &message.payload].map(|bytes| std::str::from_utf8(bytes).expect("UTF-8"));
    (topic, payload, message.qos, message.retain)
}

#[tokio::test]
async fn each_receiver_gets_the_lower_qos_once() {
    let service = start(&[]);
    let mut receiver = Client::plain(&service, "receiver").await;
    receiver.subscribe("x/+/z", QoS::AtLeastOnce).await;
    receiver.subscribe("x/#", QoS::AtMostOnce).await;
    let mut sender = Client::plain(&service, "sender").await;
    for (qos, expected) in [
        (QoS::AtMostOnce, QoS::AtMostOnce),
        (QoS::AtLeastOnce, QoS::AtLeastOnce),
        (QoS::ExactlyOnce, QoS::AtLeastOnce),
    ] {
        sender.publish("x/y/z", qos, false, "hello").await;
        assert_eq!(facts(&receiver.message().await), ("x/y/z", "hello", expected, false));
    }
    receiver.subscribe("exact", QoS::ExactlyOnce).await;
    sender.publish("exact", QoS::ExactlyOnce, false, "once").await;
    assert_eq!(facts(&receiver.message().await), ("exact", "once", QoS::ExactlyOnce, false));
    sender.publish("other", QoS::AtLeastOnce, false, "not for it").await;
    receiver.silence().await;
}

#[tokio::test]
async fn clients_of_both_versions_exchange_messages() {
    use rumqttc::{AsyncClient, Event, Packet, QoS as Qos};
    let service = start(&[]);
    let port = service.address().port();
    let (old, mut events) = AsyncClient::new(rumqttc::MqttOptions::new("old", "127.0.0.1", port), 10);
    old.subscribe("to/old", Qos::ExactlyOnce).await.expect("queued");
    let mut new = Client::plain(&service, "new").await;
    new.subscribe("to/new", QoS::ExactlyOnce).await;
    loop {
        match timeout(SOON, events.poll()).await.expect("soon").expect("a connection") {
            Event::Incoming(Packet::SubAck(_)) => break,
            _ => continue,
        }
    }
    new.publish("to/old", QoS::ExactlyOnce, false, "from new").await;
    let got = loop {
        if let Event::Incoming(Packet::Publish(got)) =
            timeout(SOON, events.poll()).await.expect("soon").expect("a connection")
        {
            break got;
        }
    };
    assert_eq!(
        (got.topic.as_str(), &got.payload[..], got.qos),
        ("to/old", &b"from new"[..], Qos::ExactlyOnce)
    );
    old.publish("to/new", Qos::AtLeastOnce, false, "from old").await.expect("queued");
    let pump = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    assert_eq!(facts(&new.message().await), ("to/new", "from old", QoS::AtLeastOnce, false));
    pump.abort();
}

#[tokio::test]
async fn a_retained_message_is_sent_to_later_subscribers() {
    let service = start(&[]);
    let mut sender = Client::plain(&service, "sender").await;
    sender.publish("state/a", QoS::AtLeastOnce, true, "1").await;
    sender.publish("state/a", QoS::AtLeastOnce, true, "2").await;
    sender.publish("state/b", QoS::AtMostOnce, true, "3").await;
    sender.publish("state/c", QoS::AtLeastOnce, true, "gone").await;
    sender.publish("state/c", QoS::AtLeastOnce, true, "").await;
    let mut receiver = Client::plain(&service, "receiver").await;
    receiver.subscribe("state/+", QoS::AtLeastOnce).await;
    assert_eq!(facts(&receiver.message().await), ("state/a", "2", QoS::AtLeastOnce, true));
    assert_eq!(facts(&receiver.message().await), ("state/b", "3", QoS::AtMostOnce, true));
    receiver.silence().await;
    sender.publish("state/a", QoS::AtLeastOnce, true, "4").await;
    assert_eq!(
        facts(&receiver.message().await),
        ("state/a", "4", QoS::AtLeastOnce, false),
        "not marked as retained for existing subscribers"
    );
}

#[tokio::test]
async fn a_kept_session_loses_no_message() {
    let service = start(&[]);
    let options = |clean| {
        let mut options = Client::options(&service, "receiver");
        let properties = ConnectProperties { session_expiry_interval: Some(60), ..ConnectProperties::new() };
        options.set_connect_properties(properties).set_clean_start(clean);
        options
    };
    let (mut receiver, present) = Client::connect(options(true)).await;
    assert!(!present);
    receiver.subscribe("x", QoS::AtLeastOnce).await;
    // Disconnected without DISCONNECT, as a phone in a tunnel.
    drop(receiver);
    let mut sender = Client::plain(&service, "sender").await;
    for number in 0..300 {
        sender.publish("x", QoS::AtLeastOnce, false, &number.to_string()).await;
    }
    sender.publish("x", QoS::AtMostOnce, false, "not kept").await;
    let (mut receiver, present) = Client::connect(options(false)).await;
    assert!(present);
    for number in 0..300 {
        assert_eq!(facts(&receiver.message().await).1, number.to_string());
    }
    receiver.silence().await;
    drop(receiver);
    let (mut receiver, present) = Client::connect(options(true)).await;
    assert!(!present, "a clean start discards the session");
    sender.publish("x", QoS::AtLeastOnce, false, "no subscriber").await;
    receiver.silence().await;
}

#[test]
fn a_second_connection_takes_over_the_session() {
    let service = start(&[]);
    let mut first = connect(&service, CONNECT_5);
    let mut second = connect(&service, CONNECT_5);
    assert_eq!(rest(&mut first), b"\xE0\x01\x8E", "session taken over");
    let mut third = connect(&service, CONNECT_3);
    assert_eq!(rest(&mut second), b"\xE0\x01\x8E");
    connect(&service, CONNECT_3);
    assert_eq!(rest(&mut third), b"", "MQTT 3.1.1 has no words for it");
}

#[tokio::test]
async fn a_will_is_published_for_a_lost_connection() {
    let service = start(&[]);
    let mut receiver = Client::plain(&service, "receiver").await;
    receiver.subscribe("will/+", QoS::AtLeastOnce).await;
    for (id, is_polite) in [("polite", true), ("rude", false)] {
        let mut options = Client::options(&service, id);
        options.set_last_will(LastWill::new(format!("will/{id}"), "gone", QoS::AtLeastOnce, false, None));
        let (mut client, _) = Client::connect(options).await;
        if is_polite {
            client.client.disconnect().await.expect("queued");
            while client.events.poll().await.is_ok() {}
        }
    }
    assert_eq!(facts(&receiver.message().await), ("will/rude", "gone", QoS::AtLeastOnce, false));
    receiver.silence().await;
}

#[tokio::test]
async fn properties_reach_the_receiver_and_wrong_text_is_refused() {
    let service = start(&[]);
    let mut receiver = Client::plain(&service, "receiver").await;
    let mut filter = Filter::new("x", QoS::AtLeastOnce);
    filter.nolocal = true;
    receiver.client.subscribe_many([filter]).await.expect("queued");
    while !matches!(receiver.next().await, Packet::SubAck(_)) {}
    let properties = PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: Some(100),
        content_type: Some("text/plain".into()),
        correlation_data: Some("7".into()),
        user_properties: vec![("a".into(), "b".into())],
        ..PublishProperties::default()
    };
    let mut sender = Client::plain(&service, "sender").await;
    let publish = async |sender: &mut Client, payload: &[u8]| {
        let sent = sender.client.publish_with_properties(
            "x",
            QoS::AtLeastOnce,
            false,
            payload.to_vec(),
            properties.clone(),
        );
        sent.await.expect("queued");
        loop {
            if let Packet::PubAck(ack) = sender.next().await {
                return format!("{:?}", ack.reason);
            }
        }
    };
    assert_eq!(publish(&mut sender, b"text").await, "Success");
    let got = receiver.message().await.properties.expect("properties");
    assert!((99..=100).contains(&got.message_expiry_interval.expect("kept")));
    assert_eq!(PublishProperties { message_expiry_interval: Some(100), ..got }, properties);
    assert_eq!(publish(&mut sender, b"\xFF").await, "PayloadFormatInvalid");
    for name in ["x", ""] {
        let properties = PublishProperties { topic_alias: Some(3), ..PublishProperties::default() };
        let sent =
            sender.client.publish_with_properties(name, QoS::AtLeastOnce, false, "by number", properties);
        sent.await.expect("queued");
        sender.settle(QoS::AtLeastOnce).await;
        assert_eq!(facts(&receiver.message().await), ("x", "by number", QoS::AtLeastOnce, false));
    }
    receiver.publish("x", QoS::AtLeastOnce, false, "from itself").await;
    receiver.silence().await;
}

/// CONNECT of a client `a` with a clean start, without keep alive.
const CONNECT_3: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a";
const CONNECT_5: &[u8] = b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01a";

/// A connection on which CONNECT was accepted.
fn connect(service: &Service, connect: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(service.address()).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("an open socket");
    stream.write_all(connect).expect("it reads");
    let mut head = [0; 4];
    stream.read_exact(&mut head).expect("CONNACK");
    assert_eq!((head[0], head[2], head[3]), (0x20, 0, 0), "accepted");
    let left = u64::from(head[1]) - 2;
    std::io::copy(&mut Read::by_ref(&mut stream).take(left), &mut std::io::sink()).expect("properties");
    stream
}

/// All bytes until the broker closes the connection.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        // It closed the connection before it had read everything.
        Err(error) if error.kind() != ErrorKind::ConnectionReset => {
            panic!("it does not close the connection: {error}")
        }
        _ => received,
    }
}

/// The answer to these bytes, up to the end of the connection.
fn answer(service: &Service, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(service.address()).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("an open socket");
    // It may close the connection before it has read everything.
    let _ = stream.write_all(bytes);
    rest(&mut stream)
}

#[test]
fn invalid_packets_end_only_their_own_connection() {
    let service = start(&["--max-packet", "4096"]);
    assert_eq!(answer(&service, b"\0\0"), b"");
    assert_eq!(answer(&service, &[0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4]), b"", "a length of 256 MiB");
    // MQTT 3.1.1: a client without an id that requests a session is refused with code 2.
    assert_eq!(answer(&service, b"\x10\x0c\0\x04MQTT\x04\0\0\0\0\0"), b"\x20\x02\0\x02");
    // A subscription before CONNECT.
    assert_eq!(answer(&service, b"\x82\x06\0\x01\0\x01a\0"), b"");
    // CONNECT twice.
    let connect = CONNECT_3;
    assert_eq!(answer(&service, &[connect, connect].concat()), b"\x20\x02\0\0");
    // A topic with a wildcard, a packet that is too large.
    assert_eq!(answer(&service, &[connect, b"\x30\x04\0\x01#x"].concat()), b"\x20\x02\0\0");
    assert_eq!(answer(&service, &[connect, b"\x30\x81\x20\0\x01x", &[0; 4094]].concat()), b"\x20\x02\0\0");
    // A keep alive of one second: the connection is closed after one and a half.
    let quick = b"\x10\x0d\0\x04MQTT\x04\x02\0\x01\0\x01a";
    let since = std::time::Instant::now();
    assert_eq!(answer(&service, quick), b"\x20\x02\0\0");
    // There is no upper limit but `SOON`, the limit of each read: the speed of the machine is not tested.
    assert!(since.elapsed() >= Duration::from_millis(1200), "{:?}", since.elapsed());
    let health = command(&program()).args(["--health", "--listen", &service.address().to_string()]).status();
    assert!(health.expect("starts").success());
}

/// Packets with one changed byte, followed by random bytes: each connection may end, the broker continues.
#[test]
fn random_bytes_do_not_stop_the_broker() {
    let service = start(&[]);
    let packets: Vec<&[u8]> = vec![
        CONNECT_5,
        b"\x82\x09\0\x07\0\0\x03a/#\x01",
        b"\xA2\x08\0\x08\0\0\x03a/#",
        b"\x32\x14\0\x03a/b\0\x09\x09\x01\x01\x23\0\x03\x03\0\x01txyz",
        b"\x34\x09\0\x03a/b\0\x0A\0x",
        b"\x62\x02\0\x0A",
        b"\x40\x02\0\x01",
        b"\xC0\0",
        b"\xE0\x07\0\x05\x11\0\0\0\x05",
    ];
    let tail = prop::collection::vec(any::<u8>(), 0..40);
    let input = (any::<bool>(), prop::sample::subsequence(packets, 1..5), any::<Index>(), any::<u8>(), tail);
    let outcome = TestRunner::new(Config::with_cases(300)).run(&input, |(five, packets, at, byte, tail)| {
        let mut bytes = packets.concat();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut stream = connect(&service, if five { CONNECT_5 } else { CONNECT_3 });
        // It may close the connection at any byte.
        let _ = stream.write_all(&[bytes, tail].concat());
        let _ = stream.shutdown(Shutdown::Write);
        rest(&mut stream);
        Ok(())
    });
    assert!(outcome.is_ok(), "{outcome:?}\n{}", service.log());
    assert!(!service.log().contains("panicked"), "{}", service.log());
}

#[test]
fn clients_get_a_disconnect_when_the_broker_stops() {
    let service = start(&[]);
    let (mut new, mut old) =
        (connect(&service, CONNECT_5), connect(&service, &[&CONNECT_3[..14], b"b"].concat()));
    let (status, time) = service.stop();
    assert!(status.success() && time < testbed::STOP, "{status} after {time:?}");
    assert_eq!(
        (rest(&mut new), rest(&mut old)),
        (b"\xE0\x01\x8B".to_vec(), Vec::new()),
        "server shutting down"
    );
}

#[tokio::test]
async fn without_its_journal_nothing_is_acknowledged() {
    // A port on which nothing listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|taken| taken.local_addr())
        .expect("a port")
        .port();
    let journal = format!("http://127.0.0.1:{port}");
    let service = start(&["--journal", &journal, "--journal-filter", "kept/#"]);
    let mut client = Client::plain(&service, "client").await;
    client.subscribe("#", QoS::AtMostOnce).await;
    client.publish("other", QoS::AtLeastOnce, false, "needs no journal").await;
    client.client.publish("kept/x", QoS::AtLeastOnce, false, "lost").await.expect("queued");
    let refused = loop {
        match client.next().await {
            Packet::PubAck(ack) => break format!("{:?}", ack.reason),
            Packet::Publish(message) => assert_eq!(facts(&message).0, "other"),
            _ => {}
        }
    };
    assert_eq!(refused, "ImplementationSpecificError");
    client.silence().await;
}
