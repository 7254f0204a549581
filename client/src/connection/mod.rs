//! One connection: a task that owns the socket and everything about it, and the handle others talk to it through.
//!
//! ```text
//!  handles --operations (bounded)--> [ actor ] --frames--> socket
//!     ^                                 |
//!     +------ oneshots, events ---------+<---- replies --- socket
//! ```
//!
//! Nothing here is shared under a lock. The actor takes all operations that wait, makes as few frames of them as it
//! can, and writes all frames with one call. While a write is in progress operations gather: that is the batch.

mod actor;
mod backoff;
mod batch;
mod farewell;
mod handshake;
mod incoming;
mod links;
mod operation;
mod outgoing;
mod reconnect;
mod timer;
mod unanswered;

pub(crate) use batch::settlement_bytes;
pub(crate) use links::{Event, Lease, LinkCell, Parcel};
pub(crate) use operation::{Answer, Opened, Operation};

pub use backoff::ReconnectPolicy;
pub(crate) use incoming::outcomes;
pub use operation::SendOutcome;

use crate::breaker::{Attempt, Breaker};
use crate::error::Error;
use postrider_protocol::frame::HEADER_BYTES;
use postrider_protocol::limits;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Request;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Operations that may wait for the actor.
const OPERATIONS: usize = 4096;
/// Unconfirmed bytes of one client.
const PIPELINE_BYTES: usize = 32 * 1024 * 1024;
/// Unconfirmed messages of one client.
const PIPELINE_MESSAGES: usize = 16 * 1024;
/// What one message takes of the pipeline at least, so that one count bounds both bytes and messages.
const LEAST_WEIGHT: usize = PIPELINE_BYTES / PIPELINE_MESSAGES;

/// Bytes of a publish frame around its only message: header, handle, stamp, count, length.
const PUBLISH_OVERHEAD: usize = HEADER_BYTES + 4 + 16 + 4 + 4;

// A whole frame of messages must fit into the pipeline, or it could never be sent.
const _: () = assert!(limits::BATCH_MESSAGES * LEAST_WEIGHT + limits::BATCH_BYTES <= PIPELINE_BYTES);

/// How to reach the broker, and how patiently.
#[derive(Clone)]
pub(crate) struct Config {
    pub address: String,
    /// Secret: never in a log, an error or `Debug`.
    pub token: String,
    pub name: String,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
    pub reconnect: ReconnectPolicy,
    /// Hears of every failure to keep or to make the connection.
    pub breaker: Option<Arc<Breaker>>,
    /// Drawn at random once, and kept across reconnects.
    pub client: u128,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("address", &self.address)
            .field("name", &self.name)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}

/// What senders, receivers, deliveries and admins hold: the way to the actor. When the last one is dropped, the actor
/// finishes what it has and ends.
pub(crate) struct Connection {
    operations: mpsc::Sender<Operation>,
    /// Rung after a change to a [`LinkCell`]. Room for one: a bell that has been rung need not be rung again.
    bell: mpsc::Sender<()>,
    /// Room in the pipeline, in bytes. Taken before a message is handed over, given back with its confirm.
    room: Arc<Semaphore>,
    /// Why the connection ended, once it has.
    ended: Arc<OnceLock<Error>>,
    /// Ends the actor at once.
    abort: CancellationToken,
    /// Cancelled when somebody wants to close, behind the operation that says so.
    closing: CancellationToken,
    /// Cancelled when the last holder is gone.
    gone: CancellationToken,
    request_timeout: Duration,
    breaker: Option<Arc<Breaker>>,
    /// Bytes of the largest message that one frame to this broker can carry.
    largest_message: usize,
    address: String,
    /// In front of the ids of messages that their sender gave none.
    id_prefix: String,
    messages: AtomicU64,
    handles: AtomicU32,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Connection {
    /// Connects, authenticates, and leaves an actor behind that keeps it so.
    pub async fn open(config: Config) -> Result<Arc<Self>, Error> {
        let link = handshake::connect(&config).await.map_err(|failure| failure.into_error(&config))?;
        let (operations, operations_out) = mpsc::channel(OPERATIONS);
        let (bell, bell_out) = mpsc::channel(1);
        let connection = Arc::new(Connection {
            operations,
            bell,
            room: Arc::new(Semaphore::new(PIPELINE_BYTES)),
            ended: Arc::default(),
            abort: CancellationToken::new(),
            closing: CancellationToken::new(),
            gone: CancellationToken::new(),
            request_timeout: config.request_timeout,
            breaker: config.breaker.clone(),
            largest_message: largest_message(link.welcome.frame_bytes),
            address: config.address.clone(),
            id_prefix: format!("{:016x}-", config.client as u64),
            messages: AtomicU64::new(1),
            handles: AtomicU32::new(1),
        });
        let ends = actor::Ends {
            room: connection.room.clone(),
            ended: connection.ended.clone(),
            abort: connection.abort.clone(),
            closing: connection.closing.clone(),
            gone: connection.gone.clone(),
        };
        tokio::spawn(actor::Actor::new(config, operations_out, bell_out, ends).run(link));
        Ok(connection)
    }

    /// An id for a message whose sender gave it none, so that sending it again is safe.
    pub fn message_id(&self) -> String {
        use fmt::Write;
        let mut id = String::with_capacity(self.id_prefix.len() + 20);
        id.push_str(&self.id_prefix);
        let number = self.messages.fetch_add(1, Ordering::Relaxed);
        write!(id, "{number}").expect("a String takes any text");
        id
    }

    /// Bytes of the largest message that can be sent at all. A larger one would end the connection, again and again.
    pub fn largest_message(&self) -> usize {
        self.largest_message
    }

    /// Lets a send through, unless the circuit breaker is open.
    pub fn admit(&self) -> Result<Option<Attempt>, Error> {
        self.breaker.as_ref().map(Breaker::admit).transpose()
    }

    /// What so many bytes of messages take of the pipeline. A message larger than all of it may travel alone.
    pub fn weight(messages: usize, bytes: usize) -> usize {
        bytes.max(messages * LEAST_WEIGHT).min(PIPELINE_BYTES)
    }

    /// Waits for room in the pipeline.
    pub async fn room(&self, weight: usize) -> Result<SemaphorePermit<'_>, Error> {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        self.room.acquire_many(weight).await.map_err(|_| self.why())
    }

