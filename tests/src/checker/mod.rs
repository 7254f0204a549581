//! Checks a history, entry by entry, whose end is that everything was drained.
//!
//! - I1 what was acknowledged was delivered in the end, at every place it had to go to, or its time was up.
//! - I2 what was delivered was sent, and is as it was sent.
//! - I3 what was settled for good, with an acknowledgement, never comes again.
//! - I4 one lock: no delivery while another one's lock lasts; a settlement fails once a newer lock was seen.
//! - I5 delivery counts rise by the attempts that failed, no less and (where no lock can run out) no more; dead letters
//!   have a reason, and reach the limit exactly.
//! - I6 a message to a topic is at all of its subscriptions or at none.
//! - I7 a producer's messages keep their order in a queue, and a session's in its deliveries.
//! - I8 counters are what a scan finds.
//! - I9 a message that is sent again into a window of duplicates is there once.
//! - I10 a message whose fate is not known is there once or not at all, one that was refused is not.
//!
//! Each entry takes time by the logarithm of what is open. A message is open until its publish was answered and every
//! place is done with it; then it lingers for [`LINGERING`] others, since consumers may write down late what they saw,
//! and is forgotten.

mod ending;
mod numbers;
mod order;
mod sent;
mod story;

use crate::history::{Event, PER_PRODUCER, Seen, Sending, Settling};
use order::Order;
use sent::Sent;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The address suffix of dead letters.
pub const DEAD_LETTERS: &str = "/$dead-letter";

/// Messages that are over with and not forgotten yet.
pub const LINGERING: usize = 10_000;

/// What a queue or subscription was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Its option of the same name.
    pub max_delivery_count: u32,
    /// What expires goes to the dead letters.
    pub keeps_expired: bool,
    /// Locks may have run out here, which counts as a failed attempt that nobody saw.
    pub locks_may_expire: bool,
}

/// The rules of a queue with default options.
pub fn default_rules(_place: &str) -> Rules {
    Rules { max_delivery_count: 10, keeps_expired: false, locks_may_expire: false }
}

/// Where messages go, and what else the checker has to know.
#[derive(Clone, Copy)]
pub struct Checker<'a> {
    /// The places that a message sent to this address must come to.
    pub places: &'a dyn Fn(&str, u64) -> Vec<String>,
    /// What each of these places was told.
    pub rules: &'a dyn Fn(&str) -> Rules,
    /// Locks may have run out everywhere.
    pub locks_may_expire: bool,
    /// Messages may have been refused as Busy, and sent again behind later ones.
    pub may_be_overtaken: bool,
}

impl<'a> Checker<'a> {
    /// Begins with a history.
    pub fn begin(self) -> Checking<'a> {
        Checking {
            checker: self,
            open: BTreeMap::new(),
            newest: BTreeMap::new(),
            skipped: BTreeSet::new(),
            lingering: VecDeque::new(),
            order: Order::default(),
            problems: Vec::new(),
        }
    }

    /// All that is wrong with a history that ends now.
    pub fn check(self, events: &[Event]) -> Vec<String> {
        let mut checking = self.begin();
        events.iter().for_each(|event| checking.see(event));
        checking.finish(u64::MAX)
    }

    /// Panics when anything is wrong; `context` says how to do it again.
    pub fn assert(self, events: &[Event], context: &str) {
        assert_none(&self.check(events), context);
    }
}

/// Panics when there are problems; `context` says how to do it again.
pub fn assert_none(problems: &[String], context: &str) {
    let first: Vec<_> = problems.iter().take(20).map(String::as_str).collect();
    assert!(problems.is_empty(), "{context}: {} problems\n{}", problems.len(), first.join("\n"));
}

/// A history on its way through the checker.
pub struct Checking<'a> {
    checker: Checker<'a>,
    /// Messages that were sent and are not forgotten.
    open: BTreeMap<u64, Sent>,
    /// The newest message of each producer: what is older, not open and not skipped was forgotten.
    newest: BTreeMap<u64, u64>,
    /// Ids that a producer has passed over; usually none.
    skipped: BTreeSet<u64>,
    /// Open messages that are over with, the oldest first.
    lingering: VecDeque<u64>,
    order: Order,
    problems: Vec<String>,
}

