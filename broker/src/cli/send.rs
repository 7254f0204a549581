//! `postrider send`: one message from the command line, or many from lines of JSON.

use super::connect::Global;
use super::failure::Failure;
use super::value::JSON_TYPE;
use super::{parse, pipeline};
use clap::{ArgGroup, Args};
use postrider_protocol::message::{Message, is_same_name};
use postrider_protocol::value::Value;
use serde_json::Value as Json;
use std::path::PathBuf;
use std::time::Duration;

/// Send a message, or many from JSON lines
///
/// Without a body, messages are read from standard input or --file, one JSON document a line:
/// {"body": ..., "message_id": ..., "subject": ..., "properties": {...}}. A body that is a text is sent as it is, any
/// other JSON as application/json, {"base64": ...} as bytes. Lines that `receive` and `peek` show can be sent again.
#[derive(Args)]
#[command(
    group(ArgGroup::new("one").args(["body", "body_file"])),
    after_help = examples!(
        "postrider send email-queue 'Hello' --subject Greeting --property priority=high",
        "postrider send email-queue 'Remember' --in 30m --ttl 1d --priority 9",
        "postrider send orders 'Paid' --session customer-7 --at 2030-01-31T12:00:00Z",
        "postrider send order-events --file orders.jsonl",
        "postrider peek 'email-queue/$dead-letter' --output jsonl | postrider send email-queue",
    )
)]
pub struct Send {
    /// The queue or topic
    address: String,
    /// The body of one message; a JSON object or array is sent as application/json
    body: Option<String>,
    /// Send one message with this file's bytes as its body
    #[arg(long, value_name = "PATH")]
    body_file: Option<PathBuf>,
    /// Read JSON lines from this file; - for standard input
    #[arg(long, value_name = "PATH", conflicts_with = "one")]
    file: Option<PathBuf>,
    #[command(flatten)]
    fields: Fields,
}

/// The header of one message.
#[derive(Args)]
pub struct Fields {
    /// Identifies the message
    #[arg(long, value_name = "ID", requires = "one")]
    message_id: Option<String>,
    /// Ties a reply to its request
    #[arg(long, value_name = "ID", requires = "one")]
    correlation_id: Option<String>,
    /// What the message is about
    #[arg(long, value_name = "TEXT", requires = "one")]
    subject: Option<String>,
    /// Where a reply is expected
    #[arg(long, value_name = "ADDRESS", requires = "one")]
    reply_to: Option<String>,
    /// The media type of the body
    #[arg(long, value_name = "TYPE", requires = "one")]
    content_type: Option<String>,
    /// An application property, such as priority=high, size:int=5, urgent:bool=true; repeat it for more
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse::property, requires = "one")]
    properties: Vec<(String, Value)>,
    /// The session it belongs to
    #[arg(long, value_name = "ID", requires = "one")]
    session: Option<String>,
    /// It expires when it was not delivered after so long
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, requires = "one")]
    ttl: Option<Duration>,
    /// Do not deliver it before this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse::time_ms, requires = "one", conflicts_with = "delay")]
    at: Option<u64>,
    /// Do not deliver it before so long from now
    #[arg(long = "in", value_name = "DURATION", value_parser = parse::duration, requires = "one")]
    delay: Option<Duration>,
    /// 1 to 10; higher goes first in a queue with priority_levels
    #[arg(long, value_name = "NUMBER", requires = "one")]
    priority: Option<u8>,
    /// Capacity units it takes while it is in flight
    #[arg(long, value_name = "UNITS", requires = "one")]
    cost: Option<u32>,
}

impl Send {
    /// Sends what was given.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self.one_body().await? {
            Some(body) => send_one(global, &self.address, self.fields.message(body)?).await,
            None => pipeline::send_lines(global, &self.address, self.file.as_deref()).await,
        }
    }

    async fn one_body(&self) -> Result<Option<Vec<u8>>, Failure> {
        match (&self.body, &self.body_file) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(path)) => {
                let read = tokio::fs::read(path).await;
                read.map(Some).map_err(|error| Failure::file(&path.to_string_lossy(), &error))
            }
            (None, None) => Ok(None),
        }
    }
}

