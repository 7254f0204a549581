//! Work on many messages in the naive model: purging, redriving, scheduled and deferred ones by their numbers.

use super::answer::{Answer, Why, invalid, why};
use super::queue::{Lock, Message};
use super::reference::{Durations, Model};
use super::sessions::Hold;
use bytes::{Bytes, BytesMut};
use postrider_core::command::{Portion, ReceiverKey};
use postrider_core::context::Now;
use postrider_protocol::error::ErrorCode;
use postrider_protocol::message::{Message as Content, Record};
use postrider_protocol::name::{Address, EntityName, Lane};
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::PeekState;
use postrider_protocol::request::ScheduledAction;
use postrider_protocol::token::LockToken;

/// What a look at a message shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub number: u64,
    pub state: PeekState,
    pub attempts: u32,
    pub until_ms: u64,
    pub bytes: Bytes,
    /// When it was enqueued; a scheduled one was not yet.
    pub enqueued_ms: Option<u64>,
}

/// What a turn hands out to a receiver that asked for deferred messages.
#[derive(Debug, Clone)]
pub struct Handed {
    pub receiver: ReceiverKey,
    pub token: LockToken,
    /// Numbers, with the attempts that were said.
    pub messages: Vec<(u64, u32)>,
}

impl Model {
    /// Everything in a queue, in the order of the numbers.
    pub fn look(&self, at: &(String, Lane)) -> Vec<Seen> {
        let (entity, queue) = (&self.entities[&at.0], self.queue(at).unwrap());
        let stored = queue.messages.iter().map(|(number, message)| Seen {
            number: *number,
            state: message.state(),
            attempts: message.attempts,
            until_ms: message.until_ms(),
            bytes: message.bytes.clone(),
            enqueued_ms: Some(message.enqueued.1),
        });
        let waiting = entity.scheduled.iter().filter(|_| at.1 == Lane::Main);
        let scheduled = waiting.map(|(number, later)| Seen {
            number: *number,
            state: PeekState::Scheduled,
            attempts: 0,
            until_ms: later.due_ms,
            bytes: later.incoming.bytes.clone(),
            enqueued_ms: None,
        });
        let mut seen: Vec<_> = stored.chain(scheduled).collect();
        seen.sort_by_key(|seen| seen.number);
        seen
    }

    /// The messages of a portion that are selected and not locked, how many were looked at, and where to go on.
    fn choose(&self, at: &(String, Lane), portion: &Portion) -> (Vec<u64>, u64, u64) {
        let Portion { selection, from, to, limit } = portion;
        let mut all = self.look(at);
        all.retain(|seen| *from <= seen.number && (*to == 0 || seen.number < *to));
        all.retain(|seen| selection.sequences.is_empty() || selection.sequences.contains(&seen.number));
        let most = if *limit == 0 { all.len() } else { all.len().min(*limit as usize) };
        let next = all.get(most).map_or(0, |seen| seen.number);
        all.truncate(most);
        let old = |seen: &Seen| seen.enqueued_ms.is_some_and(|when_ms| when_ms < selection.before_ms);
        let chosen = all.iter().filter(|seen| {
            seen.state != PeekState::Locked
                && selection.states.contains(seen.state)
                && (selection.before_ms == 0 || old(seen))
        });
        (chosen.map(|seen| seen.number).collect(), most as u64, next)
    }

    pub fn purge(&mut self, address: &Address, portion: &Portion) -> Result<Answer, Why> {
        let at = self.address(address)?;
        if *portion == Portion::default() {
            return Ok(self.purge_all(&at));
        }
        let (chosen, examined, next) = self.choose(&at, portion);
        chosen.iter().for_each(|number| self.remove(&at, *number));
        Ok(Answer::Worked { done: chosen.len() as u64, examined, next })
    }

    /// Where something is scheduled, locked messages are looked at, too.
    fn purge_all(&mut self, at: &(String, Lane)) -> Answer {
        let (chosen, examined, _) = self.choose(at, &Portion::default());
        let done = chosen.len() as u64;
        let looks = at.1 == Lane::Main && !self.entities[&at.0].scheduled.is_empty();
        chosen.iter().for_each(|number| self.remove(at, *number));
        Answer::Worked { done, examined: if looks { examined } else { done }, next: 0 }
    }

    fn remove(&mut self, at: &(String, Lane), number: u64) {
        if self.queue_mut(at).unwrap().messages.remove(&number).is_none() {
            self.entities.get_mut(&at.0).unwrap().scheduled.remove(&number).unwrap();
        }
    }

    fn address(&mut self, address: &Address) -> Result<(String, Lane), Why> {
        let is_topic = self.find(&address.entity)?.kind == EntityKind::Topic;
        if is_topic { Err(invalid("address")) } else { Ok((address.entity.key(), address.lane)) }
    }

