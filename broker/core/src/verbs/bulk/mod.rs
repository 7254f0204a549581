//! Work on many messages: purging and redriving, a portion at a time.
//!
//! A portion is looked at first, by the rows as they are within the turn, and changed then: what it comes to does not
//! depend on what it does.

mod browse;
mod causes;
mod choose;
pub(super) mod walk;

use crate::command::Portion;
use crate::context::{Context, Damage, Now};
use crate::fact::Fact;
use crate::journal::{Entry, Target};
use crate::key::QueueId;
use crate::page::{Mark, NEVER_MS};
use crate::queue::{Event, Queue, Slot};
use crate::settings::Settings;
use crate::shard::Shard;
use crate::verbs::bulk::causes::require_dead_letters;
use crate::verbs::bulk::choose::Chooser;
use crate::verbs::bulk::walk::{Examined, Found, Span, Where};
use crate::verbs::forward::laid_out;
use crate::verbs::settle::moves::decode;
use bytes::BytesMut;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::message::Record;
use postrider_protocol::name::{Address, EntityName, Lane};
use postrider_protocol::reply::Reply;
use postrider_protocol::trace::StepKind;

/// What the target of a redrive takes.
struct Room {
    messages: u64,
    bytes: u64,
}

/// A dead letter as it goes back.
struct Redriven {
    record: Record,
    mark: Mark,
    priority: Option<u8>,
    session_id: Option<String>,
}

impl Shard {
    pub(crate) fn purge(
        &mut self,
        cx: &Context<'_>,
        address: &Address,
        portion: &Portion,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let (id, chooser) =
            match self.queue_at(address).and_then(|id| Ok((id, Chooser::of(&portion.selection)?))) {
                Ok(checked) => checked,
                Err(refusal) => return Ok(Err(refusal)),
            };
        self.show_pending(cx.now, id);
        // Whoever waits for the queue to be drained need not wait any more.
        self.hungry.insert(id);
        let mut at_once = 0;
        if *portion == Portion::default() {
            self.settle_sessions(cx, id)?;
            at_once = self.purge_all(id);
            self.purge_sessions(cx, id)?;
            // Locked messages need not be looked at: what may be left is scheduled.
            if self.queues.get(&id).is_none_or(|queue| queue.row().scheduled == 0) {
                return Ok(Ok(Reply::Worked { done: at_once, examined: at_once, next: 0 }));
            }
        }
        let (chosen, examined) = self.choose(cx, id, portion, &chooser)?;
        for found in &chosen {
            self.remove(cx, id, found)?;
            self.journal.plain(StepKind::Purged, id, found.number, 0);
        }
        let (done, messages) = (chosen.len() as u64, examined.messages);
        Ok(Ok(Reply::Worked { done: at_once + done, examined: at_once + messages, next: examined.next }))
    }

    /// Removes every enqueued message that nobody holds, however many there are; returns how many.
    fn purge_all(&mut self, id: QueueId) -> u64 {
        let mut facts = Vec::new();
        let purged = self.queues.get_mut(&id).map_or(0, |queue| queue.purge(&mut facts));
        for fact in &facts {
            if let Fact::Leaving(queue, from, to) = fact {
                self.leave(*queue, *from, *to);
            }
        }
        facts.into_iter().for_each(|fact| self.remember(fact));
        self.touched.insert(id);
        let count = self.queues.get(&id).map_or(0, Queue::next).saturating_sub(1);
        self.journal.note(Entry { count, ..Entry::new(StepKind::Purged, id, 1) });
        purged
    }

