//! Keys and ranges of them, for random ones.

use super::*;
use proptest::prelude::*;

fn any_queue() -> impl Strategy<Value = QueueId> {
    (any::<u64>(), 0..3usize).prop_map(|(entity, lane)| QueueId::all(entity)[lane])
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::Store),
        any::<u16>().prop_map(Key::ShardState),
        any::<(u16, u64)>().prop_map(|(shard, entity)| Key::Entity(shard, entity)),
        (any::<(u16, u64)>(), "[a-z$.]{1,50}")
            .prop_map(|((shard, entity), name)| Key::Rule(shard, entity, name)),
        (any::<(u16, u64)>(), "[a-z.]{1,50}")
            .prop_map(|((shard, entity), name)| Key::Schedule(shard, entity, name)),
        (any::<u16>(), any_queue()).prop_map(|(shard, queue)| Key::QueueState(shard, queue)),
        (any::<(u16, u64)>(), any_queue())
            .prop_map(|((shard, when_ms), queue)| Key::Alarm(shard, Alarm::occurrence(when_ms, queue))),
        (any::<(u16, u64)>(), any_queue()).prop_map(|((shard, first), queue)| Key::Page(shard, queue, first)),
        (any::<(u16, u64)>(), any_queue())
            .prop_map(|((shard, first), queue)| Key::PageState(shard, queue, first)),
        (any::<(u16, u64)>(), any_queue())
            .prop_map(|((shard, number), queue)| Key::Scheduled(shard, queue, number)),
        any::<(u16, u64)>().prop_map(|(shard, entity)| Key::Replay(shard, entity)),
        any::<(u16, u64, u64)>()
            .prop_map(|(shard, topic, first)| Key::References(shard, TopicPage { topic, first })),
        (any::<(u16, u64)>(), any_queue())
            .prop_map(|((shard, from), queue)| Key::Leaving(shard, queue, from)),
        any::<(u16, u64)>().prop_map(|(shard, entity)| Key::Alarm(shard, Alarm::kept(entity, shard.into()))),
        any::<(u16, u64)>().prop_map(|(shard, lease)| Key::Lease(shard, lease)),
        any::<(u16, u128, u64)>().prop_map(|(shard, client, first)| Key::Outcomes(shard, client, first)),
        (any::<(u16, u64)>(), ".{1,50}").prop_map(|((shard, entity), id)| Key::Session(shard, entity, id)),
        any::<(u16, u64, u64, u64)>()
            .prop_map(|(shard, entity, session, number)| Key::SessionMessage(shard, entity, session, number)),
        any::<(u16, u64, u64)>()
            .prop_map(|(shard, entity, session)| Key::SessionState(shard, entity, session)),
        (any::<(u16, u64, u64)>(), any_queue()).prop_map(|((shard, when_ms, first), queue)| Key::Alarm(
            shard,
            Alarm::page(when_ms, queue, first)
        )),
        (any::<(u16, u64, u64)>(), any_queue()).prop_map(|((shard, when_ms, number), queue)| Key::Alarm(
            shard,
            Alarm::scheduled(when_ms, queue, number)
        )),
        any::<(u16, u64, u64)>()
            .prop_map(|(shard, when_ms, entity)| Key::Alarm(shard, Alarm::window(when_ms, entity))),
        any::<(u16, u64)>().prop_map(|(shard, entity)| Key::Generation(shard, entity)),
        any::<(u16, u16, u64)>().prop_map(|(shard, to, number)| Key::Parcel(shard, to, number)),
        any::<(u16, u16)>().prop_map(|(shard, from)| Key::Taken(shard, from)),
        any::<(u16, u64)>().prop_map(|(shard, number)| Key::Journal(shard, number)),
        (any::<(u16, u64, u64)>(), ".{0,40}")
            .prop_map(|((shard, entity, number), id)| Key::SeenId(shard, entity, number, id)),
    ]
}

proptest! {
    #[test]
    fn every_key_survives_its_bytes(key in any_key()) {
        prop_assert_eq!(Key::decode(&key.encode()).unwrap(), key);
    }

    #[test]
    fn the_order_of_bytes_is_the_order_of_keys(a in any_key(), b in any_key()) {
        prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(key) = Key::decode(&bytes) {
            prop_assert_eq!(key.encode(), bytes);
        }
    }
}

#[test]
fn a_range_holds_its_own_and_nothing_else() {
    let range = KeyRange::entities(u16::MAX);
    let inside = |key: Key| {
        let bytes = key.encode();
        range.from <= bytes && bytes < range.to
    };
    assert!(inside(Key::Entity(u16::MAX, 0)) && inside(Key::Entity(u16::MAX, u64::MAX)));
    assert!(!inside(Key::Entity(u16::MAX - 1, u64::MAX)) && !inside(Key::Rule(0, 0, "a".into())));
    let content: Vec<_> = KeyRange::content(1, 7).collect();
    let page = Key::Page(1, QueueId::dead_letter(7), 9).encode();
    assert_eq!(content.iter().filter(|range| range.from <= page && page < range.to).count(), 1);
}
