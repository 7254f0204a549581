//! A store that does not add up is refused by name: never less data in silence.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use bytes::Bytes;
use postrider_core::command::{Change, Command, OpenReceiver, Owner, Ticket};
use postrider_core::context::{Context, Rows};
use postrider_core::fact::QueueRow;
use postrider_core::key::{Key, QueueId};
use postrider_core::shard::Shard;
use postrider_protocol::message::Message;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish, Stamp};
use postrider_protocol::wire::Reader;
use support::world::{Fake, Homes, World, incoming};

const QUEUE: QueueId = QueueId { entity: 1, lane: postrider_protocol::name::Lane::Main };

/// A queue with three messages, of which a receiver holds the first two.
fn world() -> World {
    let mut world = World::new(1);
    let name = EntityName::new("orders").unwrap();
    let create = Change::Create {
        name: name.clone(),
        kind: EntityKind::Queue,
        options: Options::new(),
        rules: Vec::new(),
    };
    let messages = vec![Ok(incoming(&Message::new("x"))); 3];
    let changes = [create, Change::Publish { entity: name, atomic: false, messages }];
    for (at, change) in changes.into_iter().enumerate() {
        let stamp = Stamp { sequence: at as u64 + 1, floor: 0 };
        let ticket = Ticket { connection: 1, request: 1 };
        world.turn(0, vec![Command::Once { ticket, client: 1, stamp, change }]);
    }
    receive(&mut world, 2);
    world
}

fn receive(world: &mut World, credit: u32) {
    let ticket = Ticket { connection: 2, request: 1 };
    let open = OpenReceiver {
        ticket,
        owner: Owner { client: 1, handle: 1 },
        address: Address::parse("orders").unwrap(),
        mode: ReceiveMode::PeekLock,
        lock_duration_ms: 0,
        release_on_disconnect: false,
        held: vec![1],
        weight: 1,
        session: SessionWish::None,
        wait_ms: 0,
    };
    let flow = Flow { handle: 1, delivered: 0, credit, drain: false };
    world.turn(0, vec![Command::OpenReceiver(open), Command::Flow { ticket, flow }]);
}

fn loading_fails(world: &World) -> String {
    Shard::load(0, &world.rows, world.now).map(|_| ()).unwrap_err().what
}

fn put(world: &mut World, key: &Key, value: impl Into<Bytes>) {
    world.rows.0.insert(key.encode(), value.into());
}

fn remove(world: &mut World, key: &Key) {
    assert!(world.rows.0.remove(&key.encode()).is_some(), "{key:?} was there");
}

#[test]
fn a_sound_store_is_loaded() {
    let world = world();
    assert_eq!(Shard::load(0, &world.rows, world.now).unwrap().totals().messages, 3);
}

#[test]
fn missing_counters_are_found() {
    let mut world = world();
    remove(&mut world, &Key::QueueState(0, QUEUE));
    assert!(loading_fails(&world).contains("are missing"));
}

#[test]
fn a_missing_page_with_locks_is_found() {
    let mut world = world();
    remove(&mut world, &Key::Page(0, QUEUE, 1));
    assert_eq!(loading_fails(&world), "lease 1 holds nothing, but was not removed");
}

#[test]
fn rows_without_their_owner_are_found() {
    let mut world = world();
    remove(&mut world, &Key::Entity(0, 1));
    assert!(loading_fails(&world).contains("belongs to no entity"));
}

#[test]
fn rows_that_cannot_be_read_are_found() {
    let kinds = [
        Key::ShardState(0),
        Key::Entity(0, 1),
        Key::QueueState(0, QUEUE),
        Key::Page(0, QUEUE, 1),
        Key::Lease(0, 1),
        Key::Outcomes(0, 1, 1),
    ];
    for key in kinds {
        let mut world = world();
        let value = world.rows.get(&key).unwrap().unwrap();
        put(&mut world, &key, value.slice(..value.len() - 1));
        assert!(!loading_fails(&world).is_empty(), "{key:?}");
    }
}

/// A page that is gone is not a message less in silence: the counters know better when all is loaded.
#[test]
fn a_missing_cold_page_is_found() {
    let mut world = world();
    let row = world.rows.get(&Key::QueueState(0, QUEUE)).unwrap().unwrap();
    let row = QueueRow::read(&mut Reader::new(row)).unwrap();
    let mut more = bytes::BytesMut::new();
    QueueRow { active: row.active + 1, next: row.next + 1, ..row }.put(&mut more);
    put(&mut world, &Key::QueueState(0, QUEUE), more.freeze());
    world.reload(0);
    let failure = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        receive(&mut world, 9);
        world.turn(0, Vec::new());
    }));
    let failure = failure.unwrap_err();
    let text = failure.downcast_ref::<String>().unwrap();
    assert!(text.contains("holds 3 messages, its counters say 4"), "{text}");
}

/// What is read in the middle of a turn is checked as well.
#[test]
fn a_page_that_is_missing_when_it_is_needed_is_found() {
    let mut world = world();
    let entity = EntityName::new("orders").unwrap();
    let update = Change::Update {
        name: entity,
        options: Options::new().with_number(postrider_protocol::options::MAX_DELIVERY_COUNT, 1),
    };
    let ticket = Ticket { connection: 1, request: 1 };
    world.turn(
        0,
        vec![Command::Once { ticket, client: 1, stamp: Stamp { sequence: 3, floor: 0 }, change: update }],
    );
    remove(&mut world, &Key::Page(0, QUEUE, 1));
    world.advance(60_000);
    let cx = Context { now: world.now, entropy: 0, rows: &world.rows, calendar: &Fake, places: &Homes(1) };
    let damage = world.shards[0].tick(&cx).unwrap_err();
    assert!(damage.what.contains("message 0 of page 1"), "{damage}");
}
