//! What is bounded stays bounded, and what lies beyond is answered by name.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use postrider_core::command::{Change, Command, OpenReceiver, Owner, Ticket};
use postrider_core::effect::Effect;
use postrider_core::limits;
use postrider_core::shard::Turn;
use postrider_protocol::limits::{CREDIT, DELIVERY_MESSAGES, OUTCOMES_PER_CLIENT};
use postrider_protocol::message::Message;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::reply::{Reply, Settled};
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish, SettleItem, Settlement, Stamp};
use support::world::{World, body, incoming};

const CLIENT: u128 = 7;

fn name() -> EntityName {
    EntityName::new("orders").unwrap()
}

fn once(world: &mut World, sequence: u64, floor: u64, change: Change) -> Reply {
    let ticket = Ticket { connection: 1, request: sequence as u32 };
    let command = Command::Once { ticket, client: CLIENT, stamp: Stamp { sequence, floor }, change };
    let turn = world.turn(0, vec![command]);
    let reply = turn.effects.into_iter().find_map(|effect| match effect {
        Effect::Reply(of, reply) if of == ticket => Some(reply),
        _ => None,
    });
    reply.expect("an answer")
}

fn publish(count: usize) -> Change {
    let message = incoming(&Message::new("x"));
    Change::Publish { entity: name(), atomic: false, messages: vec![Ok(message); count] }
}

fn world() -> World {
    let mut world = World::new(1);
    let create =
        Change::Create { name: name(), kind: EntityKind::Queue, options: Options::new(), rules: Vec::new() };
    assert_eq!(once(&mut world, 1, 0, create), Reply::Done);
    world
}

