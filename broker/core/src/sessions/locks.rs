//! Locking sessions: accepting, waiting, renewing, letting go, running out.

use super::{Lock, Timer, Waiting};
use crate::command::{OpenReceiver, Owner, ReceiverKey, Ticket};
use crate::context::{Context, Damage, Now, Rows};
use crate::effect::Effect;
use crate::key::{Key, KeyRange, QueueId};
use crate::limits::SESSION_WAITERS;
use crate::sessions::{SessionRow, Sessions};
use crate::shard::Shard;
use bytes::Bytes;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::SessionWish;
use postrider_protocol::wire::Reader;

impl Shard {
    /// Opens a receiver of a session, at once or as soon as one can be had.
    pub(crate) fn open_session(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        open: &OpenReceiver,
    ) -> Result<(), Damage> {
        if let Some((number, _)) = self.session_held(id, open.owner)
            && !self.is_named(id, number, &open.session)
        {
            self.resume(cx, &OpenReceiver { held: Vec::new(), ..open.clone() })?;
            self.unlock_session(id, open.owner);
        }
        if self.accept_session(cx, id, open)? {
            return Ok(());
        }
        let Some(sessions) = self.sessions.get_mut(&id) else { return Ok(()) };
        if open.wait_ms == 0 {
            self.reply(open.ticket, Err(unavailable(&open.session)));
        } else if sessions.waiting.len() >= SESSION_WAITERS {
            let text =
                format!("{SESSION_WAITERS} receivers wait for sessions of this queue, the most there can be");
            self.reply(open.ticket, Err(Refusal::new(ErrorCode::Busy, text)));
        } else {
            let deadline_ms = cx.now.mono_ms.saturating_add(open.wait_ms);
            let number = sessions.park(Waiting { open: open.clone(), deadline_ms });
            self.session_timers.insert((deadline_ms, id, Timer::Wait(number)));
        }
        Ok(())
    }

    /// Locks the session that is asked for; says whether that could be done.
    fn accept_session(&mut self, cx: &Context<'_>, id: QueueId, open: &OpenReceiver) -> Result<bool, Damage> {
        let Some(sessions) = self.sessions.get_mut(&id) else { return Ok(false) };
        let number = match &open.session {
            SessionWish::Named(name) => sessions.open(name),
            _ => match sessions.free.first() {
                Some((_, number)) => *number,
                None => return Ok(false),
            },
        };
        self.touched.insert(id);
        let held = sessions.all.get(&number).and_then(|session| session.lock);
        if held.is_some_and(|lock| lock.owner != open.owner) {
            return Ok(false);
        }
        self.resume(cx, open)?;
        if held.is_none() {
            self.lock_session(cx.now, id, number, open);
        }
        self.insert_receiver(open, id);
        self.hungry.insert(id);
        let Some(session) = self.sessions.get(&id).and_then(|it| it.all.get(&number)) else {
            return Ok(true);
        };
        let (locked_until_ms, lock_duration_ms) =
            session.lock.map_or((0, 0), |lock| (lock.until_ms, lock.duration_ms));
        let session_id = session.id.to_string();
        let opened = Reply::Opened { max_message_bytes: 0, lock_duration_ms, session_id, locked_until_ms };
        self.reply(open.ticket, Ok(opened));
        Ok(true)
    }

    fn lock_session(&mut self, now: Now, id: QueueId, number: u64, open: &OpenReceiver) {
        let own = self.catalog.get(id.entity).map_or(0, |entity| entity.settings.lock_duration_ms);
        let duration_ms = if open.lock_duration_ms == 0 { own } else { open.lock_duration_ms };
        let lock = Lock {
            owner: open.owner,
            until_ms: now.wall_ms.saturating_add(duration_ms),
            deadline_ms: now.mono_ms.saturating_add(duration_ms),
            duration_ms,
            cursor: 0,
        };
        self.set_session_lock(id, number, Some(lock));
    }

    fn set_session_lock(&mut self, id: QueueId, number: u64, lock: Option<Lock>) {
        let Some(sessions) = self.sessions.get_mut(&id) else { return };
        if let Some(before) = sessions.all.get(&number).and_then(|session| session.lock) {
            self.session_timers.remove(&(before.deadline_ms, id, Timer::Lock(number)));
        }
        if let Some(lock) = lock {
            self.session_timers.insert((lock.deadline_ms, id, Timer::Lock(number)));
        }
        sessions.update(number, |session| session.lock = lock);
        self.touched.insert(id);
        self.hungry.insert(id);
    }

