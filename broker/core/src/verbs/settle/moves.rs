//! Moving messages between queues, and changing their properties on the way.

use crate::context::{Context, Damage, Rows};
use crate::journal::{Entry, Target};
use crate::key::{Key, QueueId};
use crate::page::{Mark, Page};
use crate::queue::number;
use crate::shard::Shard;
use bytes::{Bytes, BytesMut};
use postrider_protocol::error::Refusal;
use postrider_protocol::message::{DeadLetterInfo, Message, Record};
use postrider_protocol::trace::StepKind;
use postrider_protocol::value::{self, Value};
use postrider_protocol::wire::{Malformed, Reader};

/// Where a message is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub queue: QueueId,
    pub page: u64,
    pub index: u32,
}

impl At {
    /// The message with a number in a page.
    pub fn new(queue: QueueId, page: u64, sequence: u64) -> Self {
        At { queue, page, index: (sequence - number(page)) as u32 }
    }

    /// Its number.
    pub fn sequence(self) -> u64 {
        number(self.page) + u64::from(self.index)
    }
}

/// Why a message goes to the dead letters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cause<'a> {
    pub reason: &'a str,
    pub description: &'a str,
}

impl Shard {
    /// Appends a message to the dead letters of its entity, with its `failed` deliveries. The caller lets it go from
    /// where it is, in the same turn.
    pub(crate) fn copy_to_dead_letters(
        &mut self,
        cx: &Context<'_>,
        at: At,
        failed: u32,
        cause: Cause<'_>,
    ) -> Result<(), Damage> {
        let record = self.read_record(cx, at)?;
        let queue = QueueId::dead_letter(at.queue.entity);
        let sequence = self.append_failed(cx, queue, record, failed, cause);
        let entry = Entry::new(StepKind::DeadLettered, at.queue, at.sequence());
        let to = Some(Target { queue, sequence });
        self.journal.note(Entry { to, ..entry }.because(cause.reason, cause.description));
        Ok(())
    }

    /// Appends a record that was in no queue of this entity to one that keeps what has failed; returns its number there.
    pub(crate) fn shut_out_of(
        &mut self,
        cx: &Context<'_>,
        queue: QueueId,
        record: Record,
        cause: Cause<'_>,
    ) -> u64 {
        let message = record.message.clone();
        let sequence = self.append_failed(cx, queue, record, 0, cause);
        self.journal.shut_out(Target { queue, sequence }, &message, cause.reason, cause.description);
        sequence
    }

    /// Appends a record to a queue that keeps what has failed, with its `failed` deliveries; returns its number there.
    pub(crate) fn append_failed(
        &mut self,
        cx: &Context<'_>,
        target: QueueId,
        mut record: Record,
        failed: u32,
        cause: Cause<'_>,
    ) -> u64 {
        let source = self.catalog.get(target.entity).map(|entity| entity.row.name.clone());
        record.dead_letter = Some(DeadLetterInfo {
            source: source.unwrap_or_default(),
            reason: cause.reason.to_owned(),
            description: cause.description.to_owned(),
            time_ms: cx.now.wall_ms,
        });
        // What has failed does not expire.
        record.expires_at_ms = None;
        let queue = self.queues.get_mut(&target).expect("an entity with queues has all of them from birth");
        let number = queue.append_record(cx.now, 0, Mark::default(), &record, None, failed);
        self.touched.insert(target);
        self.hungry.insert(target);
        number
    }

    /// The message's time is up: counts it, and keeps it as a dead letter where the entity says so. Says whether it did;
    /// the caller lets it go from where it is.
    pub(crate) fn keep_expired(&mut self, cx: &Context<'_>, at: At, failed: u32) -> Result<bool, Damage> {
        let keeps = self.catalog.get(at.queue.entity).is_some_and(|it| it.settings.dead_letter_on_expiration);
        if let Some(queue) = self.queues.get_mut(&at.queue) {
            queue.row_mut().expired += 1;
        }
        self.touched.insert(at.queue);
        if !keeps || at.queue.lane.keeps_failed() {
            return Ok(false);
        }
        let cause = Cause { reason: "TTLExpired", description: "the message's time to live ran out" };
        self.copy_to_dead_letters(cx, at, failed, cause)?;
        Ok(true)
    }

    /// What consumers have changed of a message in the window, once they change more; refuses what breaks a message's
    /// limits.
    pub(crate) fn changed_properties(
        &mut self,
        cx: &Context<'_>,
        at: At,
        changes: &[(String, Value)],
    ) -> Result<Result<Bytes, Refusal>, Damage> {
        let mut message = decode(self.read_record(cx, at)?.message)?;
        merge(&mut message.properties, changes);
        if let Err(refusal) = message.check() {
            return Ok(Err(refusal));
        }
        let earlier = self.queues.get(&at.queue).and_then(|queue| queue.changes(at.page, at.index));
        let mut all = earlier.map(read_changes).transpose()?.unwrap_or_default();
        merge(&mut all, changes);
        let mut out = BytesMut::new();
        value::put_properties(&mut out, &all);
        Ok(Ok(out.freeze()))
    }

    /// The record of a message in the window, as it is now: with what consumers have changed.
    pub(crate) fn read_record(&mut self, cx: &Context<'_>, at: At) -> Result<Record, Damage> {
        let record = self.stored_record(cx, at)?;
        let changes = self.queues.get(&at.queue).and_then(|queue| queue.changes(at.page, at.index));
        changed_record(record, changes)
    }

    /// The record of a message as it was put.
    pub(crate) fn stored_record(&mut self, cx: &Context<'_>, at: At) -> Result<Bytes, Damage> {
        let At { queue, page, index } = at;
        let shard = self.id;
        let missing = || {
            Damage::new(format!("message {index} of page {page} of {queue:?} in shard {shard} is missing"))
        };
        if self.read.as_ref().is_none_or(|(at, _)| *at != (queue, page)) {
            let rows = self.rows(cx);
            let bytes = rows.get(&Key::Page(shard, queue, page))?.ok_or_else(missing)?;
            self.read = Some(((queue, page), Page::resolve(&rows, shard, bytes)?));
        }
        self.read.as_ref().and_then(|(_, page)| page.record(index as usize)).ok_or_else(missing)
    }
}

/// A record with the changes of its properties that are kept beside it.
pub fn changed_record(record: Bytes, changes: Option<&Bytes>) -> Result<Record, Damage> {
    let mut record = Record::decode(record).map_err(|malformed| damaged("a record", &malformed))?;
    if let Some(changes) = changes {
        let mut message = decode(record.message)?;
        merge(&mut message.properties, &read_changes(changes)?);
        record.message = message.encode();
    }
    Ok(record)
}

pub(crate) fn decode(message: Bytes) -> Result<Message, Damage> {
    Message::decode(message).map_err(|malformed| damaged("a message", &malformed))
}

fn read_changes(changes: &Bytes) -> Result<Vec<(String, Value)>, Damage> {
    value::read_properties(&mut Reader::new(changes.clone()))
        .map_err(|malformed| damaged("changes", &malformed))
}

fn damaged(what: &str, malformed: &Malformed) -> Damage {
    Damage::new(format!("{what}: {malformed}"))
}

/// Sets properties among others; names do not differ by case.
fn merge(properties: &mut Vec<(String, Value)>, changes: &[(String, Value)]) {
    for (name, value) in changes {
        let fold = |name: &str| name.to_lowercase();
        match properties.iter_mut().find(|(known, _)| fold(known) == fold(name)) {
            Some((_, known)) => *known = value.clone(),
            None => properties.push((name.clone(), value.clone())),
        }
    }
}
