//! A message as its sender lays it out, and the record of it that the broker keeps and delivers.
//!
//! ```text
//! message = u32 header_bytes | header | body            the body is whatever follows the header
//! header  = u32 present | the fields whose bit is set, in the order of the bits
//!
//! bit  field                     layout      bit  field                       layout
//!  0   message_id                id           8   content_type                text
//!  1   correlation_id            id           9   time_to_live_ms             u64
//!  2   subject                   text        10   scheduled_enqueue_time_ms   u64
//!  3   to                        text        11   priority                    u8
//!  4   reply_to                  text        12   cost                        u32
//!  5   reply_to_session_id       text        13   body_encoding               u8
//!  6   session_id                text        14   properties                  list of (text name, value)
//!  7   partition_key             text
//!
//! record  = u64 enqueued_time_ms | u64 enqueued_sequence | u8 flags | the fields whose flag is set | message
//! flag 0    dead letter = text source | text reason | text description | u64 time_ms
//! flag 1    u64 expires_at_ms
//! flag 2    u32 redrive_count, from 1
//! flag 4    text rule_name
//! ```
//!
//! The broker stores and delivers the sender's bytes as they are.

mod build;
mod record;

pub use record::{DeadLetterInfo, Record};

use crate::error::{ErrorCode, Refusal};
use crate::limits;
use crate::value::{Id, Value, put_properties, read_properties};
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A message with all that its sender may set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    /// Identifies the message for duplicate detection and for people; at most 128 characters.
    pub message_id: Option<Id>,
    /// Ties a reply to its request.
    pub correlation_id: Option<Id>,
    /// What the message is about; `sys.Subject` to filters.
    pub subject: Option<String>,
    /// The destination its sender has in mind.
    pub to: Option<String>,
    /// Where a reply is expected.
    pub reply_to: Option<String>,
    /// The session a reply is expected in.
    pub reply_to_session_id: Option<String>,
    /// The session the message belongs to; at most 128 characters.
    pub session_id: Option<String>,
    /// Equal to `session_id` where both are set.
    pub partition_key: Option<String>,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// Milliseconds after which an undelivered message expires; at least 1.
    pub time_to_live_ms: Option<u64>,
    /// UTC milliseconds before which the message is not delivered.
    pub scheduled_enqueue_time_ms: Option<u64>,
    /// 1 to 10; higher goes first in a queue with `priority_levels`.
    pub priority: Option<u8>,
    /// Capacity units the message takes while it is in flight; at least 1.
    pub cost: Option<u32>,
    /// 0 or absent: opaque bytes. Other tags name a foreign encoding that is kept verbatim.
    pub body_encoding: Option<u8>,
    /// Application properties; names are unique without regard to case.
    pub properties: Vec<(String, Value)>,
    /// Opaque to the broker.
    pub body: Bytes,
}

macro_rules! header_fields {
    ($apply:ident) => {
        $apply! {
            0 message_id id; 1 correlation_id id; 2 subject text; 3 to text; 4 reply_to text;
            5 reply_to_session_id text; 6 session_id text; 7 partition_key text; 8 content_type text;
            9 time_to_live_ms u64; 10 scheduled_enqueue_time_ms u64; 11 priority u8; 12 cost u32; 13 body_encoding u8;
        }
    };
}

const PROPERTIES_BIT: u32 = 14;
const KNOWN_BITS: u32 = (1 << (PROPERTIES_BIT + 1)) - 1;

macro_rules! put_field {
    ($out:ident, $value:ident, id) => {
        $value.put($out)
    };
    ($out:ident, $value:ident, text) => {
        wire::put_text($out, $value)
    };
    ($out:ident, $value:ident, u64) => {
        $out.put_u64(*$value)
    };
    ($out:ident, $value:ident, u32) => {
        $out.put_u32(*$value)
    };
    ($out:ident, $value:ident, u8) => {
        $out.put_u8(*$value)
    };
}

macro_rules! read_field {
    ($reader:ident, $name:ident, id) => {
        Id::read($reader, stringify!($name))?
    };
    ($reader:ident, $name:ident, $kind:ident) => {
        $reader.$kind(stringify!($name))?
    };
}

impl Message {
    /// Writes the message: header length, header, body.
    pub fn put(&self, out: &mut BytesMut) {
        let at = out.len();
        out.put_u32(0);
        self.put_header(out);
        let header_bytes =
            u32::try_from(out.len() - at - 4).expect("a header is bounded by its fields' limits");
        out[at..at + 4].copy_from_slice(&header_bytes.to_be_bytes());
        out.put_slice(&self.body);
    }

