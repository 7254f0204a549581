//! A small file system of its own, on a file behind a loop device.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Bytes of the file system.
const SIZE: u64 = 256 << 20;

/// A mounted ext4; unmounted when it is dropped.
pub struct Volume {
    folder: TempDir,
}

impl Volume {
    /// Makes and mounts one. Where that is not allowed the test cannot say anything, and fails.
    pub fn mount() -> Volume {
        let volume = Volume { folder: tempfile::tempdir().expect("a temporary directory") };
        let image = volume.folder.path().join("image");
        File::create(&image).and_then(|file| file.set_len(SIZE)).expect("a sparse file");
        fs::create_dir(volume.path()).expect("a folder to mount at");
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(volume.path()));
        volume
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.path()).expect("it is mounted");
        found.f_bavail * found.f_frsize
    }

    /// A file of somebody else that leaves so many bytes.
    pub fn fill_up_to(&self, left: u64) {
        let file = File::create(self.foreign()).expect("a file");
        let bytes = self.free().saturating_sub(left);
        let all = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(file, all, 0, bytes).expect("there is as much");
    }

    /// Removes that file.
    pub fn clear(&self) {
        fs::remove_file(self.foreign()).expect("it is there");
    }

    fn foreign(&self) -> PathBuf {
        self.path().join("foreign")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        unmount(&self.path());
    }
}

fn unmount(path: &Path) {
    // What is still in use goes when it is not any more.
    let _ = Command::new("umount").arg("-l").arg(path).status();
}

fn run(command: &mut Command) {
    let done = command.output().map(|output| output.status.success());
    assert!(matches!(done, Ok(true)), "this test needs root and a loop device: {command:?} came to {done:?}");
}
