//! Leases: the locks of one delivery, kept as one row.
//!
//! A lease never changes its places: what is settled or returned stays in it, marked as let go, until all of it is.
//!
//! ```text
//! lease = u8 version 1 | u64 entity | u8 lane | u128 client | u32 handle | u32 salt | u64 duration_ms
//!         | u64 longest_ms | list of holds
//! hold  = u64 page | u32 index | u32 count | u32 attempts | u64 until_ms | u8 held
//! ```

use crate::command::{Owner, ReceiverKey};
use crate::context::Now;
use crate::key::QueueId;
use bytes::{BufMut, BytesMut};
use postrider_protocol::limits::DELIVERY_MESSAGES;
use postrider_protocol::name::Lane;
use postrider_protocol::wire::{self, Malformed, Read, Reader};

const VERSION: u8 = 1;

/// Neighbouring messages of a page that share attempts and deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The page's first sequence number.
    pub page: u64,
    /// The first message's index in the page.
    pub index: u32,
    /// How many messages.
    pub count: u32,
    /// Their failed deliveries before this one.
    pub attempts: u32,
    /// Until when they are locked, UTC milliseconds.
    pub until_ms: u64,
    /// Whether the lock was not let go yet. A held message may be gone: its page says so.
    pub held: bool,
}

/// A lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The queue the messages are in.
    pub queue: QueueId,
    /// Whose locks they are.
    pub owner: Owner,
    /// Random bits of the lease's tokens.
    pub salt: u32,
    /// How long a renewal lasts where it says nothing else, in milliseconds.
    pub duration_ms: u64,
    /// The longest that any of its locks was given, in milliseconds: after a restart none lasts longer.
    pub longest_ms: u64,
    /// The messages, by place.
    pub holds: Vec<Hold>,
}

impl LeaseRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u8(VERSION);
        out.put_u64(self.queue.entity);
        out.put_u8(self.queue.lane.code());
        out.put_u128(self.owner.client);
        out.put_u32(self.owner.handle);
        out.put_u32(self.salt);
        out.put_u64(self.duration_ms);
        out.put_u64(self.longest_ms);
        wire::put_list(out, &self.holds, |out, hold| hold.put(out));
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let version = reader.u8("lease.version")?;
        if version != VERSION {
            return Err(Malformed::new(
                "lease.version",
                format!("is {version}, this version reads {VERSION}"),
            ));
        }
        let entity = reader.u64("lease.entity")?;
        let lane = Lane::from_code(reader.u8("lease.lane")?);
        let lane = lane.ok_or_else(|| Malformed::new("lease.lane", "is not a lane"))?;
        let row = LeaseRow {
            queue: QueueId { entity, lane },
            owner: Owner { client: reader.u128("lease.client")?, handle: reader.u32("lease.handle")? },
            salt: reader.u32("lease.salt")?,
            duration_ms: reader.u64("lease.duration_ms")?,
            longest_ms: reader.u64("lease.longest_ms")?,
            holds: reader.list("lease.holds", 25, DELIVERY_MESSAGES, Hold::read)?,
        };
        let places: u64 = row.holds.iter().map(|hold| u64::from(hold.count)).sum();
        if places > DELIVERY_MESSAGES as u64 {
            return Err(Malformed::new(
                "lease.holds",
                format!("have {places} places, at most {DELIVERY_MESSAGES} are allowed"),
            ));
        }
        Ok(row)
    }
}

impl Hold {
    fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.page);
        out.put_u32(self.index);
        out.put_u32(self.count);
        out.put_u32(self.attempts);
        out.put_u64(self.until_ms);
        out.put_u8(u8::from(self.held));
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Hold {
            page: reader.u64("hold.page")?,
            index: reader.u32("hold.index")?,
            count: reader.u32("hold.count")?,
            attempts: reader.u32("hold.attempts")?,
            until_ms: reader.u64("hold.until_ms")?,
            held: reader.bool("hold.held")?,
        })
    }
}

/// A message of a lease in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The page's first sequence number.
    pub page: u64,
    /// The message's index in the page.
    pub index: u32,
    /// Its failed deliveries before this one.
    pub attempts: u32,
    /// Until when it is locked, UTC milliseconds: what is stored and told.
    pub until_ms: u64,
    /// The same on the monotonic clock, on which locks run.
    pub deadline_ms: u64,
    /// Whether the lease still holds it.
    pub held: bool,
    /// Whether the clock has given back its capacity units.
    pub written_off: bool,
}

