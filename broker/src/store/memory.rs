//! A store in memory that behaves like the real one, and can forget what was not synced: a power cut as a function.

use super::{Store, StoreError};
use bytes::Bytes;
use postrider_core::apply::Write;
use postrider_core::context::{Damage, Rows, Visit};
use postrider_core::key::{Key, KeyRange};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Map = BTreeMap<Vec<u8>, Bytes>;

#[derive(Debug, Default)]
struct Disk {
    rows: Map,
    synced: Map,
    syncs_fail: bool,
}

/// Rows in memory, shared by all clones.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on batches are written, but their sync fails: what they wrote may or may not be there later.
    pub fn fail_syncs(&self) {
        self.disk().syncs_fail = true;
    }

    /// Forgets everything that was not synced.
    pub fn cut_power(&self) {
        let mut disk = self.disk();
        disk.rows = disk.synced.clone();
        disk.syncs_fail = false;
    }

    /// A copy of all rows.
    pub fn rows(&self) -> BTreeMap<Vec<u8>, Bytes> {
        self.disk().rows.clone()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut disk = self.disk();
        for write in writes {
            apply_write(&mut disk.rows, write);
        }
        if disk.syncs_fail {
            return Err(StoreError::new("the sync failed"));
        }
        for write in writes {
            apply_write(&mut disk.synced, write);
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn Rows + '_>, StoreError> {
        let disk = Disk { rows: self.rows(), ..Disk::default() };
        Ok(Box::new(MemoryStore { disk: Arc::new(Mutex::new(disk)) }))
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn apply_write(rows: &mut Map, write: &Write) {
    match write {
        Write::Put(key, value) => _ = rows.insert(key.encode(), value.clone()),
        Write::Delete(key) | Write::SingleDelete(key) => _ = rows.remove(&key.encode()),
        Write::DeleteRange(range) => {
            let doomed: Vec<_> = in_range(rows, range).map(|(key, _)| key.clone()).collect();
            for key in doomed {
                rows.remove(&key);
            }
        }
    }
}

fn in_range<'a>(rows: &'a Map, range: &KeyRange) -> impl Iterator<Item = (&'a Vec<u8>, &'a Bytes)> {
    let to = range.to.clone().max(range.from.clone());
    rows.range(range.from.clone()..to)
}

impl Rows for MemoryStore {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Damage> {
        Ok(self.disk().rows.get(&key.encode()).cloned())
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), Damage> {
        let rows: Vec<_> =
            in_range(&self.disk().rows, range).map(|(key, value)| (key.clone(), value.clone())).collect();
        for (key, value) in rows {
            if !visit(&key, &value)? {
                break;
            }
        }
        Ok(())
    }
}