    /// Makes the session of an owner free, whose messages were let go before.
    pub(crate) fn unlock_session(&mut self, id: QueueId, owner: Owner) {
        if let Some((number, _)) = self.session_held(id, owner) {
            self.set_session_lock(id, number, None);
        }
    }

    pub(crate) fn session_held(&self, id: QueueId, owner: Owner) -> Option<(u64, Lock)> {
        self.sessions.get(&id)?.held_by(owner)
    }

    pub(crate) fn session_lock_mut(&mut self, id: QueueId, number: u64) -> Option<&mut Lock> {
        self.sessions.get_mut(&id)?.all.get_mut(&number)?.lock.as_mut()
    }

    fn is_named(&self, id: QueueId, number: u64, wish: &SessionWish) -> bool {
        let named = self.sessions.get(&id).and_then(|sessions| sessions.all.get(&number));
        matches!((wish, named), (SessionWish::Named(name), Some(session)) if **name == *session.id)
    }

    /// Gives sessions to those who wait for them, in the order they came.
    pub(crate) fn wake_waiting(&mut self, cx: &Context<'_>, id: QueueId) -> Result<(), Damage> {
        let Some(sessions) = self.sessions.get(&id) else { return Ok(()) };
        for number in sessions.waiting.keys().copied().collect::<Vec<_>>() {
            let Some(sessions) = self.sessions.get(&id) else { return Ok(()) };
            let Some(waiting) = sessions.waiting.get(&number).cloned() else { continue };
            if waiting.open.session == SessionWish::Next && sessions.free.is_empty() {
                continue;
            }
            if self.accept_session(cx, id, &waiting.open)? {
                self.stop_waiting(id, number);
            }
        }
        Ok(())
    }

    fn stop_waiting(&mut self, id: QueueId, number: u64) -> Option<Waiting> {
        let waiting = self.sessions.get_mut(&id)?.waiting.remove(&number)?;
        self.session_timers.remove(&(waiting.deadline_ms, id, Timer::Wait(number)));
        Some(waiting)
    }

    /// Forgets who waits on a connection: those of one handle, or all.
    pub(crate) fn drop_waiting(&mut self, connection: u64, handle: Option<u32>) {
        let fits = |open: &OpenReceiver| {
            open.ticket.connection == connection && handle.is_none_or(|handle| handle == open.owner.handle)
        };
        let of_queue = |(id, sessions): (&QueueId, &Sessions)| -> Vec<(QueueId, u64)> {
            let waiting = sessions.waiting.iter().filter(|(_, waiting)| fits(&waiting.open));
            waiting.map(|(number, _)| (*id, *number)).collect()
        };
        for (id, number) in self.sessions.iter().flat_map(of_queue).collect::<Vec<_>>() {
            if let Some(waiting) = self.stop_waiting(id, number).filter(|_| handle.is_some()) {
                let refusal =
                    Refusal::invalid("session", "is not waited for any more: the receiver was closed");
                self.reply(waiting.open.ticket, Err(refusal));
            }
        }
    }

    /// Lets locks of sessions run out whose time is up, and answers those who have waited long enough.
    pub(crate) fn expire_sessions(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        while let Some((deadline_ms, id, what)) = self.session_timers.first().copied() {
            if deadline_ms > cx.now.mono_ms {
                break;
            }
            self.session_timers.pop_first();
            match what {
                Timer::Wait(number) => {
                    if let Some(waiting) = self.stop_waiting(id, number) {
                        let refusal = Refusal::new(ErrorCode::Timeout, "no such session became free in time");
                        self.reply(waiting.open.ticket, Err(refusal));
                    }
                }
                Timer::Lock(number) => self.expire_session(cx, id, number)?,
            }
        }
        Ok(())
    }

