//! The messages of sessions: what is booked of them.

use super::locks::session_lost;
use crate::command::ReceiverKey;
use crate::context::{Context, Damage, Now, Rows};
use crate::fact::Fact;
use crate::key::{Key, KeyRange, QueueId};
use crate::queue::{Queue, Slot};
use crate::session::SessionRow;
use crate::shard::Shard;
use crate::verbs::settle::moves::{At, Cause, decode};
use bytes::Buf;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::message::Record;

/// Why a copy without a session is among the dead letters of a subscription that has sessions.
pub(crate) const SESSION_MISSING: Cause<'static> =
    Cause { reason: "SessionIdMissing", description: "the subscription requires a session_id" };

impl Shard {
    /// Books a message that was just appended, where the queue has sessions.
    pub(crate) fn book_session(&mut self, now: Now, id: QueueId, session_id: Option<&str>, sequence: u64) {
        let (Some(sessions), Some(session_id)) = (self.sessions.get_mut(&id), session_id) else { return };
        let page = self.queues.get(&id).and_then(Queue::last_page);
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
    pub(crate) fn refuse_without_session(&mut self, cx: &Context<'_>, id: QueueId, record: Record) -> u64 {
        self.shut_out_of(cx, QueueId::dead_letter(id.entity), record, SESSION_MISSING)
    }

    /// Books what left a lock or is gone since this was done last.
    pub(crate) fn settle_sessions(&mut self, cx: &Context<'_>, id: QueueId) -> Result<(), Damage> {
        let moved = self.queues.get_mut(&id).map(Queue::take_moved).unwrap_or_default();
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
    pub(super) fn next_messages(
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

    /// Books that a message of a session is locked.
    pub(super) fn lock_message(&mut self, at: At, session: u64) {
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
