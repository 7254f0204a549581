//! How a receiver is opened.

use super::Receiver;
use crate::connection::{Connection, LinkOwner, Opened, Operation};
use crate::delivery::milliseconds;
use crate::error::Error;
use postrider_protocol::limits;
use postrider_protocol::request::{OpenReceiver, ReceiveMode, Request, SessionWish};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages on their way to a receiver where nothing else is said.
const PREFETCH: u32 = 100;
/// Events that credit does not pay for: deferred messages that were asked for, and a few that are not deliveries.
const SPARE_EVENTS: usize = limits::SEQUENCES + 64;

/// Settings of a [`Receiver`].
///
/// ```no_run
/// use postrider_client::ReceiveMode;
/// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
/// let receiver = client.receiver_builder("orders").prefetch(500).mode(ReceiveMode::PeekLock).open().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until open is called"]
pub struct ReceiverBuilder {
    connection: Arc<Connection>,
    address: String,
    prefetch: u32,
    mode: ReceiveMode,
    lock_duration: Duration,
    release_on_disconnect: bool,
    weight: u32,
}

impl ReceiverBuilder {
    pub(crate) fn new(connection: Arc<Connection>, address: &str) -> Self {
        ReceiverBuilder {
            connection,
            address: address.to_owned(),
            prefetch: PREFETCH,
            mode: ReceiveMode::PeekLock,
            lock_duration: Duration::ZERO,
            release_on_disconnect: false,
            weight: 1,
        }
    }

    /// Messages that may wait in the receiver, at most 100,000; 100 where nothing is said. More keeps it busy over long
    /// ways; less shares the work better and keeps locks short. 0: a message comes only when it is asked for.
    ///
    /// Locks run from the moment of delivery: prefetched messages must be settled within the lock duration too.
    pub fn prefetch(mut self, messages: u32) -> Self {
        self.prefetch = messages.min(limits::CREDIT);
        self
    }

    /// Locked until settled, or deleted when handed over. Peek-lock where nothing is said.
    pub fn mode(mut self, mode: ReceiveMode) -> Self {
        self.mode = mode;
        self
    }

    /// How long messages are locked, 1 s to 12 h; the entity's own duration where nothing is said.
    pub fn lock_duration(mut self, duration: Duration) -> Self {
        self.lock_duration = duration;
        self
    }

    /// Whether the broker lets go of the locks when the connection dies, instead of letting them run out. Off where
    /// nothing is said, so that work can be completed after a reconnect.
    pub fn release_on_disconnect(mut self, release: bool) -> Self {
        self.release_on_disconnect = release;
        self
    }

    /// The receiver's share of the messages where the entity's `balance` is `weighted`: one of weight 3 gets three times
    /// as many as one of weight 1, which it is where nothing is said.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Opens the receiver.
    pub async fn open(self) -> Result<Receiver, Error> {
        let (receiver, _) = self.open_link(SessionWish::None, Duration::ZERO).await?;
        Ok(receiver)
    }

    /// Opens the receiver on a session, which the broker may wait for that long.
    pub(crate) async fn open_link(
        self,
        session: SessionWish,
        wait: Duration,
    ) -> Result<(Receiver, Opened), Error> {
        let lock_duration_ms = milliseconds(self.lock_duration);
        check_lock_duration(lock_duration_ms)?;
        let owner = LinkOwner::new(self.connection);
        let (handle, cell) = (owner.handle, owner.cell.clone());
        // Bounded by credit: each event but a few brings at least one message that was asked for.
        let (events_in, events) = mpsc::channel(limits::CREDIT as usize + SPARE_EVENTS);
        let open = OpenReceiver {
            handle,
            address: self.address.clone(),
            mode: self.mode,
            lock_duration_ms,
            release_on_disconnect: self.release_on_disconnect,
            weight: self.weight,
            session,
            wait_ms: milliseconds(wait),
            held: Vec::new(),
        };
        Request::OpenReceiver(open.clone()).check()?;
        let open = Box::new(open);
        let opening = |answer| Operation::OpenReceiver { open, cell, events: events_in, answer };
        let opened = owner.connection.call_waiting("open a receiver", wait, opening).await?;
        let lock_duration = Duration::from_millis(opened.lock_duration_ms);
        Ok((Receiver::new(owner, self.address, events, self.prefetch, lock_duration), opened))
    }
}

fn check_lock_duration(milliseconds: u64) -> Result<(), Error> {
    let allowed = limits::LOCK_DURATION_MS;
    if milliseconds == 0 || allowed.contains(&milliseconds) {
        return Ok(());
    }
    let (least, most) = allowed.into_inner();
    Err(Error::InvalidArgument(format!(
        "lock_duration is {milliseconds} ms, it may be {least} to {most}; choose one between, or leave it to the entity"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_durations_are_checked() {
        assert!(check_lock_duration(0).is_ok() && check_lock_duration(1_000).is_ok());
        assert!(check_lock_duration(999).unwrap_err().to_string().contains("1000 to"));
    }
}