    fn put_header(&self, out: &mut BytesMut) {
        let mut present = 0u32;
        macro_rules! mark {
            ($($bit:literal $name:ident $kind:ident;)*) => {
                $(if self.$name.is_some() { present |= 1 << $bit; })*
            };
        }
        header_fields!(mark);
        if !self.properties.is_empty() {
            present |= 1 << PROPERTIES_BIT;
        }
        out.put_u32(present);
        macro_rules! put {
            ($($bit:literal $name:ident $kind:ident;)*) => {
                $(if let Some(value) = &self.$name { put_field!(out, value, $kind); })*
            };
        }
        header_fields!(put);
        if !self.properties.is_empty() {
            put_properties(out, &self.properties);
        }
    }

    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64 + self.body.len());
        self.put(&mut out);
        out.freeze()
    }

    /// Reads a message; its body shares `bytes`.
    pub fn decode(bytes: Bytes) -> Read<Self> {
        let (header, body) = split(bytes)?;
        let mut reader = Reader::untrusted(header);
        let mut message = Message::read_header(&mut reader)?;
        reader.finish()?;
        message.body = body;
        Ok(message)
    }

    fn read_header(reader: &mut Reader) -> Read<Self> {
        let present = reader.u32("message.present")?;
        if present & !KNOWN_BITS != 0 {
            let unknown = present & !KNOWN_BITS;
            return Err(Malformed::new("message.present", format!("has unknown bits {unknown:#x}")));
        }
        let mut message = Message::default();
        macro_rules! read {
            ($($bit:literal $name:ident $kind:ident;)*) => {
                $(if present & (1 << $bit) != 0 { message.$name = Some(read_field!(reader, $name, $kind)); })*
            };
        }
        header_fields!(read);
        if present & (1 << PROPERTIES_BIT) != 0 {
            message.properties = read_properties(reader)?;
        }
        Ok(message)
    }

    /// Checks every field against its limit and what the fields demand of one another.
    ///
    /// Refuses with `InvalidArgument` naming the field, what was found and what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        self.check_ids()?;
        self.check_texts()?;
        self.check_numbers()?;
        check_properties(&self.properties)
    }

    fn check_ids(&self) -> Result<(), Refusal> {
        let most = limits::ID_CHARS;
        for (field, id) in [("message_id", &self.message_id), ("correlation_id", &self.correlation_id)] {
            if id.as_ref().is_some_and(|id| !id.is_within_limit()) {
                return Err(Refusal::invalid(field, format!("is longer than {most} characters")));
            }
        }
        let session = self.session_id.as_deref();
        if session.is_some_and(|id| id.is_empty() || id.chars().count() > most) {
            return Err(Refusal::invalid("session_id", format!("must have 1 to {most} characters")));
        }
        match (session, self.partition_key.as_deref()) {
            (Some(session), Some(key)) if session != key => Err(Refusal::invalid(
                "partition_key",
                format!("is {key:?}, but must equal session_id {session:?} where both are set"),
            )),
            _ => Ok(()),
        }
    }

    fn check_texts(&self) -> Result<(), Refusal> {
        let texts = [
            ("subject", &self.subject),
            ("to", &self.to),
            ("reply_to", &self.reply_to),
            ("reply_to_session_id", &self.reply_to_session_id),
            ("partition_key", &self.partition_key),
            ("content_type", &self.content_type),
        ];
        for (field, text) in texts {
            let bytes = text.as_ref().map_or(0, String::len);
            if bytes > limits::TEXT_BYTES {
                let most = limits::TEXT_BYTES;
                return Err(Refusal::invalid(
                    field,
                    format!("has {bytes} bytes, at most {most} are allowed"),
                ));
            }
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Refusal> {
        let levels = limits::PRIORITIES;
        if let Some(priority) = self.priority.filter(|priority| !levels.contains(priority)) {
            let (low, high) = (levels.start(), levels.end());
            return Err(Refusal::invalid("priority", format!("is {priority}, allowed is {low} to {high}")));
        }
        let zero = [
            ("cost", self.cost == Some(0), "a message that is in flight takes at least 1 unit"),
            ("time_to_live_ms", self.time_to_live_ms == Some(0), "a message lives for at least 1 ms"),
        ];
        match zero.into_iter().find(|(_, is_zero, _)| *is_zero) {
            None => Ok(()),
            Some((field, _, why)) => Err(Refusal::invalid(field, format!("is 0; {why}"))),
        }
    }

    /// The value of the system property `name` (without `sys.`, without regard to case) as filters see it.
    /// `None`: there is no system property of that name. `Some(Null)`: the message does not set it.
    pub fn system_property(&self, name: &str) -> Option<Value> {
        let text = |value: &Option<String>| value.clone().map_or(Value::Null, Value::Text);
        let id = |value: &Option<Id>| value.as_ref().map_or(Value::Null, |id| Value::Text(id.to_string()));
        Some(match name.to_ascii_lowercase().as_str() {
            "message_id" => id(&self.message_id),
            "correlation_id" => id(&self.correlation_id),
            "subject" | "label" => text(&self.subject),
            "to" => text(&self.to),
            "reply_to" => text(&self.reply_to),
            "reply_to_session_id" => text(&self.reply_to_session_id),
            "session_id" => text(&self.session_id),
            "content_type" => text(&self.content_type),
            _ => return None,
        })
    }

    /// The application property `name`, without regard to case.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.properties.iter().find(|(known, _)| is_same_name(known, name)).map(|(_, value)| value)
    }
}

