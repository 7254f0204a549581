//! Random good histories: the lives of some messages, interleaved.

use super::*;
use fastrand::Rng;
use postrider_tests::checker::DEAD_LETTERS;
use postrider_tests::history::{Counts, PER_PRODUCER, id};
use std::collections::{BTreeMap, VecDeque};

/// How long a lock would last: until the end of every history.
const LOCK_MS: u64 = 1_000_000;
const PRODUCERS: u64 = 3;
const MESSAGES: u64 = 20;

/// What happens next in the life of a message.
#[derive(Clone)]
enum Step {
    Send(Sending),
    SendAgain,
    Answer {
        duplicate: bool,
    },
    Refuse,
    Deliver {
        at: String,
        reason: Option<&'static str>,
    },
    Settle {
        at: String,
        verb: Verb,
    },
    /// Somebody tries to settle under the last lock but one, in vain.
    SettleOld {
        at: String,
    },
}

/// One message at one address.
#[derive(Default)]
struct Stay {
    number: u64,
    locks: Vec<u64>,
    failures: u32,
}

/// A history under way.
struct World {
    now_ms: u64,
    /// The newest lock, and number, of each address.
    locks: BTreeMap<String, u64>,
    numbers: BTreeMap<String, u64>,
    stays: BTreeMap<(u64, String), Stay>,
    events: Vec<Event>,
}

/// A good history.
pub fn history(seed: u64) -> Vec<Event> {
    let mut random = Rng::with_seed(seed);
    let ids = (0..PRODUCERS).flat_map(|producer| (0..MESSAGES).map(move |number| id(producer, number)));
    let mut lives: BTreeMap<u64, VecDeque<Step>> = ids.map(|id| (id, life(id, &mut random))).collect();
    let (locks, numbers, stays) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut world = World { now_ms: NOON, locks, numbers, stays, events: vec![] };
    while !lives.is_empty() {
        let any = random.usize(..lives.len());
        let id = *lives.keys().nth(any).expect("it is one of them");
        if has_to_wait(&lives, id) {
            continue;
        }
        match lives.get_mut(&id).and_then(VecDeque::pop_front) {
            Some(step) => world.take(id, step),
            None => _ = lives.remove(&id),
        }
    }
    let counts = Counts { active: random.u64(..9), locked: random.u64(..9), dead_letters: random.u64(..9) };
    world.events.push(Event::Counted { at: "q".to_owned(), counted: counts, scanned: counts });
    world.events
}

/// A producer sends in order, and a session is delivered in order.
fn has_to_wait(lives: &BTreeMap<u64, VecDeque<Step>>, id: u64) -> bool {
    let first = id - id % PER_PRODUCER;
    let mut steps = lives.range(first..id).flat_map(|(_, steps)| steps);
    match lives[&id].front() {
        Some(Step::Send(_)) => steps.any(|step| matches!(step, Step::Send(_))),
        Some(Step::Deliver { at, .. }) if at == "s" => {
            steps.any(|step| matches!(step, Step::Deliver { at, .. } if at == "s"))
        }
        _ => false,
    }
}

impl World {
    fn take(&mut self, id: u64, step: Step) {
        self.now_ms += 1;
        match step {
            Step::Send(sending) => self.send(sending),
            Step::SendAgain => self.events.push(Event::SendingAgain { id }),
            Step::Answer { duplicate } => self.events.push(self.answer(id, duplicate)),
            Step::Refuse => self.events.push(Event::Refused { id }),
            Step::Deliver { at, reason } => self.deliver(id, at, reason),
            Step::Settle { at, verb } => self.settle(id, at, verb),
            Step::SettleOld { at } => {
                let old = self.stays[&(id, at.clone())].locks.iter().rev().nth(1);
                let settling = settling(id, &at, *old.expect("it was delivered twice"), Verb::Complete);
                self.events.extend([Event::Settling(settling.clone()), Event::NotSettled(settling)]);
            }
        }
    }

    fn send(&mut self, sending: Sending) {
        for at in places(&sending.to, sending.id).into_iter().chain(["t".to_owned()]) {
            self.stay(sending.id, at);
        }
        self.events.push(Event::Sending(sending));
    }