/// A lease in memory: one place for each message of the delivery, so that a token's place is found at once.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The queue the messages are in.
    pub queue: QueueId,
    /// Whose locks they are.
    pub owner: Owner,
    /// Random bits of the lease's tokens.
    pub salt: u32,
    /// How long a renewal lasts where it says nothing else, in milliseconds.
    pub duration_ms: u64,
    /// The longest that any of its locks was given, in milliseconds.
    pub longest_ms: u64,
    /// The messages of the delivery.
    pub places: Vec<Place>,
    /// The receiver that got the delivery, while it is open.
    pub receiver: Option<ReceiverKey>,
    /// When the delivery was made, on the monotonic clock; for a recovered lease, when it was recovered.
    pub delivered_ms: u64,
    /// From when on it counts as stuck, on the monotonic clock; 0 where nobody asks.
    pub overdue_ms: u64,
    /// Messages still locked.
    pub live: u64,
    /// Under which deadline it stands in the shard's timers; never behind the true one when a turn is over.
    pub timer_ms: u64,
    /// Whether the row has to be stored again.
    pub dirty: bool,
}

impl Lease {
    /// The lease that `row` describes, its deadlines counted from `now`: a new one, to be stored, or one to recover.
    /// Where the wall clock went back meanwhile, no lock lasts longer than the longest that was given.
    pub fn new(row: &LeaseRow, receiver: Option<ReceiverKey>, now: Now) -> Self {
        let places: Vec<_> = row.holds.iter().flat_map(|hold| hold.places(row.longest_ms, now)).collect();
        let mut lease = Lease {
            queue: row.queue,
            owner: row.owner,
            salt: row.salt,
            duration_ms: row.duration_ms,
            longest_ms: row.longest_ms,
            places,
            receiver,
            delivered_ms: now.mono_ms,
            overdue_ms: 0,
            live: 0,
            timer_ms: 0,
            dirty: true,
        };
        lease.live = lease.places.iter().filter(|place| place.held).count() as u64;
        lease.timer_ms = lease.deadline_ms();
        lease
    }

    /// What is to be stored: neighbours that are alike are one hold.
    pub fn row(&self) -> LeaseRow {
        let mut holds: Vec<Hold> = Vec::new();
        for place in &self.places {
            match holds.last_mut() {
                Some(hold) if hold.goes_on_with(place) => hold.count += 1,
                _ => holds.push(Hold::of(place)),
            }
        }
        LeaseRow {
            queue: self.queue,
            owner: self.owner,
            salt: self.salt,
            duration_ms: self.duration_ms,
            longest_ms: self.longest_ms,
            holds,
        }
    }

    /// When the next of its locks runs out, on the monotonic clock.
    pub fn deadline_ms(&self) -> u64 {
        self.places.iter().filter(|place| place.held).map(|place| place.deadline_ms).min().unwrap_or(u64::MAX)
    }

    /// Places whose locks have run out at `mono_ms`.
    pub fn due(&self, mono_ms: u64) -> Vec<usize> {
        let due = |place: &Place| place.held && place.deadline_ms <= mono_ms;
        (0..self.places.len()).filter(|at| due(&self.places[*at])).collect()
    }

    /// One lock less: the message at `place` is settled, or returned.
    pub fn let_go(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place).filter(|place| place.held) {
            place.held = false;
            self.live -= 1;
        }
    }

    /// Sets another deadline for the message at `place`; returns it on the wall clock.
    pub fn renew(&mut self, place: usize, now: Now, duration_ms: u64) -> u64 {
        let until_ms = now.wall_ms.saturating_add(duration_ms);
        if let Some(place) = self.places.get_mut(place) {
            place.until_ms = until_ms;
            place.deadline_ms = now.mono_ms.saturating_add(duration_ms);
            self.longest_ms = self.longest_ms.max(duration_ms);
            self.dirty = true;
        }
        until_ms
    }
}

impl Hold {
    fn of(place: &Place) -> Self {
        let Place { page, index, attempts, until_ms, held, .. } = *place;
        Hold { page, index, count: 1, attempts, until_ms, held }
    }

    fn goes_on_with(&self, next: &Place) -> bool {
        let alike = (self.attempts, self.until_ms, self.held) == (next.attempts, next.until_ms, next.held);
        alike && self.page == next.page && self.index + self.count == next.index
    }

    fn places(&self, longest_ms: u64, now: Now) -> impl Iterator<Item = Place> {
        let Hold { page, attempts, until_ms, held, .. } = *self;
        let left_ms = until_ms.saturating_sub(now.wall_ms).min(longest_ms);
        let deadline_ms = now.mono_ms.saturating_add(left_ms);
        let indices = self.index..self.index.saturating_add(self.count);
        indices.map(move |index| Place {
            page,
            index,
            attempts,
            until_ms,
            deadline_ms,
            held,
            written_off: false,
        })
    }
}
