//! What happened to one message at one place: locks, counts, reasons.

use super::Rules;
use crate::history::{Seen, Sending, Settling, Verb};
use std::collections::{BTreeMap, BTreeSet};

/// What a dead letter's reason is when its delivery failed too often, and when its time was up.
const TOO_OFTEN: &str = "MaxDeliveryCountExceeded";
const EXPIRED: &str = "TTLExpired";

/// One message at one place.
#[derive(Default)]
pub struct Story {
    /// Deliveries by their locks.
    seen: BTreeMap<u64, Seen>,
    /// Verbs that were asked for and not refused, with the lock, and those that were answered.
    asked: Vec<(Verb, u64)>,
    done: Vec<(Verb, u64)>,
    /// Of the verbs that were asked for, those under a lock that was known not to be the newest.
    asked_late: Vec<(Verb, u64)>,
    /// It was delivered while somebody else held it.
    shared: bool,
}

impl Story {
    /// Whether nobody saw it yet.
    pub fn is_unseen(&self) -> bool {
        self.seen.is_empty()
    }

    /// Takes a delivery. Nobody can have got it while the lock of an older one lasted and nothing was asked for with it.
    pub fn deliver(&mut self, seen: &Seen) {
        let older = self.seen.range(..seen.epoch).map(|(_, older)| older);
        let held = older.filter(|older| older.until_ms > seen.when_ms && !self.let_go(older.epoch));
        self.shared |= held.count() > 0;
        self.seen.insert(seen.epoch, seen.clone());
    }

    fn let_go(&self, epoch: u64) -> bool {
        self.asked.iter().any(|(verb, under)| *under == epoch && *verb != Verb::Renew)
    }

    pub fn ask(&mut self, settling: &Settling) {
        let asked = (settling.verb, settling.epoch);
        self.asked.push(asked);
        if self.newest() > settling.epoch {
            self.asked_late.push(asked);
        }
    }

    pub fn done(&mut self, settling: &Settling) {
        self.done.push((settling.verb, settling.epoch));
    }

    /// What was refused has no effect.
    pub fn refuse(&mut self, settling: &Settling) {
        let refused = (settling.verb, settling.epoch);
        self.asked.retain(|asked| *asked != refused);
        self.asked_late.retain(|asked| *asked != refused);
    }

    /// Somebody asked to complete it; whether that was answered can be unknown.
    pub fn may_be_completed(&self) -> bool {
        self.asked.iter().any(|(verb, _)| *verb == Verb::Complete)
    }

    /// Completed, with an answer.
    pub fn is_completed(&self) -> bool {
        self.done.iter().any(|(verb, _)| *verb == Verb::Complete)
    }

    /// The number it was seen with first.
    pub fn number(&self) -> Option<u64> {
        self.seen.values().next().map(|seen| seen.sequence)
    }

    pub fn has_two_numbers(&self) -> bool {
        self.seen.values().map(|seen| seen.sequence).collect::<BTreeSet<_>>().len() > 1
    }

    fn newest(&self) -> u64 {
        self.seen.keys().next_back().copied().unwrap_or(0)
    }

    /// The first lock under which it was over with here.
    fn over(&self) -> Option<u64> {
        let last = |verb| matches!(verb, Verb::Complete | Verb::DeadLetter);
        self.done.iter().filter(|(verb, _)| last(*verb)).map(|(_, epoch)| *epoch).min()
    }

    /// A dead letter has a story `before`, whose failed attempts it takes along; its locks are all newer.
    pub fn problems(&self, before: Option<&Story>, locks_may_expire: bool) -> Vec<&'static str> {
        // What is given back when its time is up expires, which is no failure.
        let spared = |seen: &Seen| u32::from(seen.reason.as_deref() == Some(EXPIRED));
        let low = |seen: &Seen| {
            seen.count + spared(seen) < 1 + failed(before, self, |story| &story.done, seen.epoch)
        };
        let high = |seen: &Seen| seen.count > 1 + failed(before, self, |story| &story.asked, seen.epoch);
        let wrong = [
            (self.over().is_some_and(|over| self.newest() > over), "I3 resurrected"),
            (self.done.iter().any(|done| self.asked_late.contains(done)), "I4 settled under an older lock"),
            (self.shared, "I4 delivered while it was locked"),
            (self.seen.values().any(low), "I5 delivery count too low"),
            (!locks_may_expire && self.seen.values().any(high), "I5 delivery count too high"),
        ];
        wrong.into_iter().filter(|(is, _)| *is).map(|(_, text)| text).collect()
    }

    /// Deliveries after the last one that is allowed.
    pub fn beyond(&self, rules: &Rules) -> Option<&'static str> {
        let beyond = self.seen.values().any(|seen| seen.count > rules.max_delivery_count);
        beyond.then_some("I5 delivered beyond the limit")
    }

    /// A dead letter's reason must have happened.
    pub fn reasons(
        &self,
        before: Option<&Story>,
        rules: &Rules,
        sending: &Sending,
        locks_may_expire: bool,
    ) -> Vec<&'static str> {
        let asked = before.is_some_and(|story| story.asked.iter().any(|(verb, _)| *verb == Verb::DeadLetter));
        let first = self.seen.values().next();
        let exact = |seen: &Seen| seen.count == rules.max_delivery_count + 1;
        let right = |seen: &Seen| match seen.reason.as_deref() {
            Some(TOO_OFTEN) if locks_may_expire => seen.count > rules.max_delivery_count,
            Some(TOO_OFTEN) => Some(seen) != first || exact(seen),
            Some(EXPIRED) => rules.keeps_expired && sending.expires_ms.is_some_and(|at| at <= seen.when_ms),
            Some(_) => asked,
            None => false,
        };
        if self.seen.values().all(right) { vec![] } else { vec!["I5 a dead letter for no reason"] }
    }
}

/// Failed attempts under locks before `newer`, here and where it was before.
fn failed(before: Option<&Story>, story: &Story, list: fn(&Story) -> &Vec<(Verb, u64)>, newer: u64) -> u32 {
    let all = before.into_iter().chain([story]).flat_map(list);
    all.filter(|(verb, epoch)| *verb == Verb::Abandon && *epoch < newer).count() as u32
}