/// Whether two names are those of one property: case makes no difference.
pub fn is_same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || (!one.is_ascii() || !other.is_ascii()) && folded(one).eq(folded(other))
}

fn check_properties(properties: &[(String, Value)]) -> Result<(), Refusal> {
    let mut total = 0;
    for (name, value) in properties {
        let chars = name.chars().count();
        if chars == 0 || chars > limits::PROPERTY_NAME_CHARS {
            let most = limits::PROPERTY_NAME_CHARS;
            return Err(Refusal::invalid(
                "properties",
                format!("a name has {chars} characters, 1 to {most} are allowed"),
            ));
        }
        if value.size() > limits::PROPERTY_BYTES {
            let (size, most) = (value.size(), limits::PROPERTY_BYTES);
            return Err(Refusal::invalid(
                format!("properties.{name}"),
                format!("has {size} bytes, at most {most} are allowed"),
            ));
        }
        total += name.len() + value.size();
    }
    if total > limits::PROPERTIES_BYTES {
        let most = limits::PROPERTIES_BYTES;
        return Err(Refusal::invalid(
            "properties",
            format!("have {total} bytes in all, at most {most} are allowed"),
        ));
    }
    check_unique(properties)
}

fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_lowercase)
}

fn check_unique(properties: &[(String, Value)]) -> Result<(), Refusal> {
    let mut names: Vec<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable_by(|a, b| folded(a).cmp(folded(b)));
    match names.windows(2).find(|pair| folded(pair[0]).eq(folded(pair[1]))) {
        None => Ok(()),
        Some(pair) => Err(Refusal::invalid(
            format!("properties.{}", pair[0]),
            "is given twice; names are unique without regard to case",
        )),
    }
}

/// Splits a message into header and body.
fn split(mut bytes: Bytes) -> Read<(Bytes, Bytes)> {
    let mut reader = Reader::new(bytes.clone());
    let header_bytes = reader.u32("message.header_bytes")? as usize;
    reader.take("message.header", header_bytes)?;
    bytes.advance(4);
    let header = bytes.split_to(header_bytes);
    Ok((header, bytes))
}

/// A sender's message as it arrived, checked: the bytes that are stored, and the header that deciding looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The whole message, as its sender laid it out.
    pub bytes: Bytes,
    /// The same, read; its body shares the bytes.
    pub message: Message,
}

impl Incoming {
    /// Reads and checks a message. Refuses with the field that is wrong.
    pub fn parse(bytes: Bytes) -> Result<Self, Refusal> {
        let message = Message::decode(bytes.clone())
            .map_err(|malformed| Refusal::invalid(malformed.field, malformed.problem))?;
        message.check()?;
        Ok(Incoming { bytes, message })
    }

    /// Refuses with `MessageTooLarge` what has more than `most` bytes.
    pub fn check_size(&self, most: u64) -> Result<(), Refusal> {
        let size = self.bytes.len() as u64;
        if size <= most {
            return Ok(());
        }
        let text =
            format!("the message has {size} bytes, the entity takes at most {most} (max_message_bytes)");
        Err(Refusal::new(ErrorCode::MessageTooLarge, text))
    }
}