impl Fields {
    fn message(self, body: Vec<u8>) -> Result<Message, Failure> {
        let content_type = is_json_document(&body).then(|| JSON_TYPE.to_owned());
        self.upon(Message { content_type, body: body.into(), ..Message::default() })
    }

    /// The message with what the flags say of it.
    pub fn upon(self, message: Message) -> Result<Message, Failure> {
        let flags = self.properties;
        let is_flag = |name: &str| flags.iter().any(|(flag, _)| is_same_name(flag, name));
        let kept = message.properties.into_iter().filter(|(name, _)| !is_flag(name)).collect::<Vec<_>>();
        let message = Message {
            message_id: self.message_id.map(Into::into).or(message.message_id),
            correlation_id: self.correlation_id.map(Into::into).or(message.correlation_id),
            subject: self.subject.or(message.subject),
            reply_to: self.reply_to.or(message.reply_to),
            content_type: self.content_type.or(message.content_type),
            properties: kept.into_iter().chain(flags).collect(),
            session_id: self.session.or(message.session_id),
            scheduled_enqueue_time_ms: self.at.or(message.scheduled_enqueue_time_ms),
            priority: self.priority.or(message.priority),
            cost: self.cost.or(message.cost),
            ..message
        };
        let message = self.ttl.into_iter().fold(message, Message::with_ttl);
        let message = self.delay.into_iter().fold(message, Message::with_delay);
        message.check()?;
        Ok(message)
    }
}

/// Whether a body is an object or an array. A lone number or word is rather meant as text.
pub fn is_json_document(body: &[u8]) -> bool {
    matches!(serde_json::from_slice(body), Ok(Json::Object(_) | Json::Array(_)))
}

async fn send_one(global: &Global, address: &str, message: Message) -> Result<(), Failure> {
    let client = global.connect().await?;
    let outcome = client.sender(address).await?.send(message).await?;
    let sentence = match outcome.duplicate {
        true => format!("a duplicate of {} in {address}: nothing new was stored", outcome.sequence),
        false => format!("sent to {address}, sequence number {}", outcome.sequence),
    };
    global.printer().done(&sentence, &pipeline::outcome_row(&outcome))?;
    Ok(client.close().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str, content_type: Option<&str>) -> Message {
        let fields = Fields {
            message_id: Some("m1".to_owned()),
            correlation_id: None,
            subject: None,
            reply_to: None,
            content_type: content_type.map(str::to_owned),
            properties: vec![("priority".to_owned(), "high".into())],
            session: Some("ada".to_owned()),
            ttl: Some(Duration::from_secs(60)),
            at: Some(7),
            delay: None,
            priority: Some(9),
            cost: Some(2),
        };
        fields.message(body.as_bytes().to_vec()).ok().unwrap()
    }

    #[test]
    fn flags_become_fields() {
        let message = message("x", None);
        assert_eq!((message.time_to_live_ms, message.scheduled_enqueue_time_ms), (Some(60_000), Some(7)));
        assert_eq!(
            (message.priority, message.cost, message.session_id.as_deref()),
            (Some(9), Some(2), Some("ada"))
        );
    }

    #[test]
    fn documents_are_declared_and_words_are_not() {
        assert_eq!(message("{\"a\": 1}", None).content_type.as_deref(), Some(JSON_TYPE));
        assert_eq!(message("[1]", None).content_type.as_deref(), Some(JSON_TYPE));
        assert_eq!(message("42", None).content_type, None);
        assert_eq!(message("{\"a\": 1}", Some("text/plain")).content_type.as_deref(), Some("text/plain"));
    }
}
