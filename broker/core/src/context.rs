//! What a turn brings in from outside: time, random bits, and a way to read rows.

pub use crate::damage::Damage;

use crate::key::{Key, KeyRange};
use bytes::Bytes;
use postrider_protocol::name::EntityName;

/// One moment, read once for a whole turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// UTC milliseconds since the epoch: what users see and what is stored.
    pub wall_ms: u64,
    /// Milliseconds on a clock that never jumps: what locks run on.
    pub mono_ms: u64,
}

/// Called for each row of a scan with its key's bytes and its value; says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool, Damage> + 'a;

/// Reads rows that earlier turns have made durable.
pub trait Rows {
    /// The value under `key`.
    fn get(&self, key: &Key) -> Result<Option<Bytes>, Damage>;
    /// Visits the rows of `range` in the order of their keys' bytes.
    fn scan(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), Damage>;
}

/// Knows when what happens again and again is due.
pub trait Calendar {
    /// The first moment behind `after_ms` of a cron expression in an IANA time zone, both UTC milliseconds; says what
    /// is wrong where there is none.
    fn next_ms(&self, cron: &str, zone: &str, after_ms: u64) -> Result<u64, String>;
}

/// Knows which shard an entity is in, or would be.
pub trait Places {
    /// The shard of a queue, topic or subscription.
    fn shard_of(&self, name: &EntityName) -> u16;
}

/// What one turn decides with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The moment of the turn.
    pub now: Now,
    /// Random bits of the turn, from which the salts of its leases are mixed.
    pub entropy: u64,
    /// The rows of earlier turns.
    pub rows: &'a dyn Rows,
    /// When schedules are due.
    pub calendar: &'a dyn Calendar,
    /// Where other entities are.
    pub places: &'a dyn Places,
}

impl Context<'_> {
    /// The salt of a lease: cannot be guessed from another lease's.
    pub fn salt(&self, lease: u64) -> u32 {
        // The finaliser of splitmix64.
        let mut bits = self.entropy ^ lease.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 32) as u32
    }
}
