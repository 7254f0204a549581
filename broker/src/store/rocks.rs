//! Rows in RocksDB. The settings and why: `docs/decisions/rocksdb-settings.md`.

use super::framing::{self, Look};
use super::watermark::Watermark;
use super::{ADVICE, Disk, Store, StoreError, StoreRow, room};
use crate::sabotage::{self, Switch};
use bytes::Bytes;
use postrider_core::apply::Write;
use postrider_core::context::{Damage, Rows, Visit};
use postrider_core::key::{Key, KeyRange};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, ErrorKind, Options, ReadOptions,
    WriteBatch, WriteOptions,
};
use std::path::Path;
use std::sync::Arc;

const MEMTABLE_BYTES: usize = 32 * 1024 * 1024;
const MEMTABLES: i32 = 3;
const BLOCK_CACHE_BYTES: usize = 16 * 1024 * 1024;
/// What one compaction reads at most, below level 1, and so the room that it takes beside what it replaces.
const COMPACTION_BYTES: u64 = 512 * 1024 * 1024;
/// Bits for each key of a table.
const FILTER_BITS: f64 = 10.0;

/// Rows in a RocksDB database, shared by all clones.
#[derive(Clone)]
pub struct RocksStore {
    db: Arc<DB>,
    watermark: Option<Arc<Watermark>>,
    disk: Option<Arc<Disk>>,
}

impl RocksStore {
    /// Opens the database at `path`, and makes it where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut options = options_for(path)?;
        options.create_if_missing(true);
        Self::opened(path, DB::open(&options, path))
    }

    /// Opens the database at `path`, which must be there. A last write in its log that is not all there is left out.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Self::opened(path, DB::open(&options_for(path)?, path))
    }

    /// Opens the database at `path` with what its log has before the first damage in it.
    pub fn open_up_to_the_damage(path: &Path) -> Result<Self, StoreError> {
        Self::opened(path, DB::open(&up_to_the_damage(), path))
    }

    /// Makes a new manifest for the tables and logs at `path` that can be read, and opens that.
    pub fn rebuild(path: &Path) -> Result<Self, StoreError> {
        let mut options = options();
        // What the old manifest knew of logs does not hold for the new one.
        options.set_track_and_verify_wals_in_manifest(false);
        DB::repair(&options, path).map_err(|error| refused(path, &error))?;
        Self::opened(path, DB::open(&options, path))
    }

    /// Opens the database at `path` to read what [`Self::open_existing`] finds in it, and changes nothing. Commits fail.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Self::opened(path, DB::open_for_read_only(&options_for(path)?, path, false))
    }

    fn opened(path: &Path, db: Result<DB, rocksdb::Error>) -> Result<Self, StoreError> {
        let db = db.map_err(|error| refused(path, &error))?;
        Ok(RocksStore { db: Arc::new(db), watermark: None, disk: None })
    }

    /// The store with a watermark, which notes each commit from now on.
    pub fn guarded_by(self, watermark: Watermark) -> Self {
        RocksStore { watermark: Some(Arc::new(watermark)), ..self }
    }

    /// The store on a disk that is told what each commit takes, and that is looked after as long as both are used.
    pub fn on(self, disk: Arc<Disk>) -> Result<Self, StoreError> {
        room::keep(Arc::downgrade(&self.db), Arc::downgrade(&disk))?;
        Ok(RocksStore { disk: Some(disk), ..self })
    }

    /// The database itself, for those beside it in this room.
    pub(super) fn database(&self) -> &DB {
        &self.db
    }

    /// What it says that it was made as.
    pub fn row(&self) -> Result<Option<StoreRow>, StoreError> {
        let row = self.get(&Key::Store)?.map(StoreRow::decode).transpose();
        row.map_err(|malformed| StoreError::new(format!("the store cannot be read: {malformed}")))
    }

    /// Reads all tables, also where no row is, and compares the blocks with their checksums.
    pub fn verify_files(&self) -> Result<(), Damage> {
        self.db.verify_checksum().map_err(|error| Damage::new(format!("a table is damaged: {error}")))
    }

    /// The number of the last write; each row that is put or deleted counts.
    pub fn sequence(&self) -> u64 {
        self.db.latest_sequence_number()
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_write_buffer_number(MEMTABLES);
    // One thread writes: what lets several write at once only costs.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    options.set_compression_per_level(&[
        DBCompressionType::None,
        DBCompressionType::None,
        DBCompressionType::Lz4,
    ]);
    options.set_max_background_jobs(2);
    options.set_max_compaction_bytes(COMPACTION_BYTES);
    options.set_bytes_per_sync(1024 * 1024);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(1024 * 1024);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    blocks.set_format_version(6);
    blocks.set_bloom_filter(FILTER_BITS, false);
    options.set_block_based_table_factory(&blocks);
    options
}

