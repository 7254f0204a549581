//! `postrider restore`: a data directory out of a backup.

use super::verify::{Progress, Verified, look_through};
use crate::store::backup::{self, Companion};
use crate::store::{DataDir, RocksStore, StoreError, settle_in};
use postrider_protocol::reply::BackupInfo;
use std::fs;
use std::path::Path;

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub backup: BackupInfo,
    /// What it was found to hold.
    pub verified: Verified,
}

/// Makes a data directory out of a backup in the folder `from`, the newest one where no `number` is given. The directory
/// must be empty, or not there. What was restored is verified; until it was, no broker takes it for a store.
pub fn restore(
    from: &Path,
    number: Option<u32>,
    data_dir: &Path,
    report: &mut dyn FnMut(&Progress),
) -> Result<Restored, StoreError> {
    let dir = DataDir::claim_empty(data_dir)?;
    let restored = into_empty(from, number, &dir, report);
    if restored.is_err() {
        // It can be tried again with another backup.
        let _ = fs::remove_dir_all(dir.store());
    }
    restored
}

fn into_empty(
    from: &Path,
    number: Option<u32>,
    dir: &DataDir,
    report: &mut dyn FnMut(&Progress),
) -> Result<Restored, StoreError> {
    let (backup, companion) = backup::restore(from, number, dir)?;
    let damaged = |what: &str| {
        let (number, from) = (backup.number, from.display());
        StoreError::new(format!("backup {number} in {from} is damaged: {what}"))
    };
    let store = RocksStore::open_existing(&dir.store()).map_err(|error| damaged(&error.what))?;
    let Companion { identity, sequence, tokens } = companion;
    let row = store.row()?.filter(|row| row.identity == identity);
    let row = row.ok_or_else(|| damaged("the row that says what the store is is another store's"))?;
    if store.sequence() < sequence {
        let missing = sequence - store.sequence();
        return Err(damaged(&format!("its last {missing} writes are missing")));
    }
    let mut verified = look_through(&store, row, report);
    if let Some(problem) = verified.problems.first() {
        return Err(damaged(problem));
    }
    verified.watermark = Some(settle_in(dir, store, row, &tokens)?);
    Ok(Restored { backup, verified })
}
