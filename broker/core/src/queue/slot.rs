//! The life of one message.
//!
//! ```text
//!  append --> Ready --lock--> Locked --complete, move--> Gone
//!               ^  |             |
//!               |  +-take, purge-|--------------------> Gone
//!               +--fail (+1), release--+
//! ```
//!
//! `move` is dead-lettering: the message goes on in another queue. `take` is receive-and-delete. `fail` is an abandon
//! or a lock that ran out.

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
    /// Received and deleted.
    Take,
    /// Purged.
    Purge,
    /// Completed.
    Complete,
    /// Moved to the dead-letter queue.
    Move,
    /// Abandoned, or the lock ran out.
    Fail,
    /// Let go; the delivery does not count.
    Release,
}

impl Slot {
    /// The state after `event`; `None` where it cannot happen.
    pub fn on(self, event: Event) -> Option<Slot> {
        match (self, event) {
            (Slot::Ready { attempts }, Event::Lock { lease }) => Some(Slot::Locked { lease, attempts }),
            (Slot::Ready { .. }, Event::Take | Event::Purge) => Some(Slot::Gone),
            (Slot::Locked { .. }, Event::Complete | Event::Move) => Some(Slot::Gone),
            (Slot::Locked { attempts, .. }, Event::Fail) => {
                Some(Slot::Ready { attempts: attempts.saturating_add(1) })
            }
            (Slot::Locked { attempts, .. }, Event::Release) => Some(Slot::Ready { attempts }),
            (Slot::Ready { .. }, Event::Complete | Event::Move | Event::Fail | Event::Release)
            | (Slot::Locked { .. }, Event::Lock { .. } | Event::Take | Event::Purge)
            | (Slot::Gone, _) => None,
        }
    }

    /// Failed deliveries; `None` when the message is gone.
    pub fn attempts(self) -> Option<u32> {
        match self {
            Slot::Ready { attempts } | Slot::Locked { attempts, .. } => Some(attempts),
            Slot::Gone => None,
        }
    }

    /// Whether `lease` holds it.
    pub fn is_locked_by(self, lease: u64) -> bool {
        matches!(self, Slot::Locked { lease: holder, .. } if holder == lease)
    }
}
