//! Sessions in the naive model: what is free, and what comes next, is found by looking at every message.

use super::answer::{Answer, Why, invalid, why};
use super::queue::Message;
use super::reference::{Entity, Model, Receiver};
use bytes::Bytes;
use postrider_core::command::{OpenReceiver, Owner, ReceiverKey, Ticket};
use postrider_core::context::Now;
use postrider_protocol::error::ErrorCode;
use postrider_protocol::name::{EntityName, Lane};
use postrider_protocol::reply::SessionInfo;
use postrider_protocol::request::SessionWish;
use std::collections::BTreeSet;

/// What there is of a session beside its messages.
#[derive(Debug, Clone, Default)]
pub struct Session {
    pub hold: Option<Hold>,
    pub state: Option<Bytes>,
    pub changed_ms: u64,
}

/// Somebody's lock on a session.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    pub owner: Owner,
    pub until_ms: u64,
    pub deadline_ms: u64,
    pub duration_ms: u64,
}

/// Somebody who waits for a session.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub shard: u16,
    pub open: OpenReceiver,
    pub deadline_ms: u64,
}

impl Waiting {
    pub fn key(&self) -> ReceiverKey {
        ReceiverKey { connection: self.open.ticket.connection, handle: self.open.owner.handle }
    }
}

impl Entity {
    /// Sessions with messages, a lock or a state.
    pub fn session_ids(&self) -> BTreeSet<String> {
        let messages = self.main.messages.values().filter_map(|message| message.session.clone());
        let ids = messages.chain(self.sessions.keys().cloned()).collect();
        if self.by_session { ids } else { BTreeSet::new() }
    }

    /// A session's messages, in order.
    pub fn in_session(&self, id: &str) -> impl Iterator<Item = (u64, &Message)> {
        let all = self.main.messages.iter().map(|(number, message)| (*number, message));
        all.filter(move |(_, message)| message.session.as_deref() == Some(id))
    }

    /// What can be given out of a session now: nothing passes a message that is delayed.
    pub fn next_of(&self, id: &str) -> Option<u64> {
        let mut left = self.in_session(id).filter(|(_, message)| message.lock.is_none() && !message.deferred);
        left.next().filter(|(_, message)| message.is_ready()).map(|(number, _)| number)
    }

    /// Of the sessions that nobody holds and that have something to give out, the one whose oldest message came first.
    pub fn next_free(&self) -> Option<String> {
        let ids = self.session_ids();
        let free = ids.into_iter().filter(|id| self.hold(id).is_none() && self.next_of(id).is_some());
        free.min_by_key(|id| self.in_session(id).next().map(|(number, _)| number))
    }

    pub fn hold(&self, id: &str) -> Option<Hold> {
        self.sessions.get(id)?.hold
    }

    pub fn held_by(&self, owner: Owner) -> Option<(String, Hold)> {
        let mut held = self.sessions.iter().filter_map(|(id, session)| Some((id.clone(), session.hold?)));
        held.find(|(_, hold)| hold.owner == owner)
    }

    /// Nothing is known of a session without messages, lock and state.
    pub fn forget_sessions(&mut self) {
        let messages = self.main.messages.values().filter_map(|message| message.session.clone());
        let messages: BTreeSet<_> = messages.collect();
        let stays = |id: &String, session: &mut Session| {
            session.hold.is_some() || session.state.is_some() || messages.contains(id)
        };
        self.sessions.retain(stays);
    }

    /// What a listing says of its sessions.
    pub fn list_sessions(&self) -> Vec<SessionInfo> {
        let info = |id: String| {
            let session = self.sessions.get(&id).cloned().unwrap_or_default();
            let oldest = self.in_session(&id).next().map(|(_, message)| message.since_ms);
            SessionInfo {
                messages: self.in_session(&id).count() as u64,
                owner: session.hold.map_or(0, |hold| hold.owner.client),
                locked_until_ms: session.hold.map_or(0, |hold| hold.until_ms),
                oldest_ms: oldest.unwrap_or(0),
                state_bytes: session.state.map_or(0, |state| state.len() as u64),
                state_changed_ms: session.changed_ms,
                id,
            }
        };
        self.session_ids().into_iter().map(info).collect()
    }

    /// Whether the units let a message go now.
    pub fn has_units_for(&self, number: u64) -> bool {
        let held = self.main.messages.values().filter(|message| message.lock.is_some());
        let in_flight: u64 = held.map(|message| message.cost).sum();
        self.main.messages[&number].cost.min(self.units) <= self.units.saturating_sub(in_flight)
    }
}

