//! Pages: the messages that one turn put into one strand of a queue, and what became of them.
//!
//! ```text
//! page  = records | marks, if flags has bit 0 | u64 written_ms, if it has bit 1 | references, if it has bit 2
//!         | u32 end of each record | u32 checksum | u32 records | u8 flags | u8 version 2
//! mark  = u64 expires_ms | u32 cost | u32 key
//! references = u32 index, u32 bytes of each record's message | u64 topic | u64 first number of the topic's page
//! state = u8 version 1 | u32 records | bitmap of the records that are gone | list of (u32 index, u32 attempts)
//!         | list of u32 index, deferred | list of (u32 index, u64 until_ms), delayed
//!         | list of (u32 index, blob of properties), changed
//! ```
//!
//! The checksum is the CRC-32 (ISO-HDLC) of everything else in the page. It is made when the page is, and looked at when the
//! page is read from the store: what has changed in between is damage, wherever it happened. Pages of version 1 have none.
//!
//! The tables stand behind the records, so that a page is built in one go and a record is cut out without a copy. A
//! record without bytes is a hole: its number belongs to a message of another strand.
//!
//! A topic stores a message that several subscriptions get in a page of its own, once. In the pages of the
//! subscriptions a record *refers*: it has its own fields, and its message is the end of a record of the topic's page. An
//! index of all ones says that the record has its message itself.

mod build;
mod references;
mod state;

pub use build::{Body, PageBuilder};
pub use references::{Reference, ReferencesRow};
pub use state::PageState;

use crate::context::{Damage, Rows};
use crate::key::TopicPage;
use build::OWN;
use bytes::Bytes;
use postrider_protocol::message::Record;
use std::sync::Arc;

const VERSION: u8 = 2;
/// Pages without a checksum.
const UNCHECKED: u8 = 1;
/// The page has a mark for each record.
const MARKED: u8 = 1;
/// The page says when it was written: its first message was enqueued at another time, in another queue.
const WRITTEN: u8 = 2;
/// Messages of the page are in a page of its topic.
const REFERRING: u8 = 4;
/// Bytes of a mark.
const MARK: usize = 16;
/// Bytes of a reference.
const REFERENCE: usize = 8;
/// Bytes of what stands behind the tables.
const TAIL: usize = 6;
/// The moment that never comes.
pub const NEVER_MS: u64 = u64::MAX;

/// What deciding looks at in a message, beside its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When it expires, UTC milliseconds; [`NEVER_MS`] where it does not.
    pub expires_ms: u64,
    /// Capacity units it takes while it is in flight.
    pub cost: u32,
    /// A hash of the key it shares with others; 0 where that does not matter.
    pub key: u32,
}

impl Mark {
    /// Bytes of the record of a message, or of the copy of it that a rule made its own.
    pub fn record_bytes(self, message: &[u8], rule: Option<&str>) -> u64 {
        let expires = self.expires_at_ms().map_or(0, |expires_ms| size_of_val(&expires_ms));
        let rule = rule.map_or(0, |name| size_of::<u16>() + name.len());
        (Record::PLAIN_OVERHEAD + expires + rule + message.len()) as u64
    }

    /// When it expires, as records have it.
    pub fn expires_at_ms(self) -> Option<u64> {
        (self.expires_ms != NEVER_MS).then_some(self.expires_ms)
    }
}

impl Default for Mark {
    fn default() -> Self {
        Mark { expires_ms: NEVER_MS, cost: 1, key: 0 }
    }
}

/// A page as it is stored, its tables checked.
#[derive(Debug, Clone)]
pub struct Page {
    bytes: Bytes,
    count: usize,
    table: usize,
    /// Where the marks stand, if there are any.
    marks: Option<usize>,
    /// Where it says when it was written, if it does.
    written: Option<usize>,
    /// Where the references stand, if there are any.
    references: Option<usize>,
    /// The topic's page that they are into, once it was read.
    topic: Option<Arc<Page>>,
}

impl Page {
    /// Takes a stored page. A checksum that is not its own, and tables that do not add up, are damage.
    pub fn open(bytes: Bytes) -> Result<Self, Damage> {
        match is_sound(&bytes) {
            true => Page::fresh(bytes),
            false => Err(Damage::new(format!("a page of {} bytes is not what was stored", bytes.len()))),
        }
    }

