//! What happens in a random history. Numbers are taken modulo what there is, so that every history makes sense.

use proptest::prelude::*;

/// Names of queues and topics, and of subscriptions below the topics.
pub const QUEUES: [&str; 3] = ["orders", "mail", "Bills"];
pub const TOPICS: [&str; 2] = ["events", "alarms"];
pub const SUBSCRIPTIONS: [&str; 3] = ["all", "high", "none"];
/// Clients, each with two receivers.
pub const CLIENTS: usize = 3;
pub const HANDLES: u32 = 2;

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Op {
    CreateQueue {
        name: usize,
        setup: Setup,
    },
    CreateTopic {
        name: usize,
    },
    CreateSubscription {
        topic: usize,
        name: usize,
        setup: Setup,
    },
    Update {
        entity: usize,
        setup: Setup,
    },
    Delete {
        entity: usize,
    },
    PutRule {
        subscription: usize,
        rule: usize,
        filter: usize,
        replace: bool,
    },
    DeleteRule {
        subscription: usize,
        rule: usize,
    },
    Publish {
        entity: usize,
        messages: Vec<Sent>,
        atomic: bool,
    },
    Purge {
        entity: usize,
        dead: bool,
    },
    Open {
        client: usize,
        handle: u32,
        entity: usize,
        dead: bool,
        delete: bool,
        lock_s: u64,
        let_go: bool,
        hold: bool,
    },
    Flow {
        client: usize,
        handle: u32,
        credit: u32,
        behind: u64,
        drain: bool,
    },
    Close {
        client: usize,
        handle: u32,
    },
    Disconnect {
        client: usize,
    },
    /// A new connection, while the broker takes the old one for alive.
    Reconnect {
        client: usize,
    },
    Settle {
        items: Vec<Item>,
    },
    Again {
        request: usize,
    },
    Confirm {
        client: usize,
        keep: u64,
    },
    Farewell {
        client: usize,
    },
    /// What comes next waits for the rest of the turn.
    Gather {
        commands: usize,
    },
    /// What was read does not arrive for some turns.
    HoldReads {
        turns: usize,
    },
    Advance {
        ms: u64,
    },
    Reload {
        shard: usize,
    },
    MoveClock {
        seconds: i64,
    },
}

/// What an entity is created with, or changed to.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub lock_s: u64,
    pub max: u64,
    /// 0 leaves it as it is.
    pub ttl_s: u64,
    pub keeps_expired: bool,
    pub levels: u64,
    /// Seconds between attempts; 0 leaves it as it is.
    pub retry_s: u64,
}

/// A message to publish.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Which properties it has, for the rules.
    pub properties: usize,
    pub bytes: usize,
    pub refused: bool,
    /// Seconds to live; 0 for as long as the entity says.
    pub ttl_s: u64,
    pub priority: u8,
}

/// Settling a run of places.
#[derive(Debug, Clone)]
pub struct Item {
    /// Which delivery, counted from the last one.
    pub delivery: usize,
    pub place: u16,
    pub run: u16,
    pub how: How,
    pub guessed: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum How {
    Complete,
    Abandon { delay_s: u64, change: bool },
    DeadLetter { change: bool },
    Defer { change: bool },
    Release,
    Renew(u64),
}

/// An entity to publish to: mostly one of two, so that much meets in one place.
fn target() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0usize), 2 => Just(3usize), 2 => 0..12usize]
}

/// An entity to receive from: mostly what the same messages are in.
fn source() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0usize), 2 => Just(5usize), 2 => 0..12usize]
}

fn lock_s() -> impl Strategy<Value = u64> {
    prop_oneof![Just(5), Just(10), Just(30)]
}