impl Checking<'_> {
    /// Takes the next entry.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Sending(sending) => self.sending(sending),
            Event::SendingAgain { id } => self.change(*id, |sent| sent.times += 1),
            Event::Stored { id, sequence, duplicate } => self.stored(*id, *sequence, *duplicate),
            Event::Refused { id } => self.change(*id, |sent| sent.refused = true),
            Event::Delivered { id, at, seen } => self.delivered(*id, at, seen),
            Event::Settling(settling) => self.settling(settling, |story| story.ask(settling)),
            Event::Settled(settling) => self.settling(settling, |story| story.done(settling)),
            Event::NotSettled(settling) => self.settling(settling, |story| story.refuse(settling)),
            Event::Counted { at, counted, scanned } => {
                self.problems.extend(numbers::problem(at, counted, scanned));
            }
        }
    }

    /// Ends the history, all places being empty; returns all that is wrong with it. `now_ms` is the moment of the end:
    /// what was to live beyond it has not expired.
    pub fn finish(mut self, now_ms: u64) -> Vec<String> {
        for (id, sent) in std::mem::take(&mut self.open) {
            self.judge(id, &sent);
            self.problems.extend(ending::lost(id, &sent, &self.checker, now_ms));
        }
        self.problems
    }

    /// All that is wrong so far, but for what is missing, which only the end can tell.
    pub fn so_far(&self) -> Vec<String> {
        let open = self.open.iter().flat_map(|(id, sent)| self.judged(*id, sent));
        self.problems.iter().cloned().chain(open).collect()
    }

    /// Messages that are remembered.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    fn sending(&mut self, sending: &Sending) {
        let (id, places) = (sending.id, (self.checker.places)(&sending.to, sending.id));
        let producer = id / PER_PRODUCER;
        let newest = self.newest.insert(producer, id);
        let next = newest.map_or(producer * PER_PRODUCER, |newest| newest + 1);
        self.skipped.extend(next..id);
        self.open.insert(id, Sent::new(sending.clone(), places));
    }

    /// Whether the message was ever sent.
    fn was_sent(&self, id: u64) -> bool {
        let newest = self.newest.get(&(id / PER_PRODUCER));
        newest.is_some_and(|newest| id <= *newest) && !self.skipped.contains(&id)
    }

    fn stored(&mut self, id: u64, sequence: u64, duplicate: bool) {
        if !self.open.contains_key(&id) && !duplicate {
            self.problems.push(format!("I9 stored again: message {id:#x}, number {sequence}"));
        }
        self.change(id, |sent| sent.answers.push((sequence, duplicate)));
    }

    fn delivered(&mut self, id: Option<u64>, at: &str, seen: &Seen) {
        let Some(id) = id.filter(|id| self.was_sent(*id)) else {
            return self.problems.push(format!("I2 invented: {id:?} at {at}, number {}", seen.sequence));
        };
        let Some(sent) = self.open.get_mut(&id) else {
            return self
                .problems
                .push(format!("I3 resurrected: message {id:#x} at {at}, which was forgotten"));
        };
        let story = sent.story(at);
        if story.is_unseen() && !at.ends_with(DEAD_LETTERS) {
            let overtaken = self.checker.may_be_overtaken;
            self.problems.extend(self.order.first(id, at, seen.sequence, sent.sending.session, overtaken));
        }
        sent.story(at).deliver(seen);
    }

    fn settling(&mut self, settling: &Settling, change: impl FnOnce(&mut story::Story)) {
        self.change(settling.id, |sent| change(sent.story(&settling.at)));
    }

    /// Changes what is known of a message, if it is open. It begins to linger when it is over with.
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Sent)) {
        let Some(sent) = self.open.get_mut(&id) else { return };
        change(sent);
        if !sent.lingers && sent.is_over() {
            sent.lingers = true;
            self.lingering.push_back(id);
            self.forget();
        }
    }

    /// What is wrong with a message but its loss, which only the end can tell.
    fn judge(&mut self, id: u64, sent: &Sent) {
        self.problems.extend(self.judged(id, sent));
    }

    fn judged(&self, id: u64, sent: &Sent) -> Vec<String> {
        let mut problems = sent.problems(id, &self.checker);
        problems.extend(ending::strayed(id, sent));
        problems
    }

    /// Judges and forgets the oldest message when too many linger.
    fn forget(&mut self) {
        if self.lingering.len() <= LINGERING {
            return;
        }
        if let Some((id, sent)) = self.lingering.pop_front().and_then(|id| Some((id, self.open.remove(&id)?)))
        {
            self.judge(id, &sent);
            self.order.forget(id, &sent.places);
        }
    }
}
