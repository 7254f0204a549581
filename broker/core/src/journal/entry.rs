//! An entry of the journal: what happened to a run of messages.
//!
//! ```text
//! entry  = u8 kind | u8 fields | queue | number first | number count | the fields whose bit is set, in this order
//! fields = 1: ids, 6 bytes for each message | 2: queue, number | 4: u128 client, number handle, number attempt
//!          | 8: number until_ms | 16: text reason, text description
//! queue  = number of the entity * 4 + lane
//! number = 7 bits a byte, the low ones first; the high bit says that more follow
//! ```

use crate::command::Owner;
use crate::key::QueueId;
use bytes::{BufMut, BytesMut};
use postrider_protocol::name::Lane;
use postrider_protocol::trace::StepKind;
use postrider_protocol::wire::{self, Malformed, Read, Reader};

const IDS: u8 = 1;
const TO: u8 = 2;
const OWNER: u8 = 4;
const UNTIL: u8 = 8;
const WHY: u8 = 16;

/// Bytes of an id's hash.
const ID_BYTES: usize = 6;
/// Characters of a reason that are kept, and of a description.
const REASON_CHARS: usize = 100;
const DESCRIPTION_CHARS: usize = 200;

/// A message in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The queue, or the topic.
    pub queue: QueueId,
    /// The message's number there.
    pub sequence: u64,
}

/// What happened to messages with neighbouring numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What.
    pub kind: StepKind,
    /// The queue, or the topic.
    pub queue: QueueId,
    /// The first message's number; 0 where they never got one here.
    pub first: u64,
    /// How many there are.
    pub count: u64,
    /// The hash of each one's id, where at least one has an id; 0 for none.
    pub ids: Vec<u64>,
    /// Where the first one went; the others went to the numbers behind it.
    pub to: Option<Target>,
    /// Who got them.
    pub owner: Option<Owner>,
    /// Which delivery it was, from 1.
    pub attempt: u32,
    /// Until when, UTC milliseconds.
    pub until_ms: u64,
    /// Why; of forwarded messages the entity they went to, of deleted ones the name of theirs.
    pub reason: String,
    /// The same in more words.
    pub description: String,
}

impl Entry {
    /// What happened to one message, without any of the fields that not all kinds have.
    pub fn new(kind: StepKind, queue: QueueId, sequence: u64) -> Self {
        Entry {
            kind,
            queue,
            first: sequence,
            count: 1,
            ids: Vec::new(),
            to: None,
            owner: None,
            attempt: 0,
            until_ms: 0,
            reason: String::new(),
            description: String::new(),
        }
    }

    /// The same with the name of an entity.
    pub fn named(self, name: &str) -> Self {
        Entry { reason: name.to_owned(), ..self }
    }

    /// The same with a reason, as much of it as is kept.
    pub fn because(self, reason: &str, description: &str) -> Self {
        let reason = reason.chars().take(REASON_CHARS).collect();
        Entry { reason, description: description.chars().take(DESCRIPTION_CHARS).collect(), ..self }
    }

    /// Where the first message is afterwards.
    pub fn target(&self) -> Target {
        self.to.unwrap_or(Target { queue: self.queue, sequence: self.first })
    }

    /// Takes in the next entry, where the same happened to the message behind the last one, whose id has this hash; says
    /// whether it did.
    pub(super) fn extend(&mut self, next: &Entry, id: u64) -> bool {
        let goes_on = self.goes_on_with(next);
        if goes_on {
            self.take_in(next.count, id);
        }
        goes_on
    }

    /// The same for a message of which there is nothing else to say.
    pub(super) fn extend_plain(
        &mut self,
        kind: StepKind,
        queue: QueueId,
        sequence: u64,
        until_ms: u64,
        id: u64,
    ) -> bool {
        let is_plain = self.to.is_none() && self.owner.is_none() && self.reason.is_empty();
        let goes_on = is_plain
            && (self.first + self.count, self.kind, self.queue, self.until_ms)
                == (sequence, kind, queue, until_ms);
        if goes_on {
            self.take_in(1, id);
        }
        goes_on
    }

