//! Remembers: rows, in batches that are whole or not at all, and on stable storage before they count.

pub mod backup;
mod directory;
mod disk;
mod framing;
mod identity;
mod log;
mod memory;
mod open;
mod rocks;
mod room;
pub mod salvage;
mod watermark;

pub use directory::DataDir;
pub use disk::Disk;
pub use identity::{Identity, StoreRow};
pub use log::{LocalLog, ShardLog};
pub use memory::MemoryStore;
pub use open::{Examined, examine, open, settle_in};
pub use rocks::RocksStore;

use postrider_core::apply::Write;
use postrider_core::context::{Damage, Rows};
use std::fmt;

/// What to do about a store that is not all there.
const ADVICE: &str = "restore a backup, or accept the loss with `postrider recover`";

/// The store cannot do what it must: the process has to stop. Nothing it was asked to commit counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    /// What failed, and what to do about it.
    pub what: String,
}

impl StoreError {
    /// A store error, described.
    pub fn new(what: impl Into<String>) -> Self {
        StoreError { what: what.into() }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for StoreError {}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        StoreError::new(format!("the store is damaged: {damage}; {ADVICE}"))
    }
}

/// Ordered rows under bytes.
pub trait Store: Rows + Send {
    /// Makes all of `writes` durable, in order, or none of them. Returns after the sync.
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError>;

    /// The rows as they are now, whatever is committed later.
    fn snapshot(&self) -> Result<Box<dyn Rows + '_>, StoreError>;

    /// Moves what only the log holds into its place, so that the next start is quick.
    fn flush(&self) -> Result<(), StoreError>;
}
