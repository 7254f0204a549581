//! A message that was received, and what to do with it.

use crate::connection::{Connection, Lease, Operation};
use crate::error::Error;
use bytes::Bytes;
use postrider_protocol::message::{DeadLetterInfo, Message, Record};
use postrider_protocol::reply::Delivered;
use postrider_protocol::request::Settlement;
use postrider_protocol::token::LockToken;
use postrider_protocol::value::Value;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A moment on the wire as the clock's.
pub(crate) fn time(utc_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(utc_ms)).unwrap_or(UNIX_EPOCH)
}

/// A duration on the wire.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Application properties by name.
pub type Properties = Vec<(String, Value)>;

/// What a settlement is called.
fn verb(settlement: &Settlement) -> &'static str {
    match settlement {
        Settlement::Complete => "complete",
        Settlement::Abandon { .. } => "abandon",
        Settlement::DeadLetter { .. } => "dead-letter",
        Settlement::Defer { .. } => "defer",
        Settlement::Release => "release",
        Settlement::Renew { .. } => "renew",
    }
}

/// A record and the message in it.
pub(crate) fn decode(record: Bytes) -> Result<(Record, Message), Error> {
    let record = Record::decode(record)?;
    let message = Message::decode(record.message.clone())?;
    Ok((record, message))
}

/// A message that was received, locked for this consumer until it is settled or the lock runs out.
///
/// Dropping a delivery settles nothing: its lock runs out, and the message is delivered again with one attempt more.
/// Settle it, or [`Delivery::release`] it. After its receiver was closed, whatever is still held may have been let go
/// of, and settling it fails with `LockLost`.
///
/// ```no_run
/// # async fn run(mut receiver: postrider_client::Receiver) -> Result<(), postrider_client::Error> {
/// let delivery = receiver.receive().await?;
/// match std::str::from_utf8(delivery.body()) {
///     Ok(text) => { println!("{text}"); delivery.complete().await? }
///     Err(error) => delivery.dead_letter_with("NotText", &error.to_string()).await?,
/// }
/// # Ok(()) }
/// ```
pub struct Delivery {
    connection: Arc<Connection>,
    lease: Arc<Lease>,
    place: u16,
    sequence: u64,
    attempts: u32,
    enqueued_time_ms: u64,
    enqueued_sequence: u64,
    dead_letter: Option<Box<DeadLetterInfo>>,
    expires_at_ms: Option<u64>,
    redrive_count: u32,
    rule_name: Option<Box<str>>,
    replayed: bool,
    message: Message,
    lock_duration: Duration,
    /// Moved by renewals.
    locked_until_ms: AtomicU64,
    /// Milliseconds from the lease's arrival at which the lock was renewed last.
    renewed_ms: AtomicU64,
    settled: AtomicBool,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("sequence", &self.sequence)
            .field("attempts", &self.attempts)
            .field("lock_token", &self.lock_token())
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.mark_settled();
    }
}

