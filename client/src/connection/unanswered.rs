//! Requests that wait for their answer, kept as they were sent so that they can be sent again.

use super::links::ReceiverLink;
use super::operation::{Answer, Opened, SendOutcome, Waiter};
use crate::error::Error;
use bytes::Bytes;
use postrider_protocol::reply::Reply;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Who waits for the answer to a request.
pub(super) enum Waiting {
    Publish {
        sender: u32,
        waiters: Vec<Waiter<SendOutcome>>,
        items: usize,
        weight: usize,
    },
    Settle {
        waiters: Vec<Waiter<Option<u64>>>,
        tokens: usize,
        runs: Vec<u16>,
    },
    Ask(Answer<Reply>),
    /// About a receiver: sent again behind its opening.
    AskReceiver(Answer<Reply>),
    /// Deferred messages for a receiver; only of this connection, since what was delivered on it is lost with it.
    Deferred {
        handle: u32,
        sequences: Vec<u64>,
        answer: Answer<Reply>,
    },
    /// First opening of a sender or receiver.
    Open {
        handle: u32,
        answer: Answer<Opened>,
    },
    /// Opening again after a reconnect; only of this connection.
    Reopen {
        handle: u32,
    },
    /// Of a sender. Only of this connection: with it the link is gone too.
    Close(Option<Answer<()>>),
    /// Of a receiver, whose locks outlive the connection: on another one it is opened again, and closed.
    CloseReceiver {
        link: Box<ReceiverLink>,
        answer: Option<Answer<()>>,
    },
}

impl Waiting {
    pub fn fail(self, error: &Error) {
        match self {
            Waiting::Publish { waiters, .. } => {
                waiters.into_iter().for_each(|waiter| waiter.fail(error.clone()));
            }
            Waiting::Settle { waiters, .. } => {
                waiters.into_iter().for_each(|waiter| waiter.fail(error.clone()));
            }
            Waiting::Ask(answer) | Waiting::AskReceiver(answer) | Waiting::Deferred { answer, .. } => {
                drop(answer.send(Err(error.clone())));
            }
            Waiting::Open { answer, .. } => drop(answer.send(Err(error.clone()))),
            Waiting::Close(answer) => drop(answer.map(|answer| answer.send(Ok(())))),
            Waiting::CloseReceiver { answer, .. } => {
                drop(answer.map(|answer| answer.send(Err(error.clone()))));
            }
            Waiting::Reopen { .. } => {}
        }
    }

    /// Whether the request makes no sense on another connection.
    fn ends_with_connection(&self) -> bool {
        matches!(
            self,
            Waiting::Reopen { .. }
                | Waiting::Close(_)
                | Waiting::CloseReceiver { .. }
                | Waiting::Deferred { .. }
        )
    }
}

/// One request without an answer.
pub(super) struct Pending {
    pub frame: Bytes,
    /// The stamp's sequence, for requests that change something.
    pub stamp: Option<u64>,
    pub waiting: Waiting,
    /// Times the broker had no room for it.
    pub refusals: u32,
    /// When to send it again after such a refusal.
    pub retry_at: Option<Instant>,
}

/// Requests without an answer, by number. Bounded by the broker's `requests_in_flight`.
pub(super) struct Unanswered {
    pending: BTreeMap<u64, Pending>,
    /// The last number given. Its low 32 bits are the wire's request number, never 0.
    last: u64,
    /// The last stamp sequence given.
    stamped: u64,
}

impl Unanswered {
    pub fn new() -> Self {
        Unanswered { pending: BTreeMap::new(), last: 0, stamped: 0 }
    }

    pub fn len(&self) -> usize {
        self.pending.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The last request number given.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next request number.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        if self.last as u32 == 0 {
            self.last += 1;
        }
        self.last
    }

    /// The next stamp: its sequence, and the lowest sequence without an answer.
    pub fn stamp(&mut self) -> (u64, u64) {
        self.stamped += 1;
        // Stamps rise with request numbers, so the first one found is the lowest.
        let floor = self.pending.values().find_map(|pending| pending.stamp);
        (self.stamped, floor.unwrap_or(self.stamped))
    }

    pub fn insert(&mut self, number: u64, frame: Bytes, stamp: Option<u64>, waiting: Waiting) {
        self.pending.insert(number, Pending { frame, stamp, waiting, refusals: 0, retry_at: None });
    }

    /// Takes the request that `wire` answers, if it still waits.
    pub fn take(&mut self, wire: u32) -> Option<(u64, Pending)> {
        let behind = (self.last as u32).wrapping_sub(wire);
        let number = self.last.checked_sub(u64::from(behind))?;
        self.pending.remove(&number).map(|pending| (number, pending))
    }

