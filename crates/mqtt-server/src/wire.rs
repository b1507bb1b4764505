//! The broker's packets in either version of the protocol: MQTT 3.1.1 or 5.

use std::time::Instant;

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MessageExpiryInterval, Packet, Property, SharedSubscriptionAvailable,
    SubscriptionIdentifierAvailable, TopicAliasMaximum, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    PubrecReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

use crate::message::{Delivery, Refusal};

/// The number of topic aliases per connection.
const ALIASES: u16 = 16;

type Built = Result<Packet, MqttError>;

/// CONNACK of an accepted connection; `assigned` is the id of a client that sent none.
pub fn accept(version: Version, session_present: bool, assigned: Option<&str>) -> Built {
    if version == Version::V3_1_1 {
        let code = ConnectReturnCode::Accepted;
        return Ok(v3_1_1::Connack::builder()
            .session_present(session_present)
            .return_code(code)
            .build()?
            .into());
    }
    let mut properties = vec![
        Property::TopicAliasMaximum(TopicAliasMaximum::new(ALIASES)?),
        Property::SharedSubscriptionAvailable(SharedSubscriptionAvailable::new(0)?),
        Property::SubscriptionIdentifierAvailable(SubscriptionIdentifierAvailable::new(0)?),
    ];
    if let Some(id) = assigned {
        properties.push(Property::AssignedClientIdentifier(AssignedClientIdentifier::new(id)?));
    }
    let code = ConnectReasonCode::Success;
    let built = v5_0::Connack::builder().session_present(session_present).reason_code(code).props(properties);
    Ok(built.build()?.into())
}

/// CONNACK of a refused connection, with the reason code of the requested version.
pub fn refuse(version: Version, old: ConnectReturnCode, new: ConnectReasonCode) -> Built {
    Ok(match version {
        Version::V3_1_1 => v3_1_1::Connack::builder().session_present(false).return_code(old).build()?.into(),
        _ => v5_0::Connack::builder().session_present(false).reason_code(new).build()?.into(),
    })
}

/// PUBLISH of `delivery`, with a packet id unless it is QoS 0.
pub fn publish(version: Version, delivery: &Delivery, id: Option<u16>) -> Built {
    let Delivery { message, qos, retain } = delivery;
    if version == Version::V3_1_1 {
        let packet = v3_1_1::Publish::builder().topic_name(&message.topic)?.qos(*qos).retain(*retain);
        return Ok(packet.packet_id(id).payload(message.payload.clone()).build()?.into());
    }
    let mut properties = message.properties.clone();
    if let Some(time) = message.expires {
        let left = time.saturating_duration_since(Instant::now()).as_secs();
        let left = MessageExpiryInterval::new(u32::try_from(left).unwrap_or(u32::MAX))?;
        properties.push(Property::MessageExpiryInterval(left));
    }
    let packet = v5_0::Publish::builder().topic_name(&message.topic)?.qos(*qos).retain(*retain);
    Ok(packet.packet_id(id).payload(message.payload.clone()).props(properties).build()?.into())
}

/// PUBACK; MQTT 3.1.1 cannot express a refusal.
pub fn puback(version: Version, id: u16, outcome: Result<(), Refusal>) -> Built {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Puback::builder().packet_id(id).build()?.into());
    }
    let code = match outcome {
        Ok(()) => PubackReasonCode::Success,
        Err(Refusal::TopicName) => PubackReasonCode::TopicNameInvalid,
        Err(Refusal::PayloadFormat) => PubackReasonCode::PayloadFormatInvalid,
        Err(Refusal::Journal) => PubackReasonCode::ImplementationSpecificError,
    };
    Ok(v5_0::Puback::builder().packet_id(id).reason_code(code).build()?.into())
}

/// PUBREC, the first answer to QoS 2.
pub fn pubrec(version: Version, id: u16, outcome: Result<(), Refusal>) -> Built {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Pubrec::builder().packet_id(id).build()?.into());
    }
    let code = match outcome {
        Ok(()) => PubrecReasonCode::Success,
        Err(Refusal::TopicName) => PubrecReasonCode::TopicNameInvalid,
        Err(Refusal::PayloadFormat) => PubrecReasonCode::PayloadFormatInvalid,
        Err(Refusal::Journal) => PubrecReasonCode::ImplementationSpecificError,
    };
    Ok(v5_0::Pubrec::builder().packet_id(id).reason_code(code).build()?.into())
}

/// PUBREL: a receiver of QoS 2 has the message.
pub fn pubrel(version: Version, id: u16) -> Built {
    Ok(match version {
        Version::V3_1_1 => v3_1_1::Pubrel::builder().packet_id(id).build()?.into(),
        _ => v5_0::Pubrel::builder().packet_id(id).build()?.into(),
    })
}

/// PUBCOMP: a sender of QoS 2 may discard the message.
pub fn pubcomp(version: Version, id: u16) -> Built {
    Ok(match version {
        Version::V3_1_1 => v3_1_1::Pubcomp::builder().packet_id(id).build()?.into(),
        _ => v5_0::Pubcomp::builder().packet_id(id).build()?.into(),
    })
}

/// SUBACK with a result for each filter.
pub fn suback(version: Version, id: u16, answers: Vec<SubackReasonCode>) -> Built {
    if version != Version::V3_1_1 {
        return Ok(v5_0::Suback::builder().packet_id(id).reason_codes(answers).build()?.into());
    }
    let answers = answers.into_iter().map(|answer| match answer {
        SubackReasonCode::GrantedQos0 => SubackReturnCode::SuccessMaximumQos0,
        SubackReasonCode::GrantedQos1 => SubackReturnCode::SuccessMaximumQos1,
        SubackReasonCode::GrantedQos2 => SubackReturnCode::SuccessMaximumQos2,
        _ => SubackReturnCode::Failure,
    });
    Ok(v3_1_1::Suback::builder().packet_id(id).return_codes(answers.collect()).build()?.into())
}

/// UNSUBACK with, for each filter, whether the subscription existed.
pub fn unsuback(version: Version, id: u16, existed: &[bool]) -> Built {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Unsuback::builder().packet_id(id).build()?.into());
    }
    let code = |existed: &bool| {
        if *existed { UnsubackReasonCode::Success } else { UnsubackReasonCode::NoSubscriptionExisted }
    };
    Ok(v5_0::Unsuback::builder()
        .packet_id(id)
        .reason_codes(existed.iter().map(code).collect())
        .build()?
        .into())
}

/// DISCONNECT from the broker, which only MQTT 5 has.
pub fn disconnect(version: Version, code: DisconnectReasonCode) -> Option<Packet> {
    let built = v5_0::Disconnect::builder().reason_code(code).build();
    built.ok().filter(|_| version != Version::V3_1_1).map(Into::into)
}
