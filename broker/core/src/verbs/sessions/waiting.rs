//! Waiting for a session.

use crate::command::{OpenReceiver, Owner, ReceiverKey};
use crate::context::{Context, Damage, Now};
use crate::key::QueueId;
use crate::limits::SESSION_WAITERS;
use crate::session::{Timer, Waiting};
use crate::shard::Shard;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::request::SessionWish;

impl Shard {
    /// Lets somebody wait for the session that is asked for, unless they do not want to.
    pub(super) fn wait_for_session(&mut self, now: Now, id: QueueId, open: &OpenReceiver) {
        let Some(sessions) = self.sessions.get_mut(&id) else { return };
        if open.wait_ms == 0 {
            return self.reply(open.ticket, Err(unavailable(&open.session)));
        }
        if sessions.waiting.len() >= SESSION_WAITERS {
            let text =
                format!("{SESSION_WAITERS} receivers wait for sessions of this queue, the most there can be");
            return self.reply(open.ticket, Err(Refusal::new(ErrorCode::Busy, text)));
        }
        let deadline_ms = now.mono_ms.saturating_add(open.wait_ms);
        let waiting = Waiting { open: open.clone(), deadline_ms };
        let key = waiting.key();
        let number = sessions.park(waiting);
        self.session_timers.insert((deadline_ms, id, Timer::Wait(number)));
        self.waits.by_owner.insert(open.owner, (id, number));
        self.waits.by_key.insert(key, (id, number));
    }

    fn stop_waiting(&mut self, id: QueueId, number: u64) -> Option<Waiting> {
        let waiting = self.sessions.get_mut(&id)?.unpark(number)?;
        self.session_timers.remove(&(waiting.deadline_ms, id, Timer::Wait(number)));
        self.waits.by_owner.remove(&waiting.open.owner);
        self.waits.by_key.remove(&waiting.key());
        Some(waiting)
    }

    /// Gives sessions to those who wait for them, in the order they came: those who named it first, who can have no
    /// other.
    pub(super) fn wake_waiting(&mut self, cx: &Context<'_>, id: QueueId) -> Result<(), Damage> {
        let freed = self.sessions.get_mut(&id).map(|sessions| std::mem::take(&mut sessions.freed));
        for number in freed.unwrap_or_default() {
            let Some(sessions) = self.sessions.get(&id) else { return Ok(()) };
            let Some(session) = sessions.all.get(&number).filter(|session| session.lock.is_none()) else {
                continue;
            };
            if let Some(waiting) = sessions.first_waiting(Some(&session.id)) {
                self.wake(cx, id, waiting)?;
            }
        }
        while let Some(waiting) = self.sessions.get(&id).and_then(|sessions| sessions.first_waiting(None)) {
            if !self.wake(cx, id, waiting)? {
                break;
            }
        }
        Ok(())
    }

    fn wake(&mut self, cx: &Context<'_>, id: QueueId, number: u64) -> Result<bool, Damage> {
        let waiting = self.sessions.get(&id).and_then(|sessions| sessions.waiting.get(&number)).cloned();
        let Some(waiting) = waiting else { return Ok(false) };
        let accepted = self.accept_session(cx, id, &waiting.open)?;
        if accepted {
            self.stop_waiting(id, number);
        }
        Ok(accepted)
    }

    /// Answers who has waited long enough; returns how much work that was.
    pub(super) fn waited_enough(&mut self, id: QueueId, number: u64) -> usize {
        if let Some(waiting) = self.stop_waiting(id, number) {
            self.reply(waiting.open.ticket, Err(unavailable(&waiting.open.session)));
        }
        1
    }

    /// An owner that opens its receiver again does not wait for what it asked for before.
    pub(crate) fn replace_waiting(&mut self, owner: Owner) {
        if let Some((id, number)) = self.waits.by_owner.get(&owner).copied()
            && let Some(waiting) = self.stop_waiting(id, number)
        {
            let text = "the same client opened the receiver again";
            self.reply(waiting.open.ticket, Err(Refusal::new(ErrorCode::Unavailable, text)));
        }
    }

    /// A receiver is closed that waits for its session.
    pub(crate) fn close_waiting(&mut self, key: ReceiverKey) {
        if let Some((id, number)) = self.waits.by_key.get(&key).copied()
            && let Some(waiting) = self.stop_waiting(id, number)
        {
            let text = "is not waited for any more: the receiver was closed";
            self.reply(waiting.open.ticket, Err(Refusal::invalid("session", text)));
        }
    }

    /// Forgets who waits on a connection that has ended.
    pub(crate) fn drop_waiting(&mut self, connection: u64) {
        let (first, last) =
            (ReceiverKey { connection, handle: 0 }, ReceiverKey { connection, handle: u32::MAX });
        let waits: Vec<_> = self.waits.by_key.range(first..=last).map(|(_, wait)| *wait).collect();
        for (id, number) in waits {
            self.stop_waiting(id, number);
        }
    }

    /// Answers all who wait at a queue that is deleted.
    pub(crate) fn refuse_waiting(&mut self, id: QueueId, refusal: &Refusal) {
        let waiting = self.sessions.get(&id).map(|sessions| sessions.waiting.keys().copied().collect());
        let waiting: Vec<u64> = waiting.unwrap_or_default();
        for waiting in
            waiting.into_iter().filter_map(|number| self.stop_waiting(id, number)).collect::<Vec<_>>()
        {
            self.reply(waiting.open.ticket, Err(refusal.clone()));
        }
    }

    /// Who waits is known by owner and by connection.
    pub(crate) fn check_waits(&self) -> Result<(), String> {
        let waiting: usize = self.sessions.values().map(|sessions| sessions.waiting.len()).sum();
        if (waiting, waiting) == (self.waits.by_owner.len(), self.waits.by_key.len()) {
            return Ok(());
        }
        Err(format!("{waiting} wait for sessions, but known are {:?}", self.waits))
    }
}

fn unavailable(wish: &SessionWish) -> Refusal {
    let text = match wish {
        SessionWish::Named(_) => "the session is locked by another receiver",
        _ => "no session that has messages to give out is free",
    };
    Refusal::new(ErrorCode::SessionCannotBeLocked, text)
}
