//! Collecting records into a page.

use super::{MARK, MARKED, Mark, REFERRING, Reference, TAIL, VERSION, WRITTEN, checksum};
use crate::key::TopicPage;
use crate::limits;
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::message::Record;

/// The index of a record that has its message itself.
pub(super) const OWN: u32 = u32::MAX;

/// A message on its way into a page.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// The message as its sender laid it out.
    pub message: &'a [u8],
    /// Where its topic has stored it, if it has.
    pub stored: Option<Reference>,
}

impl<'a> Body<'a> {
    /// A message that is stored nowhere else.
    pub fn own(message: &'a [u8]) -> Self {
        Body { message, stored: None }
    }

    /// Bytes of it that its record takes in the page.
    fn stored_bytes(self) -> usize {
        if self.stored.is_some() { 0 } else { self.message.len() }
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
    /// Where the messages of the records are that do not have them themselves.
    refers: Option<TopicPage>,
    /// For each record, once one refers: the index there, and the message's bytes.
    references: Vec<(u32, u32)>,
    /// Bytes of these messages.
    referred_bytes: usize,
}

impl PageBuilder {
    /// Appends a record of a message that came as its sender laid it out.
    pub fn push(&mut self, enqueued_time_ms: u64, enqueued_sequence: u64, mark: Mark, body: Body<'_>) {
        self.records.reserve(Record::PLAIN_OVERHEAD + 8 + body.stored_bytes());
        Record::put_head(&mut self.records, enqueued_time_ms, enqueued_sequence, mark.expires_at_ms());
        self.end_record(mark, body);
    }

    /// Appends a record of any kind, whose message may be stored by its topic.
    pub fn push_record(&mut self, record: &Record, mark: Mark, stored: Option<Reference>) {
        record.put_fields(&mut self.records);
        self.end_record(mark, Body { message: &record.message, stored });
    }

    fn end_record(&mut self, mark: Mark, body: Body<'_>) {
        match body.stored {
            Some(stored) => self.refer(stored, body.message.len()),
            None => self.records.put_slice(body.message),
        }
        let end = u32::try_from(self.records.len()).expect("a page is closed far below 4 GiB");
        self.ends.push(end);
        self.marks.push(mark);
        self.marked |= mark != Mark::default();
        self.pad_references();
        let is_large = body.stored_bytes() >= limits::LARGE_MESSAGE_BYTES;
        self.closed = is_large || self.records.len() >= limits::PAGE_BYTES;
    }

    /// Says where the message of the record is that is put now.
    fn refer(&mut self, stored: Reference, bytes: usize) {
        self.refers = Some(stored.page);
        self.references.resize(self.ends.len(), (OWN, 0));
        self.references.push((stored.index, bytes as u32));
        self.referred_bytes += bytes;
    }

    fn pad_references(&mut self) {
        if self.refers.is_some() {
            self.references.resize(self.ends.len(), (OWN, 0));
        }
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
        self.pad_references();
    }

    /// Whether a message belongs into this page as record `index`, or the next page has to begin: a page refers to one
    /// page of its topic.
    pub fn has_room_for(&self, body: Body<'_>, index: u64) -> bool {
        let refers = body.stored.map(|stored| stored.page);
        let fits = index < limits::PAGE_MESSAGES as u64
            && (self.refers.is_none() || refers.is_none_or(|page| self.refers == Some(page)));
        fits && !self.closed && (self.ends.is_empty() || body.stored_bytes() < limits::LARGE_MESSAGE_BYTES)
    }

    /// The page of its topic that it refers to.
    pub fn refers(&self) -> Option<TopicPage> {
        self.refers
    }

    /// Bytes of the records so far, with all their messages.
    pub fn bytes(&self) -> usize {
        self.records.len() + self.referred_bytes
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
        let references = self.references.len() * 8 + 16;
        self.records.reserve(marks.len() * MARK + 8 + references + self.ends.len() * 4 + 4 + TAIL);
        for mark in marks {
            self.records.put_u64(mark.expires_ms);
            self.records.put_u32(mark.cost);
            self.records.put_u32(mark.key);
        }
        if let Some(written_ms) = self.written_ms {
            self.records.put_u64(written_ms);
        }
        if let Some(page) = self.refers {
            for (index, bytes) in &self.references {
                self.records.put_u32(*index);
                self.records.put_u32(*bytes);
            }
            self.records.put_u64(page.topic);
            self.records.put_u64(page.first);
        }
        for end in &self.ends {
            self.records.put_u32(*end);
        }
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let refers = flag(self.refers.is_some(), REFERRING);
        let flags = flag(self.marked, MARKED) | flag(self.written_ms.is_some(), WRITTEN) | refers;
        let [a, b, c, d] = (self.ends.len() as u32).to_be_bytes();
        let tail = [a, b, c, d, flags, VERSION];
        let checksum = checksum(&self.records, &tail);
        self.records.put_u32(checksum);
        self.records.put_slice(&tail);
        self.records.freeze()
    }
}
