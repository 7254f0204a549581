//! What a shard has decided about its messages lately, for those who ask what became of one.
//!
//! A turn that moves messages leaves one row: when it was, and an [`Entry`] for each run of messages to which the same
//! thing happened. A row's number is where it begins in the journal, in bytes of rows since the shard was made: so the
//! numbers alone say how much there is, and the oldest rows go by their numbers, a sixteenth of the journal at a time.
//! Why so: `docs/decisions/journal.md`.
//!
//! ```text
//! row = u8 version 1 | u64 when_ms | entries
//! ```

mod entry;

pub use entry::{Entry, Target};

use crate::bloom;
use crate::command::Owner;
use crate::context::{Damage, Now, Rows};
use crate::effect::PageRun;
use crate::fact::Fact;
use crate::key::{Key, KeyRange, QueueId};
use crate::queue::number;
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::message::Message;
use postrider_protocol::name::EntityName;
use postrider_protocol::trace::StepKind;
use postrider_protocol::value::Id;
use postrider_protocol::wire::{Malformed, Reader};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
/// Bytes of a row's key.
const KEY_BYTES: u64 = 11;
/// Into how many parts the journal is cut; the oldest goes as a whole.
const PARTS: u64 = 16;

/// The journal of a shard, and what this turn adds to it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Bytes of rows that are kept; 0: nothing is written.
    limit: u64,
    /// The number of the oldest row.
    first: u64,
    /// The number of the next row.
    next: u64,
    entries: Vec<Entry>,
    /// The last entry of this turn about each queue.
    last: BTreeMap<QueueId, usize>,
    /// The message of a topic that copies are made of at the moment.
    copying: Option<Target>,
}