    fn expire_session(&mut self, cx: &Context<'_>, id: QueueId, number: u64) -> Result<(), Damage> {
        let session = self.sessions.get(&id).and_then(|sessions| sessions.all.get(&number));
        let Some(owner) = session.and_then(|session| session.lock).map(|lock| lock.owner) else {
            return Ok(());
        };
        for lease in self.leases_of(owner) {
            if self.leases.get(&lease).is_some_and(|lease| lease.queue == id) {
                self.fail_lease(cx, lease)?;
            }
        }
        if let Some(key) = self.by_owner.get(&owner).copied()
            && let Some(receiver) = self.remove_receiver(key)
        {
            self.refuse_drains(receiver.draining, &session_lost());
            self.turn.effects.push(Effect::Closed(key, session_lost()));
        }
        self.set_session_lock(id, number, None);
        Ok(())
    }

    /// Keeps a session and all its messages that are locked longer.
    pub(crate) fn renew_session(&mut self, cx: &Context<'_>, ticket: Ticket, handle: u32) {
        let key = ReceiverKey { connection: ticket.connection, handle };
        let Some((id, number, lock)) = self.session_of_receiver(key) else {
            return self.reply(ticket, Err(session_lost()));
        };
        let until_ms = cx.now.wall_ms.saturating_add(lock.duration_ms);
        let deadline_ms = cx.now.mono_ms.saturating_add(lock.duration_ms);
        self.set_session_lock(id, number, Some(Lock { until_ms, deadline_ms, ..lock }));
        for id in self.leases_of(lock.owner) {
            let Some(lease) = self.leases.get_mut(&id) else { continue };
            for place in 0..lease.places.len() {
                lease.renew(place, cx.now, lock.duration_ms);
            }
            self.touched_leases.insert(id);
        }
        self.reply(ticket, Ok(Reply::SessionRenewed { locked_until_ms: until_ms }));
    }

    pub(crate) fn session_of_receiver(&self, key: ReceiverKey) -> Option<(QueueId, u64, Lock)> {
        let receiver = self.receivers.get(&key)?;
        let (number, lock) = self.session_held(receiver.queue, receiver.owner)?;
        Some((receiver.queue, number, lock))
    }

    /// In recovery: the sessions of all queues, with their locks' deadlines counted from `now`.
    pub(crate) fn load_sessions(&mut self, rows: &dyn Rows, now: Now) -> Result<(), Damage> {
        let mut found: Vec<(u64, String, SessionRow)> = Vec::new();
        rows.scan(&KeyRange::sessions(self.id), &mut |key, value| {
            if let Key::Session(_, entity, id) = Key::decode(key)? {
                let mut reader = Reader::new(Bytes::copy_from_slice(value));
                let row = SessionRow::read(&mut reader)
                    .map_err(|malformed| Damage::new(format!("a session: {malformed}")))?;
                found.push((entity, id, row));
            }
            Ok(true)
        })?;
        for (entity, name, row) in found {
            let id = QueueId::main(entity);
            let sessions = self.sessions.get_mut(&id);
            let sessions =
                sessions.ok_or_else(|| Damage::new(format!("{id:?} has no sessions, but a row")))?;
            let lock = row.lock(now);
            sessions.insert(&name, &row, lock);
            if let Some(lock) = lock {
                self.session_timers.insert((lock.deadline_ms, id, Timer::Lock(row.session)));
            }
        }
        Ok(())
    }

    /// In recovery: a message that a lease holds belongs to the session that its owner holds.
    pub(crate) fn recover_session_locks(&mut self) {
        for lease in self.leases.values() {
            let Some(sessions) = self.sessions.get_mut(&lease.queue) else { continue };
            let Some((session, _)) = sessions.held_by(lease.owner) else { continue };
            for place in lease.places.iter().filter(|place| place.held) {
                let sequence = crate::queue::number(place.page) + u64::from(place.index);
                sessions.locked.insert(sequence, session);
            }
        }
    }
}

fn unavailable(wish: &SessionWish) -> Refusal {
    match wish {
        SessionWish::Named(_) => {
            Refusal::new(ErrorCode::SessionCannotBeLocked, "the session is locked by another receiver")
        }
        _ => Refusal::new(ErrorCode::Timeout, "no session with messages is free"),
    }
}

pub(super) fn session_lost() -> Refusal {
    Refusal::new(ErrorCode::SessionLockLost, "the session's lock ran out, or the receiver holds none")
}