impl Model {
    pub fn is_by_session(&self, at: &(String, Lane)) -> bool {
        at.1 == Lane::Main && self.entities.get(&at.0).is_some_and(|entity| entity.by_session)
    }

    /// The session that a receiver holds.
    pub fn session_of(&self, receiver: &Receiver) -> Option<(String, Hold)> {
        let entity = self.entities.get(&receiver.at.0).filter(|_| self.is_by_session(&receiver.at))?;
        entity.held_by(receiver.owner)
    }

    /// Opens a receiver of a session: at once, or when there is one.
    pub fn open_session(&mut self, shard: u16, now: Now, open: &OpenReceiver) {
        let at = (open.address.entity.key(), open.address.lane);
        let wants = |id: &str| matches!(&open.session, SessionWish::Named(name) if name == id);
        if let Some((id, _)) = self.entities[&at.0].held_by(open.owner)
            && !wants(&id)
        {
            self.replace(shard, open);
            self.release(shard, now, open.owner, &[]);
            self.free(&at, open.owner);
        }
        self.wake(shard, now, &at);
        if self.accept(shard, now, open) {
            return;
        }
        if open.wait_ms == 0 {
            let refused = Answer::Refused(why(ErrorCode::SessionCannotBeLocked));
            self.answers.insert(open.ticket, refused);
            return;
        }
        let deadline_ms = now.mono_ms + open.wait_ms;
        self.waiting.push(Waiting { shard, open: open.clone(), deadline_ms });
    }

    fn accept(&mut self, shard: u16, now: Now, open: &OpenReceiver) -> bool {
        let at = (open.address.entity.key(), open.address.lane);
        let entity = &self.entities[&at.0];
        let id = match &open.session {
            SessionWish::Named(id) => Some(id.clone()),
            _ => entity.next_free(),
        };
        let Some(id) = id else { return false };
        let held = entity.hold(&id);
        if held.is_some_and(|hold| hold.owner != open.owner) {
            return false;
        }
        let duration_ms = if open.lock_duration_ms == 0 { entity.lock_ms } else { open.lock_duration_ms };
        let (until_ms, deadline_ms) = (now.wall_ms + duration_ms, now.mono_ms + duration_ms);
        let hold = held.unwrap_or(Hold { owner: open.owner, until_ms, deadline_ms, duration_ms });
        self.attach(shard, now, open);
        let entity = self.entities.get_mut(&at.0).unwrap();
        entity.sessions.entry(id.clone()).or_default().hold = Some(hold);
        let answer = Answer::Opened { lock_ms: hold.duration_ms, session: id, until_ms: hold.until_ms };
        self.answers.insert(open.ticket, answer);
        true
    }

    /// Sessions go to those who wait for them, in the order they came: by name first.
    fn wake(&mut self, shard: u16, now: Now, at: &(String, Lane)) {
        for by_name in [true, false] {
            let all = self.waiting.iter().filter(|waiting| {
                (waiting.shard, &waiting.open.address.entity.key()) == (shard, &at.0)
                    && matches!(waiting.open.session, SessionWish::Named(_)) == by_name
            });
            for waiting in all.cloned().collect::<Vec<_>>() {
                if self.accept(shard, now, &waiting.open) {
                    self.waiting.retain(|other| other.open.ticket != waiting.open.ticket);
                }
            }
        }
    }

    /// The end of a turn: who waits gets what is free by now.
    pub fn wake_all(&mut self, here: &dyn Fn(&EntityName) -> bool, shard: u16, now: Now) {
        for at in self.queues(here) {
            if self.is_by_session(&at) {
                self.wake(shard, now, &at);
            }
        }
    }

    /// Some wait no more; they are told why, where there is somebody to tell.
    pub fn stop_waiting(&mut self, goes: impl Fn(&Waiting) -> bool, why: Option<&Why>) {
        let gone = self.waiting.extract_if(.., |waiting| goes(waiting));
        let told = gone.filter_map(|waiting| Some((waiting.open.ticket, Answer::Refused(why?.clone()))));
        self.answers.extend(told.collect::<Vec<_>>());
    }

    /// Makes the session free that an owner holds in a queue, if it has any.
    pub fn free(&mut self, at: &(String, Lane), owner: Owner) {
        if self.is_by_session(at)
            && let Some((id, _)) = self.entities[&at.0].held_by(owner)
        {
            self.entities.get_mut(&at.0).unwrap().sessions.get_mut(&id).unwrap().hold = None;
        }
    }