    /// The message at an address, where it gets the next number.
    fn stay(&mut self, id: u64, at: String) -> &mut Stay {
        let numbers = &mut self.numbers;
        self.stays.entry((id, at)).or_insert_with_key(|(_, at)| {
            let number = numbers.entry(at.clone()).or_default();
            *number += 1;
            Stay { number: *number, ..Stay::default() }
        })
    }

    fn answer(&self, id: u64, duplicate: bool) -> Event {
        let queue = ["q", "x", "s", "t"].into_iter().find_map(|at| self.stays.get(&(id, at.to_owned())));
        Event::Stored { id, sequence: queue.expect("it was sent").number, duplicate }
    }

    fn deliver(&mut self, id: u64, at: String, reason: Option<&str>) {
        let lock = self.locks.entry(at.trim_end_matches(DEAD_LETTERS).to_owned()).or_default();
        *lock += 1;
        let (epoch, when_ms) = (*lock, self.now_ms);
        let before = at.strip_suffix(DEAD_LETTERS).map(|from| (id, from.to_owned()));
        let before = before.and_then(|before| self.stays.get(&before)).map_or(0, |stay| stay.failures);
        let stay = self.stay(id, at.clone());
        stay.locks.push(epoch);
        let (count, sequence) = (1 + before + stay.failures, stay.number);
        let (until_ms, reason) = (when_ms + LOCK_MS, reason.map(str::to_owned));
        self.events.push(delivered_as(id, &at, Seen { epoch, count, sequence, when_ms, until_ms, reason }));
    }

    fn settle(&mut self, id: u64, at: String, verb: Verb) {
        let stay = self.stay(id, at.clone());
        stay.failures += u32::from(verb == Verb::Abandon);
        let epoch = *stay.locks.last().expect("it was delivered");
        self.events.extend(settled(id, &at, epoch, verb));
    }
}

/// The life of a message: to the topic, to a queue, to one that keeps what expires, or in a session.
fn life(id: u64, random: &mut Rng) -> VecDeque<Step> {
    let to = ["t", "q", "x", "s"][random.usize(..4)];
    let expires_ms = (to == "x" && random.bool()).then_some(NOON);
    // A session of one producer, so that what was sent first is delivered first.
    let session = (to == "s").then_some(id / PER_PRODUCER);
    let mut steps = VecDeque::from([Step::Send(Sending { id, to: to.to_owned(), expires_ms, session })]);
    let again = random.u8(..4) == 0;
    if again {
        steps.push_back(Step::SendAgain);
    }
    match random.u8(..10) {
        0 if !again => return steps.into_iter().chain([Step::Refuse]).collect(),
        1 => return steps,
        2 => {}
        _ => steps.push_back(Step::Answer { duplicate: false }),
    }
    if again {
        steps.push_back(Step::Answer { duplicate: true });
    }
    for place in places(to, id) {
        steps.extend(stay(&place, expires_ms.is_some(), random));
    }
    steps
}

/// What happens at one place.
fn stay(place: &str, expires: bool, random: &mut Rng) -> Vec<Step> {
    let deliver = |at: &str, reason| Step::Deliver { at: at.to_owned(), reason };
    let settle = |at: &str, verb| Step::Settle { at: at.to_owned(), verb };
    let (mut steps, mut failures) = (vec![], 0);
    let dead = format!("{place}{DEAD_LETTERS}");
    let end = |reason| [deliver(&dead, Some(reason)), settle(&dead, Verb::Complete)];
    // A session's first deliveries are in order when nobody is delivered twice before the others were.
    let rounds = if place == "s" { 0 } else { random.u32(..=LIMIT + 1) };
    for _ in 0..rounds {
        let verb = if random.bool() { Verb::Abandon } else { Verb::Release };
        failures += u32::from(verb == Verb::Abandon);
        steps.extend([deliver(place, None), settle(place, verb)]);
        if failures == LIMIT {
            steps.extend(end("MaxDeliveryCountExceeded"));
            return steps;
        }
    }
    if expires {
        steps.extend(end("TTLExpired"));
        return steps;
    }
    steps.push(deliver(place, None));
    if rounds > 0 && random.bool() {
        steps.push(Step::SettleOld { at: place.to_owned() });
    }
    match random.u8(..4) {
        0 => {
            steps.push(settle(place, Verb::DeadLetter));
            steps.extend(end("Chance"));
        }
        _ => steps.push(settle(place, Verb::Complete)),
    }
    steps
}
