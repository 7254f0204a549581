//! How a message is shown. Its JSON is what `postrider send` reads.

use super::output::Row;
use super::parse::{rfc3339, rfc3339_ms};
use super::value::{body_to_json, id_to_json, to_json};
use postrider_client::{Delivery, PeekedMessage};
use postrider_protocol::message::{DeadLetterInfo, Message};
use postrider_protocol::reply::PeekState;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// What the broker says about a message.
struct Envelope<'a> {
    sequence: u64,
    state: Option<PeekState>,
    delivery_count: u32,
    /// `None`: it is scheduled, and not enqueued yet.
    enqueued_time: Option<SystemTime>,
    locked_until: Option<SystemTime>,
    until: Option<SystemTime>,
    expires_at: Option<SystemTime>,
    redrive_count: u32,
    rule_name: Option<&'a str>,
    replayed: bool,
    /// Whether it is in a subscription, where replays come.
    subscribed: bool,
    dead_letter: Option<&'a DeadLetterInfo>,
}

/// Whether an address is a subscription's, or that of its dead letters.
fn is_subscription(address: &str) -> bool {
    address.to_ascii_lowercase().contains("/subscriptions/")
}

/// A message that was received from `address`.
pub fn delivered(address: &str, delivery: &Delivery) -> Row {
    let envelope = Envelope {
        sequence: delivery.sequence(),
        state: None,
        delivery_count: delivery.delivery_count(),
        enqueued_time: Some(delivery.enqueued_time()),
        locked_until: Some(delivery.locked_until()),
        until: None,
        expires_at: delivery.expires_at(),
        redrive_count: delivery.redrive_count(),
        rule_name: delivery.rule_name(),
        replayed: delivery.is_replayed(),
        subscribed: is_subscription(address),
        dead_letter: delivery.dead_letter(),
    };
    let row = row(&envelope, delivery.message()).data("enqueued_sequence", delivery.enqueued_sequence());
    row.data("epoch", delivery.epoch())
}

/// A message that was looked at in `address`.
pub fn peeked(address: &str, peeked: &PeekedMessage) -> Row {
    let envelope = Envelope {
        sequence: peeked.sequence,
        state: Some(peeked.state),
        delivery_count: peeked.attempts,
        enqueued_time: (peeked.state != PeekState::Scheduled).then_some(peeked.enqueued_time),
        locked_until: None,
        until: peeked.until,
        expires_at: peeked.expires_at,
        redrive_count: peeked.redrive_count,
        rule_name: peeked.rule_name.as_deref(),
        replayed: peeked.replayed,
        subscribed: is_subscription(address),
        dead_letter: peeked.dead_letter.as_ref(),
    };
    row(&envelope, &peeked.message)
}

/// A message that waits for its time, in the order in which people ask: which one, and when.
pub fn scheduled(peeked: &PeekedMessage) -> Row {
    let message = &peeked.message;
    let row = Row::new().column("sequence", peeked.sequence).column("until", peeked.until.map(rfc3339));
    let row = row.data("state", peeked.state.name());
    content(row.column("message_id", message.message_id.as_ref().map(id_to_json)), message, None)
}

/// A message that the broker has added nothing to.
pub fn sent(message: &Message) -> Row {
    content(Row::new().column("message_id", message.message_id.as_ref().map(id_to_json)), message, None)
}

/// The fields of a message beside body and properties; null where they are not set.
pub fn header(message: &Message) -> Vec<(&'static str, Value)> {
    let named = [
        ("message_id", json!(message.message_id.as_ref().map(id_to_json))),
        ("subject", json!(message.subject)),
    ];
    named.into_iter().chain(fields(message)).filter(|(name, _)| *name != "properties").collect()
}

fn row(envelope: &Envelope<'_>, message: &Message) -> Row {
    let row = Row::new().column("sequence", envelope.sequence);
    let row = match envelope.state {
        Some(state) => row.column("state", state.name()),
        None => row,
    };
    let row = row.column("delivery_count", envelope.delivery_count);
    let row = row.column("enqueued_time", envelope.enqueued_time.map(rfc3339));
    let row = row.column("message_id", message.message_id.as_ref().map(id_to_json));
    // All rows of a table have the same columns.
    let row = match envelope.subscribed {
        true => row.column("replayed", envelope.replayed),
        false if envelope.replayed => row.data("replayed", true),
        false => row,
    };
    let row = content(row, message, envelope.dead_letter);
    let times = [
        ("locked_until", envelope.locked_until),
        ("until", envelope.until),
        ("expires_at", envelope.expires_at),
    ];
    let told = times.into_iter().filter_map(|(name, time)| Some((name, time?)));
    let row = told.fold(row, |row, (name, time)| row.data(name, rfc3339(time)));
    let row = match envelope.rule_name {
        Some(rule_name) => row.data("rule_name", rule_name),
        None => row,
    };
    if envelope.redrive_count == 0 { row } else { row.data("redrive_count", envelope.redrive_count) }
}

