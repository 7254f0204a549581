//! What clients do: producers send, consumers settle.

use super::client::{Asked, Client, HANDLE, Moment, Out, Pending, Then, Work};
use super::world::{self, ONCE, PLAIN, RECEIPTS, SESSIONS, SLOW};
use postrider_core::command::{Change, Operation};
use postrider_protocol::message::{Incoming, Message, Record};
use postrider_protocol::name::EntityName;
use postrider_protocol::reply::{Delivery, Reply};
use postrider_protocol::request::{Flow, SessionWish, SettleItem, Settlement};
use postrider_protocol::token::LockToken;
use postrider_tests::checker::DEAD_LETTERS;
use postrider_tests::history::{self, Event, Seen, Sending, Settling, Verb};

/// Changes that a producer lets wait.
const UNANSWERED: usize = 3;
/// Messages that a consumer has credit for.
const CREDIT: u32 = 8;

/// Sends to everything.
pub struct Producer {
    pub number: u64,
    /// Messages so far.
    pub sent: u64,
    /// The last one that was sent into the window of duplicates.
    pub once: Option<u64>,
}

/// Receives from one place.
pub struct Consumer {
    pub at: &'static str,
    /// As a producer, for what it sends in transactions.
    pub number: u64,
    pub sent: u64,
    pub is_open: bool,
    /// Messages that came on this receiver.
    pub delivered: u64,
    /// What came and was not settled yet.
    pub in_hand: Vec<(Settling, LockToken)>,
}

fn named(name: &str) -> EntityName {
    EntityName::new(name).expect("a name")
}

fn incoming(id: u64, to: &str) -> Incoming {
    Incoming::parse(world::message(id, to).encode()).expect("a message")
}

fn sending(id: u64, to: &str, now: Moment) -> Event {
    let expires_ms = world::ttl_ms(id, to).map(|ttl| now.wall_ms + ttl);
    Event::Sending(Sending { id, to: to.to_owned(), expires_ms, session: world::session(id, to) })
}

impl Client {
    pub fn produce(&mut self, now: Moment, out: &mut Out) {
        if self.ending {
            return;
        }
        if self.waiting.len() < UNANSWERED {
            self.publish(now, out);
        } else if self.random.u8(..10) == 0 {
            self.repeat(out);
        }
        out.wake_ms = Some(self.random.u64(2..25));
    }

    fn publish(&mut self, now: Moment, out: &mut Out) {
        let Work::Producer(producer) = &mut self.work else { return };
        let again = producer.once.take().filter(|_| self.random.bool());
        let (to, ids) = match again {
            Some(id) => (ONCE, vec![id]),
            None => {
                let to = world::TARGETS[self.random.usize(..world::TARGETS.len())];
                let first = producer.sent;
                producer.sent += self.random.u64(1..4);
                (to, (first..producer.sent).map(|number| history::id(producer.number, number)).collect())
            }
        };
        producer.once = ids.first().copied().filter(|_| to == ONCE && again.is_none());
        for id in &ids {
            out.events.push(match again {
                Some(id) => Event::SendingAgain { id },
                None => sending(*id, to, now),
            });
        }
        let messages = ids.iter().map(|id| Ok(incoming(*id, to))).collect();
        let change = Change::Publish { entity: named(to), atomic: self.random.bool(), messages };
        self.change(Pending { change, then: Then::Stored(ids) }, out);
    }

    /// Opens the receiver, with what it holds. Of a session that it asks for anew it holds nothing any more.
    pub fn open(&mut self, out: &mut Out) {
        let Work::Consumer(consumer) = &mut self.work else { return };
        let at = consumer.at;
        (consumer.is_open, consumer.delivered) = (false, 0);
        let (mut held, mut session) = (Vec::new(), SessionWish::None);
        if at == SESSIONS {
            session = SessionWish::Next;
            let given_up: Vec<_> =
                std::mem::take(&mut consumer.in_hand).into_iter().map(|(it, _)| it).collect();
            // What is to be released was said to be, when that was asked for.
            let waiting = self.waiting.values().flat_map(|pending| pending.settlings());
            let waiting = waiting.filter(|it| it.verb != Verb::Release);
            let released = given_up.into_iter().chain(waiting);
            out.events.extend(released.map(|it| Event::Settling(Settling { verb: Verb::Release, ..it })));
        } else {
            held.extend(consumer.in_hand.iter().map(|(_, token)| token.lease));
            held.extend(self.waiting.values().flat_map(|pending| pending.settlings()).map(|it| it.epoch));
            held.dedup();
        }
        self.request(Asked::Open { at, held, session }, out);
    }

    pub fn receiver_answered(&mut self, reply: &Reply, out: &mut Out) {
        let Work::Consumer(consumer) = &mut self.work else { return };
        match reply {
            Reply::Opened { .. } => {
                consumer.is_open = true;
                out.wake_ms = Some(50);
                self.grant(out);
            }
            // A session was given back, or there was none.
            Reply::Done | Reply::Refused(_) if consumer.at == SESSIONS => self.open(out),
            other => panic!("a receiver at {} was told {other:?}", consumer.at),
        }
    }

    fn grant(&mut self, out: &mut Out) {
        let Work::Consumer(consumer) = &self.work else { return };
        let flow = Flow { handle: HANDLE, delivered: consumer.delivered, credit: CREDIT, drain: false };
        self.request(Asked::Flow { at: consumer.at, flow }, out);
    }

