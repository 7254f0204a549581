//! The senders and receivers of a connection, shared by its reader, which opens them, and its writer, which sees what
//! the broker made of it.

use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits::LINKS_PER_CONNECTION;
use postrider_protocol::name::EntityName;
use std::collections::HashMap;

/// What a handle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Sender(u32),
    Receiver(u32),
}

/// A connection's open links.
#[derive(Debug, Default)]
pub struct Links {
    senders: HashMap<u32, EntityName>,
    /// The shard that each receiver's commands go to.
    receivers: HashMap<u32, u16>,
    /// Links whose opening was not answered yet, by request.
    opening: HashMap<u32, Link>,
    /// Requests that took more than one permit, because their answers may be large.
    heavy: HashMap<u32, u32>,
}

impl Links {
    /// Takes a sender's handle, until the request to open it is refused.
    pub fn open_sender(&mut self, request: u32, handle: u32, entity: EntityName) -> Result<(), Refusal> {
        self.check_free(handle, self.senders.contains_key(&handle))?;
        self.senders.insert(handle, entity);
        self.opening.insert(request, Link::Sender(handle));
        Ok(())
    }

    /// Takes a receiver's handle, until the request to open it is refused.
    pub fn open_receiver(&mut self, request: u32, handle: u32, shard: u16) -> Result<(), Refusal> {
        self.check_free(handle, self.receivers.contains_key(&handle))?;
        self.receivers.insert(handle, shard);
        self.opening.insert(request, Link::Receiver(handle));
        Ok(())
    }

    fn check_free(&self, handle: u32, taken: bool) -> Result<(), Refusal> {
        if taken {
            return Err(Refusal::invalid("handle", format!("{handle} is in use on this connection")));
        }
        if self.senders.len() + self.receivers.len() >= LINKS_PER_CONNECTION {
            let text = format!("the connection has {LINKS_PER_CONNECTION} links, the most it can have");
            return Err(Refusal::new(ErrorCode::QuotaExceeded, text));
        }
        Ok(())
    }

    /// Notes that a request took so many permits.
    pub fn weigh(&mut self, request: u32, permits: u32) {
        self.heavy.insert(request, permits);
    }

    /// The broker has answered a request: a link that was not opened gives its handle back. Returns the permits that
    /// the request gives back.
    pub fn answered(&mut self, request: u32, refused: bool) -> usize {
        match self.opening.remove(&request) {
            Some(Link::Sender(handle)) if refused => _ = self.senders.remove(&handle),
            Some(Link::Receiver(handle)) if refused => _ = self.receivers.remove(&handle),
            _ => {}
        }
        self.heavy.remove(&request).map_or(1, |permits| permits as usize)
    }

    /// The entity that a sender sends to.
    pub fn sender(&self, handle: u32) -> Result<EntityName, Refusal> {
        self.senders.get(&handle).cloned().ok_or_else(|| {
            Refusal::invalid("handle", format!("{handle} is not an open sender of this connection"))
        })
    }

    /// The shard of a receiver.
    pub fn receiver(&self, handle: u32) -> Result<u16, Refusal> {
        self.receivers.get(&handle).copied().ok_or_else(|| {
            Refusal::invalid("handle", format!("{handle} is not an open receiver of this connection"))
        })
    }

    /// Gives a sender's handle back.
    pub fn close_sender(&mut self, handle: u32) {
        self.senders.remove(&handle);
    }

    /// Gives a receiver's handle back.
    pub fn close_receiver(&mut self, handle: u32) {
        self.receivers.remove(&handle);
    }
}
