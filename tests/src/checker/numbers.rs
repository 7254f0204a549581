//! I8: counters are what a scan finds.

use crate::history::Counts;

/// What is wrong where an address counts something else than a scan of it found.
pub fn problem(at: &str, counted: &Counts, scanned: &Counts) -> Option<String> {
    (counted != scanned).then(|| format!("I8 miscounted: {at} says {counted:?}, a scan finds {scanned:?}"))
}