    pub fn redrive(
        &mut self,
        now: Now,
        address: &Address,
        portion: &Portion,
        dry_run: bool,
    ) -> Result<Answer, Why> {
        let at = self.address(address)?;
        if at.1 == Lane::Main {
            return Err(invalid("address"));
        }
        if !self.entities[&at.0].may_send {
            return Err(why(ErrorCode::Disabled));
        }
        let (chosen, examined, next) = self.choose(&at, portion);
        // A copy says how many find room; dead letters make none.
        let mut trial = self.entities[&at.0].clone();
        let mut done = 0;
        for number in chosen {
            let message = trial.redriven(now, number);
            // Without a session it would come back at once.
            if trial.by_session && message.session.is_none() {
                continue;
            }
            if !trial.fits(message.size) {
                let full = Err(why(ErrorCode::QuotaExceeded));
                return if done == 0 { full } else { Ok(Answer::Worked { done, examined, next: number }) };
            }
            trial.dead.messages.remove(&number);
            trial.main.append(message);
            done += 1;
            if !dry_run {
                self.entities.insert(at.0.clone(), trial.clone());
            }
        }
        Ok(Answer::Worked { done, examined, next })
    }

    pub fn act_on_scheduled(
        &mut self,
        name: &EntityName,
        action: ScheduledAction,
        numbers: &[u64],
    ) -> Result<Answer, Why> {
        let entity = self.find(name)?;
        if entity.kind == EntityKind::Subscription {
            return Err(invalid("address"));
        }
        let mut act = |number: &u64| {
            let later = entity.scheduled.get_mut(number).ok_or(why(ErrorCode::MessageNotFound))?;
            match action {
                ScheduledAction::Cancel => _ = entity.scheduled.remove(number),
                ScheduledAction::DeliverNow => later.at_once = true,
            }
            Ok(None)
        };
        Ok(Answer::Settled(numbers.iter().map(&mut act).collect()))
    }

    /// What the core has handed out is what was asked for and is deferred.
    pub fn receive_deferred(
        &mut self,
        shard: u16,
        now: Now,
        key: ReceiverKey,
        numbers: &[u64],
    ) -> Result<Answer, Why> {
        let receiver = self.receiver(shard, key).cloned().ok_or(invalid("handle"))?;
        let at = receiver.at.clone();
        if !self.entities[&at.0].may_receive {
            return Err(why(ErrorCode::Disabled));
        }
        let own_ms = if receiver.lock_ms == 0 { self.entities[&at.0].lock_ms } else { receiver.lock_ms };
        let session = self.session_of(&receiver);
        let until = |(_, hold): &(String, Hold)| (hold.until_ms, hold.deadline_ms);
        let (until_ms, deadline_ms) =
            session.as_ref().map_or((now.wall_ms + own_ms, now.mono_ms + own_ms), until);
        let (mut taken, mut results) = (Vec::new(), Vec::new());
        // The token is the core's to choose.
        let token = self.handed.front().map(|handed| handed.token);
        for number in numbers {
            let queue = self.queue_mut(&at).unwrap();
            let is_there = |message: &&mut Message| {
                message.state() == PeekState::Deferred
                    && message.expires_ms > now.wall_ms
                    && session.as_ref().is_none_or(|(id, _)| message.session.as_ref() == Some(id))
            };
            let Some(message) = queue.messages.get_mut(number).filter(is_there) else {
                results.push(Err(why(ErrorCode::MessageNotFound)));
                continue;
            };
            results.push(Ok(None));
            let token = LockToken { place: taken.len() as u16, ..token.expect("it was handed out") };
            taken.push((*number, message.attempts));
            message.deferred = false;
            let (owner, receiver_key) = (receiver.owner, Some(key));
            message.lock = Some(Lock { token, owner, receiver: receiver_key, until_ms, deadline_ms });
            if receiver.deletes {
                queue.messages.remove(number);
            }
        }
        if !taken.is_empty() {
            self.hand(key, &taken, receiver.deletes, own_ms);
        }
        Ok(Answer::Settled(results))
    }

    fn hand(&mut self, key: ReceiverKey, taken: &[(u64, u32)], deletes: bool, own_ms: u64) {
        let handed = self.handed.pop_front().unwrap();
        assert_eq!((handed.receiver, &handed.messages[..]), (key, taken), "not what was asked for");
        assert_eq!(handed.token.lease == 0, deletes);
        self.receivers.get_mut(&key).unwrap().delivered += taken.len() as u64;
        if !deletes {
            let durations = Durations { own_ms, longest_ms: own_ms };
            let before = self.leases.insert((handed.token.shard, handed.token.lease), durations);
            assert!(before.is_none(), "lease {} was given twice", handed.token.lease);
        }
    }
}

/// Bytes of a message's record.
pub fn record_size(message: &Message) -> u64 {
    let record = Record {
        enqueued_time_ms: message.enqueued.1,
        enqueued_sequence: message.enqueued.0,
        expires_at_ms: Some(message.expires_ms).filter(|when_ms| *when_ms != u64::MAX),
        redrive_count: message.redriven,
        message: message.bytes.clone(),
        ..Record::default()
    };
    let mut out = BytesMut::new();
    record.put(&mut out);
    out.len() as u64
}

/// What is in a message.
pub fn content(bytes: &Bytes) -> Content {
    Content::decode(bytes.clone()).unwrap()
}
