//! Walking queues: from any number, in one order, no further than one request should.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use postrider_core::command::{Change, Command, Portion, Question, Ticket};
use postrider_core::effect::Effect;
use postrider_core::limits::{EXAMINED_MESSAGES, Window};
use postrider_core::shard::Turn;
use postrider_protocol::message::Message;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Selection, Stamp, States};
use support::world::{START_MS, World, incoming};

struct Client {
    world: World,
    sequence: u64,
}

impl Client {
    fn of(window: u64, levels: &str) -> Self {
        let world = World::within(1, Window { messages: window, bytes: 1_000_000 });
        let mut client = Client { world, sequence: 0 };
        let mut options = Options::new();
        options.set("priority_levels", levels).unwrap();
        let name = EntityName::new("orders").unwrap();
        client.change(Change::Create { name, kind: EntityKind::Queue, options, rules: Vec::new() });
        client
    }

    fn change(&mut self, change: Change) -> Turn {
        self.sequence += 1;
        let ticket = Ticket { connection: 1, request: self.sequence as u32 };
        let stamp = Stamp { sequence: self.sequence, floor: 0 };
        self.world.turn(0, vec![Command::Once { ticket, client: 1, stamp, change }])
    }

    fn publish(&mut self, messages: &[Message]) {
        let messages = messages.iter().map(|message| Ok(incoming(message))).collect();
        self.change(Change::Publish { entity: EntityName::new("orders").unwrap(), atomic: false, messages });
    }

    fn peek(&self, from: u64, limit: u32, filter: &str) -> (Vec<u64>, u64) {
        let question = Question::Peek { from, limit, states: States::ALL, filter: filter.to_owned() };
        match self.world.shards[0].answer(&self.world.rows, &address(), &question).unwrap() {
            Reply::Peeked { messages, next } => {
                (messages.iter().map(|peeked| peeked.message.sequence).collect(), next)
            }
            other => panic!("{other:?}"),
        }
    }

    fn purge(&mut self, portion: Portion) -> (u64, u64, u64) {
        let turn = self.change(Change::Purge { address: address(), portion });
        let worked = turn.effects.iter().find_map(|effect| match effect {
            Effect::Reply(_, Reply::Worked { done, examined, next }) => Some((*done, *examined, *next)),
            _ => None,
        });
        worked.unwrap()
    }
}

fn address() -> Address {
    Address::parse("orders").unwrap()
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn any_message(dice: &mut Dice) -> Message {
    let due_ms = (dice.roll(8) == 0).then_some(START_MS + 1_000_000);
    Message { priority: Some(dice.roll(3) as u8 + 1), scheduled_enqueue_time_ms: due_ms, ..Message::new("x") }
}

#[test]
fn every_number_is_a_place_to_go_on_from() {
    for seed in 0..8 {
        let (mut dice, mut client) = (Dice(seed), Client::of(seed * 7 + 1, "3"));
        for _ in 0..30 {
            let count = [1, 1, 2, 7, 60][dice.roll(5) as usize];
            let messages: Vec<_> = (0..count).map(|_| any_message(&mut dice)).collect();
            client.publish(&messages);
        }
        let last = client.peek(0, 0, "").0.last().copied().unwrap();
        let mut left: Vec<u64> = (1..=last).collect();
        for round in 0..2 {
            for from in 0..=last + 2 {
                let rest: Vec<_> = left.iter().copied().filter(|number| *number >= from).collect();
                let few = rest.len().min(3);
                let next = rest.get(few).copied().unwrap_or(0);
                assert_eq!(client.peek(from, 3, ""), (rest[..few].to_vec(), next), "seed {seed} from {from}");
            }
            if round == 0 {
                let sequences: Vec<u64> = (0..last).filter(|_| dice.roll(3) > 0).collect();
                let chosen = left.iter().filter(|number| sequences.contains(number)).count() as u64;
                left.retain(|number| !sequences.contains(number));
                let selection = Selection { sequences, ..Selection::default() };
                let portion = Portion { selection, ..Portion::default() };
                assert_eq!(client.purge(portion), (chosen, chosen, 0));
                client.world.reload(0);
            }
        }
        client.world.finish();
    }
}

#[test]
fn a_filter_that_matches_nothing_ends_early() {
    let mut client = Client::of(100, "1");
    for _ in 0..12 {
        client.publish(&vec![Message::new("x"); 1_000]);
    }
    let next = EXAMINED_MESSAGES + 1;
    assert_eq!(client.peek(1, 0, "FALSE"), (Vec::new(), next));
    assert_eq!(client.peek(next, 0, "FALSE"), (Vec::new(), 0));
    let portion = |filter: &str, from| Portion {
        selection: Selection { filter: filter.to_owned(), ..Selection::default() },
        from,
        ..Portion::default()
    };
    assert_eq!(client.purge(portion("FALSE", 0)), (0, EXAMINED_MESSAGES, next));
    assert_eq!(client.purge(portion("TRUE", 0)), (EXAMINED_MESSAGES, EXAMINED_MESSAGES, next));
    assert_eq!(client.purge(portion("TRUE", next)), (2_000, 2_000, 0));
    client.world.finish();
}

#[test]
fn large_pages_end_a_portion() {
    let mut client = Client::of(100, "1");
    for _ in 0..20 {
        client.publish(&[Message::new(support::world::body(900_000))]);
    }
    let (numbers, next) = client.peek(1, 0, "");
    assert_eq!((numbers, next), (vec![1], 2));
    let (none, next) = client.peek(1, 0, "FALSE");
    assert!(none.is_empty() && (16..=20).contains(&next), "{next}");
    let sequences: Vec<u64> = (1..=20).collect();
    let selection = Selection { sequences, filter: "FALSE".to_owned(), ..Selection::default() };
    let (done, examined, next) = client.purge(Portion { selection, ..Portion::default() });
    assert!(done == 0 && examined < 20 && next == examined + 1, "{examined} {next}");
}
