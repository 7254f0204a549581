//! Giving out the messages of sessions, in order.

use crate::command::ReceiverKey;
use crate::context::{Context, Damage};
use crate::effect::Effect;
use crate::key::QueueId;
use crate::limits::SESSION_SCAN;
use crate::queue::{Acquired, Event, Most, Slot};
use crate::session::Lock;
use crate::shard::Shard;
use crate::verbs::receive::breaker::Giving;
use crate::verbs::settle::moves::At;
use postrider_protocol::limits::BATCH_BYTES;
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
    pub(crate) fn deliver_sessions(&mut self, cx: &Context<'_>, id: QueueId) -> Result<(), Damage> {
        self.settle_sessions(cx, id)?;
        self.wake_waiting(cx, id)?;
        let mut giving = self.giving(id);
        let units = self.free_units(id);
        let Some(sessions) = self.sessions.get_mut(&id) else { return Ok(()) };
        let mut stirred = std::mem::take(&mut sessions.stirred);
        if units > 0 {
            stirred.append(&mut sessions.starved);
        }
        for number in stirred {
            let owner = self.session(id, number).and_then(|session| session.lock).map(|lock| lock.owner);
            let Some(key) = owner.and_then(|owner| self.receiver_at(id, owner)) else { continue };
            while self.deliver_session(cx, id, number, key, &mut giving)? {}
            self.answer_session_drains(key);
        }
        self.gave(id, giving);
        self.settle_sessions(cx, id)
    }

    /// Gives a receiver the next messages of its session; says whether to try again.
    fn deliver_session(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        session: u64,
        key: ReceiverKey,
        giving: &mut Giving,
    ) -> Result<bool, Damage> {
        let receiver = self.receivers.get(&key).filter(|it| it.is_open() && giving.is_to(it));
        let Some((mode, credit)) = receiver.map(|it| (it.mode, u64::from(it.credit))) else {
            return Ok(false);
        };
        // A lock whose time is up goes with the next tick, and all that it holds with it.
        let is_held = |lock: Lock| lock.deadline_ms > cx.now.mono_ms;
        let found = self.session(id, session).filter(|session| session.lock.is_some_and(is_held));
        let Some(from) = found.map(|session| session.cursor) else { return Ok(false) };
        let next = self.next_messages(cx, id, session, from, SESSION_SCAN)?;
        let lease = (mode == ReceiveMode::PeekLock).then_some(self.row.last_lease + 1);
        let most = Most { messages: credit.min(giving.left), bytes: BATCH_BYTES as u64, units: u64::MAX };
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
            giving.left -= take.acquired.messages;
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
        let At { index, .. } = At::new(id, page, sequence);
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
}