    /// Time acts: locks of sessions run out, and who has waited long enough is told.
    pub fn expire_sessions(&mut self, here: &dyn Fn(&EntityName) -> bool, shard: u16, now: Now) {
        for at in self.queues(here).into_iter().filter(|at| self.is_by_session(at)).collect::<Vec<_>>() {
            let sessions = self.entities[&at.0].sessions.iter();
            let held = sessions.filter_map(|(id, session)| Some((id.clone(), session.hold?)));
            let due: Vec<_> = held.filter(|(_, hold)| hold.deadline_ms <= now.mono_ms).collect();
            for (id, hold) in due {
                self.expire_session(now, &at, &id, hold.owner);
            }
        }
        let refused = why(ErrorCode::SessionCannotBeLocked);
        self.stop_waiting(
            |waiting| waiting.shard == shard && waiting.deadline_ms <= now.mono_ms,
            Some(&refused),
        );
    }

    /// Each message that was held has failed once.
    fn expire_session(&mut self, now: Now, at: &(String, Lane), id: &str, owner: Owner) {
        let held = self.entities[&at.0].in_session(id).filter(|(_, message)| message.lock.is_some());
        for number in held.map(|(number, _)| number).collect::<Vec<_>>() {
            self.fail(now, at, number, 0);
        }
        let is_its = |receiver: &Receiver| receiver.owner == owner && receiver.at == *at;
        let gone: Vec<_> = self.receivers.extract_if(.., |_, receiver| is_its(receiver)).collect();
        for (key, receiver) in gone {
            self.refuse_drains(&receiver.draining, &why(ErrorCode::SessionLockLost));
            self.closed.insert(key);
            self.hold_again(receiver.shard, owner, None);
        }
        self.free(at, owner);
    }

    /// The session is held longer, and every message of it that is locked.
    pub fn renew_session(&mut self, shard: u16, now: Now, key: ReceiverKey) -> Answer {
        let held = self.receiver(shard, key).and_then(|receiver| {
            let (id, hold) = self.session_of(receiver)?;
            Some((receiver.at.0.clone(), id, hold.duration_ms))
        });
        let Some((entity, id, ms)) = held else {
            return Answer::Refused(why(ErrorCode::SessionLockLost));
        };
        let entity = self.entities.get_mut(&entity).unwrap();
        let (until_ms, deadline_ms) = (now.wall_ms + ms, now.mono_ms + ms);
        let hold = entity.sessions.get_mut(&id).unwrap().hold.as_mut().unwrap();
        (hold.until_ms, hold.deadline_ms) = (until_ms, deadline_ms);
        let messages = entity.main.messages.values_mut();
        for message in messages.filter(|message| message.session.as_ref() == Some(&id)) {
            if let Some(lock) = &mut message.lock {
                (lock.until_ms, lock.deadline_ms) = (until_ms, deadline_ms);
            }
        }
        Answer::Renewed { until_ms }
    }

    pub fn get_state(&self, shard: u16, key: ReceiverKey) -> Answer {
        let receiver = self.receiver(shard, key);
        let Some((receiver, (id, _))) = receiver.and_then(|it| Some((it, self.session_of(it)?))) else {
            return Answer::Refused(why(ErrorCode::SessionLockLost));
        };
        let session = &self.entities[&receiver.at.0].sessions[&id];
        Answer::State { state: session.state.clone(), changed_ms: session.changed_ms }
    }

    pub fn set_state(
        &mut self,
        shard: u16,
        now: Now,
        key: ReceiverKey,
        state: Option<&Bytes>,
    ) -> Result<Answer, Why> {
        let receiver = self.receiver(shard, key).cloned().ok_or(why(ErrorCode::SessionLockLost))?;
        let (id, _) = self.session_of(&receiver).ok_or(why(ErrorCode::SessionLockLost))?;
        let session = self.entities.get_mut(&receiver.at.0).unwrap().sessions.get_mut(&id).unwrap();
        session.state = state.cloned();
        session.changed_ms = now.wall_ms;
        Ok(Answer::Done)
    }

    /// Who closes a receiver that waits is told so.
    pub fn close_waiting(&mut self, ticket: Ticket, handle: u32) {
        let key = ReceiverKey { connection: ticket.connection, handle };
        self.stop_waiting(|waiting| waiting.key() == key, Some(&invalid("session")));
    }
}
