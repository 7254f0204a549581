//! Schedules: messages that a queue or topic gets again and again.

use crate::error::{ErrorCode, Refusal};
use crate::limits;
use crate::wire::{self, Read, Reader};
use bytes::{BufMut, Bytes, BytesMut};

/// What to publish, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// Its name, unique at its queue or topic without regard to case.
    pub name: String,
    /// When: a cron expression.
    pub cron: String,
    /// The IANA time zone that the expression is in.
    pub zone: String,
    /// The message that is published each time, as [`crate::message`] lays it out.
    pub message: Bytes,
}

/// A schedule as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScheduleInfo {
    /// What to publish, and when.
    pub schedule: Schedule,
    /// When the next one is due, UTC milliseconds; `u64::MAX`: never again.
    pub next_ms: u64,
}

impl Schedule {
    /// Refuses a name, an expression, a zone or a message beyond its limits; whether they say something is the broker's.
    pub fn check(&self) -> Result<(), Refusal> {
        let most = limits::RULE_NAME_CHARS;
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !(1..=most).contains(&self.name.len()) || !self.name.chars().all(good) {
            let text = format!("found {:?}, must be 1 to {most} of A-Z a-z 0-9 . _ -", self.name);
            return Err(Refusal::invalid("schedule.name", text));
        }
        check_text("schedule.cron", &self.cron)?;
        check_text("schedule.zone", &self.zone)?;
        let (size, most) = (self.message.len(), limits::SCHEDULE_MESSAGE_BYTES);
        if size <= most {
            return Ok(());
        }
        let text = format!("the schedule's message has {size} bytes, at most {most} are allowed");
        Err(Refusal::new(ErrorCode::MessageTooLarge, text))
    }

    /// Writes the schedule.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.name);
        wire::put_text(out, &self.cron);
        wire::put_text(out, &self.zone);
        wire::put_blob(out, &self.message);
    }

    /// Reads a schedule.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Schedule {
            name: reader.text("schedule.name")?,
            cron: reader.text("schedule.cron")?,
            zone: reader.text("schedule.zone")?,
            message: reader.blob("schedule.message")?,
        })
    }
}

fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    let (chars, most) = (text.chars().count(), limits::SCHEDULE_CHARS);
    if (1..=most).contains(&chars) {
        return Ok(());
    }
    Err(Refusal::invalid(field, format!("has {chars} characters, 1 to {most} are allowed")))
}

impl ScheduleInfo {
    /// The bytes of the shortest one.
    pub const LEAST_BYTES: usize = 18;

    /// Writes the entry of a listing, or the row of a store.
    pub fn put(&self, out: &mut BytesMut) {
        self.schedule.put(out);
        out.put_u64(self.next_ms);
    }

    /// Reads it.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ScheduleInfo { schedule: Schedule::read(reader)?, next_ms: reader.u64("schedule.next_ms")? })
    }
}
