//! A queue whose oldest messages make room against a naive one: what is in memory, in the store or in this very turn.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use postrider_core::command::{Change, Command, OpenReceiver, Owner, Ticket};
use postrider_core::effect::Effect;
use postrider_core::limits::Window;
use postrider_core::queue;
use postrider_core::shard::Turn;
use postrider_protocol::limits;
use postrider_protocol::message::{Incoming, Message};
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, MAX_MESSAGES, ON_FULL, Options, PRIORITY_LEVELS};
use postrider_protocol::reply::{Published, Reply};
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish, Stamp};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use support::world::{World, incoming};

#[derive(Debug, Clone)]
enum Step {
    /// Priorities of messages.
    Publish(Vec<u8>),
    Receive(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => vec(1u8..=3, 1..9).prop_map(Step::Publish),
        1 => (1u32..3).prop_map(Step::Receive),
        1 => Just(Step::Restart),
    ]
}

struct Run {
    world: World,
    most: usize,
    sequence: u64,
    connections: u64,
    /// Messages nobody holds, the next one to make room first: priority and number.
    free: BTreeSet<(u8, u64)>,
    held: usize,
    next: u64,
    dropped: u64,
}

impl Run {
    fn new(most: usize) -> Self {
        let world = World::within(1, Window { messages: 4, bytes: 100_000 });
        let (free, held, next) = (BTreeSet::new(), 0, 1);
        let mut run = Run { world, most, sequence: 0, connections: 1, free, held, next, dropped: 0 };
        let options = Options::new()
            .with_number(MAX_MESSAGES, most as u64)
            .with_number(PRIORITY_LEVELS, 3)
            .with_text(ON_FULL, "drop-oldest");
        run.once(vec![Change::Create { name: name(), kind: EntityKind::Queue, options, rules: Vec::new() }]);
        run
    }

    fn once(&mut self, changes: Vec<Change>) -> Vec<Reply> {
        let mut commands = Vec::new();
        for change in changes {
            self.sequence += 1;
            let ticket = Ticket { connection: 1, request: self.sequence as u32 };
            let stamp = Stamp { sequence: self.sequence, floor: self.sequence };
            commands.push(Command::Once { ticket, client: 7, stamp, change });
        }
        let turn = self.world.turn(0, commands);
        let reply = |effect| match effect {
            Effect::Reply(_, reply) => Some(reply),
            _ => None,
        };
        turn.effects.into_iter().filter_map(reply).collect()
    }

    fn publish(&mut self, priorities: &[u8]) {
        let message = |priority: &u8| {
            incoming(&Message { priority: Some(*priority), ..Message::new(format!("{priority}")) })
        };
        // Two requests in one turn.
        let (one, two) = priorities.split_at(priorities.len() / 2);
        let publish = |priorities: &[u8]| Change::Publish {
            entity: name(),
            atomic: false,
            messages: priorities.iter().map(|priority| Ok(message(priority))).collect(),
        };
        let replies = self.once(vec![publish(one), publish(two)]);
        let mut got = Vec::new();
        for reply in replies {
            let Reply::Published(runs) = reply else { panic!("{reply:?}") };
            got.extend(runs.iter().flat_map(|(count, first)| (0..*count).map(|at| first.at(at))));
        }
        for (priority, published) in priorities.iter().zip(got) {
            if self.held >= self.most {
                assert!(matches!(published, Published::Refused(_)), "{published:?}");
                continue;
            }
            if self.held + self.free.len() >= self.most {
                self.free.pop_first();
                self.dropped += 1;
            }
            assert_eq!(published, Published::Accepted(self.next));
            self.free.insert((*priority, self.next));
            self.next += 1;
        }
    }

