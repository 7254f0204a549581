//! Sharing over long histories: shares come out as they should, and bounds hold at every moment.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use postrider_core::command::{Change, Command, OpenReceiver, Owner, Question, Ticket};
use postrider_core::effect::{Deliver, Effect};
use postrider_core::shard::Turn;
use postrider_protocol::message::Message;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::reply::{ConsumersInfo, Reply};
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish, SettleItem, Settlement, Stamp};
use postrider_protocol::token::LockToken;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use support::world::{World, incoming};

const LOCK_MS: u64 = 10_000;
const CREDIT: u32 = 1_000;

/// A message that somebody holds.
#[derive(Debug, Clone)]
struct Held {
    client: u64,
    token: LockToken,
    message: Message,
    delivered_ms: u64,
    until_ms: u64,
}

/// A queue, and who holds what of it.
struct Orders {
    world: World,
    sequence: u64,
    /// The connection of each client.
    connections: BTreeMap<u64, u64>,
    next_connection: u64,
    held: Vec<Held>,
    delivered: BTreeMap<u64, u64>,
}

impl Orders {
    fn new(options: &[(&str, &str)]) -> Self {
        let mut orders = Orders {
            world: World::new(1),
            sequence: 0,
            connections: BTreeMap::new(),
            next_connection: 1,
            held: Vec::new(),
            delivered: BTreeMap::new(),
        };
        let mut set = Options::new();
        set.set("lock_duration_ms", &LOCK_MS.to_string()).unwrap();
        options.iter().for_each(|(name, value)| set.set(name, value).unwrap());
        orders.change(Change::Create {
            name: name(),
            kind: EntityKind::Queue,
            options: set,
            rules: Vec::new(),
        });
        orders
    }

    fn turn(&mut self, commands: Vec<Command>) {
        let turn = self.world.turn(0, commands);
        let now_ms = self.world.now.wall_ms;
        self.held.retain(|held| held.until_ms > now_ms);
        self.learn(&turn);
    }

    fn learn(&mut self, turn: &Turn) {
        for effect in &turn.effects {
            if let Effect::Deliver(deliver) = effect {
                self.hold(deliver);
            }
        }
    }

    fn hold(&mut self, deliver: &Deliver) {
        let client = *self.connections.iter().find(|(_, at)| **at == deliver.receiver.connection).unwrap().0;
        let places =
            deliver.runs.iter().flat_map(|run| (run.index..run.index + run.count).map(|at| (run.page, at)));
        for (place, (page, index)) in (0..).zip(places) {
            let record = self.world.record(0, deliver.queue, page, index);
            *self.delivered.entry(client).or_default() += 1;
            self.held.push(Held {
                client,
                token: LockToken { place, ..deliver.token },
                message: Message::decode(record.message).unwrap(),
                delivered_ms: self.world.now.mono_ms,
                until_ms: deliver.locked_until_ms,
            });
        }
    }

    fn change(&mut self, change: Change) {
        self.sequence += 1;
        let (ticket, stamp) =
            (Ticket { connection: 0, request: 0 }, Stamp { sequence: self.sequence, floor: 0 });
        self.turn(vec![Command::Once { ticket, client: 99, stamp, change }]);
    }

    fn publish(&mut self, message: &Message) {
        let messages = vec![Ok(incoming(message))];
        self.change(Change::Publish { entity: name(), atomic: false, messages });
    }

    fn open(&mut self, client: u64, weight: u32) {
        let connection = self.next_connection;
        self.next_connection += 1;
        // A client that comes back holds what it held.
        let leases: BTreeSet<_> =
            self.held.iter().filter(|held| held.client == client).map(|held| held.token.lease).collect();
        self.connections.insert(client, connection);
        let ticket = Ticket { connection, request: 0 };
        let open = OpenReceiver {
            ticket,
            owner: Owner { client: u128::from(client), handle: 1 },
            address: Address::parse("orders").unwrap(),
            mode: ReceiveMode::PeekLock,
            lock_duration_ms: 0,
            release_on_disconnect: false,
            held: leases.into_iter().collect(),
            weight,
            session: SessionWish::None,
            wait_ms: 0,
        };
        let flow = Flow { handle: 1, delivered: 0, credit: CREDIT, drain: false };
        self.turn(vec![Command::OpenReceiver(open), Command::Flow { ticket, flow }]);
    }

    fn close(&mut self, client: u64) {
        let Some(connection) = self.connections.remove(&client) else { return };
        self.held.retain(|held| held.client != client);
        let ticket = Ticket { connection, request: 0 };
        self.turn(vec![Command::CloseReceiver { ticket, handle: 1 }]);
    }

    fn disconnect(&mut self, client: u64) {
        if let Some(connection) = self.connections.remove(&client) {
            self.turn(vec![Command::Disconnected { connection }]);
        }
    }

    fn restart(&mut self) {
        self.world.reload(0);
        self.connections.clear();
    }

    fn settle(&mut self, at: usize, settlement: Settlement) {
        if self.held.is_empty() {
            return;
        }
        let at = at % self.held.len();
        if let Settlement::Renew { duration_ms } = settlement {
            self.held[at].until_ms = self.world.now.wall_ms + duration_ms;
            let token = self.held[at].token;
            return self.change(Change::Settle(vec![SettleItem { token, run: 1, settlement }]));
        }
        let token = self.held.remove(at).token;
        self.change(Change::Settle(vec![SettleItem { token, run: 1, settlement }]));
    }

    fn advance(&mut self, ms: u64) {
        self.world.advance(ms);
        self.turn(Vec::new());
    }

