//! What is done together or not at all.

use super::SettleItem;
use crate::error::Refusal;
use crate::limits::OPERATIONS;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, Bytes, BytesMut};

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Sends messages.
    Send {
        /// The queue or topic.
        address: String,
        /// The messages as [`crate::message`] lays them out.
        messages: Vec<Bytes>,
    },
    /// Completes, abandons, dead-letters or defers locked messages.
    Settle(SettleItem),
    /// Removes a message that nobody holds.
    Remove {
        /// The queue.
        address: String,
        /// The message's number.
        sequence: u64,
    },
}

impl Operation {
    /// Messages that it is about.
    pub fn messages(&self) -> usize {
        match self {
            Operation::Send { messages, .. } => messages.len(),
            Operation::Settle(item) => usize::from(item.run),
            Operation::Remove { .. } => 1,
        }
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        match self {
            Operation::Send { address, messages } => {
                out.put_u8(0);
                wire::put_text(out, address);
                wire::put_list(out, messages, |out, message| wire::put_blob(out, message));
            }
            Operation::Settle(item) => {
                out.put_u8(1);
                item.put(out);
            }
            Operation::Remove { address, sequence } => {
                out.put_u8(2);
                wire::put_text(out, address);
                out.put_u64(*sequence);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("operation")? {
            0 => Operation::Send {
                address: reader.text("address")?,
                messages: reader.list("messages", 4, OPERATIONS, |reader| reader.blob("message"))?,
            },
            1 => Operation::Settle(SettleItem::read(reader)?),
            2 => Operation::Remove { address: reader.text("address")?, sequence: reader.u64("sequence")? },
            other => {
                return Err(Malformed::new("operation", format!("found {other}, operations are 0 to 2")));
            }
        })
    }
}

/// Refuses a transaction of nothing, or of too much.
pub(super) fn check_operations(operations: &[Operation]) -> Result<(), Refusal> {
    let messages: usize = operations.iter().map(Operation::messages).sum();
    if (1..=OPERATIONS).contains(&messages) && operations.iter().all(|operation| operation.messages() > 0) {
        return Ok(());
    }
    let text = format!(
        "are about {messages} messages; each is about one at least, all together about {OPERATIONS} at most"
    );
    Err(Refusal::invalid("operations", text))
}