    /// Takes a page that was not stored yet, whose checksum needs no look.
    pub fn fresh(bytes: Bytes) -> Result<Self, Damage> {
        let length = bytes.len();
        let damage = |problem: &str| Damage::new(format!("a page of {length} bytes {problem}"));
        let tail = length.checked_sub(TAIL).ok_or_else(|| damage("is shorter than its tail"))?;
        let (flags, version) = (bytes[tail + 4], bytes[tail + 5]);
        if !(UNCHECKED..=VERSION).contains(&version) || flags & !(MARKED | WRITTEN | REFERRING) != 0 {
            return Err(damage(&format!("has format {version}.{flags}, this version reads up to {VERSION}")));
        }
        let count = read_u32(&bytes, tail) as usize;
        let mut end = tail;
        let mut table = |size: usize, more: usize, what: &str| {
            let begin = count.checked_mul(size).and_then(|size| end.checked_sub(size)?.checked_sub(more));
            end = begin.ok_or_else(|| damage(&format!("has no room for the {what} of {count} records")))?;
            Ok::<_, Damage>(end)
        };
        let has = |flag: u8| flags & flag != 0;
        let ends = table(4, if version == UNCHECKED { 0 } else { 4 }, "ends")?;
        let references = has(REFERRING).then(|| table(REFERENCE, 16, "references")).transpose()?;
        let written = has(WRITTEN).then(|| table(0, 8, "time")).transpose()?;
        let marks = has(MARKED).then(|| table(MARK, 0, "marks")).transpose()?;
        let page = Page { bytes, count, table: ends, marks, written, references, topic: None };
        // What refers has fields of its own, and no record is longer than its size can say.
        let refers_soundly = |at: usize| {
            let own = page.end(at).saturating_sub(page.start(at)) as u32;
            page.reference(at).is_none_or(|(_, bytes)| own > 0 && own.checked_add(bytes).is_some())
        };
        let sound = (0..count).all(|at| page.start(at) <= page.end(at) && refers_soundly(at))
            && (count == 0 || page.end(count - 1) == end);
        if sound { Ok(page) } else { Err(damage("has a table that does not add up")) }
    }

    /// Takes a stored page of a shard, and reads the page of its topic that it refers to.
    pub fn resolve(rows: &dyn Rows, shard: u16, bytes: Bytes) -> Result<Self, Damage> {
        let page = Page::open(bytes)?;
        let Some(topic) = page.refers() else { return Ok(page) };
        let stored = rows.get(&topic.key(shard))?;
        let stored = stored.ok_or_else(|| {
            Damage::new(format!("page {} of topic {} in shard {shard} is missing", topic.first, topic.topic))
        })?;
        page.with_topic(Page::open(stored)?)
    }

    /// The page together with the one that it refers to. What refers to nothing is damage.
    pub fn with_topic(self, topic: Page) -> Result<Self, Damage> {
        let is_there = |(index, bytes): (u32, u32)| {
            let record = topic.bytes_of(index as usize);
            !record.is_empty() && bytes as usize <= record.len()
        };
        match (0..self.count).filter_map(|at| self.reference(at)).find(|reference| !is_there(*reference)) {
            Some((index, _)) => Err(Damage::new(format!("{:?} has no message {index}", self.refers()))),
            None => Ok(Page { topic: Some(Arc::new(topic)), ..self }),
        }
    }

    /// The page of its topic that it refers to.
    pub fn refers(&self) -> Option<TopicPage> {
        let at = self.references? + self.count * REFERENCE;
        Some(TopicPage { topic: read_u64(&self.bytes, at), first: read_u64(&self.bytes, at + 8) })
    }

