//! Backups of a store that is open, and a store out of one. RocksDB's backup engine copies what is new: tables never
//! change, so that backups share them. With each goes what a data directory needs beside its store:
//!
//! ```text
//! companion = u8 version 1 | u128 cluster | u64 node | u64 sequence, which the store had come to | blob, the file tokens
//! ```

use super::{DataDir, Identity, RocksStore, StoreError};
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::reply::BackupInfo;
use postrider_protocol::wire::{self, Malformed, Read, Reader};
use rocksdb::Env;
use rocksdb::backup::{
    BackupEngine, BackupEngineInfo, BackupEngineOptions, CreateBackupOptions, RestoreOptions,
};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

const VERSION: u8 = 1;

/// What a backup holds beside the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// Whose store it is.
    pub identity: Identity,
    /// A write that the backup has, and all before it.
    pub sequence: u64,
    /// The file `tokens`, which has digests only.
    pub tokens: Bytes,
}

impl Companion {
    fn encode(&self) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        out.put_u128(self.identity.cluster);
        out.put_u64(self.identity.node);
        out.put_u64(self.sequence);
        wire::put_blob(&mut out, &self.tokens);
        out
    }

    fn decode(bytes: Vec<u8>) -> Read<Self> {
        let mut reader = Reader::new(bytes.into());
        let version = reader.u8("backup.version")?;
        if version != VERSION {
            return Err(Malformed::new(
                "backup.version",
                format!("is {version}, this version reads {VERSION}"),
            ));
        }
        let identity = Identity { cluster: reader.u128("backup.cluster")?, node: reader.u64("backup.node")? };
        let companion = Companion {
            identity,
            sequence: reader.u64("backup.sequence")?,
            tokens: reader.blob("backup.tokens")?,
        };
        reader.finish()?;
        Ok(companion)
    }
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The backup.
    pub backup: BackupInfo,
    /// Bytes of the files that were not there before.
    pub added_bytes: u64,
}

/// Makes a backup of `store`, which may be written to meanwhile, in the folder `to`, which is made where there is none. It
/// has everything that was committed before. Then all but the newest `keep` backups go, if that is not 0.
pub fn create(store: &RocksStore, to: &Path, companion: &Companion, keep: u32) -> Result<Made, StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(to);
    made.map_err(|error| unusable(to, &error))?;
    let mut engine = open(to)?;
    if let Some(found) =
        backups(&engine, to)?.into_iter().find(|found| found.1.identity != companion.identity)
    {
        let other = found.1.identity.cluster;
        return Err(StoreError::new(format!("{} has backups of another store, {other:032x}", to.display())));
    }
    let before = size(to).map_err(|error| unusable(to, &error))?;
    let mut options = CreateBackupOptions::default();
    // What is in a table is shared with the next backup; the log is copied whole.
    options.set_flush_before_backup(true);
    let number = engine
        .create_new_backup_with_metadata(store.database(), &options, &companion.encode())
        .map_err(|error| StoreError::new(format!("no backup could be made in {}: {error}", to.display())))?;
    let after = size(to).map_err(|error| unusable(to, &error))?;
    let found = backups(&engine, to)?.into_iter().find(|(backup, _)| backup.number == number);
    let (backup, _) = found.ok_or_else(|| damaged(to, number, "it is not there"))?;
    if keep > 0 {
        engine.purge_old_backups(keep as usize).map_err(|error| {
            StoreError::new(format!("backup {number} was made, older ones could not be removed: {error}"))
        })?;
    }
    Ok(Made { backup, added_bytes: after.saturating_sub(before) })
}

/// The backups in a folder, the oldest first; none where there is no such folder.
pub fn list(from: &Path) -> Result<Vec<BackupInfo>, StoreError> {
    if !from.join(META).is_dir() {
        return Ok(Vec::new());
    }
    Ok(backups(&open(from)?, from)?.into_iter().map(|(backup, _)| backup).collect())
}

/// Puts the database of a backup, the newest one where no `number` is given, where `to` has its store.
pub fn restore(
    from: &Path,
    number: Option<u32>,
    to: &DataDir,
) -> Result<(BackupInfo, Companion), StoreError> {
    let newest = newest(from)?;
    let number = number.unwrap_or(newest);
    let mut engine = open(from)?;
    let found = backups(&engine, from)?;
    let (backup, companion) = found
        .iter()
        .find(|(backup, _)| backup.number == number)
        .cloned()
        .ok_or_else(|| missing(from, number, &found))?;
    engine.verify_backup(number).map_err(|error| damaged(from, number, error.as_ref()))?;
    let (store, options) = (to.store(), RestoreOptions::default());
    engine
        .restore_from_backup(&store, &store, &options, number)
        .map_err(|error| damaged(from, number, error.as_ref()))?;
    Ok((backup, companion))
}

/// The number of the newest backup. RocksDB leaves out those that it cannot read; the names of their files tell.
fn newest(from: &Path) -> Result<u32, StoreError> {
    let entries = fs::read_dir(from.join(META)).map_err(|error| unusable(from, &error))?;
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.max().ok_or_else(|| StoreError::new(format!("there is no backup in {}", from.display())))
}

fn open(path: &Path) -> Result<BackupEngine, StoreError> {
    let opened =
        BackupEngineOptions::new(path).and_then(|options| BackupEngine::open(&options, &Env::new()?));
    opened.map_err(|error| unusable(path, &error))
}

fn backups(engine: &BackupEngine, path: &Path) -> Result<Vec<(BackupInfo, Companion)>, StoreError> {
    let read = |info: BackupEngineInfo| {
        let backup = BackupInfo {
            number: info.backup_id,
            when_ms: u64::try_from(info.timestamp).unwrap_or_default().saturating_mul(1000),
            files: info.num_files,
            bytes: info.size,
        };
        let companion = Companion::decode(info.app_metadata);
        companion
            .map(|companion| (backup, companion))
            .map_err(|malformed| damaged(path, info.backup_id, &malformed.to_string()))
    };
    engine.get_backup_info().into_iter().map(read).collect()
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { size(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}

/// Where RocksDB keeps a file for each backup, named by its number.
const META: &str = "meta";

fn missing(path: &Path, number: u32, found: &[(BackupInfo, Companion)]) -> StoreError {
    let sound: Vec<_> = found.iter().map(|(backup, _)| backup.number.to_string()).collect();
    let what = match path.join(META).join(number.to_string()).exists() {
        true => return damaged(path, number, &format!("it cannot be read; there are {}", sound.join(", "))),
        false => format!("there is no backup {number} in {}; there are {}", path.display(), sound.join(", ")),
    };
    StoreError::new(what)
}

fn damaged(path: &Path, number: u32, what: &str) -> StoreError {
    StoreError::new(format!("backup {number} in {} is damaged: {what}", path.display()))
}

fn unusable(path: &Path, error: &impl std::fmt::Display) -> StoreError {
    StoreError::new(format!("there can be no backups in {}: {error}", path.display()))
}
