//! Which histories come about, and how often.

use super::ops::{CLIENTS, Change, HANDLES, How, Item, Op, Part, Sent, Setup, Wish};
use proptest::prelude::*;

/// An entity to publish to: mostly one of two, so that much meets in one place.
fn target() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0usize), 3 => Just(1usize), 3 => Just(3usize), 2 => 0..12usize]
}

/// An entity to receive from: mostly what the same messages are in.
fn source() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0usize), 4 => Just(1usize), 2 => Just(5usize), 1 => Just(9usize), 2 => 0..12usize]
}

fn lock_s() -> impl Strategy<Value = u64> {
    prop_oneof![Just(5), Just(10), Just(30)]
}

fn setup() -> impl Strategy<Value = Setup> {
    let ttl_s = prop_oneof![4 => Just(0), 1 => Just(15), 1 => Just(40)];
    let retry_s = prop_oneof![3 => Just(0), 1 => Just(7)];
    let window_s =
        prop_oneof![4 => Just(Change::Leave), 1 => Just(Change::Unset), 3 => Just(Change::Set(20))];
    let most = || prop_oneof![8 => Just(Change::Leave), 1 => Just(Change::Unset)];
    let max_messages = prop_oneof![8 => most(), 2 => (1..7u64).prop_map(Change::Set)];
    let max_bytes = prop_oneof![9 => most(), 1 => (100..600u64).prop_map(Change::Set)];
    let status = prop_oneof![6 => Just(0), 1 => 1..4usize];
    let rules = (window_s, max_messages, max_bytes, any::<bool>(), status);
    let balance = prop_oneof![4 => Just(0), 1 => 1..4usize, 1 => Just(4)];
    let units =
        prop_oneof![5 => Just(Change::Leave), 1 => Just(Change::Unset), 1 => (2..8u64).prop_map(Change::Set)];
    let fair = prop_oneof![5 => Just(None), 1 => Just(Some(false)), 1 => Just(Some(true))];
    let sharing = (balance, units, fair, prop::bool::weighted(0.25));
    (lock_s(), 1..4u64, ttl_s, any::<bool>(), 1..4u64, retry_s, rules, sharing).prop_map(
        |(lock_s, max, ttl_s, keeps_expired, levels, retry_s, rules, sharing)| Setup {
            lock_s,
            max,
            ttl_s,
            keeps_expired,
            levels,
            retry_s,
            window_s: rules.0,
            max_messages: rules.1,
            max_bytes: rules.2,
            drops: rules.3,
            status: rules.4,
            balance: sharing.0,
            units: sharing.1,
            fair: sharing.2,
            by_session: sharing.3,
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let bytes = prop_oneof![9 => 0..40usize, 1 => 60..300usize];
    let ttl_s = prop_oneof![5 => Just(0), 1 => Just(10), 1 => Just(70)];
    let due_s = prop_oneof![5 => Just(None), 1 => (-2..40i64).prop_map(Some)];
    let id = prop_oneof![2 => Just(0), 1 => 1..5u64];
    let cost = prop_oneof![2 => Just(0), 1 => 1..4u32];
    let sharing = (cost, 0..4u32, prop_oneof![1 => Just(0), 8 => 1..4u32]);
    (0..3usize, bytes, prop::bool::weighted(0.05), ttl_s, 0..5u8, due_s, id, sharing).prop_map(
        |(properties, bytes, refused, ttl_s, priority, due_s, id, (cost, key, session))| Sent {
            properties,
            bytes,
            refused,
            ttl_s,
            priority,
            due_s,
            id,
            cost,
            key,
            session,
        },
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
    let wait_s = prop_oneof![1 => Just(0), 1 => Just(4), 1 => Just(60)];
    let wish = (prop_oneof![2 => Just(0), 1 => 1..4usize], wait_s, prop::bool::weighted(0.05));
    let wish = wish.prop_map(|(session, wait_s, wrong)| Wish { session, wait_s, wrong });
    (0..CLIENTS, 0..HANDLES, what, any::<bool>(), prop::bool::weighted(0.7), wish).prop_map(
        |(client, handle, (entity, dead, delete, lock_s), let_go, hold, wish)| Op::Open {
            client,
            handle,
            entity,
            dead,
            delete,
            lock_s,
            let_go,
            hold,
            wish,
        },
    )
}

fn picks(least: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..8usize, least..4)
}

fn part() -> impl Strategy<Value = Part> {
    let some = (
        prop_oneof![2 => Just(Vec::new()), 1 => picks(1)],
        prop_oneof![3 => Just(9), 2 => 0..5usize],
        prop_oneof![3 => Just(0), 1 => 0..20u64],
        prop_oneof![2 => Just(0), 1 => 0..10u64],
        prop_oneof![2 => Just(0), 1 => 1..10u64],
        prop_oneof![2 => Just(0), 1 => 1..5u32],
    );
    let some = some.prop_map(|(picks, state, age_s, from, span, limit)| Part {
        picks,
        state,
        age_s,
        from,
        span,
        limit,
    });
    prop_oneof![1 => Just(Part { state: 9, ..Part::default() }), 2 => some]
}

fn administration() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..3usize, setup()).prop_map(|(name, setup)| Op::CreateQueue { name, setup }),
        (0..2usize, prop_oneof![Just(0), Just(20)])
            .prop_map(|(name, window_s)| Op::CreateTopic { name, window_s }),
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

/// What the holder of a session does with it.
fn of_session((client, handle, what): (usize, u32, usize)) -> Op {
    match what {
        0 => Op::RenewSession { client, handle },
        1 => Op::GetState { client, handle },
        2 => Op::SetState { client, handle, bytes: None },
        bytes => Op::SetState { client, handle, bytes: Some(bytes - 3) },
    }
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
        2 => (source(), any::<bool>(), part()).prop_map(|(entity, dead, part)| Op::Purge { entity, dead, part }),
        2 => (source(), prop::bool::weighted(0.95), part(), prop::bool::weighted(0.2))
            .prop_map(|(entity, dead, part, dry_run)| Op::Redrive { entity, dead, part, dry_run }),
        2 => (target(), any::<bool>(), picks(1)).prop_map(|(entity, now, picks)| Op::Scheduled { entity, now, picks }),
        2 => (0..CLIENTS, 0..HANDLES, picks(1))
            .prop_map(|(client, handle, picks)| Op::ReceiveDeferred { client, handle, picks }),
        1 => (0..CLIENTS, 0..HANDLES).prop_map(|(client, handle)| Op::Close { client, handle }),
        2 => (0..CLIENTS, 0..HANDLES, 0..5usize).prop_map(of_session),
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
