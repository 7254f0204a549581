//! Pages: the messages that one turn put into one queue, and what became of them.
//!
//! ```text
//! page  = records | u32 end of each record | u32 records | u8 version 1
//! state = u8 version 1 | u32 records | bitmap of the records that are gone | list of (u32 index, u32 attempts)
//! ```
//!
//! The table stands behind the records, so that a page is built in one go and a record is cut out without a copy.

use crate::context::Damage;
use crate::limits;
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::message::Record;
use postrider_protocol::wire::{Read, Reader};

const VERSION: u8 = 1;
/// Bytes of what stands behind the table.
const TAIL: usize = 5;

/// Collects records into a page.
#[derive(Debug, Default)]
pub struct PageBuilder {
    records: BytesMut,
    ends: Vec<u32>,
    closed: bool,
}

impl PageBuilder {
    /// Appends a record whose message has the given bytes.
    pub fn push(&mut self, enqueued_time_ms: u64, enqueued_sequence: u64, message: &[u8]) {
        self.records.reserve(Record::PLAIN_OVERHEAD + message.len());
        self.records.put_u64(enqueued_time_ms);
        self.records.put_u64(enqueued_sequence);
        self.records.put_u8(0);
        self.records.put_slice(message);
        self.end_record(message.len());
    }

    /// Appends a record of any kind.
    pub fn push_record(&mut self, record: &Record) {
        record.put(&mut self.records);
        self.end_record(record.message.len());
    }

    fn end_record(&mut self, message_bytes: usize) {
        let end = u32::try_from(self.records.len()).expect("a page is closed far below 4 GiB");
        self.ends.push(end);
        self.closed = message_bytes >= limits::LARGE_MESSAGE_BYTES
            || self.records.len() >= limits::PAGE_BYTES
            || self.ends.len() >= limits::PAGE_MESSAGES;
    }

    /// Whether a message of so many bytes belongs into this page, or the next one has to begin.
    pub fn has_room_for(&self, message_bytes: usize) -> bool {
        !self.closed && (self.ends.is_empty() || message_bytes < limits::LARGE_MESSAGE_BYTES)
    }

    /// Bytes of the records so far.
    pub fn bytes(&self) -> usize {
        self.records.len()
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The page's bytes.
    pub fn build(mut self) -> Bytes {
        self.records.reserve(self.ends.len() * 4 + TAIL);
        for end in &self.ends {
            self.records.put_u32(*end);
        }
        self.records.put_u32(self.ends.len() as u32);
        self.records.put_u8(VERSION);
        self.records.freeze()
    }
}

/// A page as it is stored, its table checked.
#[derive(Debug, Clone)]
pub struct Page {
    bytes: Bytes,
    count: usize,
    table: usize,
}

impl Page {
    /// Takes a stored page. A table that does not add up is damage.
    pub fn open(bytes: Bytes) -> Result<Self, Damage> {
        let length = bytes.len();
        let damage = |problem: &str| Damage::new(format!("a page of {length} bytes {problem}"));
        let tail = length.checked_sub(TAIL).ok_or_else(|| damage("is shorter than its tail"))?;
        if bytes[tail + 4] != VERSION {
            return Err(damage(&format!("has format {}, this version reads {VERSION}", bytes[tail + 4])));
        }
        let count = read_u32(&bytes, tail) as usize;
        let table = count.checked_mul(4).and_then(|size| tail.checked_sub(size));
        let table = table.ok_or_else(|| damage(&format!("claims {count} records")))?;
        let page = Page { bytes, count, table };
        let sound = (0..count).all(|at| page.start(at) <= page.end(at))
            && (count == 0 || page.end(count - 1) == table);
        if sound { Ok(page) } else { Err(damage("has a table that does not add up")) }
    }

    /// Records in the page, gone ones included.
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

    /// Bytes of a record.
    pub fn size(&self, at: usize) -> u32 {
        (self.end(at) - self.start(at)) as u32
    }

