//! The header of a session, as it is stored.

use super::{Lock, Session};
use crate::command::Owner;
use bytes::{BufMut, BytesMut};
use postrider_protocol::wire::{Read, Reader};

/// A session as it is stored under its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionRow {
    /// Its number within the queue: what its other rows are found by.
    pub session: u64,
    /// Messages in it.
    pub messages: u64,
    /// The number of the oldest one; 0 without messages.
    pub oldest: u64,
    /// When that came, UTC milliseconds.
    pub oldest_ms: u64,
    /// Who holds it, as long as `until_ms` is not 0.
    pub client: u128,
    /// The client's receiver.
    pub handle: u32,
    /// Until when it is locked, UTC milliseconds; 0 when it is free.
    pub until_ms: u64,
    /// How long the lock lasts from a renewal on, in milliseconds: after a restart it lasts no longer.
    pub duration_ms: u64,
    /// Bytes of its state; `None` where it has none.
    pub state_bytes: Option<u64>,
    /// When the state changed last, UTC milliseconds; 0 for never.
    pub state_changed_ms: u64,
    /// Whether none of its messages can be given out, until something happens in it.
    pub idle: bool,
}

impl SessionRow {
    pub(crate) fn of(number: u64, session: &Session) -> Self {
        let lock = session.lock;
        let owner = lock.map_or(Owner { client: 0, handle: 0 }, |lock| lock.owner);
        SessionRow {
            session: number,
            messages: session.messages,
            oldest: session.oldest.0,
            oldest_ms: session.oldest.1,
            client: owner.client,
            handle: owner.handle,
            until_ms: lock.map_or(0, |lock| lock.until_ms),
            duration_ms: lock.map_or(0, |lock| lock.duration_ms),
            state_bytes: session.state_bytes,
            state_changed_ms: session.state_changed_ms,
            idle: session.idle,
        }
    }

    /// The lock that the row tells of, its deadline counted from a moment.
    pub(crate) fn lock(&self, now: crate::context::Now) -> Option<Lock> {
        let left_ms = self.until_ms.saturating_sub(now.wall_ms).min(self.duration_ms);
        (self.until_ms > 0).then_some(Lock {
            owner: Owner { client: self.client, handle: self.handle },
            until_ms: self.until_ms,
            deadline_ms: now.mono_ms.saturating_add(left_ms),
            duration_ms: self.duration_ms,
        })
    }

    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        for field in [self.session, self.messages, self.oldest, self.oldest_ms] {
            out.put_u64(field);
        }
        out.put_u128(self.client);
        out.put_u32(self.handle);
        for field in [self.until_ms, self.duration_ms, self.state_changed_ms] {
            out.put_u64(field);
        }
        out.put_u8(u8::from(self.idle));
        out.put_u8(u8::from(self.state_bytes.is_some()));
        out.put_u64(self.state_bytes.unwrap_or(0));
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(SessionRow {
            session: reader.u64("session")?,
            messages: reader.u64("session.messages")?,
            oldest: reader.u64("session.oldest")?,
            oldest_ms: reader.u64("session.oldest_ms")?,
            client: reader.u128("session.client")?,
            handle: reader.u32("session.handle")?,
            until_ms: reader.u64("session.until_ms")?,
            duration_ms: reader.u64("session.duration_ms")?,
            state_changed_ms: reader.u64("session.state_changed_ms")?,
            idle: reader.bool("session.idle")?,
            state_bytes: {
                let has_state = reader.bool("session.has_state")?;
                Some(reader.u64("session.state_bytes")?).filter(|_| has_state)
            },
        })
    }
}
