//! A small disk of its own, and somebody else's file on it.

use postrider_tests::disk::Disk;
use std::fs::{self, File};
use std::path::PathBuf;

/// Bytes of the disk.
const SIZE: u64 = 256 << 20;

/// A mounted disk; unmounted when it is dropped.
pub struct Volume {
    disk: Disk,
}

impl Volume {
    /// Makes and mounts one. Where that is not allowed the test cannot say anything, and fails.
    pub fn mount() -> Volume {
        let disk = Disk::new(SIZE);
        disk.mount();
        Volume { disk }
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.disk.root()
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.path()).expect("it is mounted");
        found.f_bavail * found.f_frsize
    }

    /// Lets somebody else's file grow until so many bytes are left.
    pub fn fill_up_to(&self, left: u64) {
        let file = File::options().create(true).append(true).open(self.foreign()).expect("a file");
        let (has, more) = (file.metadata().expect("a file").len(), self.free().saturating_sub(left));
        if more > 0 {
            let all = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(file, all, has, more).expect("there is as much");
        }
    }

    /// Removes that file.
    pub fn clear(&self) {
        fs::remove_file(self.foreign()).expect("it is there");
    }

    fn foreign(&self) -> PathBuf {
        self.path().join("foreign")
    }
}