    /// Lets the pages that this turn has filled so far be found among the rows; what comes behind begins others.
    pub(crate) fn show_pending(&mut self, now: Now, id: QueueId) {
        if let Some(topic) = self.catalog.topic_of(id.entity) {
            self.show_bodies(now, topic);
        }
        let mut facts = Vec::new();
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.seal_pending(&mut facts);
        }
        facts.into_iter().for_each(|fact| self.remember(fact));
    }

    /// The messages of a portion that are selected and that nobody holds.
    fn choose(
        &self,
        cx: &Context<'_>,
        id: QueueId,
        portion: &Portion,
        chooser: &Chooser,
    ) -> Result<(Vec<Found>, Examined), Damage> {
        let (from, to, limit) = (portion.from, portion.to, u64::from(portion.limit));
        let span = Span { from, to, limit, numbers: &portion.selection.sequences };
        let mut chosen = Vec::new();
        let examined = self.examine(&self.rows(cx), id, span, &mut |found| {
            if !found.is_locked() && chooser.takes(&found)? {
                chosen.push(found);
            }
            Ok(true)
        })?;
        Ok((chosen, examined))
    }

    /// Removes a message that nobody holds.
    pub(crate) fn remove(&mut self, cx: &Context<'_>, id: QueueId, found: &Found) -> Result<(), Damage> {
        match found.at {
            Where::Scheduled { due_ms } => self.unschedule(id, found.number, due_ms),
            Where::Stored { page, index, .. } => self.let_go(cx, id, page, index, Event::Drop)?,
        }
        Ok(())
    }

    /// Lets an event end a message that nobody holds.
    fn let_go(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        page: u64,
        index: u32,
        event: Event,
    ) -> Result<(), Damage> {
        self.fetch_page(cx, id, page)?;
        self.touched.insert(id);
        // What waited behind it may go now.
        self.hungry.insert(id);
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.change(page, index, event);
        }
        Ok(())
    }

    pub(crate) fn redrive(
        &mut self,
        cx: &Context<'_>,
        address: &Address,
        portion: &Portion,
        dry_run: bool,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let checked = self.check_redrive(address);
        let checked = checked.and_then(|id| Ok((id, Chooser::of(&portion.selection)?)));
        let (id, chooser) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.show_pending(cx.now, id);
        let (chosen, examined) = self.choose(cx, id, portion, &chooser)?;
        if id.lane == Lane::Transfer {
            let done = self.send_again(cx, id, &chosen, dry_run)?;
            return Ok(Ok(Reply::Worked { done, examined: examined.messages, next: examined.next }));
        }
        let Some((settings, topic_ttl_ms)) = self.target_settings(id) else {
            return Ok(Err(Refusal::not_found(address.to_string())));
        };
        let mut room = self.room(id, &settings);
        let mut done = 0;
        for found in &chosen {
            let redriven = redriven(cx, found, &settings, topic_ttl_ms)?;
            // Without a session it would come back at once.
            if settings.requires_session && redriven.session_id.is_none() {
                continue;
            }
            if !room.takes(&redriven.record) {
                if done == 0 {
                    return Ok(Err(full(address)));
                }
                return Ok(Ok(Reply::Worked { done, examined: examined.messages, next: found.number }));
            }
            if !dry_run {
                self.move_back(cx, id, found, &settings, &redriven)?;
            }
            done += 1;
        }
        Ok(Ok(Reply::Worked { done, examined: examined.messages, next: examined.next }))
    }

    fn check_redrive(&self, address: &Address) -> Result<QueueId, Refusal> {
        let id = self.queue_at(address)?;
        require_dead_letters(address, id)?;
        let takes = self.catalog.get(id.entity).is_some_and(|entity| entity.settings.may_send);
        if takes {
            return Ok(id);
        }
        let text = "takes no messages: its status says so; dead letters stay where they are";
        Err(Refusal::new(ErrorCode::Disabled, text).about(address.entity.as_str()))
    }

    /// What an entity does with its messages, and how long its topic lets them live.
    fn target_settings(&self, id: QueueId) -> Option<(Settings, u64)> {
        let entity = self.catalog.get(id.entity)?;
        let topic = self.catalog.topic_of(id.entity).and_then(|topic| self.catalog.get(topic));
        Some((entity.settings.clone(), topic.map_or(NEVER_MS, |topic| topic.settings.default_ttl_ms)))
    }

    fn room(&self, id: QueueId, settings: &Settings) -> Room {
        let target = self.queues.get(&QueueId::main(id.entity));
        let (messages, bytes) = target.map_or((0, 0), |queue| (queue.active(), queue.bytes()));
        Room {
            messages: settings.max_messages.saturating_sub(messages),
            bytes: settings.max_bytes.saturating_sub(bytes),
        }
    }

    /// Sends transfer dead letters on their way again, to where they were to go; returns how many.
    fn send_again(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        chosen: &[Found],
        dry_run: bool,
    ) -> Result<u64, Damage> {
        let mut done = 0;
        for found in chosen {
            let Where::Stored { page, index, .. } = found.at else { continue };
            let mut record = found.record()?;
            let to = record.destination.take().map(|to| EntityName::new(&to));
            let Some(Ok(to)) = to else {
                return Err(Damage::new(format!("{} of {id:?} has no destination", found.number)));
            };
            record.dead_letter = None;
            record.redrive_count = record.redrive_count.saturating_add(1);
            // What was only sent there has not been in a queue before: it still waits for its moment.
            record.hops = record.hops.min(1);
            done += 1;
            if !dry_run {
                self.post(cx, id, &to, vec![laid_out(&record)]);
                let entry = Entry::new(StepKind::Forwarded, id, found.number);
                self.journal.note(entry.named(to.as_str()));
                self.let_go(cx, id, page, index, Event::Move)?;
            }
        }
        Ok(done)
    }

    fn move_back(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        found: &Found,
        settings: &Settings,
        redriven: &Redriven,
    ) -> Result<(), Damage> {
        let Where::Stored { page, index, .. } = found.at else { return Ok(()) };
        let target = QueueId::main(id.entity);
        if let Some(queue) = self.queues.get_mut(&target) {
            let rank = settings.rank(redriven.priority);
            let sequence = queue.append_record(cx.now, rank, redriven.mark, &redriven.record, None, 0);
            self.book_session(cx.now, target, redriven.session_id.as_deref(), sequence);
            let to = Some(Target { queue: target, sequence });
            self.journal.note(Entry { to, ..Entry::new(StepKind::Redriven, id, found.number) });
        }
        self.touched.insert(target);
        self.hungry.insert(target);
        self.let_go(cx, id, page, index, Event::Move)
    }
}

