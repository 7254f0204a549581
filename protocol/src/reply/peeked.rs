//! Messages that were peeked at.

use super::Delivered;
use crate::selection::PeekState;
use crate::wire::{Read, Reader};
use bytes::{BufMut, BytesMut};

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
