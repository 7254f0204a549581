//! A disk that fails when it is told to, and a clock that jumps when it is told to.

use bytes::Bytes;
use fastrand::Rng;
use postrider::engine::Clock;
use postrider::store::{MemoryStore, Store, StoreError};
use postrider_core::apply::Write;
use postrider_core::context::{Damage, Now, Rows, Visit};
use postrider_core::key::{Key, KeyRange};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happens to the next batch, and then to all until the node starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power fails while it is written: all of it is torn away.
    Torn,
    /// The power fails when it is synced, and before anybody is told.
    Unanswered,
    /// The sync fails, and what was written is lost.
    IoError,
    /// The sync fails, but the next start finds what was written.
    IoErrorKept,
    /// The disk is full.
    Full,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 5] =
        [Fault::Torn, Fault::Unanswered, Fault::IoError, Fault::IoErrorKept, Fault::Full];

    fn keeps_the_batch(self) -> bool {
        matches!(self, Fault::Unanswered | Fault::IoErrorKept)
    }
}

/// Rows that outlive a node. Clones share them.
#[derive(Clone, Default)]
pub struct Disk {
    rows: MemoryStore,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    next: Option<Fault>,
    failed: Option<Fault>,
    flipped: Option<Flipped>,
}

/// A row with a wrong bit.
struct Flipped {
    key: Vec<u8>,
    bit: usize,
    /// Somebody has read it.
    is_seen: bool,
}

impl Disk {
    /// The next batch meets this fault.
    pub fn arm(&self, fault: Fault) {
        self.state().next = Some(fault);
    }

    /// Whether a fault was met since the last start.
    pub fn has_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// A disk that takes batches again, with what it had.
    pub fn repair(&self) {
        let mut state = self.state();
        (state.next, state.failed) = (None, None);
    }

    /// A bit of a page is read wrong from now on. Pages alone have checksums of their own; what looks after all other rows
    /// is not in the simulation.
    pub fn flip(&self, random: &mut Rng) {
        let is_page = |key: &Vec<u8>| matches!(Key::decode(key), Ok(Key::Page(..)));
        let pages = self.content().into_iter().filter(|(key, _)| is_page(key));
        let page = random.choice(pages.collect::<Vec<_>>());
        self.state().flipped = page.map(|(key, value)| {
            let bit = random.usize(..value.len() * 8);
            Flipped { key, bit, is_seen: false }
        });
    }

    /// Puts a wrong bit right that was read; says whether there was one.
    pub fn put_right(&self) -> bool {
        let mut state = self.state();
        let seen = state.flipped.take_if(|flipped| flipped.is_seen);
        state.failed = state.failed.or(seen.as_ref().map(|_| Fault::IoError));
        seen.is_some()
    }

    /// What is read of a row.
    fn read(&self, key: &[u8], value: Bytes) -> Bytes {
        let mut state = self.state();
        match &mut state.flipped {
            Some(flipped) if flipped.key == key => {
                flipped.is_seen = true;
                let mut bytes = value.to_vec();
                bytes[flipped.bit / 8] ^= 1 << (flipped.bit % 8);
                bytes.into()
            }
            _ => value,
        }
    }

    /// All that it has.
    pub fn content(&self) -> std::collections::BTreeMap<Vec<u8>, Bytes> {
        self.rows.rows()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Disk {
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut state = self.state();
        if let Some(fault) = state.next.take() {
            state.failed = Some(fault);
            if fault.keeps_the_batch() {
                self.rows.commit(writes)?;
            }
        }
        match state.failed {
            Some(fault) => Err(StoreError::new(format!("the disk: {fault:?}"))),
            None => self.rows.commit(writes),
        }
    }

    fn snapshot(&self) -> Result<Box<dyn Rows + '_>, StoreError> {
        self.rows.snapshot()
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Rows for Disk {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Damage> {
        Ok(self.rows.get(key)?.map(|value| self.read(&key.encode(), value)))
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), Damage> {
        self.rows.scan(range, &mut |key, value| visit(key, &self.read(key, Bytes::copy_from_slice(value))))
    }
}

/// The two clocks of the machine. Clones share them.
#[derive(Clone)]
pub struct Time(Arc<Mutex<Now>>);

impl Time {
    /// The time since the simulation began, and what the wall says then.
    pub fn starting_at(wall_ms: u64) -> Self {
        Time(Arc::new(Mutex::new(Now { wall_ms, mono_ms: 0 })))
    }

    pub fn get(&self) -> Now {
        *self.now()
    }

    /// Both clocks go on.
    pub fn pass_until(&self, mono_ms: u64) {
        let mut now = self.now();
        now.wall_ms += mono_ms - now.mono_ms;
        now.mono_ms = mono_ms;
    }

    /// Somebody sets the clock on the wall.
    pub fn jump(&self, by_ms: i64) {
        let mut now = self.now();
        now.wall_ms = now.wall_ms.saturating_add_signed(by_ms);
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node's view of the time: its own monotonic clock begins with it.
pub struct NodeClock {
    pub time: Time,
    pub since_ms: u64,
}

impl Clock for NodeClock {
    fn now(&self) -> Now {
        let now = self.time.get();
        Now { mono_ms: now.mono_ms - self.since_ms, ..now }
    }
}