    /// A receiver takes so many, and its connection ends: the locks stay.
    fn receive(&mut self, credit: u32) {
        self.connections += 1;
        let connection = self.connections;
        let ticket = Ticket { connection, request: 1 };
        let open = OpenReceiver {
            ticket,
            owner: Owner { client: u128::from(connection), handle: 1 },
            address: Address::parse("orders").unwrap(),
            mode: ReceiveMode::PeekLock,
            lock_duration_ms: 0,
            release_on_disconnect: false,
            held: Vec::new(),
            weight: 1,
            session: SessionWish::None,
            wait_ms: 0,
        };
        let flow = Flow { handle: 1, delivered: 0, credit, drain: false };
        let turn = self.world.turn(0, vec![Command::OpenReceiver(open), Command::Flow { ticket, flow }]);
        self.book(&turn);
        while self.world.has_read(0) {
            let turn = self.world.turn(0, Vec::new());
            self.book(&turn);
        }
        self.world.turn(0, vec![Command::Disconnected { connection }]);
    }

    fn book(&mut self, turn: &Turn) {
        for effect in &turn.effects {
            let Effect::Deliver(deliver) = effect else { continue };
            for run in &deliver.runs {
                for at in 0..u64::from(run.count) {
                    let place = run.page + u64::from(run.index) + at;
                    let priority = 3 - queue::rank(place) as u8;
                    assert!(self.free.remove(&(priority, queue::number(place))), "{place} was not free");
                    self.held += 1;
                }
            }
        }
    }

    fn check(&self) {
        let counters = self.world.shards[0].info(&name()).unwrap().counters;
        let expected = ((self.free.len() + self.held) as u64, self.held as u64, self.dropped, self.dropped);
        assert_eq!((counters.active, counters.locked, counters.dead_letters, counters.dropped), expected);
    }
}

fn name() -> EntityName {
    EntityName::new("orders").unwrap()
}

proptest! {
    #[test]
    fn the_oldest_of_the_least_urgent_make_room(most in 1usize..20, steps in vec(step(), 1..60)) {
        let mut run = Run::new(most);
        for step in &steps {
            match step {
                Step::Publish(priorities) => run.publish(priorities),
                Step::Receive(credit) => run.receive(*credit),
                Step::Restart => run.world.reload(0),
            }
            run.check();
        }
        // What is left is what was not dropped.
        run.receive(limits::CREDIT);
        prop_assert!(run.free.is_empty());
        run.world.finish();
    }
}

/// Each limit of a message is refused by the name of its field.
#[test]
fn what_a_message_may_not_have_is_refused_by_name() {
    let long = |length: usize| "x".repeat(length);
    let with = |name: &str, value: String| Message::new("").with_property(name, value.as_str());
    let many = (0..3).fold(Message::new(""), |message, at| {
        message.with_property(format!("p{at}"), long(limits::PROPERTY_BYTES).as_str())
    });
    let refused = [
        ("message_id", Message::new("").with_id(long(limits::ID_CHARS + 1))),
        ("correlation_id", Message::new("").with_correlation_id(long(limits::ID_CHARS + 1))),
        ("session_id", Message { session_id: Some(long(limits::ID_CHARS + 1)), ..Message::default() }),
        ("subject", Message::new("").with_subject(long(limits::TEXT_BYTES + 1))),
        ("content_type", Message::new("").with_content_type(long(limits::TEXT_BYTES + 1))),
        ("reply_to", Message { reply_to: Some(long(limits::TEXT_BYTES + 1)), ..Message::default() }),
        ("priority", Message { priority: Some(11), ..Message::default() }),
        ("cost", Message { cost: Some(0), ..Message::default() }),
        ("time_to_live_ms", Message { time_to_live_ms: Some(0), ..Message::default() }),
        ("properties.big", with("big", long(limits::PROPERTY_BYTES + 1))),
        ("properties", with(&long(limits::PROPERTY_NAME_CHARS + 1), String::new())),
        ("properties", many),
    ];
    for (field, message) in refused {
        let refusal = Incoming::parse(message.encode()).unwrap_err();
        assert_eq!(refusal.field, field, "{refusal}");
    }
}