    fn consumers(&self) -> ConsumersInfo {
        let address = Address::parse("orders").unwrap();
        match self.world.shards[0].answer(&self.world.rows, &address, &Question::Consumers).unwrap() {
            Reply::Consumers(info) => info,
            other => panic!("{other:?}"),
        }
    }
}

fn name() -> EntityName {
    EntityName::new("orders").unwrap()
}

fn costly(cost: u32) -> Message {
    Message { cost: Some(cost), ..Message::new("x") }
}

fn of_key(key: u8) -> Message {
    Message { partition_key: Some(key.to_string()), ..Message::new("x") }
}

/// Units of what is within its first lock.
fn fresh_units(orders: &Orders) -> u64 {
    let now_ms = orders.world.now.mono_ms;
    let fresh = orders.held.iter().filter(|held| held.delivered_ms + LOCK_MS > now_ms);
    fresh.map(|held| u64::from(held.message.cost.unwrap_or(1))).sum()
}

fn all_units(orders: &Orders) -> u64 {
    orders.held.iter().map(|held| u64::from(held.message.cost.unwrap_or(1))).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_in_flight_never_passes_the_units(
        refill in prop_oneof![Just("0"), Just("10"), Just("100")],
        fair in any::<bool>(),
        steps in prop::collection::vec((0u8..8, 0usize..100, 1u32..6), 1..80),
    ) {
        let mut options = vec![("capacity_units", "10"), ("capacity_refill_percent", refill)];
        if fair {
            options.push(("fair_key", "customer"));
        }
        let mut orders = Orders::new(&options);
        orders.open(1, 1);
        orders.open(2, 1);
        for (what, at, cost) in steps {
            match what {
                0..3 => orders.publish(&costly(cost).with_property("customer", i64::from(at as u8 % 3))),
                3 => orders.settle(at, Settlement::Complete),
                4 => orders.settle(at, Settlement::Abandon { delay_ms: 0, properties: Vec::new() }),
                5 => orders.settle(at, Settlement::Renew { duration_ms: 60_000 }),
                6 => orders.settle(at, Settlement::Release),
                _ => orders.advance(at as u64 * 300),
            }
            prop_assert_eq!(orders.consumers().in_use, all_units(&orders));
            prop_assert!(fresh_units(&orders) <= 10, "{:?}", orders.held);
            prop_assert!(refill != "0" || all_units(&orders) <= 10, "{:?}", orders.held);
            let refilled = orders.consumers().refilled;
            prop_assert!(all_units(&orders) <= 10 + refilled, "{} refilled", refilled);
            if orders.held.is_empty() {
                prop_assert_eq!(orders.consumers().waiting, 0, "nothing is in flight, but messages wait");
            }
        }
    }

    #[test]
    fn weights_are_proportions(weights in prop::collection::vec(1u32..10, 1..5), rounds in 1u64..6) {
        let mut orders = Orders::new(&[("balance", "weighted")]);
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        (1..).zip(&weights).for_each(|(client, weight)| orders.open(client, *weight));
        (0..total * rounds).for_each(|_| orders.publish(&Message::new("x")));
        for (client, weight) in (1..).zip(&weights) {
            let had = orders.delivered.get(&client).copied().unwrap_or(0);
            prop_assert!(had.abs_diff(u64::from(*weight) * rounds) <= 1, "{weights:?}: {:?}", orders.delivered);
        }
    }

    #[test]
    fn a_key_is_never_at_two_consumers(
        steps in prop::collection::vec((0u8..10, 0usize..100), 1..120),
    ) {
        let mut orders = Orders::new(&[("balance", "key-hash")]);
        orders.open(1, 1);
        for (what, at) in steps {
            let client = at as u64 % 4 + 1;
            match what {
                0..4 => orders.publish(&of_key(at as u8 % 12)),
                4 => orders.settle(at, Settlement::Complete),
                5 => orders.settle(at, Settlement::Abandon { delay_ms: 0, properties: Vec::new() }),
                6 if !orders.connections.contains_key(&client) => orders.open(client, 1),
                7 => orders.close(client),
                8 => orders.disconnect(client),
                9 => orders.advance(at as u64 * 100),
                _ => orders.restart(),
            }
            let mut holders: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
            for held in &orders.held {
                holders.entry(held.message.partition_key.as_deref().unwrap()).or_default().insert(held.client);
            }
            prop_assert!(holders.values().all(|clients| clients.len() == 1), "{holders:?}");
        }
    }
}

/// With messages of very different cost, and one settled at a time, the units are in use.
#[test]
fn the_units_are_in_use() {
    let mut orders = Orders::new(&[("capacity_units", "10")]);
    let mut random = 12_345_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    (0..1_500).for_each(|_| orders.publish(&costly(next(5) as u32 + 1)));
    orders.open(1, 1);
    let mut in_use = 0;
    for _ in 0..900 {
        orders.settle(next(100) as usize, Settlement::Complete);
        in_use += all_units(&orders);
    }
    assert!(in_use > 900 * 9, "{} percent of the units were in use", in_use / 90);
}

/// One key's flood holds nobody up: who sends one message gets it delivered before the flood is over.
#[test]
fn a_flood_holds_nobody_up() {
    let mut orders = Orders::new(&[("fair_key", "customer"), ("capacity_units", "4")]);
    orders.open(1, 1);
    (0..200).for_each(|_| orders.publish(&Message::new("x").with_property("customer", "flood")));
    orders.publish(&Message::new("y").with_property("customer", "small"));
    orders.settle(0, Settlement::Complete);
    orders.settle(0, Settlement::Complete);
    assert!(orders.held.iter().any(|held| held.message.body == "y"), "{:?}", orders.held);
}