impl Room {
    /// Books a message, if it fits.
    fn takes(&mut self, record: &Record) -> bool {
        let mut out = BytesMut::new();
        record.put(&mut out);
        let bytes = out.len() as u64;
        if self.messages == 0 || self.bytes < bytes {
            return false;
        }
        self.messages -= 1;
        self.bytes -= bytes;
        true
    }
}

impl Found {
    /// Whether a consumer holds it.
    pub fn is_locked(&self) -> bool {
        matches!(self.at, Where::Stored { slot: Slot::Locked { .. }, .. })
    }
}

/// A dead letter as it goes back: as if it came now, but for when it was enqueued first.
fn redriven(
    cx: &Context<'_>,
    found: &Found,
    settings: &Settings,
    topic_ttl_ms: u64,
) -> Result<Redriven, Damage> {
    let mut record = found.record()?;
    let message = decode(record.message.clone())?;
    let mark = settings.mark(cx.now, &message, topic_ttl_ms);
    record.dead_letter = None;
    record.redrive_count = record.redrive_count.saturating_add(1);
    record.expires_at_ms = mark.expires_at_ms();
    Ok(Redriven { record, mark, priority: message.priority, session_id: message.session_id })
}

fn full(address: &Address) -> Refusal {
    let text = "is full: max_messages or max_bytes does not let another message in";
    Refusal::new(ErrorCode::QuotaExceeded, text).about(address.entity.as_str())
}
