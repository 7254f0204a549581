//! Locking sessions: accepting, renewing, letting go, running out.

use crate::command::{OpenReceiver, Owner, ReceiverKey, Ticket};
use crate::context::{Context, Damage, Now, Rows};
use crate::effect::Effect;
use crate::key::{Key, KeyRange, QueueId};
use crate::limits;
use crate::session::{Lock, Session, SessionRow, Timer};
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
        // Those who wait came before.
        self.wake_waiting(cx, id)?;
        if !self.accept_session(cx, id, open)? {
            self.wait_for_session(cx.now, id, open);
        }
        Ok(())
    }

    /// Locks the session that is asked for; says whether that could be done.
    pub(super) fn accept_session(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        open: &OpenReceiver,
    ) -> Result<bool, Damage> {
        self.settle_sessions(cx, id)?;
        self.touched.insert(id);
        let named = match (&open.session, self.sessions.get_mut(&id)) {
            (SessionWish::Named(name), Some(sessions)) => Some(sessions.open(name)),
            _ => self.next_free(cx, id)?,
        };
        let Some(number) = named else { return Ok(false) };
        let held = self.session(id, number).and_then(|session| session.lock);
        if held.is_some_and(|lock| lock.owner != open.owner) {
            return Ok(false);
        }
        self.resume(cx, open)?;
        if held.is_none() {
            self.lock_session(cx.now, id, number, open);
        }
        self.insert_receiver(open, id);
        self.stir_session(id, number);
        let Some(session) = self.session(id, number) else { return Ok(true) };
        let (locked_until_ms, lock_duration_ms) =
            session.lock.map_or((0, 0), |lock| (lock.until_ms, lock.duration_ms));
        let session_id = session.id.to_string();
        let opened = Reply::Opened { max_message_bytes: 0, lock_duration_ms, session_id, locked_until_ms };
        self.reply(open.ticket, Ok(opened));
        Ok(true)
    }

    /// The free session whose oldest message came first, of those that have something to give out.
    fn next_free(&mut self, cx: &Context<'_>, id: QueueId) -> Result<Option<u64>, Damage> {
        while let Some((_, number)) = self.sessions.get(&id).and_then(|it| it.free.first()).copied() {
            if self.has_next(cx, id, number)? {
                return Ok(Some(number));
            }
            if let Some(sessions) = self.sessions.get_mut(&id) {
                sessions.update(number, |session| session.idle = true);
            }
        }
        Ok(None)
    }

    pub(super) fn session(&self, id: QueueId, number: u64) -> Option<&Session> {
        self.sessions.get(&id)?.all.get(&number)
    }

    /// A session is looked at when the turn ends.
    pub(super) fn stir_session(&mut self, id: QueueId, number: u64) {
        if let Some(sessions) = self.sessions.get_mut(&id) {
            sessions.stir(number);
            self.touched.insert(id);
            self.hungry.insert(id);
        }
    }

    /// The session of a receiver is looked at when the turn ends: it can take more, or is to be drained.
    pub(crate) fn stir_receiver(&mut self, key: ReceiverKey) {
        if let Some((id, number, _)) = self.session_of_receiver(key) {
            self.stir_session(id, number);
        }
    }

    /// All sessions that are locked are looked at when the turn ends: what was held back may be given out.
    pub(crate) fn stir_sessions(&mut self, id: QueueId) {
        let locked = self.sessions.get(&id).map(|sessions| sessions.by_owner.values().copied().collect());
        let locked: Vec<u64> = locked.unwrap_or_default();
        locked.into_iter().for_each(|number| self.stir_session(id, number));
    }

    fn lock_session(&mut self, now: Now, id: QueueId, number: u64, open: &OpenReceiver) {
        let own = self.catalog.get(id.entity).map_or(0, |entity| entity.settings.lock_duration_ms);
        let duration_ms = if open.lock_duration_ms == 0 { own } else { open.lock_duration_ms };
        let lock = Lock {
            owner: open.owner,
            until_ms: now.wall_ms.saturating_add(duration_ms),
            deadline_ms: now.mono_ms.saturating_add(duration_ms),
            duration_ms,
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
        if lock.is_none() {
            sessions.freed.insert(number);
        }
        self.stir_session(id, number);
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

    /// The receiver that an owner has at a queue. Its receiver may have moved on to another one, while the session is
    /// still locked.
    pub(super) fn receiver_at(&self, id: QueueId, owner: Owner) -> Option<ReceiverKey> {
        let key = self.by_owner.get(&owner).copied()?;
        self.receivers.get(&key).filter(|receiver| receiver.queue == id).map(|_| key)
    }

    fn is_named(&self, id: QueueId, number: u64, wish: &SessionWish) -> bool {
        let named = self.sessions.get(&id).and_then(|sessions| sessions.all.get(&number));
        matches!((wish, named), (SessionWish::Named(name), Some(session)) if **name == *session.id)
    }

    /// Lets locks of sessions run out whose time is up, and answers those who have waited long enough.
    pub(crate) fn expire_sessions(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        let mut expired = 0;
        while let Some((deadline_ms, id, what)) = self.session_timers.first().copied() {
            if deadline_ms > cx.now.mono_ms || expired >= limits::EXPIRED_PER_TICK {
                break;
            }
            self.session_timers.pop_first();
            expired += match what {
                Timer::Wait(number) => self.waited_enough(id, number),
                Timer::Lock(number) => self.expire_session(cx, id, number)?,
            };
        }
        Ok(())
    }

    /// Lets the lock of a session run out; returns how much work that was, in messages.
    fn expire_session(&mut self, cx: &Context<'_>, id: QueueId, number: u64) -> Result<usize, Damage> {
        let session = self.session(id, number);
        let Some(owner) = session.and_then(|session| session.lock).map(|lock| lock.owner) else {
            return Ok(1);
        };
        let mut expired = 1;
        for lease in self.leases_of(owner) {
            if let Some(found) = self.leases.get(&lease).filter(|lease| lease.queue == id) {
                expired += found.live as usize;
                self.fail_lease(cx, lease)?;
            }
        }
        if let Some(key) = self.receiver_at(id, owner)
            && let Some(receiver) = self.remove_receiver(key)
        {
            self.refuse_drains(receiver.draining, &session_lost());
            self.turn.effects.push(Effect::Closed(key, session_lost()));
        }
        self.set_session_lock(id, number, None);
        Ok(expired)
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
        for lease_id in self.leases_of(lock.owner) {
            let found = self.leases.get_mut(&lease_id).filter(|lease| lease.queue == id);
            let Some(lease) = found else { continue };
            for place in 0..lease.places.len() {
                lease.renew(place, cx.now, lock.duration_ms);
            }
            self.touched_leases.insert(lease_id);
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

pub(super) fn session_lost() -> Refusal {
    Refusal::new(ErrorCode::SessionLockLost, "the session's lock ran out, or the receiver holds none")
}
