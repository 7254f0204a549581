//! The messages of sessions: booking them, giving them out in order.

use super::SessionRow;
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
use postrider_protocol::limits::BATCH_BYTES;
use postrider_protocol::message::{Incoming, Record};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::ReceiveMode;

impl Shard {
    /// Books a message that was just appended to a queue with sessions.
    pub(crate) fn book_session(&mut self, now: Now, id: QueueId, session_id: &str, sequence: u64) {
        let page = self.queues.get(&id).and_then(|queue| queue.last_page());
        let page = page.expect("the message was just put there");
        let Some(sessions) = self.sessions.get_mut(&id) else { return };
        let session = sessions.open(session_id);
        sessions.fresh.insert(sequence, session);
        sessions.update(session, |session| {
            session.messages += 1;
            if session.messages == 1 {
                session.oldest = (sequence, now.wall_ms);
            }
        });
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
            match slot {
                Slot::Gone => self.forget_message(cx, id, session, sequence)?,
                _ => {
                    if let Some(lock) = sessions.all.get_mut(&session).and_then(|it| it.lock.as_mut()) {
                        lock.cursor = lock.cursor.min(sequence);
                    }
                }
            }
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

    /// Gives out what a queue's sessions have ready, and wakes those who wait for a session.
    pub(crate) fn deliver_sessions(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        gives: bool,
    ) -> Result<(), Damage> {
        self.settle_sessions(cx, id)?;
        self.wake_waiting(cx, id)?;
        let receivers = self.queues.get(&id).map(|queue| queue.receivers.clone()).unwrap_or_default();
        for key in receivers {
            while gives && self.deliver_session(cx, id, key)? {}
            self.answer_session_drains(key);
        }
        self.settle_sessions(cx, id)
    }

    /// Gives a receiver the next messages of its session; says whether to try again.
    fn deliver_session(&mut self, cx: &Context<'_>, id: QueueId, key: ReceiverKey) -> Result<bool, Damage> {
        let Some(receiver) = self.receivers.get(&key).filter(|it| it.is_open()).cloned() else {
            return Ok(false);
        };
        let held = self.sessions.get(&id).and_then(|sessions| sessions.held_by(receiver.owner));
        let Some((session, lock)) = held else { return Ok(false) };
        let next = self.next_messages(cx, id, session, lock.cursor, SESSION_SCAN)?;
        let lease = (receiver.mode == ReceiveMode::PeekLock).then_some(self.row.last_lease + 1);
        let most = Most { messages: u64::from(receiver.credit), bytes: BATCH_BYTES as u64, units: u64::MAX };
        let (mut acquired, mut cursor) = (Acquired::default(), lock.cursor);
        for (sequence, page, _) in next {
            if !self.is_session_locked(id, sequence)
                && !self.acquire_next(cx, id, sequence, page, &most, lease, &mut acquired)?
            {
                break;
            }
            if lease.is_some() && !self.is_session_locked(id, sequence) && self.is_taken(id, page, sequence) {
                self.lock_message(id, session, sequence);
            }
            cursor = sequence + 1;
        }
        if let Some(lock) = self.session_lock_mut(id, session) {
            lock.cursor = cursor;
        }
        if acquired.messages > 0 {
            if let Some(receiver) = self.receivers.get_mut(&key) {
                receiver.spend(acquired.messages);
            }
            self.hand_out(cx, id, key, lease, acquired);
        }
        Ok(cursor > lock.cursor)
    }

    fn is_session_locked(&self, id: QueueId, sequence: u64) -> bool {
        self.sessions.get(&id).is_some_and(|sessions| sessions.locked.contains_key(&sequence))
    }

    fn is_taken(&self, id: QueueId, page: u64, sequence: u64) -> bool {
        let slot = self.queues.get(&id).and_then(|queue| queue.slot(page, (sequence - number(page)) as u32));
        slot.is_some_and(Slot::is_locked)
    }

    fn lock_message(&mut self, id: QueueId, session: u64, sequence: u64) {
        if let Some(sessions) = self.sessions.get_mut(&id) {
            sessions.locked.insert(sequence, session);
        }
    }

    /// Takes a message where it can be taken; says whether the one behind it may come next.
    #[expect(clippy::too_many_arguments, reason = "a message's place, and what is taken of it")]
    fn acquire_next(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        sequence: u64,
        page: u64,
        most: &Most,
        lease: Option<u64>,
        acquired: &mut Acquired,
    ) -> Result<bool, Damage> {
        if !self.fetch_page(cx, id, page)? {
            return Err(Damage::new(format!("page {page} of {id:?} is missing")));
        }
        self.touched.insert(id);
        let index = (sequence - number(page)) as u32;
        let Some(queue) = self.queues.get_mut(&id) else { return Ok(false) };
        Ok(match queue.slot(page, index) {
            Some(Slot::Ready { .. }) if queue.expires_ms(page, index) > cx.now.wall_ms => {
                let event = lease.map_or(Event::Drop, |lease| Event::Lock { lease });
                queue.acquire_within(page, index, event, most, acquired)
            }
            Some(Slot::Deferred { .. } | Slot::Gone) => true,
            _ => false,
        })
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
            let is_empty = session.messages == 0 && session.lock.is_none() && session.state_bytes == 0;
            let id_text = session.id.clone();
            if is_empty {
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
