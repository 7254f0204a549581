//! The way out to one connection.
//!
//! Bounded by construction: answers by the requests a connection may have waiting, deliveries by each receiver's room,
//! which the core counts down and the connection gives back as it writes.

use bytes::Bytes;
use postrider_core::page::Page;
use postrider_protocol::error::Refusal;
use postrider_protocol::reply::Reply;
use postrider_protocol::token::LockToken;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Something for a connection to write.
pub enum Outgoing {
    /// The answer to a request.
    Reply(u32, Reply),
    /// Messages for a receiver.
    Delivery(OutgoingDelivery),
    /// The broker closed a receiver.
    Closed(u32, Refusal),
}

/// A delivery whose records are cut out of their pages when the door writes it.
pub struct OutgoingDelivery {
    /// The receiver's number on its connection.
    pub handle: u32,
    /// The first message's lock.
    pub token: LockToken,
    /// Until when the locks hold, UTC milliseconds.
    pub locked_until_ms: u64,
    /// Which records of which pages.
    pub runs: Vec<OutgoingRun>,
}

/// Neighbouring messages of a delivery.
pub struct OutgoingRun {
    /// The first one's sequence number.
    pub sequence: u64,
    /// Their failed deliveries so far.
    pub attempts: u32,
    /// Their records.
    pub records: Records,
}

/// Where a delivery's records are.
pub enum Records {
    /// In a page, at these places.
    In(Page, Range<u32>),
    /// One by itself, because consumers have changed its properties; and its bytes in the page.
    One(Bytes, u64),
}

impl OutgoingRun {
    fn messages(&self) -> usize {
        match &self.records {
            Records::In(_, places) => places.len(),
            Records::One(..) => 1,
        }
    }
}

impl OutgoingDelivery {
    /// How many messages it has.
    pub fn messages(&self) -> usize {
        self.runs.iter().map(OutgoingRun::messages).sum()
    }
}

/// What waits to be written to one connection.
#[derive(Default)]
pub struct Outbox {
    /// Held for moments only: the engine adds a turn's results in one go, the connection takes all in one go.
    waiting: Mutex<Vec<Outgoing>>,
    /// Wakes the connection's writer; there is one.
    wake: Notify,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to what waits, and wakes the writer.
    pub fn push(&self, outgoing: impl IntoIterator<Item = Outgoing>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(outgoing);
        self.wake.notify_one();
    }

    /// Waits until there is something, and takes all of it.
    pub async fn take(&self) -> Vec<Outgoing> {
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if !waiting.is_empty() {
                return waiting;
            }
            self.wake.notified().await;
        }
    }

    /// Takes what is there now.
    pub fn take_now(&self) -> Vec<Outgoing> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
