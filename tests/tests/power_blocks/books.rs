//! What must be where at a point of the log, by what clients saw.

use std::collections::{BTreeMap, BTreeSet};

pub const QUEUE: &str = "orders";
pub const TOPIC: &str = "events";
/// All subscriptions of the topic; the last one has no consumer.
pub const SUBSCRIPTIONS: [&str; 4] = [
    "events/subscriptions/a",
    "events/subscriptions/b",
    "events/subscriptions/c",
    "events/subscriptions/idle",
];

/// Ids of messages by the place where they were found.
pub type Found = BTreeMap<String, BTreeSet<u64>>;

/// Where a message is sent: even numbers to the queue, odd ones to the topic.
pub fn target(id: u64) -> &'static str {
    if id.is_multiple_of(2) { QUEUE } else { TOPIC }
}

/// Where it then is.
pub fn places(id: u64) -> &'static [&'static str] {
    if id.is_multiple_of(2) { &[QUEUE] } else { &SUBSCRIPTIONS }
}

/// When something happened, as numbers of entries in the log. What was asked for can be in no entry of those that were
/// there before; what was answered is in those that were there after.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub asked: u64,
    /// The highest number where there was no answer.
    pub answered: u64,
}

/// A message.
#[derive(Debug)]
pub struct Life {
    pub sent: Span,
    /// Completed, by place.
    pub completed: BTreeMap<&'static str, Span>,
}

/// All messages by their ids.
#[derive(Debug, Default)]
pub struct Books {
    pub lives: BTreeMap<u64, Life>,
}

impl Books {
    /// A message is about to be sent, when the log has so many entries.
    pub fn send(&mut self, id: u64, asked: u64) {
        let sent = Span { asked, answered: u64::MAX };
        self.lives.insert(id, Life { sent, completed: BTreeMap::new() });
    }

    /// It was acknowledged.
    pub fn stored(&mut self, id: u64, answered: u64) {
        self.life(id).sent.answered = answered;
    }

    /// It is about to be completed.
    pub fn complete(&mut self, id: u64, place: &'static str, asked: u64) {
        // It may come again when the broker has died: what was asked for first can be what was done.
        self.life(id).completed.entry(place).or_insert(Span { asked, answered: u64::MAX });
    }

    /// That was acknowledged.
    pub fn completed(&mut self, id: u64, place: &'static str, answered: u64) {
        let span = self.life(id).completed.get_mut(place).expect("it was asked for");
        span.answered = span.answered.min(answered);
    }

    fn life(&mut self, id: u64) -> &mut Life {
        self.lives.get_mut(&id).expect("what comes was sent")
    }

    /// All that is wrong with what was found after a cut behind the first `point` entries.
    pub fn problems(&self, found: &Found, point: u64) -> Vec<String> {
        let mut problems = Vec::new();
        for (place, ids) in found {
            for id in ids.iter().filter(|id| !self.may_be(**id, place, point)) {
                problems.push(format!("I2 invented or I3 resurrected: {id} at {place}"));
            }
        }
        for (id, life) in &self.lives {
            let missing = |place: &&&str| !is_at(found, place, *id) && !life.is_taken(place, point);
            let missing: Vec<_> = places(*id).iter().filter(missing).collect();
            let is_somewhere = places(*id).iter().any(|place| is_at(found, place, *id));
            if life.sent.answered <= point && !missing.is_empty() {
                problems.push(format!("I1 lost: {id} at {missing:?}, {life:?}"));
            } else if is_somewhere && !missing.is_empty() {
                problems.push(format!("I6 fan-out: {id} is missing at {missing:?}, {life:?}"));
            }
        }
        problems
    }

    fn may_be(&self, id: u64, place: &str, point: u64) -> bool {
        let Some(life) = self.lives.get(&id).filter(|_| places(id).contains(&place)) else { return false };
        let is_done = life.completed.get(place).is_some_and(|span| span.answered <= point);
        life.sent.asked < point && !is_done
    }
}

impl Life {
    /// Whether its completion may be there.
    fn is_taken(&self, place: &str, point: u64) -> bool {
        self.completed.get(place).is_some_and(|span| span.asked < point)
    }
}

fn is_at(found: &Found, place: &str, id: u64) -> bool {
    found.get(place).is_some_and(|ids| ids.contains(&id))
}
