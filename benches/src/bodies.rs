//! Bodies to send: random, so that nothing gains by compressing them, and shared, so that making them costs nothing.

use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that bodies are cut from: far more than a compressor looks back.
const POOL_BYTES: usize = 8 * 1024 * 1024;

/// Bodies of one size.
pub struct Bodies {
    pool: Bytes,
    size: usize,
    at: AtomicUsize,
}

impl Bodies {
    /// Bodies of `size` bytes.
    pub fn new(size: usize) -> Self {
        let mut pool = vec![0; POOL_BYTES];
        fastrand::Rng::with_seed(7).fill(&mut pool);
        Bodies { pool: pool.into(), size, at: AtomicUsize::new(0) }
    }

    /// Bytes of a body.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The next body; they come round again.
    pub fn next(&self) -> Bytes {
        let number = self.at.fetch_add(1, Ordering::Relaxed);
        let at = (number * self.size) % (self.pool.len() - self.size);
        self.pool.slice(at..at + self.size)
    }
}