    /// Hands an operation to the actor; waits only while the channel is full.
    pub async fn submit(&self, operation: Operation) -> Result<(), Error> {
        self.operations.send(operation).await.map_err(|_| self.why())
    }

    /// Hands an operation over and waits for its answer.
    pub async fn call<T>(&self, operation: impl FnOnce(Answer<T>) -> Operation) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.submit(operation(answer)).await?;
        answered.await.unwrap_or_else(|_| Err(self.why()))
    }

    /// [`Connection::call`], for at most the request timeout.
    pub async fn call_within<T>(
        &self,
        what: &str,
        operation: impl FnOnce(Answer<T>) -> Operation,
    ) -> Result<T, Error> {
        self.call_waiting(what, Duration::ZERO, operation).await
    }

    /// [`Connection::call`], for at most the request timeout and as long as the broker may wait with its answer.
    pub async fn call_waiting<T>(
        &self,
        what: &str,
        wait: Duration,
        operation: impl FnOnce(Answer<T>) -> Operation,
    ) -> Result<T, Error> {
        self.within_time(what, self.request_timeout.saturating_add(wait), self.call(operation)).await
    }

    /// Sends a request and waits for its reply.
    ///
    /// What the broker would refuse whatever it is about is refused here.
    pub async fn ask(&self, what: &str, request: Request) -> Result<Reply, Error> {
        request.check()?;
        let request = Box::new(request);
        self.call_within(what, |answer| Operation::Ask { request, answer }).await
    }

    /// Waits for `work` for at most the request timeout.
    pub async fn within<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.within_time(what, self.request_timeout, work).await
    }

    async fn within_time<T>(
        &self,
        what: &str,
        time: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(time, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout(format!(
                "{what}: no answer from {} within {time:?}; whether it was done is not known: look, repeat it (a send with the same message_id), or raise request_timeout",
                self.address
            ))),
        }
    }

    /// Tells the actor to look at the cells of its links.
    pub fn ring(&self) {
        // Full: the bell is ringing already. Closed: nobody is left to look.
        let _ = self.bell.try_send(());
    }

    /// Whether it has not ended for good.
    pub fn is_alive(&self) -> bool {
        self.ended.get().is_none()
    }

    /// Why nothing can be done any more.
    pub fn why(&self) -> Error {
        self.ended.get().cloned().unwrap_or(Error::Closed)
    }

    /// Ends gracefully; what is not confirmed within the request timeout is given up.
    pub async fn close(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let closing = async {
            self.submit(Operation::Close { answer }).await?;
            self.closing.cancel();
            answered.await.unwrap_or_else(|_| Err(self.why()))
        };
        let closed = self.within("close", closing).await;
        self.abort.cancel();
        match closed {
            Err(Error::Closed) => Ok(()),
            other => other,
        }
    }
}

fn largest_message(frame_bytes: u32) -> usize {
    (frame_bytes as usize)
        .min(limits::FRAME_BYTES)
        .saturating_sub(PUBLISH_OVERHEAD)
        .min(limits::MESSAGE_BYTES_CEILING)
}

/// A link's owner. Dropping it has the link closed in the background, also when the link is still being opened.
#[derive(Debug)]
pub(crate) struct LinkOwner {
    pub connection: Arc<Connection>,
    pub cell: Arc<LinkCell>,
    pub handle: u32,
}

impl LinkOwner {
    pub fn new(connection: Arc<Connection>) -> Self {
        let handle = connection.handles.fetch_add(1, Ordering::Relaxed);
        LinkOwner { connection, cell: Arc::default(), handle }
    }

    /// Closes the link, once everything asked for before is answered.
    pub async fn close(&self, what: &str) -> Result<(), Error> {
        let handle = self.handle;
        self.connection.call_within(what, |answer| Operation::CloseLink { handle, answer }).await
    }
}

impl Drop for LinkOwner {
    fn drop(&mut self) {
        self.cell.dropped.store(true, Ordering::Release);
        self.connection.ring();
    }
}
