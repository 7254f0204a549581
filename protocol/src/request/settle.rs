//! What a client does with the messages it holds.

use crate::limits;
use crate::token::LockToken;
use crate::value::{Value, put_properties, read_properties};
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};

/// What to do with a locked message.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// It is done with.
    Complete,
    /// Back to its place, one attempt more.
    Abandon {
        /// Milliseconds before it is delivered again.
        delay_ms: u64,
        /// Properties to change.
        properties: Vec<(String, Value)>,
    },
    /// To the dead-letter queue.
    DeadLetter {
        /// A name for the cause.
        reason: String,
        /// Details for a person.
        description: String,
        /// Properties to change.
        properties: Vec<(String, Value)>,
    },
    /// Set aside, to be received by its sequence number.
    Defer {
        /// Properties to change.
        properties: Vec<(String, Value)>,
    },
    /// Back to its place, and the attempt does not count.
    Release,
    /// Keep the lock longer.
    Renew {
        /// From now, in milliseconds; 0 for the receiver's own duration.
        duration_ms: u64,
    },
}

/// One settlement of a run of neighbouring messages of one delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct SettleItem {
    /// The lock of the first message.
    pub token: LockToken,
    /// How many messages, by place in the delivery, starting with the token's; at least 1.
    pub run: u16,
    /// What to do with them.
    pub settlement: Settlement,
}

pub(super) fn read_settle_items(reader: &mut Reader) -> Read<Vec<SettleItem>> {
    let items = reader.list("items", 19, limits::BATCH_MESSAGES, SettleItem::read)?;
    let tokens: usize = items.iter().map(|item| usize::from(item.run)).sum();
    if tokens > limits::BATCH_MESSAGES {
        let most = limits::BATCH_MESSAGES;
        return Err(Malformed::new(
            "items",
            format!("settle {tokens} messages in all, at most {most} are allowed"),
        ));
    }
    Ok(items)
}

impl SettleItem {
    pub(super) fn put(&self, out: &mut BytesMut) {
        self.token.put(out);
        out.put_u16(self.run);
        match &self.settlement {
            Settlement::Complete => out.put_u8(0),
            Settlement::Abandon { delay_ms, properties } => {
                out.put_u8(1);
                out.put_u64(*delay_ms);
                put_properties(out, properties);
            }
            Settlement::DeadLetter { reason, description, properties } => {
                out.put_u8(2);
                wire::put_text(out, reason);
                wire::put_text(out, description);
                put_properties(out, properties);
            }
            Settlement::Defer { properties } => {
                out.put_u8(3);
                put_properties(out, properties);
            }
            Settlement::Release => out.put_u8(4),
            Settlement::Renew { duration_ms } => {
                out.put_u8(5);
                out.put_u64(*duration_ms);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let token = LockToken::read(reader)?;
        let run = reader.u16("run")?;
        if run == 0 {
            return Err(Malformed::new("run", "is 0, a settlement is of at least one message"));
        }
        if u32::from(token.place) + u32::from(run) > u32::from(u16::MAX) + 1 {
            return Err(Malformed::new(
                "run",
                format!("of {run} from place {} goes past the last place", token.place),
            ));
        }
        let settlement = match reader.u8("settlement")? {
            0 => Settlement::Complete,
            1 => Settlement::Abandon {
                delay_ms: reader.u64("delay_ms")?,
                properties: read_properties(reader)?,
            },
            2 => Settlement::DeadLetter {
                reason: reader.text("reason")?,
                description: reader.text("description")?,
                properties: read_properties(reader)?,
            },
            3 => Settlement::Defer { properties: read_properties(reader)? },
            4 => Settlement::Release,
            5 => Settlement::Renew { duration_ms: reader.u64("duration_ms")? },
            other => {
                return Err(Malformed::new("settlement", format!("found {other}, settlements are 0 to 5")));
            }
        };
        Ok(SettleItem { token, run, settlement })
    }
}
