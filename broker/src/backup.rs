//! Backups for whoever asks: where they are kept, and one at a time. What comes over the wire is never a path.

use crate::store::backup::{self, Companion, Made};
use crate::store::{DataDir, Disk, Identity, RocksStore, StoreError};
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits::LISTING_ENTRIES;
use postrider_protocol::reply::Reply;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What is asked about backups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Make one, and remove all but the newest so many; 0: remove none.
    Make(u32),
    /// Which ones are there?
    List,
}

/// The backups of a broker.
pub struct Backups {
    kept: Option<Kept>,
    /// Held while one is made.
    making: Mutex<()>,
}

/// What is backed up, and where to.
struct Kept {
    to: PathBuf,
    data_dir: PathBuf,
    tokens: PathBuf,
    store: RocksStore,
    identity: Identity,
    disk: Arc<Disk>,
}

impl Backups {
    /// Backups of the store of `dir` in the folder `to`, which must be outside of `dir`.
    pub fn new(
        to: &Path,
        dir: &DataDir,
        store: RocksStore,
        identity: Identity,
        disk: Arc<Disk>,
    ) -> Result<Self, StoreError> {
        let data_dir = dir.path().to_owned();
        let (inner, outer) = (std::path::absolute(to), std::path::absolute(&data_dir));
        if let (Ok(inner), Ok(outer)) = (inner, outer)
            && inner.starts_with(&outer)
        {
            let (to, dir) = (to.display(), data_dir.display());
            return Err(StoreError::new(format!(
                "backup_dir: {to} is inside of the data directory {dir}; choose a folder outside, best on another disk"
            )));
        }
        let kept = Kept { to: to.to_owned(), tokens: dir.tokens(), data_dir, store, identity, disk };
        Ok(Backups { kept: Some(kept), making: Mutex::default() })
    }

    /// No place for backups: all that is asked is refused.
    pub fn nowhere() -> Self {
        Backups { kept: None, making: Mutex::default() }
    }

    /// Does what is asked, which can take long.
    pub fn answer(&self, ask: Ask) -> Reply {
        let Some(kept) = &self.kept else {
            let text = "the broker has no place for backups; start it with --backup-dir";
            return Reply::Refused(Refusal::new(ErrorCode::Disabled, text));
        };
        let done = match ask {
            Ask::List => kept.list(),
            Ask::Make(keep) => match self.making.try_lock() {
                Ok(_making) => kept.make(keep),
                Err(_) => Err(Refusal::new(ErrorCode::Busy, "a backup is being made")),
            },
        };
        done.unwrap_or_else(Reply::Refused)
    }

    /// Waits until none is being made.
    pub fn finish(&self) {
        drop(self.making.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Kept {
    fn list(&self) -> Result<Reply, Refusal> {
        let mut backups = backup::list(&self.to).map_err(unavailable)?;
        let older = backups.len().saturating_sub(LISTING_ENTRIES as usize);
        backups.drain(..older);
        Ok(Reply::Backups(backups))
    }

    fn make(&self, keep: u32) -> Result<Reply, Refusal> {
        if self.disk.is_full() && self.shares_the_disk() {
            let text = "the disk is nearly full, and backups are kept on the same one";
            return Err(Refusal::new(ErrorCode::StorageFull, text));
        }
        tracing::info!(to = %self.to.display(), "a backup begins");
        let start = Instant::now();
        let made = self.create(keep).inspect_err(|error| tracing::error!(%error, "the backup failed"));
        let Made { backup, added_bytes } = made.map_err(unavailable)?;
        let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(number = backup.number, backup.bytes, added_bytes, duration_ms, "a backup was made");
        Ok(Reply::BackedUp { backup, added_bytes, duration_ms })
    }

    fn create(&self, keep: u32) -> Result<Made, StoreError> {
        let tokens = std::fs::read(&self.tokens)
            .map_err(|error| StoreError::new(format!("{} cannot be read: {error}", self.tokens.display())))?;
        let companion =
            Companion { identity: self.identity, sequence: self.store.sequence(), tokens: tokens.into() };
        backup::create(&self.store, &self.to, &companion, keep)
    }

    fn shares_the_disk(&self) -> bool {
        let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
        device(&self.to) == device(&self.data_dir)
    }
}

fn unavailable(error: StoreError) -> Refusal {
    Refusal::new(ErrorCode::Unavailable, error.what)
}
