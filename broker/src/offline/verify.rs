//! `postrider verify`: whether a store is all there and adds up. Changes nothing.

use super::rows::Tally;
use crate::store::{DataDir, Examined, RocksStore, StoreError, StoreRow, examine};
use bytes::Bytes;
use postrider_core::context::{Now, Rows};
use postrider_core::key::{Key, KeyRange};
use postrider_core::shard::Shard;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Problems that are told one by one; a damaged table can have any number of them.
const TOLD: usize = 20;
/// Rows between two reports of progress.
const ROWS_PER_REPORT: u64 = 1024;

/// How far a look at all rows has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// What a store was found to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Shards of the store.
    pub shards: u16,
    /// Queues, topics and subscriptions.
    pub entities: u64,
    /// Messages in queues.
    pub messages: u64,
    /// What was read.
    pub read: Progress,
    /// Writes that the store has; each row that was put or deleted counts.
    pub writes: u64,
    /// Writes that its watermark counts.
    pub watermark: Option<u64>,
    /// What is wrong, in words; empty for a sound store.
    pub problems: Vec<String>,
    /// Problems beyond those.
    pub more_problems: u64,
}

impl Verified {
    fn problem(&mut self, problem: impl Into<String>) {
        if self.problems.len() < TOLD {
            self.problems.push(problem.into());
        } else {
            self.more_problems += 1;
        }
    }
}

/// Reads everything in the store of a data directory, and tells `report` now and then how far it has come. An error
/// says why nothing could be looked at.
pub fn verify(data_dir: &Path, report: &mut dyn FnMut(&Progress)) -> Result<Verified, StoreError> {
    verify_in(&DataDir::claim_existing(data_dir)?, report)
}

/// The same in a directory that is this process's own.
pub fn verify_in(dir: &DataDir, report: &mut dyn FnMut(&Progress)) -> Result<Verified, StoreError> {
    let Examined { store, row, watermark, problem } = examine(dir)?;
    let mut verified = match (store, row) {
        (Some(store), Some(row)) => look_through(&store, row, report),
        _ => Verified::default(),
    };
    verified.watermark = watermark;
    problem.into_iter().for_each(|problem| verified.problem(problem.what));
    Ok(verified)
}

/// Reads everything in a store.
pub fn look_through(store: &RocksStore, row: StoreRow, report: &mut dyn FnMut(&Progress)) -> Verified {
    let mut verified = Verified { shards: row.shards, writes: store.sequence(), ..Verified::default() };
    if let Err(error) = store.verify_files() {
        verified.problem(error.what);
    }
    read_all(store, &mut verified, report);
    load_all(store, &mut verified);
    verified
}

/// Reads every row, and compares what was found with what is counted.
fn read_all(store: &RocksStore, verified: &mut Verified, report: &mut dyn FnMut(&Progress)) {
    let mut tally = match Tally::new(store, verified.shards) {
        Ok(tally) => tally,
        Err(damage) => return verified.problem(damage.what),
    };
    let everything = KeyRange { from: Vec::new(), to: vec![u8::MAX; 2] };
    let scanned = store.scan(&everything, &mut |bytes, value| {
        verified.read.rows += 1;
        verified.read.bytes += (bytes.len() + value.len()) as u64;
        if verified.read.rows.is_multiple_of(ROWS_PER_REPORT) {
            report(&verified.read);
        }
        match Key::decode(bytes) {
            Err(damage) => verified.problem(damage.what),
            Ok(key) => {
                let read = tally.add(&key, shard_of(bytes), Bytes::copy_from_slice(value));
                read.unwrap_or_else(|damage| verified.problem(format!("{key:?}: {damage}")));
            }
        }
        Ok(true)
    });
    (verified.entities, verified.messages) = (tally.entities, tally.messages);
    match scanned {
        Ok(()) => tally.wrong_counters().for_each(|wrong| verified.problem(wrong)),
        Err(damage) => verified.problem(damage.what),
    }
}

/// The shard in a key's bytes: behind the kind, in all rows but the store's own.
fn shard_of(key: &[u8]) -> Option<u16> {
    key.get(1..3).map(|shard| u16::from_be_bytes([shard[0], shard[1]]))
}

/// Builds every shard as a start does, which checks that its rows agree with each other.
fn load_all(store: &RocksStore, verified: &mut Verified) {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Now { wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), mono_ms: 0 };
    for shard in 0..verified.shards {
        if let Err(damage) = Shard::load(shard, store, now) {
            verified.problem(format!("shard {shard}: {damage}"));
        }
    }
}