    fn take_in(&mut self, count: u64, id: u64) {
        if id > 0 || !self.ids.is_empty() {
            self.ids.resize(self.count as usize, 0);
            self.ids.push(id);
        }
        self.count += count;
    }

    fn goes_on_with(&self, next: &Entry) -> bool {
        let ahead = |target: Target| Target { sequence: target.sequence + self.count, ..target };
        (self.kind, self.queue, self.first + self.count) == (next.kind, next.queue, next.first)
            && self.to.map(ahead) == next.to
            && (self.owner, self.attempt, self.until_ms) == (next.owner, next.attempt, next.until_ms)
            && is_same(&self.reason, &next.reason)
            && is_same(&self.description, &next.description)
    }

    fn fields(&self) -> u8 {
        let has = [
            (IDS, !self.ids.is_empty()),
            (TO, self.to.is_some()),
            (OWNER, self.owner.is_some()),
            (UNTIL, self.until_ms > 0),
            (WHY, !self.reason.is_empty() || !self.description.is_empty()),
        ];
        has.into_iter().filter(|(_, has)| *has).map(|(bit, _)| bit).sum()
    }

    /// Writes the entry.
    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.kind.code());
        out.put_u8(self.fields());
        put_queue(out, self.queue);
        put_number(out, self.first);
        put_number(out, self.count);
        self.ids.iter().for_each(|id| out.put_uint(*id, ID_BYTES));
        if let Some(to) = self.to {
            put_queue(out, to.queue);
            put_number(out, to.sequence);
        }
        if let Some(owner) = self.owner {
            out.put_u128(owner.client);
            put_number(out, u64::from(owner.handle));
            put_number(out, u64::from(self.attempt));
        }
        if self.until_ms > 0 {
            put_number(out, self.until_ms);
        }
        if self.fields() & WHY != 0 {
            wire::put_text(out, &self.reason);
            wire::put_text(out, &self.description);
        }
    }

    /// Reads an entry.
    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        let kind = StepKind::read(reader)?;
        let fields = reader.u8("entry.fields")?;
        let mut entry = Entry::new(kind, read_queue(reader)?, read_number(reader)?);
        entry.count = read_number(reader)?;
        if fields & IDS != 0 {
            let bytes = usize::try_from(entry.count).ok().and_then(|count| count.checked_mul(ID_BYTES));
            let ids = reader.take("entry.ids", bytes.unwrap_or(usize::MAX))?;
            entry.ids = ids.chunks_exact(ID_BYTES).map(read_id).collect();
        }
        if fields & TO != 0 {
            entry.to = Some(Target { queue: read_queue(reader)?, sequence: read_number(reader)? });
        }
        if fields & OWNER != 0 {
            let client = reader.u128("entry.client")?;
            entry.owner = Some(Owner { client, handle: read_short(reader)? });
            entry.attempt = read_short(reader)?;
        }
        if fields & UNTIL != 0 {
            entry.until_ms = read_number(reader)?;
        }
        if fields & WHY != 0 {
            entry.reason = reader.text("entry.reason")?;
            entry.description = reader.text("entry.description")?;
        }
        Ok(entry)
    }
}

fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn read_number(reader: &mut Reader) -> Read<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = reader.u8("entry.number")?;
        if shift > 63 {
            return Err(Malformed::new("entry.number", "has more than 64 bits"));
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
        shift += 7;
    }
}

fn read_short(reader: &mut Reader) -> Read<u32> {
    let number = read_number(reader)?;
    u32::try_from(number).map_err(|_| Malformed::new("entry.number", "has more than 32 bits"))
}

/// Most have no text: those are told without a look at memory.
fn is_same(text: &str, other: &str) -> bool {
    text.len() == other.len() && (text.is_empty() || text == other)
}

fn put_queue(out: &mut BytesMut, queue: QueueId) {
    put_number(out, queue.entity << 2 | u64::from(queue.lane.code()));
}

fn read_queue(reader: &mut Reader) -> Read<QueueId> {
    let number = read_number(reader)?;
    let lane = Lane::from_code((number & 3) as u8);
    let lane = lane.ok_or_else(|| Malformed::new("entry.queue", "lane 3 is none"))?;
    Ok(QueueId { entity: number >> 2, lane })
}

fn read_id(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}
