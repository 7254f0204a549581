//! Makes room on a disk that is nearly full. What was settled takes room until it is compacted, and RocksDB compacts when
//! much is written: a store that takes nothing in would stay as large as it is.

use super::{Disk, StoreError};
use rocksdb::{CompactOptions, DB};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So often the disk is looked at, whatever is written.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a compaction there is a rest, so many times as long.
const REST: u32 = 4;

/// Looks after the room of `db` on `disk`, on a thread of its own, as long as both are used.
pub fn keep(db: Weak<DB>, disk: Weak<Disk>) -> Result<(), StoreError> {
    let started = std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
        let mut room = Room::default();
        loop {
            std::thread::park_timeout(LOOK_EVERY);
            let (Some(db), Some(disk)) = (db.upgrade(), disk.upgrade()) else { return };
            disk.look();
            if disk.is_full() {
                room.make(db);
            }
        }
    });
    started.map(drop).map_err(|error| StoreError::new(format!("the disk cannot be watched: {error}")))
}

/// The compaction that makes room, one at a time.
#[derive(Default)]
struct Room {
    running: Option<JoinHandle<Duration>>,
    /// The last write that the last one could know of.
    sequence: u64,
    rest_until: Option<Instant>,
}

impl Room {
    /// Starts one where something has changed since the last, and that one has rested.
    fn make(&mut self, db: Arc<DB>) {
        let ended = self.running.take_if(|running| running.is_finished()).map(JoinHandle::join);
        if let Some(took) = ended {
            self.rest_until = Some(Instant::now() + took.unwrap_or(LOOK_EVERY) * REST);
        }
        let rests = self.rest_until.is_some_and(|until| Instant::now() < until);
        let sequence = db.latest_sequence_number();
        if self.running.is_some() || rests || sequence == self.sequence {
            return;
        }
        self.sequence = sequence;
        let started = std::thread::Builder::new().name("room".to_owned()).spawn(move || compact(&db));
        // Without a thread now there may be one at the next look.
        self.running = started.ok();
    }
}

/// Compacts everything, and says how long it took. Each step takes as much room as RocksDB's largest compaction.
fn compact(db: &DB) -> Duration {
    let start = Instant::now();
    if let Err(error) = db.flush() {
        tracing::warn!(%error, "no room could be made");
        return start.elapsed();
    }
    let mut options = CompactOptions::default();
    // Others may run beside it.
    options.set_exclusive_manual_compaction(false);
    db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &options);
    start.elapsed()
}