impl Journal {
    /// Keeps so many bytes of rows from now on; 0 for writing none.
    pub fn set_limit(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    /// Whether anything is written.
    pub fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Notes what happened. Goes on with the last entry about the queue where the same happened to the message before.
    pub fn note(&mut self, entry: Entry) {
        if self.is_on() {
            self.note_of(entry, 0);
        }
    }

    /// Notes what happened to a message, of which there is nothing else to say: most are like the one before.
    pub fn plain(&mut self, kind: StepKind, queue: QueueId, sequence: u64, until_ms: u64) {
        if self.is_on() {
            self.plain_of(kind, queue, sequence, until_ms, 0);
        }
    }

    fn plain_of(&mut self, kind: StepKind, queue: QueueId, sequence: u64, until_ms: u64, id: u64) {
        let last = self.entries.last_mut();
        let goes_on = last.is_some_and(|last| last.extend_plain(kind, queue, sequence, until_ms, id));
        if !goes_on {
            self.note_of(Entry { until_ms, ..Entry::new(kind, queue, sequence) }, id);
        }
    }

    /// Notes what happened to a message whose id has this hash; 0 for none.
    fn note_of(&mut self, mut entry: Entry, id: u64) {
        let [of, to] = [entry.queue, entry.target().queue];
        let at = self.last.get(&to).copied();
        // What happened to the message before has to stand in front.
        let at = at.filter(|at| self.last.get(&of).is_none_or(|before| before <= at));
        if at.and_then(|at| self.entries.get_mut(at)).is_some_and(|last| last.extend(&entry, id)) {
            return;
        }
        let at = self.entries.len();
        self.last.insert(to, at);
        if entry.kind != StepKind::Copied {
            self.last.insert(of, at);
        }
        entry.ids.extend((id > 0).then_some(id));
        self.entries.push(entry);
    }

    /// Notes that a queue or topic took a message in under a number.
    pub fn accepted(&mut self, queue: QueueId, sequence: u64, message: &Message, came: bool) {
        if !self.is_on() {
            return;
        }
        let kind = if came { StepKind::Arrived } else { StepKind::Accepted };
        match self.copying {
            None => self.plain_of(kind, queue, sequence, 0, id_of(message)),
            Some(of) => {
                let to = Target { queue, sequence };
                self.note(Entry { to: Some(to), ..Entry::new(StepKind::Copied, of.queue, of.sequence) });
            }
        }
    }

    /// Notes what happened to a message in a queue or topic that it is sent to.
    pub fn sent(&mut self, kind: StepKind, queue: QueueId, sequence: u64, message: &Message, until_ms: u64) {
        if self.is_on() {
            self.plain_of(kind, queue, sequence, until_ms, id_of(message));
        }
    }

    /// Notes that a message which was sent beside work on `from` is on its way to an entity.
    pub fn posted(&mut self, from: QueueId, message: &Message, to: &str) {
        if self.is_on() {
            self.note_of(Entry::new(StepKind::Forwarded, from, 0).named(to), id_of(message));
        }
    }

    /// Notes that a message was put among what has failed without having been in the queue.
    pub fn shut_out(&mut self, to: Target, message: &Bytes, reason: &str, description: &str) {
        if !self.is_on() {
            return;
        }
        let (of, id) = match self.copying {
            Some(of) => (of, 0),
            None => {
                (Target { sequence: 0, ..to }, Message::decode(message.clone()).map_or(0, |it| id_of(&it)))
            }
        };
        let entry = Entry { to: Some(to), ..Entry::new(StepKind::DeadLettered, of.queue, of.sequence) };
        self.note_of(entry.because(reason, description), id);
    }

    /// Notes that a receiver got messages; `until_ms` is 0 where it got them for good.
    pub fn delivered(&mut self, queue: QueueId, owner: Owner, until_ms: u64, runs: &[PageRun]) {
        if !self.is_on() {
            return;
        }
        let kind = if until_ms == 0 { StepKind::Received } else { StepKind::Delivered };
        for run in runs {
            self.note(Entry {
                count: u64::from(run.count),
                owner: Some(owner),
                attempt: run.attempts.saturating_add(1),
                until_ms,
                ..Entry::new(kind, queue, number(run.page) + u64::from(run.index))
            });
        }
    }

    /// Notes that messages left for another entity.
    pub fn forwarded(&mut self, queue: QueueId, to: &EntityName, runs: &[PageRun]) {
        for run in runs {
            let entry = Entry::new(StepKind::Forwarded, queue, number(run.page) + u64::from(run.index));
            self.note(Entry { count: u64::from(run.count), ..entry }.named(to.as_str()));
        }
    }

    /// Until [`Journal::copied`], what is accepted are copies of a topic's message.
    pub fn copying(&mut self, topic: QueueId, sequence: u64) {
        self.copying = self.is_on().then_some(Target { queue: topic, sequence });
    }

    /// All copies are made.
    pub fn copied(&mut self) {
        self.copying = None;
    }

    /// Ends the turn: the row, and what goes for it.
    pub fn seal(&mut self, now: Now, facts: &mut Vec<Fact>) {
        if self.entries.is_empty() {
            return;
        }
        let mut row = BytesMut::new();
        row.put_u8(VERSION);
        row.put_u64(now.wall_ms);
        self.entries.iter().for_each(|entry| entry.put(&mut row));
        self.entries.clear();
        self.last.clear();
        let at = self.next;
        self.next += KEY_BYTES + row.len() as u64;
        facts.push(Fact::Journal(at, row.freeze()));
        facts.extend(self.trim(at));
    }

    /// Where the row at `at` reaches into another part, lets the oldest go.
    fn trim(&mut self, at: u64) -> Option<Fact> {
        let part = (self.limit / PARTS).max(1);
        let kept_from = self.next.saturating_sub(self.limit - part).min(at);
        if at / part == self.next / part || kept_from <= self.first {
            return None;
        }
        Some(Fact::JournalGone(std::mem::replace(&mut self.first, kept_from), kept_from))
    }

    /// In recovery: where the journal begins and ends.
    pub fn load(&mut self, shard: u16, rows: &dyn Rows) -> Result<(), Damage> {
        let Some((first, mut next)) = row_from(shard, rows, 0)? else { return Ok(()) };
        // Rows are found from a number on, not back from the end: goes ahead, further each time, and then nearer.
        let mut ahead = 1;
        loop {
            match row_from(shard, rows, next + ahead - 1)? {
                Some((_, end)) => (next, ahead) = (end, ahead * 2),
                None if ahead > 1 => ahead /= 2,
                None => break,
            }
        }
        (self.first, self.next) = (first, next);
        Ok(())
    }

    /// Checks what must always be true between turns; says what is not.
    pub fn check(&self) -> Result<(), String> {
        let is_sealed = self.entries.is_empty() && self.last.is_empty() && self.copying.is_none();
        if is_sealed && self.first <= self.next {
            return Ok(());
        }
        Err(format!("the journal was not sealed, or ends before it begins: {self:?}"))
    }
}

/// Number and end of the first row from a number on.
fn row_from(shard: u16, rows: &dyn Rows, from: u64) -> Result<Option<(u64, u64)>, Damage> {
    let mut found = None;
    rows.scan(&KeyRange::journal(shard, from), &mut |key, value| {
        if let Key::Journal(_, at) = Key::decode(key)? {
            found = Some((at, at + KEY_BYTES + value.len() as u64));
        }
        Ok(false)
    })?;
    Ok(found)
}

/// What a row says: when it was, UTC milliseconds, and what happened, in order.
pub fn read_row(row: Bytes) -> Result<(u64, Vec<Entry>), Damage> {
    let read = |mut reader: Reader| {
        let version = reader.u8("journal.version")?;
        if version != VERSION {
            let text = format!("is {version}, this version reads {VERSION}");
            return Err(Malformed::new("journal.version", text));
        }
        let (when_ms, mut entries) = (reader.u64("journal.when_ms")?, Vec::new());
        while reader.remaining() > 0 {
            entries.push(Entry::read(&mut reader)?);
        }
        Ok((when_ms, entries))
    };
    read(Reader::new(row)).map_err(|malformed| Damage::new(format!("a row of the journal: {malformed}")))
}

/// 48 bits of the hash of an id's text; never 0.
pub fn hash(id: &str) -> u64 {
    (bloom::hash(id) >> 16).max(1)
}

/// The hash of a message's id; 0 where it has none.
fn id_of(message: &Message) -> u64 {
    match &message.message_id {
        None => 0,
        Some(Id::Text(text)) => hash(text),
        Some(other) => hash(&other.to_string()),
    }
}
