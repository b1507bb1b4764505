//! A message on its way through the broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arch::{text, topic};
use mqtt_protocol_core::mqtt::ArcPayload;
use mqtt_protocol_core::mqtt::packet::{Property, Qos};

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The topic is no name: empty, or with a wildcard.
    TopicName,
    /// Said to be text, and is none.
    PayloadFormat,
    /// The journal that has to have it does not take it.
    Journal,
}

/// What was published.
#[derive(Clone, Debug)]
pub struct Message {
    pub topic: String,
    pub payload: ArcPayload,
    pub qos: Qos,
    pub retain: bool,
    /// What receivers that speak MQTT 5 get with it, unchanged.
    pub properties: Vec<Property>,
    /// After this it is delivered to nobody any more.
    pub expires: Option<Instant>,
    /// The client that published it.
    pub from: String,
}

impl Message {
    /// A message as it came in, checked.
    ///
    /// # Errors
    /// When the topic or the payload is not what the standard asks for.
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
                // Between a client and the broker only: an alias, a will's delay.
                _ => {}
            }
        }
        let (from, topic) = (from.to_owned(), topic.to_owned());
        Ok(Self { topic, payload, qos, retain, properties: kept, expires, from })
    }

    /// Whether its time is over.
    pub fn is_expired(&self) -> bool {
        self.expires.is_some_and(|time| time <= Instant::now())
    }
}

/// A message for one receiver.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub message: Arc<Message>,
    /// The lower one of what was published and what was subscribed.
    pub qos: Qos,
    pub retain: bool,
}

impl Delivery {
    /// For a subscription that asks for `qos` at most.
    pub fn new(message: Arc<Message>, qos: Qos, retain: bool) -> Self {
        let qos = if (message.qos as u8) < qos as u8 { message.qos } else { qos };
        Self { message, qos, retain }
    }
}
