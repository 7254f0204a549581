//! The messages of sessions: booking them, giving them out in order.

use super::locks::session_lost;
use super::{Lock, SessionRow};
use crate::command::ReceiverKey;
use crate::context::{Context, Damage, Now, Rows};
use crate::effect::Effect;
use crate::fact::Fact;
use crate::key::{Key, KeyRange, QueueId};
use crate::limits::SESSION_SCAN;
use crate::moves::{At, Cause, decode};
use crate::queue::{Acquired, Event, Most, Slot, number};
use crate::shard::Shard;
use bytes::Buf;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits::BATCH_BYTES;
use postrider_protocol::message::{Incoming, Record};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::ReceiveMode;

/// What delivery finds at a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It can be given out.
    Ready,
    /// It is locked, set aside or gone: what is behind it can go.
    Passed,
    /// It is delayed, or its time is up: nothing goes before it.
    Waits,
}

/// What a receiver gets of its session.
struct Take {
    session: u64,
    lease: Option<u64>,
    most: Most,
    acquired: Acquired,
}

impl Shard {
    /// Books a message that was just appended, where the queue has sessions.
    pub(crate) fn book_session(&mut self, now: Now, id: QueueId, session_id: Option<&str>, sequence: u64) {
        let (Some(sessions), Some(session_id)) = (self.sessions.get_mut(&id), session_id) else { return };
        let page = self.queues.get(&id).and_then(|queue| queue.last_page());
        let page = page.expect("the message was just put there");
        let session = sessions.open(session_id);
        sessions.fresh.insert(sequence, session);
        sessions.update(session, |session| {
            session.messages += 1;
            if session.messages == 1 {
                session.oldest = (sequence, now.wall_ms);
            }
        });
        self.stir_session(id, session);
        self.remember(Fact::SessionMessage(id.entity, session, sequence, page, now.wall_ms));
    }

    /// Puts a message that should have a session, and has none, into the dead letters.
    pub(crate) fn refuse_without_session(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        incoming: &Incoming,
    ) -> u64 {
        let record =
            Record { enqueued_time_ms: cx.now.wall_ms, message: incoming.bytes.clone(), ..Record::default() };
        let cause =
            Cause { reason: "SessionIdMissing", description: "the subscription requires a session_id" };
        self.append_dead_letter(cx, id.entity, record, 0, cause)
    }

    /// Books what left a lock or is gone since this was done last.
    pub(crate) fn settle_sessions(&mut self, cx: &Context<'_>, id: QueueId) -> Result<(), Damage> {
        let moved = self.queues.get_mut(&id).map(|queue| queue.take_moved()).unwrap_or_default();
        for (page, index, slot) in moved {
            let at = At { queue: id, page, index };
            let (session, sequence) = (self.session_of(cx, at)?, at.sequence());
            let Some(sessions) = self.sessions.get_mut(&id) else { return Ok(()) };
            sessions.locked.remove(&sequence);
            if slot == Slot::Gone {
                self.forget_message(cx, id, session, sequence)?;
            } else if let Some(found) = sessions.all.get_mut(&session) {
                found.cursor = found.cursor.min(sequence);
            }
            self.stir_session(id, session);
        }
        Ok(())
    }

    /// The session of a message: known where it is locked or new, else its record says it.
    fn session_of(&mut self, cx: &Context<'_>, at: At) -> Result<u64, Damage> {
        let sequence = at.sequence();
        let missing = || Damage::new(format!("message {sequence} of {:?} belongs to no session", at.queue));
        let sessions = self.sessions.get(&at.queue).ok_or_else(missing)?;
        if let Some(session) = sessions.locked.get(&sequence).or_else(|| sessions.fresh.get(&sequence)) {
            return Ok(*session);
        }
        let session_id = decode(self.read_record(cx, at)?.message)?.session_id.unwrap_or_default();
        let session = self.sessions.get(&at.queue).and_then(|it| it.by_id.get(session_id.as_str()));
        session.copied().ok_or_else(missing)
    }

    fn forget_message(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        number: u64,
        sequence: u64,
    ) -> Result<(), Damage> {
        self.remember(Fact::SessionMessageGone(id.entity, number, sequence));
        let Some(session) = self.sessions.get(&id).and_then(|sessions| sessions.all.get(&number)) else {
            return Ok(());
        };
        let oldest = match session.oldest {
            (oldest, _) if session.messages == 1 && oldest != 0 => (0, 0),
            (oldest, _) if oldest == sequence => {
                let first = self.next_messages(cx, id, number, 0, 1)?;
                first.first().map_or((0, 0), |(sequence, _, enqueued_ms)| (*sequence, *enqueued_ms))
            }
            other => other,
        };
        if let Some(sessions) = self.sessions.get_mut(&id) {
            sessions.update(number, |session| {
                session.messages -= 1;
                session.oldest = oldest;
            });
        }
        Ok(())
    }