    pub fn delivered(&mut self, delivery: Delivery, now: Moment, out: &mut Out) {
        let Work::Consumer(consumer) = &mut self.work else { return };
        if !consumer.is_open {
            // It has given its session back meanwhile, with all that was on its way.
            return;
        }
        for (place, delivered) in (delivery.token.place..).zip(delivery.messages) {
            let record = Record::decode(delivered.record).expect("the broker's records can be read");
            let message = Message::decode(record.message).expect("the broker's messages can be read");
            let place_of = consumer.at.strip_suffix(DEAD_LETTERS).unwrap_or(consumer.at);
            let id = world::read(&message, place_of);
            let epoch = delivery.token.lease;
            // A wall clock that jumps says nothing about locks and times to live.
            let steady = now.wall_is_steady;
            let seen = Seen {
                epoch,
                count: delivered.attempts + 1,
                sequence: delivered.sequence,
                when_ms: if steady { now.wall_ms } else { u64::MAX },
                until_ms: if steady { delivery.locked_until_ms } else { 0 },
                reason: record.dead_letter.map(|info| info.reason),
            };
            out.events.push(Event::Delivered { id, at: consumer.at.to_owned(), seen });
            let at = consumer.at.to_owned();
            let settling = Settling { id: id.unwrap_or(u64::MAX), at, epoch, verb: Verb::Complete };
            consumer.in_hand.push((settling, LockToken { place, ..delivery.token }));
            consumer.delivered += 1;
        }
        out.wake_ms = Some(match consumer.at {
            SLOW if !self.ending => self.random.u64(..1_300),
            _ => self.random.u64(..20),
        });
    }

    /// Settles some of what it has, and goes on.
    pub fn consume(&mut self, out: &mut Out) {
        let Work::Consumer(consumer) = &mut self.work else { return };
        if consumer.in_hand.is_empty() {
            return self.leave(out);
        }
        let most = consumer.in_hand.len();
        let count = if self.ending { most } else { self.random.usize(1..=most) };
        let taken: Vec<_> = consumer.in_hand.drain(..count).collect();
        if consumer.at == PLAIN && !self.ending && self.random.u8(..4) == 0 {
            taken.into_iter().for_each(|(settling, token)| self.transact(settling, token, out));
        } else {
            self.settle(taken, out);
        }
        self.grant(out);
        out.wake_ms = Some(self.random.u64(1..30));
    }

    /// Gives its session back when there is nothing more to do.
    fn leave(&mut self, out: &mut Out) {
        let Work::Consumer(consumer) = &mut self.work else { return };
        if consumer.at != SESSIONS || !consumer.is_open {
            return;
        }
        if self.waiting.is_empty() {
            consumer.is_open = false;
            self.request(Asked::Close { at: SESSIONS }, out);
        } else {
            out.wake_ms = Some(20);
        }
    }

    fn settle(&mut self, taken: Vec<(Settling, LockToken)>, out: &mut Out) {
        let verbs: Vec<_> = taken.iter().map(|(settling, _)| self.verb(settling)).collect();
        let asked: Vec<_> =
            taken.iter().zip(verbs).map(|((it, _), verb)| Settling { verb, ..it.clone() }).collect();
        let item = |((_, token), settling): (&(Settling, LockToken), &Settling)| SettleItem {
            token: *token,
            run: 1,
            settlement: settlement(settling.verb),
        };
        let items = taken.iter().zip(&asked).map(item).collect();
        out.events.extend(asked.iter().cloned().map(Event::Settling));
        self.change(Pending { change: Change::Settle(items), then: Then::Settled(asked) }, out);
    }

    fn verb(&mut self, settling: &Settling) -> Verb {
        if self.ending || settling.at.ends_with(DEAD_LETTERS) {
            return Verb::Complete;
        }
        if world::is_poison(settling.id) {
            return Verb::Abandon;
        }
        match self.random.u8(..100) {
            0..5 => Verb::Abandon,
            5..8 => Verb::Release,
            8..11 => Verb::DeadLetter,
            _ => Verb::Complete,
        }
    }

    /// Completes an order and sends a receipt, both or neither.
    fn transact(&mut self, settling: Settling, token: LockToken, out: &mut Out) {
        let Work::Consumer(consumer) = &mut self.work else { return };
        let id = history::id(consumer.number, consumer.sent);
        consumer.sent += 1;
        let to = RECEIPTS.to_owned();
        out.events.push(Event::Sending(Sending { id, to, expires_ms: None, session: None }));
        out.events.push(Event::Settling(settling.clone()));
        let complete = SettleItem { token, run: 1, settlement: Settlement::Complete };
        let send = Operation::Send { entity: named(RECEIPTS), messages: vec![incoming(id, RECEIPTS)] };
        let change = Change::Transact(vec![Operation::Settle(complete), send]);
        self.change(Pending { change, then: Then::Moved(settling, id) }, out);
    }
}

impl Pending {
    /// What it settles.
    fn settlings(&self) -> Vec<Settling> {
        match &self.then {
            Then::Settled(asked) => asked.clone(),
            Then::Moved(settling, _) => vec![settling.clone()],
            Then::Created | Then::Stored(_) => vec![],
        }
    }
}

fn settlement(verb: Verb) -> Settlement {
    match verb {
        Verb::Complete => Settlement::Complete,
        Verb::Abandon => Settlement::Abandon { delay_ms: 0, properties: vec![] },
        Verb::DeadLetter => Settlement::DeadLetter {
            reason: "Chance".to_owned(),
            description: String::new(),
            properties: vec![],
        },
        Verb::Release => Settlement::Release,
        Verb::Renew => Settlement::Renew { duration_ms: 0 },
    }
}