fn receive(world: &mut World, credit: u32) -> Turn {
    let ticket = Ticket { connection: 2, request: 1 };
    let open = OpenReceiver {
        ticket,
        owner: Owner { client: CLIENT, handle: 1 },
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
    world.turn(0, vec![Command::OpenReceiver(open), Command::Flow { ticket, flow }])
}

/// Message counts of the deliveries of a turn.
fn delivered(turn: &Turn) -> Vec<u32> {
    let count = |effect: &Effect| match effect {
        Effect::Deliver(deliver) => Some(deliver.runs.iter().map(|run| run.count).sum()),
        _ => None,
    };
    turn.effects.iter().filter_map(count).collect()
}

#[test]
fn one_turn_lets_so_many_locks_run_out_and_the_next_ones_the_rest() {
    let mut world = world();
    once(&mut world, 2, 0, publish(3 * DELIVERY_MESSAGES / 2));
    assert_eq!(
        delivered(&receive(&mut world, CREDIT)),
        [DELIVERY_MESSAGES as u32, DELIVERY_MESSAGES as u32 / 2]
    );
    world.advance(60_000);
    let locked = |world: &World| world.shards[0].info(&name()).unwrap().counters.locked;
    world.turn(0, vec![Command::Disconnected { connection: 2 }]);
    assert_eq!(locked(&world), DELIVERY_MESSAGES as u64 / 2);
    assert!(world.shards[0].next_deadline_ms(world.now).unwrap() <= world.now.mono_ms, "the rest is due");
    world.turn(0, Vec::new());
    assert_eq!(locked(&world), 0);
    assert!(world.shards[0].next_deadline_ms(world.now).unwrap() > world.now.mono_ms);
    const { assert!(limits::EXPIRED_PER_TICK <= DELIVERY_MESSAGES) };
    world.finish();
}

#[test]
fn credit_has_a_ceiling() {
    let mut world = world();
    receive(&mut world, u32::MAX);
    for sequence in 2..29 {
        once(&mut world, sequence, 0, publish(4096));
    }
    let counters = world.shards[0].info(&name()).unwrap().counters;
    assert_eq!((counters.active, counters.locked), (27 * 4096, u64::from(CREDIT)));
    world.finish();
}

#[test]
fn the_oldest_outcome_is_forgotten_by_name() {
    let mut world = world();
    let last = OUTCOMES_PER_CLIENT as u64 + 3;
    for sequence in 2..=last {
        once(&mut world, sequence, 0, Change::Delete { name: EntityName::new("nothing").unwrap() });
    }
    let answers = |world: &mut World| {
        [2, 3, 4, last].map(|sequence| match once(world, sequence, 0, publish(1)) {
            Reply::Refused(refusal) => refusal.code.name(),
            other => panic!("{other:?}"),
        })
    };
    let expected = ["UnknownOutcome", "UnknownOutcome", "NotFound", "NotFound"];
    assert_eq!(answers(&mut world), expected);
    world.reload(0);
    assert_eq!(answers(&mut world), expected);
    world.finish();
}

/// Settling long runs, page by page of one message each, takes time in proportion.
#[test]
fn long_runs_over_many_small_pages_are_settled() {
    let mut world = world();
    for sequence in 0..DELIVERY_MESSAGES as u64 {
        once(&mut world, sequence + 2, sequence, publish(1));
    }
    let turn = receive(&mut world, CREDIT);
    let token = turn.effects.iter().find_map(|effect| match effect {
        Effect::Deliver(deliver) => Some(deliver.token),
        _ => None,
    });
    let all = |settlement| {
        Change::Settle(vec![SettleItem { token: token.unwrap(), run: DELIVERY_MESSAGES as u16, settlement }])
    };
    let until = world.now.wall_ms + 60_000;
    for sequence in 5_000..5_050 {
        let renewed = once(&mut world, sequence, 5_000, all(Settlement::Renew { duration_ms: 0 }));
        assert_eq!(renewed, Reply::Settled(vec![(DELIVERY_MESSAGES as u32, Settled::Renewed(until))]));
    }
    let released = once(&mut world, 6_000, 6_000, all(Settlement::Release));
    assert_eq!(released, Reply::Settled(vec![(DELIVERY_MESSAGES as u32, Settled::Done)]));
    world.finish();
}

fn schedule(count: usize, bytes: usize, due_ms: u64) -> Change {
    let message = Message { scheduled_enqueue_time_ms: Some(due_ms), ..Message::new(body(bytes)) };
    Change::Publish { entity: name(), atomic: false, messages: vec![Ok(incoming(&message)); count] }
}

/// Messages that were enqueued, after each turn in which something was due.
fn enqueued_by_turns(world: &mut World) -> Vec<u64> {
    let mut enqueued = Vec::new();
    while world.shards[0].next_deadline_ms(world.now).is_some_and(|at| at <= world.now.mono_ms) {
        world.turn(0, Vec::new());
        enqueued.push(world.shards[0].info(&name()).unwrap().counters.active);
    }
    enqueued
}

#[test]
fn one_turn_enqueues_so_much_of_what_is_due_and_the_next_ones_the_rest() {
    let mut world = world();
    let due_ms = world.now.wall_ms + 10_000;
    let steps = limits::ALARM_STEPS_PER_TICK as u64;
    once(&mut world, 2, 0, schedule(2 * limits::ALARM_STEPS_PER_TICK, 1, due_ms));
    once(&mut world, 3, 0, schedule(7, 1, due_ms));
    world.advance(10_000);
    assert_eq!(enqueued_by_turns(&mut world), [steps, 2 * steps, 2 * steps + 7]);
    world.finish();
}

#[test]
fn one_turn_enqueues_so_many_bytes_of_what_is_due() {
    let mut world = world();
    let due_ms = world.now.wall_ms + 10_000;
    once(&mut world, 2, 0, schedule(5, limits::DUE_BYTES_PER_TICK / 10 - 100, due_ms));
    world.advance(5_000);
    once(&mut world, 3, 0, schedule(8, limits::DUE_BYTES_PER_TICK / 10 - 100, due_ms));
    world.reload(0);
    world.advance(5_000);
    assert_eq!(enqueued_by_turns(&mut world), [11, 13]);
    world.finish();
}

/// What is scheduled is in the store: in memory it is a count.
#[test]
fn many_scheduled_messages_take_the_memory_of_one() {
    let mut world = world();
    let due_ms = world.now.wall_ms + 10_000;
    let held = |world: &World| format!("{:?}", world.shards[0]).len();
    once(&mut world, 2, 0, schedule(1, 1, due_ms));
    let one = held(&world);
    for sequence in 3..10 {
        once(&mut world, sequence, sequence, schedule(4_096, 1, due_ms));
    }
    assert_eq!(world.shards[0].info(&name()).unwrap().counters.scheduled, 7 * 4_096 + 1);
    assert!(held(&world) < one + 100, "{} bytes instead of {one}", held(&world));
    world.finish();
}