    /// Records in the page, gone ones and holes included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the page has no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn end(&self, at: usize) -> usize {
        read_u32(&self.bytes, self.table + at * 4) as usize
    }

    fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.end(at - 1) }
    }

    /// The record of the topic's page that a record refers to, and the bytes of the message there; `None` for a record
    /// that has its message itself.
    pub fn reference(&self, at: usize) -> Option<(u32, u32)> {
        let at = self.references? + at * REFERENCE;
        let (index, bytes) = (read_u32(&self.bytes, at), read_u32(&self.bytes, at + 4));
        (index != OWN).then_some((index, bytes))
    }

    /// Bytes of a record with its message; 0 for a hole.
    pub fn size(&self, at: usize) -> u32 {
        let message = self.reference(at).map_or(0, |(_, bytes)| bytes);
        (self.end(at) - self.start(at)) as u32 + message
    }

    /// Bytes of all records with their messages.
    pub fn bytes_in_all(&self) -> u64 {
        (0..self.count).map(|at| u64::from(self.size(at))).sum()
    }

    /// What deciding looks at in a record; `None` where the page says nothing of any of them.
    pub fn mark(&self, at: usize) -> Option<Mark> {
        let at = self.marks? + at * MARK;
        Some(Mark {
            expires_ms: read_u64(&self.bytes, at),
            cost: read_u32(&self.bytes, at + 8),
            key: read_u32(&self.bytes, at + 12),
        })
    }

    /// When the page was written: where it does not say so itself, when its first message was enqueued.
    pub fn written_ms(&self) -> u64 {
        let first = (0..self.count).map(|at| self.bytes_of(at)).find(|record| !record.is_empty());
        let time = self.written.map_or(first, |at| self.bytes.get(at..));
        time.and_then(|time| time.first_chunk::<8>()).map_or(0, |time| u64::from_be_bytes(*time))
    }

    /// The page as it is stored.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the page itself has of a record; empty for a hole and behind the last one.
    fn bytes_of(&self, at: usize) -> &[u8] {
        if at < self.count { &self.bytes[self.start(at)..self.end(at)] } else { &[] }
    }

    /// A record's bytes, borrowed, in two parts: the second one is a message that is stored by the topic. Both are empty
    /// for a hole, behind the last record, and where the topic's page was not read.
    pub fn parts_of(&self, at: usize) -> [&[u8]; 2] {
        let own = self.bytes_of(at);
        match (self.reference(at), &self.topic) {
            _ if own.is_empty() => [&[], &[]],
            (None, _) => [own, &[]],
            (Some((index, bytes)), Some(topic)) => {
                let record = topic.bytes_of(index as usize);
                [own, &record[record.len() - bytes as usize..]]
            }
            (Some(_), None) => [&[], &[]],
        }
    }

    /// A record's bytes; `None` for a hole, behind the last one, and where the topic's page was not read. They are shared
    /// with the page unless it refers.
    pub fn record(&self, at: usize) -> Option<Bytes> {
        let [own, message] = self.parts_of(at);
        match (own.is_empty(), message.is_empty()) {
            (true, _) => None,
            (false, true) => Some(self.bytes.slice(self.start(at)..self.end(at))),
            (false, false) => Some([own, message].concat().into()),
        }
    }
}

/// The checksum of a page whose bytes these are, but for the checksum itself.
fn checksum(begin: &[u8], tail: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(begin);
    hasher.update(tail);
    hasher.finalize()
}

