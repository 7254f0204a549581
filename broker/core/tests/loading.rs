//! What the engine reads for a queue may come late, and for a queue that has changed meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use postrider_core::command::{Change, Command, OpenReceiver, Owner, Portion, Ticket};
use postrider_core::effect::Effect;
use postrider_core::limits::Window;
use postrider_core::shard::Turn;
use postrider_protocol::message::Message;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish, Stamp};
use support::world::{World, incoming};

const WINDOW: Window = Window { messages: 4, bytes: 1_000_000 };

fn name() -> EntityName {
    EntityName::new("orders").unwrap()
}

/// Commands with their numbers.
#[derive(Default)]
struct Client {
    sequence: u64,
}

impl Client {
    fn once(&mut self, change: Change) -> Command {
        self.sequence += 1;
        let ticket = Ticket { connection: 1, request: self.sequence as u32 };
        Command::Once { ticket, client: 1, stamp: Stamp { sequence: self.sequence, floor: 0 }, change }
    }

    fn publish(&mut self, count: usize) -> Command {
        let messages = vec![Ok(incoming(&Message::new("x"))); count];
        self.once(Change::Publish { entity: name(), atomic: false, messages })
    }

    fn purge(&mut self) -> Command {
        self.once(Change::Purge { address: Address::parse("orders").unwrap(), portion: Portion::default() })
    }
}

fn receiver(connection: u64, credit: u32) -> Vec<Command> {
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
    vec![Command::OpenReceiver(open), Command::Flow { ticket, flow }]
}

/// A queue in which a turn each has put `turns` messages, without a receiver.
fn world(client: &mut Client, turns: usize) -> World {
    let mut world = World::within(1, WINDOW);
    let create =
        Change::Create { name: name(), kind: EntityKind::Queue, options: Options::new(), rules: Vec::new() };
    world.turn(0, vec![client.once(create)]);
    for _ in 0..turns {
        let publish = client.publish(1);
        world.turn(0, vec![publish]);
    }
    world
}

/// The numbers of the messages that a turn has delivered.
fn delivered(turn: &Turn) -> Vec<u64> {
    let runs = turn.effects.iter().filter_map(|effect| match effect {
        Effect::Deliver(deliver) => Some(&deliver.runs),
        _ => None,
    });
    runs.flatten()
        .flat_map(|run| (0..run.count).map(move |at| run.page + u64::from(run.index + at)))
        .collect()
}

/// Turns until nothing is read any more; returns what they delivered.
fn rest(world: &mut World) -> Vec<u64> {
    let mut all = Vec::new();
    while world.has_read(0) {
        all.extend(delivered(&world.turn(0, Vec::new())));
    }
    all
}

#[test]
fn what_was_purged_while_it_was_read_stays_away() {
    let client = &mut Client::default();
    let mut world = world(client, 10);
    let first = world.turn(0, receiver(2, 100));
    assert_eq!(delivered(&first), [1, 2, 3, 4]);
    assert!(world.has_read(0), "5 to 10 are being read");
    world.turn_without_reads(0, vec![client.purge()]);
    assert_eq!(rest(&mut world), []);
    world.finish();
}

#[test]
fn a_purge_does_not_keep_the_queue_from_loading_later() {
    let client = &mut Client::default();
    let mut world = world(client, 10);
    world.turn(0, receiver(2, 4));
    // Somebody who can take more lets the rest be read, and goes.
    world.turn(0, receiver(3, 1));
    world.turn_without_reads(0, vec![client.purge(), Command::Disconnected { connection: 3 }]);
    for _ in 0..10 {
        let publish = client.publish(1);
        world.turn_without_reads(0, vec![publish]);
    }
    let mut all = delivered(&world.turn(0, receiver(4, 100)));
    all.extend(rest(&mut world));
    let published = 11..=20;
    assert_eq!(all, published.collect::<Vec<_>>());
    world.finish();
}

#[test]
fn messages_that_come_while_the_end_is_read_are_read_next() {
    let client = &mut Client::default();
    let mut world = world(client, 6);
    let mut all = delivered(&world.turn(0, receiver(2, 100)));
    for _ in 0..3 {
        let publish = client.publish(2);
        assert_eq!(delivered(&world.turn_without_reads(0, vec![publish])), []);
    }
    all.extend(rest(&mut world));
    assert_eq!(all, (1..=12).collect::<Vec<_>>());
    world.finish();
}

#[test]
fn what_was_read_for_a_queue_that_is_gone_is_dropped() {
    let client = &mut Client::default();
    let mut world = world(client, 10);
    world.turn(0, receiver(2, 100));
    let create =
        Change::Create { name: name(), kind: EntityKind::Queue, options: Options::new(), rules: Vec::new() };
    let again = vec![client.once(Change::Delete { name: name() }), client.once(create), client.publish(1)];
    world.turn_without_reads(0, again);
    let mut all = rest(&mut world);
    all.extend(delivered(&world.turn(0, receiver(3, 100))));
    assert_eq!(all, [1]);
    world.finish();
}