impl Delivery {
    /// Reads the message at `place` of a lease.
    pub(crate) fn new(
        connection: Arc<Connection>,
        lease: Arc<Lease>,
        place: u16,
        delivered: Delivered,
        lock_duration: Duration,
    ) -> Result<Self, Error> {
        let (record, message) = decode(delivered.record)?;
        Ok(Delivery {
            connection,
            locked_until_ms: AtomicU64::new(lease.locked_until_ms),
            renewed_ms: AtomicU64::new(0),
            lease,
            place,
            sequence: delivered.sequence,
            attempts: delivered.attempts,
            enqueued_time_ms: record.enqueued_time_ms,
            enqueued_sequence: record.enqueued_sequence,
            dead_letter: record.dead_letter.map(Box::new),
            expires_at_ms: record.expires_at_ms,
            redrive_count: record.redrive_count,
            rule_name: record.rule_name.map(String::into_boxed_str),
            replayed: record.replayed,
            message,
            lock_duration,
            settled: AtomicBool::new(false),
        })
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message's body.
    pub fn body(&self) -> &Bytes {
        &self.message.body
    }

    /// Reads the body as JSON.
    ///
    /// ```no_run
    /// #[derive(serde::Deserialize)]
    /// struct Order { id: u64 }
    /// # fn read(delivery: &postrider_client::Delivery) -> Result<(), postrider_client::Error> {
    /// let order: Order = delivery.json()?;
    /// # Ok(()) }
    /// ```
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.body()).map_err(|error| {
            Error::InvalidArgument(format!(
                "the body of message {} is not the JSON that was asked for: {error}; dead-letter it, or correct the type",
                self.sequence
            ))
        })
    }

    /// The message's number in the queue.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Which delivery of the message this is, from 1: the attempts so far and this one.
    pub fn delivery_count(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    /// A number that rises with every delivery of the message: hand it to what you call as a fencing token, so that it can
    /// turn down work under a lock that was lost. 0 where the message was deleted when it was delivered.
    pub fn epoch(&self) -> u64 {
        self.lease.token.lease
    }

    /// Proof of the lock, with which any connection can settle the message.
    pub fn lock_token(&self) -> LockToken {
        LockToken { place: self.place, ..self.lease.token }
    }

    /// Until when the message is locked, by the broker's clock.
    pub fn locked_until(&self) -> SystemTime {
        time(self.locked_until_ms.load(Ordering::Acquire))
    }

    /// When the broker accepted the message.
    pub fn enqueued_time(&self) -> SystemTime {
        time(self.enqueued_time_ms)
    }

    /// The number the message first got, before it was moved to where it is.
    pub fn enqueued_sequence(&self) -> u64 {
        self.enqueued_sequence
    }

    /// Why and from where it was dead-lettered, in a dead-letter queue.
    pub fn dead_letter(&self) -> Option<&DeadLetterInfo> {
        self.dead_letter.as_deref()
    }

    /// When it was dead-lettered, in a dead-letter queue.
    pub fn dead_letter_time(&self) -> Option<SystemTime> {
        self.dead_letter.as_ref().map(|info| time(info.time_ms))
    }

    /// How often it was moved back from the dead letters.
    pub fn redrive_count(&self) -> u32 {
        self.redrive_count
    }

    /// The rule with an action whose own copy it is; `None` for a message as it was sent.
    pub fn rule_name(&self) -> Option<&str> {
        self.rule_name.as_deref()
    }

    /// Whether it is a copy that a [replay](crate::Admin::replay) made: a message that may have come before.
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// When it expires; `None`: never.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at_ms.map(time)
    }

    /// Whether it was deleted when it was delivered, so that there is nothing to settle.
    pub fn is_deleted(&self) -> bool {
        self.lease.token.lease == 0
    }

    /// The message is done with. When this returns it is never delivered again.
    ///
    /// # Errors
    ///
    /// `LockLost` when the lock ran out before; the message is delivered again, or was already.
    pub async fn complete(&self) -> Result<(), Error> {
        self.settle(Settlement::Complete).await
    }

    /// Back to its place in the queue at once, with one attempt more.
    pub async fn abandon(&self) -> Result<(), Error> {
        self.abandon_with(Duration::ZERO, Vec::new()).await
    }

    /// Back to its place in the queue, with one attempt more, to be delivered again after `delay` and with these
    /// properties changed. A delay of zero leaves it to the queue's retry policy.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// # async fn run(delivery: postrider_client::Delivery) -> Result<(), postrider_client::Error> {
    /// let changed = vec![("last_error".to_owned(), "the mail server is busy".into())];
    /// delivery.abandon_with(Duration::from_secs(30), changed).await
    /// # }
    /// ```
    pub async fn abandon_with(&self, delay: Duration, properties: Properties) -> Result<(), Error> {
        self.settle(Settlement::Abandon { delay_ms: milliseconds(delay), properties }).await
    }

    /// To the dead-letter queue, saying why.
    pub async fn dead_letter_with(&self, reason: &str, description: &str) -> Result<(), Error> {
        self.dead_letter_with_properties(reason, description, Vec::new()).await
    }

    /// To the dead-letter queue, saying why, and with these properties changed.
    pub async fn dead_letter_with_properties(
        &self,
        reason: &str,
        description: &str,
        properties: Properties,
    ) -> Result<(), Error> {
        let (reason, description) = (reason.to_owned(), description.to_owned());
        self.settle(Settlement::DeadLetter { reason, description, properties }).await
    }

    /// Set aside: it is delivered again only to who asks for its [`Delivery::sequence`], with
    /// [`Receiver::receive_deferred`](crate::Receiver::receive_deferred). Keep that number.
    pub async fn defer(&self) -> Result<(), Error> {
        self.defer_with(Vec::new()).await
    }

    /// Set aside as by [`Delivery::defer`], with these properties changed.
    pub async fn defer_with(&self, properties: Properties) -> Result<(), Error> {
        self.settle(Settlement::Defer { properties }).await
    }

    /// Back to its place in the queue at once, and this attempt does not count.
    pub async fn release(&self) -> Result<(), Error> {
        self.settle(Settlement::Release).await
    }

    /// Keeps the lock for the receiver's lock duration from now. Returns until when.
    pub async fn renew(&self) -> Result<SystemTime, Error> {
        self.renew_ms(0).await
    }

    /// Keeps the lock for `duration` from now. Returns until when.
    pub async fn renew_for(&self, duration: Duration) -> Result<SystemTime, Error> {
        self.renew_ms(milliseconds(duration).max(1)).await
    }

    /// Settles it in the way that is given; the other methods are shorter ways to say so.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        match settlement {
            Settlement::Renew { duration_ms } => self.renew_ms(duration_ms).await.map(drop),
            settlement => self.ask(settlement).await.map(|_| self.mark_settled()),
        }
    }

    async fn renew_ms(&self, duration_ms: u64) -> Result<SystemTime, Error> {
        let asked = Instant::now();
        let until = self.ask(Settlement::Renew { duration_ms }).await?;
        self.renewed(asked, until)
    }

    /// Takes in what a renewal that was asked for at `asked` was answered.
    pub(crate) fn renewed(&self, asked: Instant, until: Option<u64>) -> Result<SystemTime, Error> {
        let until =
            until.ok_or_else(|| Error::Protocol("a renewal was answered without a time".to_owned()))?;
        let asked = milliseconds(asked.saturating_duration_since(self.lease.received));
        self.locked_until_ms.store(until, Ordering::Release);
        self.renewed_ms.store(asked, Ordering::Release);
        Ok(time(until))
    }

    async fn ask(&self, settlement: Settlement) -> Result<Option<u64>, Error> {
        let what = verb(&settlement);
        self.check_locked(what)?;
        let token = self.lock_token();
        let settling = |answer| Operation::Settle { token, settlement, answer };
        self.connection.call_within(what, settling).await
    }

    /// Refuses to settle what has no lock.
    pub(crate) fn check_locked(&self, what: &str) -> Result<(), Error> {
        match self.is_deleted() {
            false => Ok(()),
            true => Err(Error::InvalidArgument(format!(
                "cannot {what} message {}: its receiver deletes on receipt, so there is no lock; open the receiver with ReceiveMode::PeekLock",
                self.sequence
            ))),
        }
    }

    /// The lease is not needed for this message any more.
    pub(crate) fn mark_settled(&self) {
        if !self.settled.swap(true, Ordering::AcqRel) {
            self.lease.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether it was settled through this delivery.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// When the lock runs out on this machine's clock, assuming that it runs as fast as the broker's. Goes by when the
    /// message arrived or the renewal was asked for, so it is early by no more than the way between.
    pub(crate) fn lock_deadline(&self) -> Instant {
        let renewed = Duration::from_millis(self.renewed_ms.load(Ordering::Acquire));
        self.lease.received + renewed + self.lock_duration
    }
}