/// Whether a page that must have a checksum has its own.
fn is_sound(bytes: &[u8]) -> bool {
    let Some((rest, tail)) = bytes.split_last_chunk::<TAIL>().filter(|(_, tail)| tail[5] == VERSION) else {
        return true;
    };
    let stored = rest.split_last_chunk::<4>();
    stored.is_some_and(|(begin, stored)| checksum(begin, tail) == u32::from_be_bytes(*stored))
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from(read_u32(bytes, at)) << 32 | u64::from(read_u32(bytes, at + 4))
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use bytes::BytesMut;
    use proptest::prelude::*;

    #[test]
    fn records_come_back_as_they_were_put() {
        let mut builder = PageBuilder::default();
        builder.push(5, 1, Mark::default(), Body::own(b"first"));
        builder.push(6, 2, Mark::default(), Body::own(b""));
        let page = Page::open(builder.build()).unwrap();
        assert_eq!(page.len(), 2);
        let record = Record::decode(page.record(0).unwrap()).unwrap();
        assert_eq!(
            (record.enqueued_time_ms, record.enqueued_sequence, &record.message[..]),
            (5, 1, &b"first"[..])
        );
        assert_eq!(page.size(1) as usize, Record::PLAIN_OVERHEAD);
        assert!(page.record(2).is_none());
    }

    #[test]
    fn a_large_message_gets_a_page_of_its_own() {
        let large = vec![0; limits::LARGE_MESSAGE_BYTES];
        let mut builder = PageBuilder::default();
        builder.push(0, 1, Mark::default(), Body::own(b"small"));
        assert!(builder.has_room_for(Body::own(&large[..100]), 1));
        assert!(!builder.has_room_for(Body::own(&large), 1));
        assert!(!builder.has_room_for(Body::own(b"small"), limits::PAGE_MESSAGES as u64));
        let mut builder = PageBuilder::default();
        assert!(builder.has_room_for(Body::own(&large), 0));
        builder.push(0, 1, Mark::default(), Body::own(&large));
        assert!(!builder.has_room_for(Body::own(b"small"), 1));
    }

    #[test]
    fn marks_and_holes_come_back() {
        let mut builder = PageBuilder::default();
        let mark = Mark { expires_ms: 1 << 40, cost: 3, key: 9 };
        builder.push(5, 1, mark, Body::own(b"first"));
        builder.pad(3);
        builder.push(5, 4, Mark::default(), Body::own(b"fourth"));
        let page = Page::open(builder.build()).unwrap();
        assert_eq!((page.mark(0), page.mark(3)), (Some(mark), Some(Mark::default())));
        assert!(page.record(1).is_none() && page.record(2).is_none() && page.record(3).is_some());
        let record = Record::decode(page.record(0).unwrap()).unwrap();
        assert_eq!(record.expires_at_ms, Some(mark.expires_ms));
        assert_eq!(PageState::of(&page, None).unwrap().attempts, [Some(0), None, None, Some(0)]);
    }

    #[test]
    fn a_record_that_refers_is_whole_once_the_topics_page_is_read() {
        let mut topic = PageBuilder::default();
        topic.push(5, 7, Mark::default(), Body::own(b"seventh"));
        topic.push(5, 8, Mark::default(), Body::own(b"eighth"));
        let page = TopicPage { topic: 3, first: 7 };
        let eighth = Body { message: b"eighth", stored: Some(Reference { page, index: 1 }) };
        let elsewhere = Reference { page: TopicPage { first: 9, ..page }, index: 0 };
        let mut builder = PageBuilder::default();
        builder.push(5, 1, Mark::default(), Body::own(b"own"));
        builder.push(5, 2, Mark::default(), eighth);
        assert!(
            !builder.has_room_for(Body { stored: Some(elsewhere), ..eighth }, 2),
            "one page is referred to"
        );
        assert!(builder.has_room_for(eighth, 2) && builder.has_room_for(Body::own(b"own"), 2));
        builder.pad(3);
        let mut plain = PageBuilder::default();
        plain.push(5, 1, Mark::default(), Body::own(b"own"));
        plain.push(5, 2, Mark::default(), Body::own(b"eighth"));
        assert_eq!(builder.bytes(), plain.bytes(), "whoever counts bytes does not see where they are");
        let (referring, plain) = (Page::open(builder.build()).unwrap(), Page::open(plain.build()).unwrap());
        assert_eq!((referring.refers(), plain.refers()), (Some(page), None));
        assert_eq!(referring.record(0), plain.record(0));
        assert_eq!((referring.size(1), referring.record(1)), (plain.size(1), None), "not read yet");
        let topic = Page::open(topic.build()).unwrap();
        let whole = referring.clone().with_topic(topic).unwrap();
        assert_eq!((whole.record(1), whole.record(2)), (plain.record(1), None));
        let other = plain.with_topic(whole.clone()).map(|page| page.record(0));
        assert_eq!(other.unwrap(), whole.record(0), "what refers to nothing needs nothing");
        let mut short = PageBuilder::default();
        short.push(5, 7, Mark::default(), Body::own(b"seventh"));
        let short = Page::open(short.build()).unwrap();
        assert!(referring.with_topic(short).is_err(), "there is no eighth message");
    }

    #[test]
    fn no_bit_changes_unnoticed() {
        let mut builder = PageBuilder::default();
        builder.push(5, 1, Mark { cost: 3, ..Mark::default() }, Body::own(b"first"));
        builder.push(6, 2, Mark::default(), Body::own(b"second"));
        let page = builder.build();
        assert!(Page::open(page.clone()).is_ok());
        for bit in 0..page.len() * 8 {
            let mut flipped = page.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Page::open(flipped.into()).is_err(), "bit {bit} of {}", page.len() * 8);
        }
    }

    #[test]
    fn a_page_without_a_checksum_is_read_as_ever() {
        let mut record = BytesMut::new();
        Record { enqueued_sequence: 1, message: Bytes::from_static(b"first"), ..Record::default() }
            .put(&mut record);
        let end = (record.len() as u32).to_be_bytes();
        let page = [&record[..], &end, &1u32.to_be_bytes(), &[0, UNCHECKED]].concat();
        assert_eq!(Page::open(page.into()).unwrap().record(0), Some(record.freeze()));
    }

    proptest! {
        #[test]
        fn states_survive_their_bytes(
            records in proptest::collection::vec(proptest::option::of((0u32..5, 0u8..4)), 0..200)
        ) {
            let mut state = PageState::default();
            for (at, record) in (0..).zip(&records) {
                state.attempts.push(record.map(|(attempts, _)| attempts));
                match record {
                    Some((_, 1)) => state.deferred.push(at),
                    Some((attempts, 2)) => state.delayed.push((at, u64::from(*attempts) + 7)),
                    Some((_, 3)) => _ = state.changed.insert(at, Bytes::from_static(b"changes")),
                    _ => {}
                }
            }
            prop_assert_eq!(PageState::decode(state.encode()).unwrap(), state);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let _ = PageState::decode(bytes.clone());
            if let Ok(page) = Page::open(bytes) {
                (0..page.len()).for_each(|at| _ = (page.record(at), page.mark(at)));
            }
        }
    }
}
