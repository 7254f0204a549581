//! Producers and consumers at work, and what they count.

mod consume;
mod crew;
mod meter;
mod paced;
mod publish;

pub use consume::consume;
pub use crew::Crew;
pub use meter::{Counted, Moment};
pub use paced::pace;
pub use publish::{publish_in_batches, publish_singly};

use crate::bodies::Bodies;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Parts of a backlog, in hundredths, between which draining it is measured.
pub const DRAIN: (u64, u64) = (10, 95);

/// What producers and consumers of one measurement share.
pub struct Load {
    /// What is sent.
    pub bodies: Bodies,
    /// Messages of a producer that wait for their confirm; also the size of a batch.
    pub unconfirmed: usize,
    /// When it began: what moments in bodies are counted from.
    pub epoch: Instant,
    published: AtomicU64,
    completed: AtomicU64,
    /// Messages that producers may still begin.
    left: AtomicU64,
    over: AtomicBool,
    /// Nanoseconds from publishing to receiving; `None` as long as nothing is to be recorded.
    latencies: Mutex<Option<Histogram<u64>>>,
}

impl Load {
    /// At most `most` messages of `size` bytes.
    pub fn new(size: usize, unconfirmed: usize, most: u64) -> Self {
        Load {
            bodies: Bodies::new(size),
            unconfirmed,
            epoch: Instant::now(),
            published: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            left: AtomicU64::new(most),
            over: AtomicBool::new(false),
            latencies: Mutex::new(None),
        }
    }

    /// Whether a producer may begin `count` more messages.
    fn begin(&self, count: usize) -> bool {
        let less = |left: u64| left.checked_sub(count as u64);
        !self.is_over() && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Messages that were confirmed.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    fn confirmed(&self, count: usize) {
        self.published.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Messages whose completion was confirmed.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Tells everybody to come to an end.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// From now on latencies are recorded.
    pub fn record_latencies(&self) {
        *self.latencies.lock().unwrap_or_else(PoisonError::into_inner) = Some(latencies());
    }

    /// What was recorded.
    pub fn latencies(&self) -> Option<Histogram<u64>> {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// No latencies yet: nanoseconds up to a minute, three digits of each.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are apart, and 3 digits are allowed")
}
