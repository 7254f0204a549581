//! How far the store had come: a small file beside the database that says which write was the last one on stable
//! storage. RocksDB takes synced records that are missing at the end of its log for a torn write and starts without
//! them; the watermark tells. Why so: `docs/decisions/watermark.md`.
//!
//! Two slots are written in turn, so that one is whole whatever happens to the other. Each has a sector of its own:
//!
//! ```text
//! slot = "PRWATER1" | u128 cluster | u64 node | u64 sequence | zeros up to 508 bytes | u32 CRC-32 of all before
//! ```

use super::{Identity, StoreError};
use bytes::{Buf, BufMut};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of a slot; the least that a disk writes whole.
const SLOT: usize = 512;
/// Bytes from one slot to the next: no disk of today writes both at once.
const STRIDE: u64 = 4096;
const MAGIC: &[u8; 8] = b"PRWATER1";
/// The file is synced so often while there are commits: what a power cut can take the watermark back.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Whose store it is about.
    pub identity: Identity,
    /// The number of the last write that was durable; 0 before the first.
    pub sequence: u64,
}

/// What is at the place of a watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No file.
    Nothing,
    /// A file without a sound slot.
    Unreadable,
    /// The newest sound slot.
    Mark(Mark),
}

impl Mark {
    fn encode(&self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        let mut out = &mut slot[..];
        out.put_slice(MAGIC);
        out.put_u128(self.identity.cluster);
        out.put_u64(self.identity.node);
        out.put_u64(self.sequence);
        let sum = crc32fast::hash(&slot[..SLOT - 4]);
        slot[SLOT - 4..].copy_from_slice(&sum.to_be_bytes());
        slot
    }

    fn decode(slot: &[u8; SLOT]) -> Option<Mark> {
        let (content, mut sum) = slot.split_at(SLOT - 4);
        let mut content =
            content.strip_prefix(MAGIC).filter(|_| sum.get_u32() == crc32fast::hash(content))?;
        let identity = Identity { cluster: content.get_u128(), node: content.get_u64() };
        Some(Mark { identity, sequence: content.get_u64() })
    }
}

/// Reads the watermark at `path`.
pub fn read(path: &Path) -> Result<Found, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let mut marks = Vec::new();
    for place in [0, STRIDE] {
        let mut slot = [0; SLOT];
        match file.read_exact_at(&mut slot, place) {
            Ok(()) => marks.extend(Mark::decode(&slot)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(unreadable(path, &error)),
        }
    }
    Ok(marks.into_iter().max_by_key(|mark| mark.sequence).map_or(Found::Unreadable, Found::Mark))
}

/// Puts a watermark where there is none, or in the place of another. The file is whole at every moment.
pub fn stamp(path: &Path, mark: Mark) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let written = File::create(&new).and_then(|file| {
        file.write_all_at(&mark.encode(), 0)?;
        file.write_all_at(&mark.encode(), STRIDE)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&new, path)).and_then(|()| match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    });
    placed.map_err(|error| unwritable(path, &error))
}

/// The watermark of an open store.
pub struct Watermark {
    shared: Arc<Shared>,
    syncing: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    file: File,
    identity: Identity,
    state: Mutex<State>,
    /// Wakes whoever syncs: there is something to sync, or nothing more will come.
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Which of the slots is written next.
    second: bool,
    unsynced: bool,
    closed: bool,
    /// Why the file could not be synced.
    failed: Option<StoreError>,
}

impl Watermark {
    /// Opens the watermark at `path`, which is `mark` now, and starts the thread that syncs it.
    pub fn open(path: &Path, mark: Mark) -> Result<Self, StoreError> {
        let file = OpenOptions::new().write(true).open(path).map_err(|error| unwritable(path, &error))?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            file,
            identity: mark.identity,
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let theirs = shared.clone();
        let syncing = std::thread::Builder::new()
            .name("watermark".to_owned())
            .spawn(move || theirs.keep_synced())
            .map_err(|error| unwritable(path, &error))?;
        let watermark = Watermark { shared, syncing: Some(syncing) };
        watermark.advance(mark.sequence)?;
        watermark.sync()?;
        Ok(watermark)
    }

    /// Notes that everything up to `sequence` is on stable storage. It must be, by now.
    ///
    /// Only hands the bytes to the system: a watermark that a power cut takes back is too low, which is not wrong.
    pub fn advance(&self, sequence: u64) -> Result<(), StoreError> {
        let mark = Mark { identity: self.shared.identity, sequence };
        let mut state = self.shared.state();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        let place = if state.second { STRIDE } else { 0 };
        state.second = !state.second;
        let written = self.shared.file.write_all_at(&mark.encode(), place);
        written.map_err(|error| unwritable(&self.shared.path, &error))?;
        if !std::mem::replace(&mut state.unsynced, true) {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Puts what was noted on stable storage as well.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.shared.file.sync_data().map_err(|error| unwritable(&self.shared.path, &error))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs when there is something to sync, at most once in [`SYNC_EVERY`]. A failure is told by the next advance.
    fn keep_synced(&self) {
        while self.has_more() {
            if let Err(error) = self.file.sync_data() {
                self.state().failed = Some(unwritable(&self.path, &error));
                return;
            }
            let waited = self.wake.wait_timeout_while(self.state(), SYNC_EVERY, |state| !state.closed);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits for something to sync; false when the store is closed.
    fn has_more(&self) -> bool {
        let waited = self.wake.wait_while(self.state(), |state| !state.unsynced && !state.closed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.unsynced = false;
        !state.closed
    }
}

impl Drop for Watermark {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.wake.notify_one();
        // Its panic has been reported already.
        let _ = self.syncing.take().map(JoinHandle::join);
    }
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(format!("the watermark {} cannot be read: {error}", path.display()))
}

fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(format!("the watermark {} could not be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { identity: Identity { cluster: 1 << 100, node: 1 }, sequence: 41 };

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watermark");
        (dir, path)
    }

    #[test]
    fn the_newest_sound_slot_counts() {
        let (_dir, path) = place();
        assert_eq!(read(&path), Ok(Found::Nothing));
        stamp(&path, MARK).unwrap();
        assert_eq!(read(&path), Ok(Found::Mark(MARK)));
        let watermark = Watermark::open(&path, MARK).unwrap();
        watermark.advance(50).unwrap();
        watermark.advance(60).unwrap();
        watermark.sync().unwrap();
        assert_eq!(read(&path), Ok(Found::Mark(Mark { sequence: 60, ..MARK })));
        // Opening wrote the first slot, 50 went into the second and 60 into the first again.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[1], 300).unwrap();
        assert_eq!(read(&path), Ok(Found::Mark(Mark { sequence: 50, ..MARK })), "a torn slot does not count");
        file.write_all_at(&[1], STRIDE + 300).unwrap();
        assert_eq!(read(&path), Ok(Found::Unreadable));
        file.set_len(0).unwrap();
        assert_eq!(read(&path), Ok(Found::Unreadable));
    }

    #[test]
    fn every_flipped_bit_of_a_slot_is_noticed() {
        let slot = MARK.encode();
        assert_eq!(Mark::decode(&slot), Some(MARK));
        for bit in 0..SLOT * 8 {
            let mut flipped = slot;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_sync_that_failed_is_told_by_the_next_advance() {
        let (_dir, path) = place();
        stamp(&path, MARK).unwrap();
        let watermark = Watermark::open(&path, MARK).unwrap();
        let failure = StoreError::new("the disk");
        watermark.shared.state().failed = Some(failure.clone());
        assert_eq!(watermark.advance(42), Err(failure));
    }
}
