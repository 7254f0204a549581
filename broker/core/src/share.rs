//! What is remembered of a queue that does not share its messages the plain way. In memory only: a start begins anew,
//! from the leases.

use crate::command::Owner;
use std::collections::{BTreeMap, BTreeSet};

/// How a queue shares its messages.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// The turn of the receiver that got the last message.
    pub turn: u64,
    /// Who holds messages of a key, and how many.
    pub holders: BTreeMap<u32, (Owner, u64)>,
    /// The message that waits for units, and the units that went past it since.
    pub waiting: Option<(u64, u64)>,
    /// Units in flight that the clock has given back.
    pub written_off: u64,
    /// Units that the clock has given back since the broker started.
    pub refilled: u64,
    /// Leases with units that could be given back, by the moment from which they count as stuck.
    pub held: BTreeSet<(u64, u64)>,
    /// When units were given back last.
    pub metered_ms: u64,
    /// When it is looked at again.
    pub refill_ms: Option<u64>,
}

impl Share {
    /// Books a message of a key.
    pub fn hold(&mut self, key: u32, owner: Owner) {
        if key != 0 {
            self.holders.entry(key).or_insert((owner, 0)).1 += 1;
        }
    }

    /// A message of a key is not held any more.
    pub fn let_go(&mut self, key: u32) {
        if let Some((_, count)) = self.holders.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.holders.remove(&key);
            }
        }
    }
}
