//! The way into the engine: a bounded mailbox behind a budget of bytes.

use super::outbox::Outbox;
use super::placement::Placement;
use postrider_core::command::{Command, Question, Ticket};
use postrider_core::verbs::trace::TraceQuery;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::request::Listing;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait.
const JOBS: usize = 16 * 1024;
/// Bytes of requests that may wait.
const BYTES: usize = 64 * 1024 * 1024;

/// Something for the engine to do.
pub enum Job {
    /// A connection was authenticated: its answers and deliveries go to this outbox.
    Connect(u64, Arc<Outbox>),
    /// A connection ended; with its client's number where it said goodbye.
    Disconnect(u64, Option<u128>),
    /// A command for one shard, and the bytes it came in.
    Command(u16, Command, usize),
    /// A question, answered from the state after this turn.
    Query(Ticket, Query),
    /// Drops a shard's state and builds it again from the store, as a change of leadership would.
    StepDown(u16),
    /// Ends the engine once everything before is done.
    Stop(oneshot::Sender<()>),
}

/// A question that changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// What is this entity?
    Get(EntityName),
    /// Which entities are there?
    List(Listing),
    /// Something about a queue.
    Queue(Address, Question),
    /// What happened to the messages of an id, from a shard on?
    Trace(u16, TraceQuery),
    /// How is the broker?
    Status,
}

/// The mailbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// A handle to the engine.
#[derive(Clone)]
pub struct Engine {
    jobs: mpsc::Sender<Job>,
    /// Bytes of commands in the mailbox: taken before a command enters, given back when its turn has decided.
    bytes: Arc<AtomicUsize>,
    placement: Arc<Placement>,
}

/// The engine's end.
pub struct Mailbox {
    jobs: mpsc::Receiver<Job>,
    bytes: Arc<AtomicUsize>,
}

/// A mailbox and the handle to it.
pub fn new(placement: Arc<Placement>) -> (Engine, Mailbox) {
    let (sender, receiver) = mpsc::channel(JOBS);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Engine { jobs: sender, bytes: bytes.clone(), placement }, Mailbox { jobs: receiver, bytes })
}

impl Engine {
    /// Where entities are.
    pub fn placement(&self) -> Arc<Placement> {
        self.placement.clone()
    }

    /// Hands over a command, unless the house is full.
    pub fn submit(&self, shard: u16, command: Command, bytes: usize) -> Result<(), Busy> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // A request larger than the whole budget passes when nothing else waits.
        if before > 0 && before + bytes > BYTES {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Busy);
        }
        self.jobs.try_send(Job::Command(shard, command, bytes)).map_err(|_| {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            Busy
        })
    }

    /// Asks a question, unless the house is full.
    pub fn ask(&self, ticket: Ticket, query: Query) -> Result<(), Busy> {
        self.jobs.try_send(Job::Query(ticket, query)).map_err(|_| Busy)
    }

    /// Hands over what must not be refused, waiting for room. Does nothing when the engine has ended.
    pub async fn tell(&self, job: Job) {
        // The engine's end ends the process or follows its order: there is nobody left to tell.
        let _ = self.jobs.send(job).await;
    }

    /// Ends the engine after everything handed over so far.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        self.tell(Job::Stop(done)).await;
        // An engine that ended before answers by dropping the sender, which is an end as well.
        let _ = ended.await;
    }
}

impl Mailbox {
    /// Waits for jobs, at most until `deadline`, and takes up to `most` of them.
    pub async fn take(&mut self, jobs: &mut Vec<Job>, most: usize, deadline: Option<std::time::Duration>) {
        let taken = self.jobs.recv_many(jobs, most);
        match deadline {
            Some(wait) => _ = tokio::time::timeout(wait, taken).await,
            None => _ = taken.await,
        }
    }

    /// Gives the bytes of decided commands back.
    pub fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