fn setup() -> impl Strategy<Value = Setup> {
    let ttl_s = prop_oneof![4 => Just(0), 1 => Just(15), 1 => Just(40)];
    let retry_s = prop_oneof![3 => Just(0), 1 => Just(7)];
    (lock_s(), 1..4u64, ttl_s, any::<bool>(), 1..4u64, retry_s).prop_map(
        |(lock_s, max, ttl_s, keeps_expired, levels, retry_s)| Setup {
            lock_s,
            max,
            ttl_s,
            keeps_expired,
            levels,
            retry_s,
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = prop_oneof![9 => 0..40usize, 1 => 60..300usize];
    let ttl_s = prop_oneof![5 => Just(0), 1 => Just(10), 1 => Just(70)];
    (0..3usize, bytes, prop::bool::weighted(0.05), ttl_s, 0..5u8).prop_map(
        |(properties, bytes, refused, ttl_s, priority)| Sent { properties, bytes, refused, ttl_s, priority },
    )
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        4 => Just(How::Complete),
        3 => (prop_oneof![2 => Just(0), 1 => Just(3), 1 => Just(20)], prop::bool::weighted(0.2))
            .prop_map(|(delay_s, change)| How::Abandon { delay_s, change }),
        1 => prop::bool::weighted(0.2).prop_map(|change| How::DeadLetter { change }),
        1 => prop::bool::weighted(0.2).prop_map(|change| How::Defer { change }),
        2 => Just(How::Release),
        2 => prop_oneof![Just(0), Just(1_000), Just(20_000)].prop_map(How::Renew),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let delivery = prop_oneof![4 => 0..3usize, 1 => 0..30usize];
    (delivery, 0..4u16, 1..6u16, how(), prop::bool::weighted(0.03))
        .prop_map(|(delivery, place, run, how, guessed)| Item { delivery, place, run, how, guessed })
}

fn open() -> impl Strategy<Value = Op> {
    let what =
        (source(), prop::bool::weighted(0.2), prop::bool::weighted(0.15), prop_oneof![Just(0), lock_s()]);
    (0..CLIENTS, 0..HANDLES, what, any::<bool>(), prop::bool::weighted(0.7)).prop_map(
        |(client, handle, (entity, dead, delete, lock_s), let_go, hold)| Op::Open {
            client,
            handle,
            entity,
            dead,
            delete,
            lock_s,
            let_go,
            hold,
        },
    )
}

fn administration() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..3usize, setup()).prop_map(|(name, setup)| Op::CreateQueue { name, setup }),
        (0..2usize).prop_map(|name| Op::CreateTopic { name }),
        (0..2usize, 0..3usize, setup()).prop_map(|(topic, name, setup)| Op::CreateSubscription {
            topic,
            name,
            setup
        }),
        (0..12usize, setup()).prop_map(|(entity, setup)| Op::Update { entity, setup }),
        (0..30usize).prop_map(|entity| Op::Delete { entity }),
        (0..6usize, 0..3usize, 0..4usize, any::<bool>()).prop_map(|(subscription, rule, filter, replace)| {
            Op::PutRule { subscription, rule, filter, replace }
        }),
        (0..6usize, 0..3usize).prop_map(|(subscription, rule)| Op::DeleteRule { subscription, rule }),
    ]
}

/// Something that may happen.
pub fn op() -> impl Strategy<Value = Op> {
    let publish = (target(), prop::collection::vec(sent(), 1..7), prop::bool::weighted(0.2));
    let flow = (0..CLIENTS, 0..HANDLES, 0..9u32, 0..3u64, prop::bool::weighted(0.2));
    prop_oneof![
        3 => administration(),
        8 => publish.prop_map(|(entity, messages, atomic)| Op::Publish { entity, messages, atomic }),
        4 => open(),
        8 => flow.prop_map(|(client, handle, credit, behind, drain)| Op::Flow { client, handle, credit, behind, drain }),
        9 => prop::collection::vec(item(), 1..4).prop_map(|items| Op::Settle { items }),
        1 => (source(), any::<bool>()).prop_map(|(entity, dead)| Op::Purge { entity, dead }),
        1 => (0..CLIENTS, 0..HANDLES).prop_map(|(client, handle)| Op::Close { client, handle }),
        1 => (0..CLIENTS).prop_map(|client| Op::Disconnect { client }),
        1 => (0..CLIENTS).prop_map(|client| Op::Reconnect { client }),
        2 => (0..10usize).prop_map(|request| Op::Again { request }),
        1 => (0..CLIENTS, 0..6u64).prop_map(|(client, keep)| Op::Confirm { client, keep }),
        1 => (0..3 * CLIENTS).prop_map(|client| Op::Farewell { client }),
        3 => (2..6usize).prop_map(|commands| Op::Gather { commands }),
        1 => (1..4usize).prop_map(|turns| Op::HoldReads { turns }),
        3 => prop_oneof![0..3_000u64, Just(5_000), Just(10_000), 9_990..31_000u64].prop_map(|ms| Op::Advance { ms }),
        2 => (0..16usize).prop_map(|shard| Op::Reload { shard }),
        1 => (-40..40i64).prop_map(|seconds| Op::MoveClock { seconds }),
    ]
}
