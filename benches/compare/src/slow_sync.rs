//! Slower syncs: a library that is loaded before the C library, and checks that it was.

use crate::tree;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the Makefile builds from `benches/slow_sync`, beside this program.
const BUILT: &str = "postrider-slow-sync.so";
/// Where it has to be for every program, in the tree that the other brokers live in as well as outside.
const LIBRARY: &str = "/tmp/postrider-slow-sync.so";

/// A library in place; removed again when this goes.
pub struct SlowSync {
    delay: Duration,
    copies: Vec<PathBuf>,
}

impl SlowSync {
    /// Puts the library where programs find it.
    pub fn prepare(delay: Duration) -> Result<Self> {
        let root = tree::root()?;
        // Installing them would take as many syncs as there are files.
        ensure!(root.exists(), "{} is not there: compare once without --slow-sync first", root.display());
        let built = std::env::current_exe()?.with_file_name(BUILT);
        let copies = vec![PathBuf::from(LIBRARY), root.join(LIBRARY.trim_start_matches('/'))];
        let slow = SlowSync { delay, copies };
        for copy in &slow.copies {
            fs::copy(&built, copy)
                .with_context(|| format!("cannot copy {} to {}", built.display(), copy.display()))?;
        }
        Ok(slow)
    }

    /// What programs need in their environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("LD_PRELOAD", LIBRARY.to_owned()), ("SLOW_SYNC_US", self.delay.as_micros().to_string())]
    }
}

impl Drop for SlowSync {
    fn drop(&mut self) {
        for copy in &self.copies {
            // It is in a temporary folder: what stays there harms nobody.
            let _ = fs::remove_file(copy);
        }
    }
}

/// Fails when a process has slower syncs and should not, or the other way round.
pub fn check(pid: u32, wanted: Option<&SlowSync>) -> Result<()> {
    let path = format!("/proc/{pid}/maps");
    let maps = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let name = Path::new(LIBRARY).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let loaded = maps.contains(name);
    ensure!(loaded || wanted.is_none(), "process {pid} has not loaded {LIBRARY}");
    ensure!(!loaded || wanted.is_some(), "process {pid} was started with slower syncs: end it first");
    Ok(())
}
