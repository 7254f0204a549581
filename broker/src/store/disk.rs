//! How much room the disk has. Publishers are refused before it is full, so that what makes room can still be stored:
//! settling, deleting, compaction. Why a reserve: `docs/operations.md`, "Disk".

use super::StoreError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The least reserve where none is set.
const LEAST_RESERVE: u64 = 1 << 30;
/// The share of the file system that is the reserve where none is set: one part of so many.
const SHARE: u64 = 20;
/// The disk is looked at after so many bytes were committed, at most.
const LOOK_AFTER: u64 = 16 << 20;
/// One part of so many of the reserve has to be free beyond it before publishers may go on: what is freed and what is
/// written at the edge would otherwise change it with each look.
const MARGIN: u64 = 16;

/// The room on the file system of a data directory, and whether it is little.
pub struct Disk {
    path: PathBuf,
    /// Bytes that are left to those who make room; 0: none.
    reserve: u64,
    free: AtomicU64,
    full: AtomicBool,
    /// Bytes committed since the last look.
    written: AtomicU64,
}

impl Disk {
    /// The file system of `path`. Without a `reserve`, the larger of 1 GiB and 5 % of it is kept; with 0, nothing.
    pub fn of(path: &Path, reserve: Option<u64>) -> Result<Arc<Disk>, StoreError> {
        let (_, size) = measure(path).map_err(|error| unreadable(path, error))?;
        let reserve = reserve.unwrap_or((size / SHARE).max(LEAST_RESERVE));
        let disk = Arc::new(Disk { path: path.to_owned(), reserve, ..Disk::unwatched() });
        disk.look();
        Ok(disk)
    }

    /// A disk that nobody looks at, and that is never full.
    pub fn unwatched() -> Disk {
        Disk {
            path: PathBuf::new(),
            reserve: 0,
            free: AtomicU64::new(0),
            full: AtomicBool::new(false),
            written: AtomicU64::new(0),
        }
    }

    /// Whether there is no more room than the reserve.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Bytes that were free at the last look.
    pub fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Bytes that are left to those who make room.
    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Notes that so many bytes were committed; looks where these were many.
    pub fn wrote(&self, bytes: u64) {
        let written = self.written.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.reserve > 0 && written >= LOOK_AFTER.min(self.reserve / MARGIN) {
            self.look();
        }
    }

    /// Looks how much is free.
    pub fn look(&self) {
        self.written.store(0, Ordering::Relaxed);
        match measure(&self.path) {
            Ok((free, _)) => self.found(free),
            // What was known last still holds until a commit says otherwise.
            Err(error) => tracing::warn!("{}", unreadable(&self.path, error)),
        }
    }

    fn found(&self, free: u64) {
        self.free.store(free, Ordering::Relaxed);
        let is_full = is_full(self.is_full(), free, self.reserve);
        if self.full.swap(is_full, Ordering::Relaxed) == is_full {
            return;
        }
        let reserve = self.reserve;
        if is_full {
            tracing::warn!(
                free,
                reserve,
                "the disk is nearly full: publishers are refused until there is room"
            );
        } else {
            tracing::warn!(free, reserve, "the disk has room again: publishers may go on");
        }
    }
}

/// Whether so many free bytes are too few; once they were, it takes some more.
fn is_full(was: bool, free: u64, reserve: u64) -> bool {
    let margin = if was { reserve / MARGIN } else { 0 };
    free < reserve.saturating_add(margin)
}

/// Free bytes and size of a file system, as those see them who are not root.
pub fn measure(path: &Path) -> Result<(u64, u64), rustix::io::Errno> {
    let found = rustix::fs::statvfs(path)?;
    Ok((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

fn unreadable(path: &Path, error: rustix::io::Errno) -> StoreError {
    StoreError::new(format!("the free space of {} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_below_its_reserve_until_there_is_a_margin() {
        assert!(!is_full(false, 1600, 1600));
        assert!(is_full(false, 1599, 1600));
        assert!(is_full(true, 1699, 1600), "a little more than the reserve is not enough to go on");
        assert!(!is_full(true, 1700, 1600));
        assert!(!is_full(false, 0, 0) && !is_full(true, 0, 0), "without a reserve it is never full");
    }

    #[test]
    fn many_bytes_committed_are_a_reason_to_look() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk { path: dir.path().to_owned(), reserve: u64::MAX / 2, ..Disk::unwatched() };
        disk.wrote(LOOK_AFTER - 1);
        assert!(!disk.is_full() && disk.free() == 0);
        disk.wrote(1);
        assert!(disk.is_full() && disk.free() > 0);
        assert_eq!(disk.written.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_reserve_is_a_share_of_the_file_system_where_none_is_set() {
        let dir = tempfile::tempdir().unwrap();
        let size = measure(dir.path()).unwrap().1;
        assert_eq!(Disk::of(dir.path(), None).unwrap().reserve(), (size / 20).max(1 << 30));
        let none = Disk::of(dir.path(), Some(0)).unwrap();
        assert!(none.reserve() == 0 && none.free() > 0 && !none.is_full());
    }
}