    /// Puts a request back that the broker had no room for, to be sent again at `at`.
    pub fn put_back(&mut self, number: u64, mut pending: Pending, at: Instant) {
        pending.retry_at = Some(at);
        pending.refusals += 1;
        self.pending.insert(number, pending);
    }

    /// Frames that are due to be sent again.
    pub fn due(&mut self, now: Instant) -> Vec<Bytes> {
        let due = self.pending.values_mut().filter(|pending| pending.retry_at.is_some_and(|at| at <= now));
        due.map(|pending| {
            pending.retry_at = None;
            pending.frame.clone()
        })
        .collect()
    }

    pub fn next_retry(&self) -> Option<Instant> {
        self.pending.values().filter_map(|pending| pending.retry_at).min()
    }

    /// The connection is gone: gives up what ended with it.
    pub fn lost(&mut self) -> Vec<Waiting> {
        let gone = self.pending.extract_if(.., |_, pending| pending.waiting.ends_with_connection());
        gone.map(|(_, pending)| pending.waiting).collect()
    }

    /// Everything to send again on a new connection, in order: what is about receivers, behind their opening, or all else.
    pub fn frames(&mut self, about_receivers: bool) -> Vec<Bytes> {
        let is_meant =
            |pending: &&mut Pending| matches!(pending.waiting, Waiting::AskReceiver(_)) == about_receivers;
        let again = self.pending.values_mut().filter(is_meant).map(|pending| {
            pending.retry_at = None;
            pending.frame.clone()
        });
        again.collect()
    }

    /// Takes the publishes of a sender.
    pub fn take_publishes(&mut self, of: u32) -> Vec<Waiting> {
        let is_of =
            |pending: &Pending| matches!(pending.waiting, Waiting::Publish { sender, .. } if sender == of);
        self.pending.extract_if(.., |_, pending| is_of(pending)).map(|(_, pending)| pending.waiting).collect()
    }

    /// Takes everything.
    pub fn take_all(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.pending).into_values().map(|pending| pending.waiting).collect()
    }

    /// Whether nothing that `is_meant` waits among the requests up to `number`.
    pub fn none_up_to(&self, number: u64, is_meant: impl Fn(&Waiting) -> bool) -> bool {
        !self.pending.range(..=number).any(|(_, pending)| is_meant(&pending.waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(table: &mut Unanswered, stamped: bool) -> (u64, Option<(u64, u64)>) {
        let number = table.number();
        let stamp = stamped.then(|| table.stamp());
        table.insert(number, Bytes::new(), stamp.map(|stamp| stamp.0), Waiting::Close(None));
        (number, stamp)
    }

    #[test]
    fn the_floor_is_the_lowest_sequence_without_an_answer() {
        let mut table = Unanswered::new();
        let (_, none) = ask(&mut table, false);
        let (first, stamp) = ask(&mut table, true);
        assert_eq!((none, stamp), (None, Some((1, 1))));
        let (second, stamp) = ask(&mut table, true);
        assert_eq!(stamp, Some((2, 1)));
        assert!(table.take(second as u32).is_some());
        assert_eq!(ask(&mut table, true).1, Some((3, 1)));
        assert!(table.take(first as u32).is_some());
        assert_eq!(ask(&mut table, true).1, Some((4, 3)));
        table.take_all();
        assert_eq!(ask(&mut table, true).1, Some((5, 5)));
    }

    #[test]
    fn numbers_wrap_around_without_ever_being_zero() {
        let mut table = Unanswered::new();
        table.last = u64::from(u32::MAX) - 1;
        let (old, _) = ask(&mut table, false);
        let (new, _) = ask(&mut table, false);
        assert_eq!((old as u32, new as u32), (u32::MAX, 1));
        assert_eq!(table.take(u32::MAX).map(|taken| taken.0), Some(old));
        assert_eq!(table.take(1).map(|taken| taken.0), Some(new));
        assert!(table.take(1).is_none() && table.take(77).is_none());
    }

    #[test]
    fn a_refused_request_comes_back_when_it_is_due() {
        let mut table = Unanswered::new();
        let now = Instant::now();
        let (number, _) = ask(&mut table, true);
        let (_, pending) = table.take(number as u32).unwrap();
        table.put_back(number, pending, now);
        assert_eq!(table.next_retry(), Some(now));
        assert_eq!(table.stamp().1, 1, "it still has no answer");
        assert_eq!(table.due(now).len(), 1);
        assert_eq!((table.due(now).len(), table.next_retry()), (0, None));
    }
}
