//! Pages: the messages that one turn put into one strand of a queue, and what became of them.
//!
//! ```text
//! page  = records | marks, if flags has bit 0 | u64 written_ms, if it has bit 1 | u32 end of each record
//!         | u32 records | u8 flags | u8 version 1
//! mark  = u64 expires_ms | u32 cost | u32 key
//! state = u8 version 1 | u32 records | bitmap of the records that are gone | list of (u32 index, u32 attempts)
//!         | list of u32 index, deferred | list of (u32 index, u64 until_ms), delayed
//!         | list of (u32 index, blob of properties), changed
//! ```
//!
//! The tables stand behind the records, so that a page is built in one go and a record is cut out without a copy. A
//! record without bytes is a hole: its number belongs to a message of another strand.

use crate::context::Damage;
use crate::limits;
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::message::Record;
use postrider_protocol::wire::{self, Malformed, Read, Reader};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
/// The page has a mark for each record.
const MARKED: u8 = 1;
/// The page says when it was written: its first message was enqueued at another time, in another queue.
const WRITTEN: u8 = 2;
/// Bytes of a mark.
const MARK: usize = 16;
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

/// Collects records into a page.
#[derive(Debug, Default)]
pub struct PageBuilder {
    records: BytesMut,
    ends: Vec<u32>,
    marks: Vec<Mark>,
    marked: bool,
    written_ms: Option<u64>,
    closed: bool,
}

impl PageBuilder {
    /// Appends a record whose message has the given bytes.
    pub fn push(&mut self, enqueued_time_ms: u64, enqueued_sequence: u64, mark: Mark, message: &[u8]) {
        self.records.reserve(Record::PLAIN_OVERHEAD + 8 + message.len());
        Record::put_head(&mut self.records, enqueued_time_ms, enqueued_sequence, mark.expires_at_ms());
        self.records.put_slice(message);
        self.end_record(mark, message.len());
    }

    /// Appends a record of any kind.
    pub fn push_record(&mut self, record: &Record, mark: Mark) {
        record.put(&mut self.records);
        self.end_record(mark, record.message.len());
    }

    /// Says when the page was written, where its first record does not.
    pub fn set_written_ms(&mut self, written_ms: u64) {
        self.written_ms = Some(written_ms);
    }

    /// Appends holes until the page has `records` of them and of records.
    pub fn pad(&mut self, records: usize) {
        let end = self.records.len() as u32;
        self.ends.resize(records.max(self.ends.len()), end);
        self.marks.resize(self.ends.len(), Mark::default());
    }

    fn end_record(&mut self, mark: Mark, message_bytes: usize) {
        let end = u32::try_from(self.records.len()).expect("a page is closed far below 4 GiB");
        self.ends.push(end);
        self.marks.push(mark);
        self.marked |= mark != Mark::default();
        self.closed =
            message_bytes >= limits::LARGE_MESSAGE_BYTES || self.records.len() >= limits::PAGE_BYTES;
    }

    /// Whether a message of so many bytes belongs into this page as record `index`, or the next one has to begin.
    pub fn has_room_for(&self, message_bytes: usize, index: u64) -> bool {
        let fits = index < limits::PAGE_MESSAGES as u64;
        fits && !self.closed && (self.ends.is_empty() || message_bytes < limits::LARGE_MESSAGE_BYTES)
    }

    /// Bytes of the records so far.
    pub fn bytes(&self) -> usize {
        self.records.len()
    }

