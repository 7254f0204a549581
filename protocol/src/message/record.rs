//! What the broker keeps and delivers of a message: its own fields in front of the sender's bytes.

use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, Bytes, BytesMut};

/// Why, when and from where a message was dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterInfo {
    /// The entity it was dead-lettered in.
    pub source: String,
    /// A name such as `MaxDeliveryCountExceeded`, or the application's own.
    pub reason: String,
    /// Details for a person to read.
    pub description: String,
    /// When it was dead-lettered, UTC milliseconds.
    pub time_ms: u64,
}

/// What the broker keeps and delivers of a message: its own fields in front, the sender's bytes behind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// When the broker accepted it.
    pub enqueued_time_ms: u64,
    /// The number it first got, before it was moved to where it is.
    pub enqueued_sequence: u64,
    /// Present in a dead-letter queue.
    pub dead_letter: Option<DeadLetterInfo>,
    /// When it expires, UTC milliseconds; absent where it never does.
    pub expires_at_ms: Option<u64>,
    /// How often it was moved back from the dead letters.
    pub redrive_count: u32,
    /// How often it was passed on to another entity.
    pub hops: u8,
    /// The rule whose own copy it is: one with an action.
    pub rule_name: Option<String>,
    /// Where it was to be passed on to; present among the transfer dead letters.
    pub destination: Option<String>,
    /// Whether it is a copy of what the topic kept.
    pub replayed: bool,
    /// The sender's message.
    pub message: Bytes,
}

/// Flag of a record: dead-letter information is there.
const DEAD_LETTER: u8 = 1;
/// Flag of a record: the message expires.
const EXPIRES: u8 = 2;
/// Flag of a record: the message was redriven.
const REDRIVEN: u8 = 4;
/// Flag of a record: the message was passed on.
const FORWARDED: u8 = 8;
/// Flag of a record: a rule made this copy.
const RULE_NAME: u8 = 16;
/// Flag of a record: it says where the message was to go.
const DESTINED: u8 = 32;
/// Flag of a record: the message was replayed.
const REPLAYED: u8 = 64;
const KNOWN_FLAGS: u8 = DEAD_LETTER | EXPIRES | REDRIVEN | FORWARDED | RULE_NAME | DESTINED | REPLAYED;

impl Record {
    /// Bytes in front of the message where no flag is set.
    pub const PLAIN_OVERHEAD: usize = 17;

    fn flags(&self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        flag(self.dead_letter.is_some(), DEAD_LETTER)
            | flag(self.expires_at_ms.is_some(), EXPIRES)
            | flag(self.redrive_count != 0, REDRIVEN)
            | flag(self.hops != 0, FORWARDED)
            | flag(self.rule_name.is_some(), RULE_NAME)
            | flag(self.destination.is_some(), DESTINED)
            | flag(self.replayed, REPLAYED)
    }

    /// Writes what stands in front of a message that came as its sender laid it out.
    pub fn put_head(
        out: &mut BytesMut,
        enqueued_time_ms: u64,
        enqueued_sequence: u64,
        expires_at_ms: Option<u64>,
    ) {
        out.put_u64(enqueued_time_ms);
        out.put_u64(enqueued_sequence);
        out.put_u8(if expires_at_ms.is_some() { EXPIRES } else { 0 });
        if let Some(expires_at_ms) = expires_at_ms {
            out.put_u64(expires_at_ms);
        }
    }

    /// Writes the record.
    pub fn put(&self, out: &mut BytesMut) {
        self.put_fields(out);
        out.put_slice(&self.message);
    }

    /// Writes what stands in front of the message.
    pub fn put_fields(&self, out: &mut BytesMut) {
        out.put_u64(self.enqueued_time_ms);
        out.put_u64(self.enqueued_sequence);
        out.put_u8(self.flags());
        if let Some(info) = &self.dead_letter {
            info.put(out);
        }
        if let Some(expires_at_ms) = self.expires_at_ms {
            out.put_u64(expires_at_ms);
        }
        if self.redrive_count != 0 {
            out.put_u32(self.redrive_count);
        }
        if self.hops != 0 {
            out.put_u8(self.hops);
        }
        if let Some(rule_name) = &self.rule_name {
            wire::put_text(out, rule_name);
        }
        if let Some(destination) = &self.destination {
            wire::put_text(out, destination);
        }
    }

    /// Reads a record; its message shares `bytes`.
    pub fn decode(bytes: Bytes) -> Read<Self> {
        let mut reader = Reader::new(bytes);
        let (enqueued_time_ms, enqueued_sequence) =
            (reader.u64("record.enqueued_time_ms")?, reader.u64("record.enqueued_sequence")?);
        let flags = reader.u8("record.flags")?;
        if flags & !KNOWN_FLAGS != 0 {
            let unknown = flags & !KNOWN_FLAGS;
            return Err(Malformed::new("record.flags", format!("has unknown bits {unknown:#x}")));
        }
        let replayed = flags & REPLAYED != 0;
        let mut record = Record { enqueued_time_ms, enqueued_sequence, replayed, ..Record::default() };
        if flags & DEAD_LETTER != 0 {
            record.dead_letter = Some(DeadLetterInfo::read(&mut reader)?);
        }
        if flags & EXPIRES != 0 {
            record.expires_at_ms = Some(reader.u64("record.expires_at_ms")?);
        }
        if flags & REDRIVEN != 0 {
            record.redrive_count =
                reader.u32("record.redrive_count").and_then(there("record.redrive_count"))?;
        }
        if flags & FORWARDED != 0 {
            record.hops = reader.u8("record.hops").and_then(there("record.hops"))?;
        }
        if flags & RULE_NAME != 0 {
            record.rule_name = Some(read_rule_name(&mut reader)?);
        }
        if flags & DESTINED != 0 {
            record.destination = Some(reader.text("record.destination")?);
        }
        record.message = reader.rest();
        Ok(record)
    }
}

/// A record has one layout: a count of 0 has no field.
fn there<T: Default + PartialEq>(field: &'static str) -> impl Fn(T) -> Read<T> {
    move |count| match count == T::default() {
        true => Err(Malformed::new(field, "is 0, a count that is there is at least 1")),
        false => Ok(count),
    }
}

/// A record has one layout: no name has no field.
fn read_rule_name(reader: &mut Reader) -> Read<String> {
    const FIELD: &str = "record.rule_name";
    let name = reader.text(FIELD)?;
    if name.is_empty() { Err(Malformed::new(FIELD, "is empty, a rule has a name")) } else { Ok(name) }
}

impl DeadLetterInfo {
    fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.source);
        wire::put_text(out, &self.reason);
        wire::put_text(out, &self.description);
        out.put_u64(self.time_ms);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(DeadLetterInfo {
            source: reader.text("record.dead_letter_source")?,
            reason: reader.text("record.dead_letter_reason")?,
            description: reader.text("record.dead_letter_description")?,
            time_ms: reader.u64("record.dead_letter_time_ms")?,
        })
    }
}
