//! Takes turns: one thread decides for all shards, makes a turn durable with one sync, and then lets its results out.

mod bodies;
mod calendar;
mod clock;
mod entrance;
mod mailbox;
mod outbox;
mod placement;
mod queries;
mod release;
mod turn;

pub use clock::{Clock, SystemClock};
pub use mailbox::{Busy, Engine, Job, Query};
pub use outbox::{Outbox, Outgoing, OutgoingDelivery, Records};
pub use placement::Placement;
pub use turn::Turns;

pub use crate::store::Identity;

use crate::store::{Disk, ShardLog, StoreError};
use postrider_core::context::Rows;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What an engine works with.
pub struct Parts {
    /// Where facts go.
    pub log: Box<dyn ShardLog>,
    /// Where rows come from: the same store that the log applies to.
    pub rows: Arc<dyn Rows + Send + Sync>,
    /// What the store is on: while it is nearly full, nothing is taken in.
    pub disk: Arc<Disk>,
    /// What time it is.
    pub clock: Box<dyn Clock>,
    /// Random bits, 64 for each turn.
    pub entropy: Entropy,
    /// How many shards the store has.
    pub shards: u16,
    /// Bytes that the journal of each shard may have; 0 for none.
    pub journal_bytes: u64,
    /// Whose cluster and node it is, for status.
    pub identity: Identity,
    /// Called when the store fails, from the engine's thread; the engine does nothing more after it.
    pub on_failure: OnFailure,
}

/// Draws 64 random bits.
pub type Entropy = Box<dyn FnMut() -> Result<u64, StoreError> + Send>;

/// The system's random bits.
pub fn system_entropy() -> Entropy {
    Box::new(|| {
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).map_err(|error| StoreError::new(format!("no random bits: {error}")))?;
        Ok(u64::from_ne_bytes(bits))
    })
}

/// What to do when the store fails.
pub type OnFailure = Box<dyn FnOnce(&StoreError) + Send>;

/// A panic in the engine's thread is a defect in what decides and stores: nothing may go on after it.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Loads all shards and starts the engine's thread. The thread ends after [`Job::Stop`], or when the store fails.
pub fn start(parts: Parts) -> Result<(Engine, JoinHandle<()>), StoreError> {
    let turns = Turns::load(parts)?;
    let (engine, mailbox) = mailbox::new(turns.placement.clone());
    let thread = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            let _abort = AbortOnPanic;
            turns.run(mailbox);
        })
        .map_err(|error| StoreError::new(format!("the engine's thread cannot be started: {error}")))?;
    Ok((engine, thread))
}
