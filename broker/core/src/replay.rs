//! What a subscription is to get once more of what its topic keeps.

use crate::filter::{self, Truth};
use bytes::{BufMut, BytesMut};
use postrider_protocol::error::Refusal;
use postrider_protocol::message::Message;
use postrider_protocol::wire::{self, Read, Reader};

/// A replay under way, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRow {
    /// The topic's number to go on from.
    pub next: u64,
    /// The number to stop before.
    pub to: u64,
    /// A filter beside the subscription's rules; empty for none.
    pub filter: String,
}

impl ReplayRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.next);
        out.put_u64(self.to);
        wire::put_text(out, &self.filter);
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ReplayRow { next: reader.u64("next")?, to: reader.u64("to")?, filter: reader.text("filter")? })
    }
}

/// A replay under way.
#[derive(Debug)]
pub(crate) struct Replay {
    pub row: ReplayRow,
    filter: Option<filter::Filter>,
    /// Whether it waits for room in the subscription, or until that takes messages in.
    pub waits: bool,
}

impl Replay {
    /// Reads its filter; refuses one that is none.
    pub fn new(row: ReplayRow) -> Result<Self, Refusal> {
        let parsed = (!row.filter.is_empty()).then(|| filter::Filter::parse(&row.filter, &[]));
        Ok(Replay { row, filter: parsed.transpose()?, waits: false })
    }

    /// Whether its filter lets a message through. Where the filter cannot judge it, it does not.
    pub fn takes(&self, message: &Message) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(message) == Ok(Truth::True))
    }
}
