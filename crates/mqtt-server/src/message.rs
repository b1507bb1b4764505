//! A message on its way through the broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arch::{text, topic};
use mqtt_protocol_core::mqtt::ArcPayload;
use mqtt_protocol_core::mqtt::packet::{Property, Qos};

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The topic is not a topic name: it is empty, or contains a wildcard.
    TopicName,
    /// The payload is declared as text but is not UTF-8.
    PayloadFormat,
    /// The journal must store it and does not.
    Journal,
}

/// A published message.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub payload: ArcPayload,
    pub qos: Qos,
    pub retain: bool,
    /// The properties that receivers of MQTT 5 get unchanged.
    pub properties: Vec<Property>,
    /// When it expires and is no longer delivered.
    pub expires: Option<Instant>,
    /// The client that published it.
    pub from: String,
}

impl Message {
    /// A received message, after the checks.
    ///
    /// # Errors
    /// If the topic or the payload violates the standard.
    pub fn new(
        from: &str,
        topic: &str,
        payload: ArcPayload,
        qos: Qos,
        retain: bool,
        properties: &[Property],
    ) -> Result<Self, Refusal> {
        if !topic::is_name(topic) {
            return Err(Refusal::TopicName);
        }
        let mut expires = None;
        let mut kept = Vec::new();
        for property in properties {
            match property {
                Property::PayloadFormatIndicator(format) => {
                    if format.val() == 1 && text::utf8(payload.as_slice()).is_err() {
                        return Err(Refusal::PayloadFormat);
                    }
                    kept.push(property.clone());
                }
                Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::UserProperty(_) => kept.push(property.clone()),
                Property::MessageExpiryInterval(time) => {
                    expires = Some(Instant::now() + Duration::from_secs(time.val().into()));
                }
                // Properties between a client and the broker: an alias, a will's delay.
                _ => {}
            }
        }
        let (from, topic) = (from.to_owned(), topic.to_owned());
        Ok(Self { topic, payload, qos, retain, properties: kept, expires, from })
    }

    /// Whether it has expired.
    pub fn is_expired(&self) -> bool {
        self.expires.is_some_and(|time| time <= Instant::now())
    }
}

/// A message for one receiver.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub message: Arc<Message>,
    /// The lower QoS of the publication and the subscription.
    pub qos: Qos,
    pub retain: bool,
}

impl Delivery {
    /// Creates a delivery for a subscription with the maximum `qos`.
    pub fn new(message: Arc<Message>, qos: Qos, retain: bool) -> Self {
        let qos = if (message.qos as u8) < qos as u8 { message.qos } else { qos };
        Self { message, qos, retain }
    }
}
