//! The data directory: what is where in it, and the lock that makes it one process's own.

use super::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data directory that nobody else has. Locked as long as it lives; the system lets go of it however the process
/// ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the data directory this process's own, and makes it where there is none.
    pub fn claim(path: &Path) -> Result<Self, StoreError> {
        let here = path.display();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| StoreError::new(format!("the data directory {here} cannot be made: {error}")))?;
        Self::lock(path)
    }

    /// The same for one that must be there.
    pub fn claim_existing(path: &Path) -> Result<Self, StoreError> {
        if !path.join(STORE).is_dir() {
            return Err(StoreError::new(format!(
                "{} is not a data directory: it has no {STORE}/",
                path.display()
            )));
        }
        Self::lock(path)
    }

    /// The same for one that has nothing in it yet, and is made where there is none.
    pub fn claim_empty(path: &Path) -> Result<Self, StoreError> {
        let dir = Self::claim(path)?;
        let here = path.display();
        let mut entries = fs::read_dir(path)
            .map_err(|error| StoreError::new(format!("the data directory {here} cannot be read: {error}")))?;
        match entries.find(|entry| !entry.as_ref().is_ok_and(|entry| entry.file_name() == LOCK)) {
            None => Ok(dir),
            Some(_) => {
                Err(StoreError::new(format!("the data directory {here} is not empty; choose another")))
            }
        }
    }

    fn lock(path: &Path) -> Result<Self, StoreError> {
        let here = path.display();
        let file = File::create(path.join(LOCK))
            .map_err(|error| StoreError::new(format!("{here} cannot be written: {error}")))?;
        match file.try_lock() {
            Ok(()) => Ok(DataDir { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::new(format!(
                "the data directory {here} is in use by another broker; stop it, or choose another with --data-dir"
            ))),
            Err(TryLockError::Error(error)) => {
                Err(StoreError::new(format!("the data directory {here} cannot be locked: {error}")))
            }
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database is.
    pub fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Where the digests of tokens are.
    pub fn tokens(&self) -> PathBuf {
        self.path.join("tokens")
    }

    /// Writes that file, for the owner only.
    pub fn write_tokens(&self, tokens: &[u8]) -> Result<(), StoreError> {
        let path = self.tokens();
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(tokens).and_then(|()| file.sync_all()));
        written.map_err(|error| StoreError::new(format!("{} cannot be written: {error}", path.display())))
    }

    /// Where its watermark is: beside it, since RocksDB deletes what it does not know.
    pub fn watermark(&self) -> PathBuf {
        self.path.join("watermark")
    }

    /// Where a copy of the database is recovered.
    pub fn salvaged(&self) -> PathBuf {
        self.path.join("store.recovering")
    }

    /// Where a recovery leaves word for the next start.
    pub fn note(&self) -> PathBuf {
        self.path.join("recovered")
    }

    /// The word that a recovery has left, once.
    pub fn take_note(&self) -> Option<String> {
        let note = fs::read_to_string(self.note()).ok()?;
        // Where it cannot be put aside it is told again.
        let _ = fs::rename(self.note(), self.note().with_extension("told"));
        Some(note)
    }
}

const STORE: &str = "store";
const LOCK: &str = "lock";