/// What the database at `path` is opened with, which its logs tell. One that RocksDB would not get past is refused.
fn options_for(path: &Path) -> Result<Options, StoreError> {
    let here = path.display();
    let look = framing::look(path)
        .map_err(|error| StoreError::new(format!("the store in {here} cannot be read: {error}")))?;
    match look {
        Look::Sound => Ok(options()),
        Look::EndsTorn => Ok(up_to_the_damage()),
        Look::Damaged(file, place) => Err(StoreError::new(format!(
            "the store in {here} is damaged: {} cannot be read from {place} on; {ADVICE}",
            file.display()
        ))),
    }
}

fn up_to_the_damage() -> Options {
    let mut options = options();
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options
}

fn refused(path: &Path, error: &rocksdb::Error) -> StoreError {
    let here = path.display();
    StoreError::new(match error.kind() {
        ErrorKind::Corruption => format!("the store in {here} is damaged: {error}; {ADVICE}"),
        _ => format!("the store in {here} cannot be opened: {error}"),
    })
}

impl Store for RocksStore {
    fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for write in writes {
            match write {
                Write::Put(key, value) => batch.put(key.encode(), value),
                Write::Delete(key) => batch.delete(key.encode()),
                Write::SingleDelete(key) => batch.single_delete(key.encode()),
                // RocksDB counts an empty range as a write, but not when it reads its log again: the watermark would not
                // agree with it.
                Write::DeleteRange(range) if range.from >= range.to => {}
                Write::DeleteRange(range) => batch.delete_range(&range.from, &range.to),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(!sabotage::is(Switch::NoSync));
        self.db
            .write_opt(&batch, &options)
            .map_err(|error| StoreError::new(format!("a batch could not be stored: {error}")))?;
        if let Some(disk) = &self.disk {
            disk.wrote(batch.size_in_bytes() as u64);
        }
        self.watermark.as_ref().map_or(Ok(()), |watermark| watermark.advance(self.sequence()))
    }

    fn snapshot(&self) -> Result<Box<dyn Rows + '_>, StoreError> {
        Ok(Box::new(Snapshot { db: &self.db, snapshot: self.db.snapshot() }))
    }

    fn flush(&self) -> Result<(), StoreError> {
        // One that makes room would hold up the end.
        self.db.disable_manual_compaction();
        self.db
            .flush()
            .map_err(|error| StoreError::new(format!("the store could not be flushed: {error}")))?;
        self.watermark.as_ref().map_or(Ok(()), |watermark| watermark.sync())
    }
}

impl Rows for RocksStore {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Damage> {
        get(&self.db, key, &ReadOptions::default())
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), Damage> {
        scan(&self.db, range, ReadOptions::default(), visit)
    }
}

struct Snapshot<'a> {
    db: &'a DB,
    snapshot: rocksdb::Snapshot<'a>,
}

impl Snapshot<'_> {
    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        options
    }
}

impl Rows for Snapshot<'_> {
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Damage> {
        get(self.db, key, &self.options())
    }

    fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), Damage> {
        scan(self.db, range, self.options(), visit)
    }
}

fn get(db: &DB, key: &Key, options: &ReadOptions) -> Result<Option<Bytes>, Damage> {
    let found = db.get_pinned_opt(key.encode(), options).map_err(|error| unreadable(&error))?;
    Ok(found.map(|value| Bytes::copy_from_slice(&value)))
}

/// The only way to scan: an iterator that ends may have ended because of an error, and only its status tells.
fn scan(db: &DB, range: &KeyRange, mut options: ReadOptions, visit: &mut Visit<'_>) -> Result<(), Damage> {
    if range.from >= range.to {
        return Ok(());
    }
    options.set_iterate_upper_bound(range.to.clone());
    let mut rows = db.raw_iterator_opt(options);
    rows.seek(&range.from);
    while let Some((key, value)) = rows.item() {
        if !visit(key, value)? {
            return Ok(());
        }
        rows.next();
    }
    if sabotage::is(Switch::SkipIteratorStatus) {
        return Ok(());
    }
    rows.status().map_err(|error| unreadable(&error))
}

fn unreadable(error: &rocksdb::Error) -> Damage {
    Damage::new(format!("a row could not be read: {error}"))
}
