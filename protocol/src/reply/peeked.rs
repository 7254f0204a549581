//! Messages that were peeked at.

use super::Delivered;
use crate::wire::{Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// The state of a message that was peeked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeekState {
    /// Waits to be delivered.
    Ready,
    /// A consumer holds it.
    Locked,
    /// Waits for its time to be enqueued.
    Scheduled,
    /// Was set aside, to be received by its number.
    Deferred,
    /// Waits for its next attempt.
    Delayed,
}

impl PeekState {
    /// All states, in the order of their codes.
    pub const ALL: [PeekState; 5] =
        [PeekState::Ready, PeekState::Locked, PeekState::Scheduled, PeekState::Deferred, PeekState::Delayed];

    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            PeekState::Ready => "ready",
            PeekState::Locked => "locked",
            PeekState::Scheduled => "scheduled",
            PeekState::Deferred => "deferred",
            PeekState::Delayed => "delayed",
        }
    }

    /// The state's code in bytes.
    pub fn code(self) -> u8 {
        match self {
            PeekState::Ready => 0,
            PeekState::Locked => 1,
            PeekState::Scheduled => 2,
            PeekState::Deferred => 3,
            PeekState::Delayed => 4,
        }
    }

    /// The state of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let code = reader.u8("state")?;
        Self::ALL
            .into_iter()
            .find(|state| state.code() == code)
            .ok_or_else(|| Malformed::new("state", format!("found {code}, states are 0 to 4")))
    }
}

impl fmt::Display for PeekState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A message that was peeked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Peeked {
    /// The state it is in.
    pub state: PeekState,
    /// UTC milliseconds until when: the lock runs out, or the message becomes ready. 0 for ready and deferred ones.
    pub until_ms: u64,
    /// The message.
    pub message: Delivered,
}

impl Peeked {
    /// Bytes of the smallest one.
    pub(super) const LEAST_BYTES: usize = 9 + Delivered::LEAST_BYTES;

    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.state.code());
        out.put_u64(self.until_ms);
        self.message.put(out);
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Peeked {
            state: PeekState::read(reader)?,
            until_ms: reader.u64("until_ms")?,
            message: Delivered::read(reader)?,
        })
    }
}
