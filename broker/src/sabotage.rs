//! Faults that the broker has on purpose, one at a time, so that the tests can be seen to notice them: `make sabotage`.
//!
//! Without the feature `sabotage` there are none: [`is`] is a constant, and nothing of this is in the binary.

#[cfg(feature = "sabotage")]
mod chosen;
#[cfg(feature = "sabotage")]
mod log;

#[cfg(feature = "sabotage")]
pub use {chosen::is, log::Altered};

use postrider_protocol::frame::FrameDecoder;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Answers and deliveries leave before the turn is written.
    AckBeforeFsync,
    /// Batches are written and not synced.
    NoSync,
    /// What a settlement has changed is written with a later turn.
    CompleteNotInBatch,
    /// A turn is written in two batches.
    FanOutInTwoBatches,
    /// A scan that a damaged table has ended counts as whole.
    SkipIteratorStatus,
    /// A batch that failed is written once more, and then counts as stored.
    RetryAfterEio,
    /// Failed deliveries are counted in memory alone.
    DeliveryCountInMemory,
    /// Ids in a window of duplicates are remembered in memory alone.
    DedupNotPersisted,
    /// Locks run on the wall clock.
    LeaseByWallClock,
    /// Room is made for a frame as soon as its length field has come.
    PreallocateFromLength,
    /// Strangers may send frames as large as anybody's.
    NoPreauthLimit,
}

/// All of them, by the names that `POSTRIDER_SABOTAGE` knows.
pub const SWITCHES: [(&str, Switch); 11] = [
    ("ack-before-fsync", Switch::AckBeforeFsync),
    ("no-sync", Switch::NoSync),
    ("complete-not-in-batch", Switch::CompleteNotInBatch),
    ("fan-out-in-two-batches", Switch::FanOutInTwoBatches),
    ("skip-iterator-status", Switch::SkipIteratorStatus),
    ("retry-after-eio", Switch::RetryAfterEio),
    ("delivery-count-in-memory", Switch::DeliveryCountInMemory),
    ("dedup-not-persisted", Switch::DedupNotPersisted),
    ("lease-by-wall-clock", Switch::LeaseByWallClock),
    ("preallocate-from-length", Switch::PreallocateFromLength),
    ("no-preauth-limit", Switch::NoPreauthLimit),
];

/// Whether this fault was chosen.
#[cfg(not(feature = "sabotage"))]
pub const fn is(_fault: Switch) -> bool {
    false
}

/// A decoder of the frames of a connection.
pub(crate) fn frames(most_bytes: usize) -> FrameDecoder {
    let decoder = FrameDecoder::new(most_bytes);
    #[cfg(feature = "sabotage")]
    let decoder = decoder.reserving(is(Switch::PreallocateFromLength));
    decoder
}