/// Subject, body, and all else that is set.
fn content(row: Row, message: &Message, why: Option<&DeadLetterInfo>) -> Row {
    let row = dead_letter(row.column("subject", message.subject.clone()), why);
    let row = row.column("body", body_to_json(&message.body, message.content_type.as_deref()));
    let set = fields(message).into_iter().filter(|(_, value)| !value.is_null());
    set.fold(row, |row, (name, value)| row.data(name, value))
}

fn dead_letter(row: Row, info: Option<&DeadLetterInfo>) -> Row {
    match info {
        Some(info) => row
            .column("dead_letter_reason", info.reason.as_str())
            .data("dead_letter_description", info.description.as_str())
            .data("dead_letter_source", info.source.as_str())
            .data("dead_letter_time", rfc3339_ms(info.time_ms)),
        None => row,
    }
}

/// The fields that JSON shows where they are set.
fn fields(message: &Message) -> [(&'static str, Value); 13] {
    [
        ("content_type", json!(message.content_type)),
        ("correlation_id", json!(message.correlation_id.as_ref().map(id_to_json))),
        ("to", json!(message.to)),
        ("reply_to", json!(message.reply_to)),
        ("reply_to_session_id", json!(message.reply_to_session_id)),
        ("session_id", json!(message.session_id)),
        ("partition_key", json!(message.partition_key)),
        ("time_to_live_ms", json!(message.time_to_live_ms)),
        ("scheduled_enqueue_time", json!(message.scheduled_enqueue_time_ms.map(rfc3339_ms))),
        ("priority", json!(message.priority)),
        ("cost", json!(message.cost)),
        ("body_encoding", json!(message.body_encoding)),
        ("properties", properties(message)),
    ]
}

fn properties(message: &Message) -> Value {
    let properties: Map<_, _> =
        message.properties.iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
    if properties.is_empty() { Value::Null } else { Value::Object(properties) }
}

#[cfg(test)]
mod tests {
    use super::super::line;
    use super::super::output::{Output, Printer};
    use super::*;
    use std::time::UNIX_EPOCH;

    fn shown(output: Output, message: &Message, dead_letter: Option<&DeadLetterInfo>) -> String {
        let envelope = Envelope {
            sequence: 7,
            state: Some(PeekState::Ready),
            delivery_count: 1,
            enqueued_time: Some(UNIX_EPOCH),
            locked_until: Some(UNIX_EPOCH),
            until: Some(UNIX_EPOCH),
            expires_at: Some(UNIX_EPOCH),
            redrive_count: 1,
            rule_name: Some("marked"),
            replayed: true,
            subscribed: true,
            dead_letter,
        };
        let mut out = Vec::new();
        Printer::new(output, &mut out).list(&[row(&envelope, message)], "").unwrap();
        String::from_utf8(out).unwrap()
    }

    fn full() -> Message {
        Message {
            message_id: Some("m1".into()),
            correlation_id: Some(9u64.into()),
            subject: Some("OrderCreated".to_owned()),
            content_type: Some("application/json".to_owned()),
            scheduled_enqueue_time_ms: Some(1_700_000_000_123),
            priority: Some(3),
            properties: vec![("priority".to_owned(), "high".into()), ("n".to_owned(), 5i64.into())],
            body: r#"{"order":1}"#.into(),
            ..Message::default()
        }
    }

    #[test]
    fn a_table_shows_what_people_look_for() {
        let dead = DeadLetterInfo {
            source: "q".into(),
            reason: "Broken".into(),
            description: "no address".into(),
            time_ms: 0,
        };
        let table = shown(Output::Table, &full(), Some(&dead));
        let (header, line) = table.split_once('\n').unwrap();
        let columns: Vec<_> = header.split_whitespace().collect();
        assert_eq!(
            columns,
            [
                "SEQUENCE",
                "STATE",
                "DELIVERY_COUNT",
                "ENQUEUED_TIME",
                "MESSAGE_ID",
                "REPLAYED",
                "SUBJECT",
                "DEAD_LETTER_REASON",
                "BODY"
            ]
        );
        assert!(
            line.contains("OrderCreated") && line.contains("Broken") && line.contains(r#"{"order":1}"#),
            "{line}"
        );
    }

    #[test]
    fn what_is_shown_as_json_can_be_sent_again() {
        let plain = Message { body: "hello".into(), ..Message::default() };
        let dead =
            DeadLetterInfo { source: "q".into(), reason: "r".into(), description: "d".into(), time_ms: 0 };
        for message in [full(), plain, Message { body: vec![0xff, 0].into(), ..Message::default() }] {
            let json = shown(Output::Jsonl, &message, Some(&dead));
            assert_eq!(line::parse(&json).unwrap(), message, "{json}");
        }
    }
}