    /// Messages of a session from a number on: number, page, when it came.
    fn next_messages(
        &self,
        cx: &Context<'_>,
        id: QueueId,
        session: u64,
        from: u64,
        most: usize,
    ) -> Result<Vec<(u64, u64, u64)>, Damage> {
        let mut found = Vec::new();
        let range = KeyRange::session_messages(self.id, id.entity, session, from);
        self.rows(cx).scan(&range, &mut |key, mut value| {
            let Key::SessionMessage(_, _, _, sequence) = Key::decode(key)? else { return Ok(false) };
            let short = |_| Damage::new("a session's index row is too short");
            found.push((sequence, value.try_get_u64().map_err(short)?, value.try_get_u64().map_err(short)?));
            Ok(found.len() < most)
        })?;
        Ok(found)
    }

    /// Whether a session nobody holds has a message to give out: behind it is only what was set aside.
    pub(super) fn has_next(&mut self, cx: &Context<'_>, id: QueueId, number: u64) -> Result<bool, Damage> {
        while let Some(cursor) = self.session(id, number).map(|session| session.cursor) {
            let next = self.next_messages(cx, id, number, cursor, SESSION_SCAN)?;
            let Some((last, ..)) = next.last().copied() else { break };
            for (sequence, page, _) in next {
                match self.next_slot(cx, id, sequence, page)? {
                    Next::Passed => {}
                    next => return Ok(next == Next::Ready),
                }
            }
            self.move_cursor(id, number, last + 1);
        }
        Ok(false)
    }

    /// Gives out what a queue's sessions have ready where something has happened, and wakes those who wait for one.
    pub(crate) fn deliver_sessions(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        gives: bool,
    ) -> Result<(), Damage> {
        self.settle_sessions(cx, id)?;
        self.wake_waiting(cx, id)?;
        let units = self.free_units(id);
        let Some(sessions) = self.sessions.get_mut(&id) else { return Ok(()) };
        let mut stirred = std::mem::take(&mut sessions.stirred);
        if units > 0 {
            stirred.append(&mut sessions.starved);
        }
        for number in stirred {
            let owner = self.session(id, number).and_then(|session| session.lock).map(|lock| lock.owner);
            let key = owner.and_then(|owner| self.by_owner.get(&owner).copied());
            let Some(key) = key else { continue };
            while gives && self.deliver_session(cx, id, number, key)? {}
            self.answer_session_drains(key);
        }
        self.settle_sessions(cx, id)
    }

    /// Gives a receiver the next messages of its session; says whether to try again.
    fn deliver_session(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        session: u64,
        key: ReceiverKey,
    ) -> Result<bool, Damage> {
        let receiver = self.receivers.get(&key).filter(|it| it.is_open() && it.queue == id);
        let Some((mode, credit)) = receiver.map(|it| (it.mode, u64::from(it.credit))) else {
            return Ok(false);
        };
        // A lock whose time is up goes with the next tick, and all that it holds with it.
        let is_held = |lock: Lock| lock.deadline_ms > cx.now.mono_ms;
        let found = self.session(id, session).filter(|session| session.lock.is_some_and(is_held));
        let Some(from) = found.map(|session| session.cursor) else { return Ok(false) };
        let next = self.next_messages(cx, id, session, from, SESSION_SCAN)?;
        let lease = (mode == ReceiveMode::PeekLock).then_some(self.row.last_lease + 1);
        let most = Most { messages: credit, bytes: BATCH_BYTES as u64, units: u64::MAX };
        let mut take = Take { session, lease, most, acquired: Acquired::default() };
        let mut cursor = from;
        for (sequence, page, _) in next {
            if !self.take_next(cx, At::new(id, page, sequence), &mut take)? {
                break;
            }
            cursor = sequence + 1;
        }
        self.move_cursor(id, session, cursor);
        if take.acquired.messages > 0 {
            if let Some(receiver) = self.receivers.get_mut(&key) {
                receiver.spend(take.acquired.messages);
            }
            self.hand_out(cx, id, key, lease, take.acquired);
        }
        Ok(cursor > from)
    }

    fn move_cursor(&mut self, id: QueueId, number: u64, cursor: u64) {
        if let Some(session) = self.sessions.get_mut(&id).and_then(|it| it.all.get_mut(&number)) {
            session.cursor = cursor;
        }
    }

    /// What delivery finds at a message of a session, whose page is in the window then.
    fn next_slot(&mut self, cx: &Context<'_>, id: QueueId, sequence: u64, page: u64) -> Result<Next, Damage> {
        if self.sessions.get(&id).is_some_and(|sessions| sessions.locked.contains_key(&sequence)) {
            return Ok(Next::Passed);
        }
        if !self.fetch_page(cx, id, page)? {
            return Err(Damage::new(format!("page {page} of {id:?} is missing")));
        }
        self.touched.insert(id);
        let index = (sequence - number(page)) as u32;
        let Some(queue) = self.queues.get(&id) else { return Ok(Next::Waits) };
        Ok(match queue.slot(page, index) {
            Some(Slot::Ready { .. }) if queue.expires_ms(page, index) > cx.now.wall_ms => Next::Ready,
            Some(Slot::Deferred { .. } | Slot::Gone | Slot::Locked { .. }) => Next::Passed,
            _ => Next::Waits,
        })
    }

