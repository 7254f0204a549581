//! A message as a line of JSON.
//!
//! `{"body": ..., "message_id": ..., "subject": ..., "properties": {...}, ...}`: every field may be left out. A body
//! that is a text is sent as that text, `{"base64": ...}` as its bytes, any other JSON verbatim as `application/json`.
//! What the broker adds when it shows a message is read over, so that shown messages can be sent again.

use super::{parse, value};
use postrider_protocol::message::Message;
use postrider_protocol::value::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Line {
    body: Option<Box<RawValue>>,
    message_id: Option<Json>,
    correlation_id: Option<Json>,
    subject: Option<String>,
    to: Option<String>,
    reply_to: Option<String>,
    reply_to_session_id: Option<String>,
    session_id: Option<String>,
    partition_key: Option<String>,
    content_type: Option<String>,
    time_to_live_ms: Option<u64>,
    scheduled_enqueue_time: Option<String>,
    priority: Option<u8>,
    cost: Option<u32>,
    body_encoding: Option<u8>,
    properties: Map<String, Json>,
    // What the broker adds is known, so that it is no mistake, and not read.
    sequence: IgnoredAny,
    state: IgnoredAny,
    delivery_count: IgnoredAny,
    enqueued_time: IgnoredAny,
    enqueued_sequence: IgnoredAny,
    locked_until: IgnoredAny,
    epoch: IgnoredAny,
    until: IgnoredAny,
    expires_at: IgnoredAny,
    redrive_count: IgnoredAny,
    rule_name: IgnoredAny,
    replayed: IgnoredAny,
    dead_letter_time: IgnoredAny,
    dead_letter_reason: IgnoredAny,
    dead_letter_description: IgnoredAny,
    dead_letter_source: IgnoredAny,
}

/// Reads a message and checks it. The error names the field.
pub fn parse(line: &str) -> Result<Message, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| problem(&error))?;
    let message = line.message()?;
    message.check().map_err(|refusal| refusal.to_string())?;
    Ok(message)
}

/// The parser's own words, without the line where it sees only one.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((problem, _)) if error.line() == 1 => format!("{problem} (column {})", error.column()),
        Some((problem, _)) => format!("{problem} (line {}, column {})", error.line(), error.column()),
        None => text,
    }
}

impl Line {
    fn message(self) -> Result<Message, String> {
        let mut message = Message {
            message_id: self.message_id.map(|id| value::id_from_json(&id)).transpose()?,
            correlation_id: self.correlation_id.map(|id| value::id_from_json(&id)).transpose()?,
            scheduled_enqueue_time_ms: self
                .scheduled_enqueue_time
                .as_deref()
                .map(parse::time_ms)
                .transpose()?,
            properties: self.properties.into_iter().map(property).collect::<Result<_, _>>()?,
            subject: self.subject,
            to: self.to,
            reply_to: self.reply_to,
            reply_to_session_id: self.reply_to_session_id,
            session_id: self.session_id,
            partition_key: self.partition_key,
            content_type: self.content_type,
            time_to_live_ms: self.time_to_live_ms,
            priority: self.priority,
            cost: self.cost,
            body_encoding: self.body_encoding,
            ..Message::default()
        };
        if let Some(raw) = self.body {
            set_body(&mut message, &raw)?;
        }
        Ok(message)
    }
}

fn set_body(message: &mut Message, raw: &RawValue) -> Result<(), String> {
    let json: Json = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
    let (body, implied) = value::body_from_json(raw.get(), &json, message.content_type.as_deref());
    message.body = body;
    message.content_type = message.content_type.take().or(implied.map(str::to_owned));
    Ok(())
}

fn property((name, json): (String, Json)) -> Result<(String, Value), String> {
    let value = value::from_json(&json).map_err(|problem| format!("properties.{name}: {problem}"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_bodies_are_sent_verbatim_and_declared() {
        let message =
            parse(r#"{"body": {"price":19.90, "id":1}, "properties": {"priority": "high"}}"#).unwrap();
        assert_eq!(&message.body[..], br#"{"price":19.90, "id":1}"#);
        assert_eq!(message.content_type.as_deref(), Some("application/json"));
        assert_eq!(message.property("priority"), Some(&Value::Text("high".to_owned())));
    }

    #[test]
    fn texts_and_bytes_are_not_declared() {
        let text = parse(r#"{"body": "hello\n"}"#).unwrap();
        assert_eq!((&text.body[..], text.content_type), (&b"hello\n"[..], None));
        let bytes = parse(r#"{"body": {"base64": "/wA="}}"#).unwrap();
        assert_eq!((&bytes.body[..], bytes.content_type), (&b"\xff\0"[..], None));
        assert_eq!(parse("{}").unwrap(), Message::default());
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("{\n \"bodi\": 1}", "(line 2, column 7)"),
            (r#"{"bodi": 1}"#, "unknown field `bodi`, expected one of `body`, `message_id`"),
            (r#"{"properties": {"a": [1]}}"#, "properties.a: [1] is not a value"),
            (r#"{"message_id": true}"#, "true is not an id"),
            (r#"{"scheduled_enqueue_time": "soon"}"#, "\"soon\" is not a time"),
            (r#"{"priority": 300}"#, "invalid value"),
            (r#"{"session_id": ""}"#, "session_id"),
            ("hello", "expected value (column 1)"),
        ] {
            let problem = parse(line).unwrap_err();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
