//! A limit of memory for a process, page cache included, where the machine lets the tests set one.

use std::fs;
use std::path::{Path, PathBuf};

const MEMORY: &str = "/sys/fs/cgroup/memory";

/// A group of processes with a limit. Gone when dropped, which its processes must be before.
#[derive(Debug)]
pub struct Limited {
    dir: PathBuf,
}

impl Limited {
    /// A group that may have so many bytes; `None` where none can be made.
    pub fn to(bytes: u64) -> Option<Limited> {
        let dir = Path::new(MEMORY).join(format!("postrider-{}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        let group = Limited { dir };
        fs::write(group.dir.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        Some(group)
    }

    /// Puts a process into it.
    pub fn take(&self, process: u32) {
        fs::write(self.dir.join("cgroup.procs"), process.to_string()).expect("a process can be moved");
    }

    /// The most that it had at any time, in bytes.
    pub fn most(&self) -> u64 {
        let text = fs::read_to_string(self.dir.join("memory.max_usage_in_bytes")).expect("it is counted");
        text.trim().parse().expect("a number of bytes")
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // A group that is left behind is empty and harms nobody.
        let _ = fs::remove_dir(&self.dir);
    }
}