    /// Takes a message where it can be taken; says whether the one behind it may come next.
    fn take_next(&mut self, cx: &Context<'_>, at: At, take: &mut Take) -> Result<bool, Damage> {
        match self.next_slot(cx, at.queue, at.sequence(), at.page)? {
            Next::Passed => return Ok(true),
            Next::Waits => return Ok(false),
            Next::Ready => {}
        }
        if take.lease.is_some() && !self.has_units_for(at) {
            if let Some(sessions) = self.sessions.get_mut(&at.queue) {
                sessions.starved.insert(take.session);
            }
            return Ok(false);
        }
        let event = take.lease.map_or(Event::Drop, |lease| Event::Lock { lease });
        let Some(queue) = self.queues.get_mut(&at.queue) else { return Ok(false) };
        let taken = queue.acquire_within(at.page, at.index, event, &take.most, &mut take.acquired);
        if taken && take.lease.is_some() {
            self.lock_message(at, take.session);
        }
        Ok(taken)
    }

    fn has_units_for(&self, at: At) -> bool {
        let Some(settings) = self.sharing(at.queue) else { return true };
        let cost = self.queues.get(&at.queue).map_or(0, |queue| queue.mark(at.page, at.index).cost);
        u64::from(cost).min(settings.capacity_units) <= self.free_units(at.queue)
    }

    /// Books that a message of a session is locked.
    fn lock_message(&mut self, at: At, session: u64) {
        if let Some(sessions) = self.sessions.get_mut(&at.queue) {
            sessions.locked.insert(at.sequence(), session);
        }
    }

    /// Books a deferred message that the holder of its session is to have; refuses whoever holds another one.
    pub(crate) fn claim_deferred(
        &mut self,
        cx: &Context<'_>,
        key: ReceiverKey,
        at: At,
        locks: bool,
    ) -> Result<Result<(), Refusal>, Damage> {
        if !self.sessions.contains_key(&at.queue) {
            return Ok(Ok(()));
        }
        self.settle_sessions(cx, at.queue)?;
        let session = self.session_of(cx, at)?;
        let Some((_, held, _)) = self.session_of_receiver(key) else { return Ok(Err(session_lost())) };
        if held != session {
            let text = format!("message {} belongs to another session", at.sequence());
            return Ok(Err(Refusal::new(ErrorCode::MessageNotFound, text)));
        }
        if locks {
            self.lock_message(at, session);
        }
        Ok(Ok(()))
    }

    /// A receiver that could still take something has all that its session had for it.
    fn answer_session_drains(&mut self, key: ReceiverKey) {
        let Some(receiver) = self.receivers.get_mut(&key) else { return };
        if receiver.credit > 0 && !receiver.is_open() {
            return;
        }
        for ticket in std::mem::take(&mut receiver.draining) {
            receiver.credit = 0;
            let reply = Reply::Drained { handle: key.handle, delivered: receiver.delivered };
            self.turn.effects.push(Effect::Reply(ticket, reply));
        }
    }

    /// The messages that nobody holds were purged: keeps the rows and counts of those that are locked.
    pub(crate) fn purge_sessions(&mut self, cx: &Context<'_>, id: QueueId) -> Result<(), Damage> {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.take_moved();
        }
        let Some(sessions) = self.sessions.get_mut(&id) else { return Ok(()) };
        for number in sessions.all.keys().copied().collect::<Vec<_>>() {
            sessions.update(number, |session| (session.messages, session.oldest) = (0, (0, 0)));
        }
        let locked: Vec<_> =
            sessions.locked.iter().map(|(sequence, session)| (*sequence, *session)).collect();
        let mut kept = Vec::new();
        for (sequence, session) in locked {
            kept.extend(
                self.next_messages(cx, id, session, sequence, 1)?.into_iter().map(|row| (session, row)),
            );
        }
        self.remember(Fact::SessionMessagesGone(id.entity));
        for (number, (sequence, page, enqueued_ms)) in kept {
            self.remember(Fact::SessionMessage(id.entity, number, sequence, page, enqueued_ms));
            if let Some(sessions) = self.sessions.get_mut(&id) {
                sessions.update(number, |session| {
                    session.messages += 1;
                    if session.messages == 1 {
                        session.oldest = (sequence, enqueued_ms);
                    }
                });
            }
        }
        Ok(())
    }

    /// Ends the turn of a queue's sessions: what must be remembered of them.
    pub(crate) fn seal_sessions(&mut self, id: QueueId, facts: &mut Vec<Fact>) {
        let Some(sessions) = self.sessions.get_mut(&id) else { return };
        sessions.fresh.clear();
        for number in std::mem::take(&mut sessions.dirty) {
            let Some(session) = sessions.all.get(&number) else { continue };
            let id_text = session.id.clone();
            if session.is_over() {
                sessions.all.remove(&number);
                sessions.by_id.remove(&id_text);
                facts.push(Fact::SessionGone(id.entity, id_text.to_string()));
            } else {
                let row = SessionRow::of(number, session);
                facts.push(Fact::SessionPut(id.entity, id_text.to_string(), row));
            }
        }
    }
}
