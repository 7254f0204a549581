//! I1 and I6: a message is at all of its places, at no other, and ends there.

use super::sent::Sent;
use super::story::Story;
use super::{Checker, DEAD_LETTERS};

/// Where a message did not come to its end, everything being drained.
pub fn lost(id: u64, sent: &Sent, checker: &Checker<'_>, now_ms: u64) -> Vec<String> {
    let expired = sent.sending.expires_ms.is_some_and(|at| at <= now_ms);
    let missing = |place: &&String| {
        let gone = expired && !(checker.rules)(place).keeps_expired;
        !gone && !sent.with_dead_letters(place, Story::may_be_completed)
    };
    let missing: Vec<_> = sent.places.iter().filter(missing).collect();
    let partial = missing.iter().filter(|place| !sent.was_at(place)).count();
    let mut problems = Vec::new();
    if partial > 0 && sent.places.iter().any(|place| sent.was_at(place)) {
        let text = format!("I6 fan-out: message {id:#x} to {} is missing at {partial} of", sent.sending.to);
        problems.push(format!("{text} {} places", sent.places.len()));
    }
    if !sent.answers.is_empty() {
        problems.extend(missing.into_iter().map(|place| format!("I1 lost: message {id:#x} at {place}")));
    }
    problems
}

/// Places that a message came to and should not have.
pub fn strayed(id: u64, sent: &Sent) -> Vec<String> {
    let place = |at: &str| at.strip_suffix(DEAD_LETTERS).unwrap_or(at).to_owned();
    let foreign = sent.at.keys().filter(|at| !sent.places.contains(&place(at)));
    foreign.map(|at| format!("I6 strayed: message {id:#x} came to {at}")).collect()
}
