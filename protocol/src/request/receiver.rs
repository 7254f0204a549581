//! How a receiver is opened and given credit.

use crate::limits;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};

/// How a receiver gets its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReceiveMode {
    /// Locked until settled.
    #[default]
    PeekLock,
    /// Gone when handed to the connection.
    ReceiveAndDelete,
}

/// Which session a receiver wants to lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SessionWish {
    /// None: the messages belong to no session.
    #[default]
    None,
    /// The session of this id.
    Named(String),
    /// The next one with messages that nobody has locked.
    Next,
}

/// Opens a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReceiver {
    /// The receiver's number on this connection, chosen by the client.
    pub handle: u32,
    /// The queue, subscription or dead-letter queue.
    pub address: String,
    /// Peek-lock or receive-and-delete.
    pub mode: ReceiveMode,
    /// The lock's duration, or 0 for the entity's own.
    pub lock_duration_ms: u64,
    /// Whether locks are let go when the connection dies, instead of running out.
    pub release_on_disconnect: bool,
    /// Leases of this client and handle that it still holds messages of. The broker lets go of its other ones: their
    /// deliveries never arrived.
    pub held: Vec<u64>,
    /// The receiver's share where the entity's `balance` is `weighted`; 0 is taken as 1.
    pub weight: u32,
    /// The session to lock.
    pub session: SessionWish,
    /// Milliseconds the broker may wait until such a session can be locked; 0 for an answer at once.
    pub wait_ms: u64,
}

/// Grants credit to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The receiver.
    pub handle: u32,
    /// Messages the client has got on this receiver since it was opened.
    pub delivered: u64,
    /// Messages it can take beyond these; 0 means none.
    pub credit: u32,
    /// Give what is ready, take the rest of the credit back, and answer `Drained`.
    pub drain: bool,
}

impl OpenReceiver {
    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u32(self.handle);
        wire::put_text(out, &self.address);
        out.put_u8(match self.mode {
            ReceiveMode::PeekLock => 0,
            ReceiveMode::ReceiveAndDelete => 1,
        });
        out.put_u64(self.lock_duration_ms);
        out.put_u8(u8::from(self.release_on_disconnect));
        wire::put_list(out, &self.held, |out, lease| out.put_u64(*lease));
        out.put_u32(self.weight);
        self.session.put(out);
        out.put_u64(self.wait_ms);
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(OpenReceiver {
            handle: reader.u32("handle")?,
            address: reader.text("address")?,
            mode: match reader.u8("mode")? {
                0 => ReceiveMode::PeekLock,
                1 => ReceiveMode::ReceiveAndDelete,
                other => return Err(Malformed::new("mode", format!("found {other}, modes are 0 and 1"))),
            },
            lock_duration_ms: reader.u64("lock_duration_ms")?,
            release_on_disconnect: reader.bool("release_on_disconnect")?,
            held: reader.list("held", 8, limits::CREDIT as usize, |reader| reader.u64("held"))?,
            weight: reader.u32("weight")?,
            session: SessionWish::read(reader)?,
            wait_ms: reader.u64("wait_ms")?,
        })
    }
}

impl SessionWish {
    fn put(&self, out: &mut BytesMut) {
        match self {
            SessionWish::None => out.put_u8(0),
            SessionWish::Named(id) => {
                out.put_u8(1);
                wire::put_text(out, id);
            }
            SessionWish::Next => out.put_u8(2),
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("session")? {
            0 => SessionWish::None,
            1 => SessionWish::Named(reader.text("session_id")?),
            2 => SessionWish::Next,
            other => return Err(Malformed::new("session", format!("found {other}, wishes are 0 to 2"))),
        })
    }
}

impl Flow {
    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u32(self.handle);
        out.put_u64(self.delivered);
        out.put_u32(self.credit);
        out.put_u8(u8::from(self.drain));
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Flow {
            handle: reader.u32("handle")?,
            delivered: reader.u64("delivered")?,
            credit: reader.u32("credit")?,
            drain: reader.bool("drain")?,
        })
    }
}