    /// Records so far, holes included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The page's bytes.
    pub fn build(mut self) -> Bytes {
        let marks = if self.marked { &self.marks[..] } else { &[] };
        self.records.reserve(marks.len() * MARK + 8 + self.ends.len() * 4 + TAIL);
        for mark in marks {
            self.records.put_u64(mark.expires_ms);
            self.records.put_u32(mark.cost);
            self.records.put_u32(mark.key);
        }
        if let Some(written_ms) = self.written_ms {
            self.records.put_u64(written_ms);
        }
        for end in &self.ends {
            self.records.put_u32(*end);
        }
        self.records.put_u32(self.ends.len() as u32);
        let written = if self.written_ms.is_some() { WRITTEN } else { 0 };
        self.records.put_u8(written | if self.marked { MARKED } else { 0 });
        self.records.put_u8(VERSION);
        self.records.freeze()
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
}

impl Page {
    /// Takes a stored page. Tables that do not add up are damage.
    pub fn open(bytes: Bytes) -> Result<Self, Damage> {
        let length = bytes.len();
        let damage = |problem: &str| Damage::new(format!("a page of {length} bytes {problem}"));
        let tail = length.checked_sub(TAIL).ok_or_else(|| damage("is shorter than its tail"))?;
        let (flags, version) = (bytes[tail + 4], bytes[tail + 5]);
        if version != VERSION || flags & !(MARKED | WRITTEN) != 0 {
            return Err(damage(&format!("has format {version}.{flags}, this version reads {VERSION}")));
        }
        let count = read_u32(&bytes, tail) as usize;
        let before = |end: usize, size: usize| count.checked_mul(size).and_then(|size| end.checked_sub(size));
        let table = before(tail, 4).ok_or_else(|| damage(&format!("claims {count} records")))?;
        let written = (flags & WRITTEN != 0).then(|| table.checked_sub(8));
        let written = written.map(|at| at.ok_or_else(|| damage("has no room for its time"))).transpose()?;
        let end = written.unwrap_or(table);
        let marks = (flags & MARKED != 0).then(|| before(end, MARK));
        let marks = marks.map(|at| at.ok_or_else(|| damage(&format!("claims {count} marks")))).transpose()?;
        let page = Page { bytes, count, table, marks, written };
        let sound = (0..count).all(|at| page.start(at) <= page.end(at))
            && (count == 0 || page.end(count - 1) == marks.unwrap_or(end));
        if sound { Ok(page) } else { Err(damage("has a table that does not add up")) }
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

    /// Bytes of a record; 0 for a hole.
    pub fn size(&self, at: usize) -> u32 {
        (self.end(at) - self.start(at)) as u32
    }

    /// What deciding looks at in a record; `None` where the page says nothing of any of them.
    pub fn mark(&self, at: usize) -> Option<Mark> {
        let at = self.marks? + at * MARK;
        let (high, low) = (read_u32(&self.bytes, at), read_u32(&self.bytes, at + 4));
        Some(Mark {
            expires_ms: u64::from(high) << 32 | u64::from(low),
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

    /// A record's bytes, borrowed; empty for a hole and behind the last one.
    pub fn bytes_of(&self, at: usize) -> &[u8] {
        if at < self.count { &self.bytes[self.start(at)..self.end(at)] } else { &[] }
    }

    /// A record's bytes, shared with the page; `None` for a hole and behind the last one.
    pub fn record(&self, at: usize) -> Option<Bytes> {
        (at < self.count && self.size(at) > 0).then(|| self.bytes.slice(self.start(at)..self.end(at)))
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What became of a page's records, as far as it outlives a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageState {
    /// For each record, the failed deliveries it has had; `None` when it is gone.
    pub attempts: Vec<Option<u32>>,
    /// Records that were set aside.
    pub deferred: Vec<u32>,
    /// Records that wait, and until when, UTC milliseconds.
    pub delayed: Vec<(u32, u64)>,
    /// Records whose properties consumers have changed: a list of (text name, value).
    pub changed: BTreeMap<u32, Bytes>,
}

impl PageState {
    /// The state of a page of so many records that nothing has happened to.
    pub fn fresh(records: usize) -> Self {
        PageState { attempts: vec![Some(0); records], ..PageState::default() }
    }

    /// The state of `page` as it was stored, or as it is where nothing was stored. What does not add up is damage.
    pub fn of(page: &Page, stored: Option<Bytes>) -> Result<Self, Damage> {
        let mut state = stored.map_or_else(|| Ok(PageState::fresh(page.len())), PageState::decode)?;
        if state.attempts.len() != page.len() {
            let (has, knows) = (page.len(), state.attempts.len());
            return Err(Damage::new(format!("a page has {has} records, its state {knows}")));
        }
        let holes = (0..page.len()).filter(|at| page.size(*at) == 0);
        holes.for_each(|at| state.attempts[at] = None);
        Ok(state)
    }

    /// The state's bytes.
    pub fn encode(&self) -> Bytes {
        let records = self.attempts.len();
        let mut out = BytesMut::with_capacity(24 + records / 8);
        out.put_u8(VERSION);
        out.put_u32(records as u32);
        for chunk in self.attempts.chunks(8) {
            let bit = |(at, attempts): (usize, &Option<u32>)| u8::from(attempts.is_none()) << at;
            out.put_u8(chunk.iter().enumerate().map(bit).sum());
        }
        let tried: Vec<_> = self.tried().collect();
        wire::put_list(&mut out, &tried, |out, (at, attempts)| {
            out.put_u32(*at);
            out.put_u32(*attempts);
        });
        wire::put_list(&mut out, &self.deferred, |out, at| out.put_u32(*at));
        wire::put_list(&mut out, &self.delayed, |out, (at, until_ms)| {
            out.put_u32(*at);
            out.put_u64(*until_ms);
        });
        wire::put_count(&mut out, self.changed.len());
        for (at, properties) in &self.changed {
            out.put_u32(*at);
            wire::put_blob(&mut out, properties);
        }
        out.freeze()
    }

    fn tried(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let records = (0..).zip(&self.attempts);
        records.filter_map(|(at, attempts)| Some((at, attempts.filter(|tried| *tried > 0)?)))
    }

    /// Reads a state that was stored. What does not add up is damage.
    pub fn decode(bytes: Bytes) -> Result<Self, Damage> {
        Self::read(bytes).map_err(|malformed| Damage::new(format!("a page's state: {malformed}")))
    }

    fn read(bytes: Bytes) -> Read<Self> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(Malformed::new("version", format!("is {version}, this version reads {VERSION}")));
        }
        let records = reader.u32("records")? as usize;
        let bitmap = reader.take("bitmap", records.div_ceil(8))?;
        let gone = |at: usize| bitmap[at / 8] & (1 << (at % 8)) != 0;
        let mut state = PageState {
            attempts: (0..records).map(|at| (!gone(at)).then_some(0)).collect(),
            ..PageState::default()
        };
        for _ in 0..reader.count("attempts", 8, records)? {
            let (at, tried) = (state.read_index(&mut reader)?, reader.u32("attempts")?);
            state.attempts[at as usize] = Some(tried);
        }
        for _ in 0..reader.count("deferred", 4, records)? {
            let at = state.read_index(&mut reader)?;
            state.deferred.push(at);
        }
        for _ in 0..reader.count("delayed", 12, records)? {
            let at = state.read_index(&mut reader)?;
            state.delayed.push((at, reader.u64("until_ms")?));
        }
        for _ in 0..reader.count("changed", 8, records)? {
            let at = state.read_index(&mut reader)?;
            state.changed.insert(at, reader.blob("properties")?);
        }
        reader.finish()?;
        Ok(state)
    }

    /// Reads the index of a record that is there.
    fn read_index(&self, reader: &mut Reader) -> Read<u32> {
        let at = reader.u32("index")?;
        match self.attempts.get(at as usize) {
            Some(Some(_)) => Ok(at),
            _ => Err(Malformed::new("index", format!("{at} is not a record that is there"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_come_back_as_they_were_put() {
        let mut builder = PageBuilder::default();
        builder.push(5, 1, Mark::default(), b"first");
        builder.push(6, 2, Mark::default(), b"");
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
        let mut builder = PageBuilder::default();
        builder.push(0, 1, Mark::default(), b"small");
        assert!(builder.has_room_for(100, 1));
        assert!(!builder.has_room_for(limits::LARGE_MESSAGE_BYTES, 1));
        assert!(!builder.has_room_for(100, limits::PAGE_MESSAGES as u64));
        let mut builder = PageBuilder::default();
        assert!(builder.has_room_for(limits::LARGE_MESSAGE_BYTES, 0));
        builder.push(0, 1, Mark::default(), &vec![0; limits::LARGE_MESSAGE_BYTES]);
        assert!(!builder.has_room_for(1, 1));
    }

    #[test]
    fn marks_and_holes_come_back() {
        let mut builder = PageBuilder::default();
        let mark = Mark { expires_ms: 1 << 40, cost: 3, key: 9 };
        builder.push(5, 1, mark, b"first");
        builder.pad(3);
        builder.push(5, 4, Mark::default(), b"fourth");
        let page = Page::open(builder.build()).unwrap();
        assert_eq!((page.mark(0), page.mark(3)), (Some(mark), Some(Mark::default())));
        assert!(page.record(1).is_none() && page.record(2).is_none() && page.record(3).is_some());
        let record = Record::decode(page.record(0).unwrap()).unwrap();
        assert_eq!(record.expires_at_ms, Some(mark.expires_ms));
        assert_eq!(PageState::of(&page, None).unwrap().attempts, [Some(0), None, None, Some(0)]);
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
