//! A client: what it asks for, what it does when it is told something, and what it writes down of that. It knows nothing
//! of the broker but its answers.

use super::work::{Consumer, Producer};
use super::world;
use fastrand::Rng;
use postrider_core::command::Change;
use postrider_protocol::reply::{Delivery, Published, Reply, Runs, Settled};
use postrider_protocol::request::{Flow, SessionWish};
use postrider_tests::history::{Event, Settling};
use std::collections::BTreeMap;

/// The number of a client's only receiver.
pub const HANDLE: u32 = 1;

/// A request on its way.
#[derive(Debug, Clone)]
pub struct Request {
    pub number: u32,
    pub asked: Asked,
}

impl Request {
    /// Whether it can be done once only, however often it arrives.
    pub fn is_stamped(&self) -> bool {
        matches!(self.asked, Asked::Once { .. })
    }
}

#[derive(Debug, Clone)]
pub enum Asked {
    Open { at: &'static str, held: Vec<u64>, session: SessionWish },
    Flow { at: &'static str, flow: Flow },
    Close { at: &'static str },
    Once { sequence: u64, floor: u64, change: Change },
}

/// Something that the broker says.
#[derive(Debug, Clone)]
pub enum Said {
    Reply(u32, Reply),
    Delivery(Delivery),
    /// Its receiver.
    Closed,
}

/// A change that has no answer yet, and what an answer means.
#[derive(Debug, Clone)]
pub struct Pending {
    pub change: Change,
    pub then: Then,
}

#[derive(Debug, Clone)]
pub enum Then {
    Created,
    /// These messages were sent.
    Stored(Vec<u64>),
    /// These were settled, each under its lease.
    Settled(Vec<Settling>),
    /// This one was completed, and that one sent.
    Moved(Settling, u64),
}

/// A moment as a client sees it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// UTC milliseconds.
    pub wall_ms: u64,
    /// Whether what locks and messages are told of the wall clock can be held to it.
    pub wall_is_steady: bool,
}

/// What a client does with a moment.
#[derive(Default)]
pub struct Out {
    pub requests: Vec<Request>,
    pub events: Vec<Event>,
    /// It wants to be woken after so long.
    pub wake_ms: Option<u64>,
}

/// What a client is there for.
pub enum Work {
    /// It creates all entities.
    Founder,
    Producer(Producer),
    Consumer(Consumer),
}

pub struct Client {
    pub id: u128,
    pub connection: Option<u64>,
    pub work: Work,
    pub random: Rng,
    /// No more faults: producers stop, consumers complete everything.
    pub ending: bool,
    next_request: u32,
    next_sequence: u64,
    pub waiting: BTreeMap<u64, Pending>,
    /// Requests of this connection by their numbers, with their stamps.
    stamped: BTreeMap<u32, u64>,
}

impl Client {
    pub fn new(number: usize, work: Work, random: Rng) -> Client {
        Client {
            id: number as u128 + 1,
            connection: None,
            work,
            random,
            ending: false,
            next_request: 1,
            next_sequence: 1,
            waiting: BTreeMap::new(),
            stamped: BTreeMap::new(),
        }
    }

    /// Nothing is under way.
    pub fn is_at_rest(&self) -> bool {
        self.waiting.is_empty()
            && match &self.work {
                Work::Consumer(consumer) => consumer.in_hand.is_empty(),
                Work::Founder | Work::Producer(_) => true,
            }
    }

    /// A new connection: everything without an answer is asked for again, in its order.
    pub fn connected(&mut self, connection: u64, out: &mut Out) {
        self.connection = Some(connection);
        self.next_request = 1;
        self.stamped.clear();
        let again: Vec<_> = self.waiting.keys().copied().collect();
        again.into_iter().for_each(|sequence| self.send(sequence, out));
        match &self.work {
            Work::Founder if self.next_sequence == 1 => {
                for change in world::changes() {
                    self.change(Pending { change, then: Then::Created }, out);
                }
            }
            Work::Consumer(_) => self.open(out),
            Work::Founder | Work::Producer(_) => {}
        }
        out.wake_ms = Some(1);
    }

    pub fn request(&mut self, asked: Asked, out: &mut Out) -> u32 {
        let number = self.next_request;
        self.next_request += 1;
        out.requests.push(Request { number, asked });
        number
    }

    /// Asks for a change, until there is an answer.
    pub fn change(&mut self, change: Pending, out: &mut Out) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.waiting.insert(sequence, change);
        self.send(sequence, out);
    }

    fn send(&mut self, sequence: u64, out: &mut Out) {
        let floor = self.waiting.first_key_value().map_or(sequence, |(first, _)| *first);
        let change = self.waiting[&sequence].change.clone();
        let number = self.request(Asked::Once { sequence, floor, change }, out);
        self.stamped.insert(number, sequence);
    }

    /// Asks once more for something that may have been done already.
    pub fn repeat(&mut self, out: &mut Out) {
        let all: Vec<_> = self.waiting.keys().copied().collect();
        if let Some(sequence) = self.random.choice(all) {
            self.send(sequence, out);
        }
    }

    /// Its time has come.
    pub fn woken(&mut self, now: Moment, out: &mut Out) {
        if self.connection.is_none() {
            return;
        }
        match self.work {
            Work::Founder => {}
            Work::Producer(_) => self.produce(now, out),
            Work::Consumer(_) => self.consume(out),
        }
    }

    /// The broker has said something on its connection.
    pub fn told(&mut self, said: Said, now: Moment, out: &mut Out) {
        match said {
            Said::Reply(number, reply) => match self.stamped.remove(&number) {
                // What was answered before is answered in the same way.
                Some(sequence) => {
                    if let Some(change) = self.waiting.remove(&sequence) {
                        self.answered(change, reply, out);
                    }
                }
                None => self.receiver_answered(&reply, out),
            },
            Said::Delivery(delivery) => self.delivered(delivery, now, out),
            Said::Closed => self.open(out),
        }
    }

    fn answered(&mut self, change: Pending, reply: Reply, out: &mut Out) {
        match (change.then, reply) {
            (Then::Created, Reply::Done) => {}
            (Then::Stored(ids), Reply::Published(runs)) => out.events.extend(stored(&ids, &runs)),
            (Then::Settled(asked), Reply::Settled(runs)) => out.events.extend(settled(asked, &runs)),
            (Then::Moved(settling, id), Reply::Published(runs)) => {
                out.events.push(Event::Settled(settling));
                out.events.extend(stored(&[id], &runs));
            }
            (Then::Moved(settling, id), Reply::Refused(_)) => {
                out.events.extend([Event::NotSettled(settling), Event::Refused { id }]);
            }
            (then, reply) => panic!("{then:?} was answered with {reply:?}"),
        }
    }
}

fn stored(ids: &[u64], runs: &Runs<Published>) -> Vec<Event> {
    let each = runs.iter().flat_map(|(items, first)| (0..u64::from(*items)).map(move |at| (first, at)));
    let event = |(id, (published, at)): (&u64, (&Published, u64))| match published {
        Published::Accepted(first) => Event::Stored { id: *id, sequence: first + at, duplicate: false },
        Published::Duplicate(number) => Event::Stored { id: *id, sequence: *number, duplicate: true },
        Published::Refused(_) => Event::Refused { id: *id },
        Published::Underway => panic!("nothing is sent to another shard"),
    };
    ids.iter().zip(each).map(event).collect()
}

fn settled(asked: Vec<Settling>, runs: &Runs<Settled>) -> Vec<Event> {
    let each = runs.iter().flat_map(|(items, outcome)| std::iter::repeat_n(outcome, *items as usize));
    let event = |(settling, outcome): (Settling, &Settled)| match outcome {
        Settled::Done | Settled::Renewed(_) => Event::Settled(settling),
        Settled::Refused(_) => Event::NotSettled(settling),
    };
    asked.into_iter().zip(each).map(event).collect()
}
