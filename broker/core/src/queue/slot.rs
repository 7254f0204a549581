//! The life of one message.
//!
//! ```text
//!  append --> Ready --lock--> Locked --complete, move--> Gone
//!               ^  |           | | |
//!               |  +-drop------|-|-|-------------------> Gone
//!               +--fail (+1), release
//!               |              | |
//!               +--due-- Delayed +--defer--> Deferred --lock--> Locked
//! ```
//!
//! `move` is dead-lettering: the message goes on in another queue. `drop` is all that ends a message nobody holds:
//! receive-and-delete, purge, expiry. Both can befall a delayed or deferred message, too. `fail` is an abandon or a
//! lock that ran out; the message waits as `Delayed` where its next attempt has a delay.

/// The state of a message in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Waits to be delivered.
    Ready {
        /// Deliveries that failed.
        attempts: u32,
    },
    /// A consumer holds it.
    Locked {
        /// The lease that the lock is part of.
        lease: u64,
        /// Deliveries that failed before this one.
        attempts: u32,
    },
    /// Waits until it may be delivered again.
    Delayed {
        /// Deliveries that failed.
        attempts: u32,
        /// Until when, UTC milliseconds.
        until_ms: u64,
    },
    /// Set aside by a consumer, to be received by its number.
    Deferred {
        /// Deliveries that failed.
        attempts: u32,
    },
    /// Settled; nothing is left of it.
    Gone,
}

/// What can happen to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Delivered under a lease.
    Lock {
        /// The lease.
        lease: u64,
    },
    /// Ended while nobody held it: received and deleted, purged, expired.
    Drop,
    /// Completed.
    Complete,
    /// Moved to the dead-letter queue.
    Move,
    /// Abandoned, or the lock ran out.
    Fail {
        /// When it may be delivered again, UTC milliseconds; 0 for at once.
        until_ms: u64,
    },
    /// Its delay is over.
    Due,
    /// Set aside.
    Defer,
    /// Let go; the delivery does not count.
    Release,
}

impl Slot {
    /// The state after `event`; `None` where it cannot happen.
    pub fn on(self, event: Event) -> Option<Slot> {
        match (self, event) {
            (Slot::Ready { attempts } | Slot::Deferred { attempts }, Event::Lock { lease }) => {
                Some(Slot::Locked { lease, attempts })
            }
            (
                Slot::Ready { .. } | Slot::Delayed { .. } | Slot::Deferred { .. },
                Event::Drop | Event::Move,
            )
            | (Slot::Locked { .. }, Event::Complete | Event::Move) => Some(Slot::Gone),
            (Slot::Locked { attempts, .. }, Event::Fail { until_ms }) => {
                Some(Slot::waiting(attempts.saturating_add(1), until_ms))
            }
            (Slot::Locked { attempts, .. }, Event::Release)
            | (Slot::Delayed { attempts, .. }, Event::Due) => Some(Slot::Ready { attempts }),
            (Slot::Locked { attempts, .. }, Event::Defer) => Some(Slot::Deferred { attempts }),
            _ => None,
        }
    }

    /// A message that waits for its next delivery: until a moment, or for a receiver only where that is 0.
    pub fn waiting(attempts: u32, until_ms: u64) -> Slot {
        if until_ms == 0 { Slot::Ready { attempts } } else { Slot::Delayed { attempts, until_ms } }
    }

    /// Failed deliveries; `None` when the message is gone.
    pub fn attempts(self) -> Option<u32> {
        match self {
            Slot::Ready { attempts }
            | Slot::Locked { attempts, .. }
            | Slot::Delayed { attempts, .. }
            | Slot::Deferred { attempts } => Some(attempts),
            Slot::Gone => None,
        }
    }

    /// Whether `lease` holds it.
    pub fn is_locked_by(self, lease: u64) -> bool {
        matches!(self, Slot::Locked { lease: holder, .. } if holder == lease)
    }

    /// Whether a consumer holds it.
    pub fn is_locked(self) -> bool {
        matches!(self, Slot::Locked { .. })
    }

    /// Whether it is there and nobody holds it.
    pub fn is_free(self) -> bool {
        self != Slot::Gone && !self.is_locked()
    }

    /// Whether it can be delivered.
    pub fn is_ready(self) -> bool {
        matches!(self, Slot::Ready { .. })
    }
}
