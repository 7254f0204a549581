//! How long the disk takes to make a small append durable: the figure that all others stand beside.

use crate::load::latencies;
use anyhow::Result;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const APPENDS: usize = 500;
const APPEND_BYTES: usize = 4096;

/// Microseconds of an append of 4 KiB with its fdatasync.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SyncLatency {
    /// The median.
    pub p50_us: f64,
    /// One in a hundred takes longer.
    pub p99_us: f64,
}

impl SyncLatency {
    /// Measures the disk that `dir` is on.
    pub fn measure(dir: &Path) -> Result<Self> {
        let mut file = tempfile::tempfile_in(dir)?;
        let mut nanoseconds = latencies();
        for _ in 0..APPENDS {
            let start = Instant::now();
            file.write_all(&[7; APPEND_BYTES])?;
            file.sync_data()?;
            nanoseconds.saturating_record(start.elapsed().as_nanos() as u64);
        }
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e3;
        Ok(SyncLatency { p50_us: at(0.5), p99_us: at(0.99) })
    }
}