    /// The page as it is stored.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// A record's bytes, borrowed; empty behind the last one.
    pub fn bytes_of(&self, at: usize) -> &[u8] {
        if at < self.count { &self.bytes[self.start(at)..self.end(at)] } else { &[] }
    }

    /// A record's bytes, shared with the page; `None` behind the last one.
    pub fn record(&self, at: usize) -> Option<Bytes> {
        (at < self.count).then(|| self.bytes.slice(self.start(at)..self.end(at)))
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What became of a page's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageState {
    /// For each record, the failed deliveries it has had; `None` when it is gone.
    pub attempts: Vec<Option<u32>>,
}

impl PageState {
    /// The state of a page that nothing has happened to.
    pub fn fresh(records: usize) -> Self {
        PageState { attempts: vec![Some(0); records] }
    }

    /// The state's bytes.
    pub fn encode(&self) -> Bytes {
        let records = self.attempts.len();
        let mut out = BytesMut::with_capacity(9 + records / 8 + 16);
        out.put_u8(VERSION);
        out.put_u32(records as u32);
        for chunk in self.attempts.chunks(8) {
            let bit = |(at, attempts): (usize, &Option<u32>)| u8::from(attempts.is_none()) << at;
            out.put_u8(chunk.iter().enumerate().map(bit).sum());
        }
        let tried = || {
            self.attempts.iter().enumerate().filter_map(|(at, tried)| Some((at, tried.filter(|n| *n > 0)?)))
        };
        out.put_u32(tried().count() as u32);
        for (at, attempts) in tried() {
            out.put_u32(at as u32);
            out.put_u32(attempts);
        }
        out.freeze()
    }

    /// Reads a state that was stored. What does not add up is damage.
    pub fn decode(bytes: Bytes) -> Result<Self, Damage> {
        Self::read(bytes).map_err(|malformed| Damage::new(format!("a page's state: {malformed}")))
    }

    fn read(bytes: Bytes) -> Read<Self> {
        use postrider_protocol::wire::Malformed;
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(Malformed::new("version", format!("is {version}, this version reads {VERSION}")));
        }
        let records = reader.u32("records")? as usize;
        let bitmap = reader.take("bitmap", records.div_ceil(8))?;
        let gone = |at: usize| bitmap[at / 8] & (1 << (at % 8)) != 0;
        let mut attempts: Vec<_> = (0..records).map(|at| (!gone(at)).then_some(0)).collect();
        for _ in 0..reader.count("attempts", 8, records)? {
            let (at, tried) = (reader.u32("index")? as usize, reader.u32("attempts")?);
            match attempts.get_mut(at) {
                Some(slot @ Some(_)) => *slot = Some(tried),
                _ => return Err(Malformed::new("index", format!("{at} is not a record that is there"))),
            }
        }
        reader.finish()?;
        Ok(PageState { attempts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_come_back_as_they_were_put() {
        let mut builder = PageBuilder::default();
        builder.push(5, 1, b"first");
        builder.push(6, 2, b"");
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
        builder.push(0, 1, b"small");
        assert!(builder.has_room_for(100));
        assert!(!builder.has_room_for(limits::LARGE_MESSAGE_BYTES));
        let mut builder = PageBuilder::default();
        assert!(builder.has_room_for(limits::LARGE_MESSAGE_BYTES));
        builder.push(0, 1, &vec![0; limits::LARGE_MESSAGE_BYTES]);
        assert!(!builder.has_room_for(1));
    }

    proptest! {
        #[test]
        fn states_survive_their_bytes(attempts in proptest::collection::vec(proptest::option::of(0u32..5), 0..200)) {
            let state = PageState { attempts };
            prop_assert_eq!(PageState::decode(state.encode()).unwrap(), state);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let _ = PageState::decode(bytes.clone());
            if let Ok(page) = Page::open(bytes) {
                prop_assert!((0..page.len()).all(|at| page.record(at).is_some()));
            }
        }
    }
}
