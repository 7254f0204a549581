//! The bytes of facts cannot change unnoticed. After a change that is meant to alter them, run with `UPDATE_GOLDEN=1`
//! and review the difference. The bytes of a released version are never rewritten.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "golden texts are files, and a switch writes them again")]

use bytes::Bytes;
use postrider_core::apply::{self, Write};
use postrider_core::command::Owner;
use postrider_core::fact::{self, EntityRow, Fact, GenerationRow, IdsRow, QueueRow, ReferencesRow};
use postrider_core::fact::{ReplayRow, ScheduledRow, SessionRow, ShardRow};
use postrider_core::key::{Alarm, QueueId, TopicPage};
use postrider_core::lease::{Hold, LeaseRow};
use postrider_core::outbox::{Parcel, Returned, Taken};
use postrider_core::outcomes::{OutcomesRow, Recorded};
use postrider_core::page::{Body, Mark, PageBuilder, PageState, Reference};
use postrider_protocol::options::{EntityKind, LOCK_DURATION_MS, Options};
use postrider_protocol::rule::{Filter, Rule};
use postrider_protocol::schedule::{Schedule, ScheduleInfo};
use proptest::collection::vec;
use proptest::prelude::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/facts.txt");

/// One fact of every kind.
fn examples() -> Vec<(&'static str, Fact)> {
    let (main, dead) = (QueueId::main(7), QueueId::dead_letter(7));
    let entity = EntityRow {
        name: "orders".to_owned(),
        kind: EntityKind::Queue,
        created_ms: 1_700_000_000_000,
        options: Options::new().with_number(LOCK_DURATION_MS, 30_000),
    };
    let rule = Rule::new("high", Filter::properties([("priority", "high")]))
        .with_action("SET size = @size")
        .with_parameter("size", "large");
    let mut page = PageBuilder::default();
    page.push(1_700_000_000_000, 1, Mark::default(), Body::own(b"\0\0\0\x04\0\0\0\0body"));
    let state = PageState { attempts: vec![Some(0), None, Some(3)], ..PageState::default() };
    let hold = Hold { page: 1, index: 2, count: 3, attempts: 4, until_ms: 1_700_000_030_000, held: true };
    let lease = LeaseRow {
        queue: main,
        owner: Owner { client: 0xabcd, handle: 5 },
        salt: 0xdead_beef,
        duration_ms: 30_000,
        longest_ms: 60_000,
        holds: vec![hold, Hold { index: 5, count: 1, held: false, ..hold }],
    };
    let session = SessionRow {
        session: 2,
        messages: 3,
        oldest: 5,
        client: 0xabcd,
        handle: 5,
        until_ms: 1_700_000_030_000,
        duration_ms: 30_000,
        state_bytes: Some(4),
        idle: true,
        ..SessionRow::default()
    };
    let topic_page = TopicPage { topic: 6, first: 40 };
    let mut referring = PageBuilder::default();
    let stored = Some(Reference { page: topic_page, index: 2 });
    referring.push(1_700_000_000_000, 2, Mark::default(), Body { message: b"stored by the topic", stored });
    let ids = IdsRow {
        generation: 5,
        when_ms: 1_700_000_000_000,
        ids: vec![("a".to_owned(), 3), ("b".to_owned(), 4)],
    };
    let recorded = Recorded { sequence: 9, opcode: 0x84, fields: Bytes::from_static(b"\x01") };
    let schedule = Schedule {
        name: "Nightly".to_owned(),
        cron: "0 3 * * *".to_owned(),
        zone: "Europe/Berlin".to_owned(),
        message: Bytes::from_static(b"\0\0\0\x04\0\0\0\0body"),
    };
    let schedule = ScheduleInfo { schedule, next_ms: 1_700_000_060_000 };
    let scheduled =
        ScheduledRow { due_ms: 1_700_000_060_000, message: Bytes::from_static(b"\0\0\0\x04\0\0\0\0body") };
    let parcel = Parcel {
        from: QueueId::dead_letter(7),
        to: "billing".to_owned(),
        records: vec![Bytes::from_static(b"record")],
    };
    let mut taken = Taken { last: 4, returned: Vec::new() };
    taken.give_back(4, 0, "NotFound", "does not exist");
    vec![
        ("EntityPut", Fact::EntityPut(7, entity)),
        ("EntityGone", Fact::EntityGone(7)),
        ("RulePut", Fact::RulePut(7, rule)),
        ("RuleGone", Fact::RuleGone(7, "high".to_owned())),
        (
            "QueueState",
            Fact::QueueState(
                main,
                QueueRow {
                    next: 5,
                    low: 2,
                    active: 3,
                    bytes: 99,
                    unmatched: 1,
                    deferred: 2,
                    delayed: 1,
                    expired: 6,
                    scheduled: 4,
                    duplicates: 4,
                    dropped: 8,
                    filter_errors: 9,
                },
            ),
        ),
        ("PageWritten", Fact::PageWritten(main, 1, page.build())),
        ("PageState", Fact::PageState(dead, 1, state.encode())),
        ("PageGone", Fact::PageGone(main, 1)),
        ("PagesGone", Fact::PagesGone(dead, 1, 9)),
        ("Leased", Fact::Leased(3, lease)),
        ("LeaseGone", Fact::LeaseGone(3)),
        ("Outcomes", Fact::Outcomes(0xabcd, 9, OutcomesRow { floor: 8, recorded: vec![recorded] })),
        ("OutcomesGone", Fact::OutcomesGone(0xabcd, 9)),
        ("AlarmSet", Fact::AlarmSet(Alarm::page(1_700_000_060_000, main, 1))),
        ("AlarmGone", Fact::AlarmGone(Alarm::page(1_700_000_060_000, main, 1))),
        ("Scheduled", Fact::Scheduled(main, 4, scheduled)),
        ("ScheduledGone", Fact::ScheduledGone(main, 4, 1_700_000_060_000)),
        ("Generation", Fact::Generation(7, GenerationRow { number: 5, begun_ms: 1_700_000_000_000 })),
        ("IdsSeen", Fact::IdsSeen(7, ids)),
        ("IdsGone", Fact::IdsGone(7)),
        ("SchedulePut", Fact::SchedulePut(7, schedule)),
        ("ScheduleGone", Fact::ScheduleGone(7, "Nightly".to_owned())),
        ("SessionPut", Fact::SessionPut(7, "a".to_owned(), session)),
        ("SessionGone", Fact::SessionGone(7, "a".to_owned())),
        ("SessionMessage", Fact::SessionMessage(7, 2, 5, 4, 1_700_000_000_000)),
        ("SessionMessageGone", Fact::SessionMessageGone(7, 2, 5)),
        ("SessionMessagesGone", Fact::SessionMessagesGone(7)),
        ("SessionState", Fact::SessionState(7, 2, Bytes::from_static(b"half"))),
        ("SessionStateGone", Fact::SessionStateGone(7, 2)),
        ("Parcel", Fact::Parcel(9, 4, parcel)),
        ("ParcelGone", Fact::ParcelGone(9, 4)),
        ("Taken", Fact::Taken(9, taken)),
        (
            "References",
            Fact::References(
                topic_page,
                ReferencesRow { pages: 3, bytes: 99, written_ms: 1_700_000_000_000 },
            ),
        ),
        ("ReferencesGone", Fact::ReferencesGone(topic_page)),
        ("EntityLeft", Fact::EntityLeft(7)),
        ("Leaving", Fact::Leaving(main, 1, 9)),
        ("LeavingGone", Fact::LeavingGone(main, 1)),
        ("Replay", Fact::Replay(7, ReplayRow { next: 4, to: 9, filter: "n = 1".to_owned() })),
        ("ReplayGone", Fact::ReplayGone(7)),
        ("PageReferring", Fact::PageWritten(main, 2, referring.build())),
        ("Journal", Fact::Journal(4_096, Bytes::from_static(b"row"))),
        ("JournalGone", Fact::JournalGone(1_024, 2_048)),
        (
            "ShardState",
            Fact::ShardState(ShardRow { position: 12, last_lease: 3, last_entity: 7, last_parcel: 4 }),
        ),
    ]
}

fn hex(bytes: &[u8]) -> String {
    let lines: Vec<String> =
        bytes.chunks(32).map(|chunk| chunk.iter().map(|byte| format!(" {byte:02x}")).collect()).collect();
    lines.join("\n   ")
}

fn written() -> String {
    let mut text = String::new();
    for (name, fact) in examples() {
        text += &format!("{name}\n   {}\n", hex(&fact::encode(3, std::slice::from_ref(&fact))));
        apply::apply(3, &[fact], &mut |write| text += &row(&write));
        text += "\n";
    }
    text
}

fn row(write: &Write) -> String {
    match write {
        Write::Put(key, value) => format!("put\n   {}\n as\n   {}\n", hex(&key.encode()), hex(value)),
        Write::Delete(key) => format!("delete\n   {}\n", hex(&key.encode())),
        Write::SingleDelete(key) => format!("delete singly\n   {}\n", hex(&key.encode())),
        Write::DeleteRange(range) => {
            format!("delete from\n   {}\n to\n   {}\n", hex(&range.from), hex(&range.to))
        }
    }
}

#[test]
fn facts_and_their_rows_are_as_they_were() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PATH, written()).unwrap();
    }
    let (golden, written) = (std::fs::read_to_string(PATH).unwrap(), written());
    for (was, is) in golden.split("\n\n").zip(written.split("\n\n")) {
        assert_eq!(was, is, "the bytes of a fact have changed");
    }
    assert_eq!(golden, written, "facts came or went");
}

fn queue() -> impl Strategy<Value = QueueId> {
    (any::<u64>(), 0..3usize).prop_map(|(entity, lane)| QueueId::all(entity)[lane])
}

fn some_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn lease() -> impl Strategy<Value = LeaseRow> {
    let hold = (any::<(u64, u32, u32, u64, bool)>(), 1..50u32).prop_map(
        |((page, index, attempts, until_ms, held), count)| Hold {
            page,
            index,
            count,
            attempts,
            until_ms,
            held,
        },
    );
    (queue(), any::<(u128, u32, u32, u64, u64)>(), vec(hold, 0..5)).prop_map(|(queue, numbers, holds)| {
        LeaseRow {
            queue,
            owner: Owner { client: numbers.0, handle: numbers.1 },
            salt: numbers.2,
            duration_ms: numbers.3,
            longest_ms: numbers.4,
            holds,
        }
    })
}

fn outcomes() -> impl Strategy<Value = OutcomesRow> {
    let recorded = (any::<(u64, u8)>(), some_bytes()).prop_map(|((sequence, opcode), fields)| Recorded {
        sequence,
        opcode,
        fields,
    });
    (any::<u64>(), vec(recorded, 0..4)).prop_map(|(floor, recorded)| OutcomesRow { floor, recorded })
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let entity =
        (".{0,20}", any::<u64>(), 1_000..40_000u64).prop_map(|(name, created_ms, lock_ms)| EntityRow {
            name,
            kind: EntityKind::Subscription,
            created_ms,
            options: Options::new().with_number(LOCK_DURATION_MS, lock_ms),
        });
    let rule = (".{0,20}", any::<Option<i64>>(), any::<bool>()).prop_map(|(name, value, shadow)| Rule {
        shadow,
        ..Rule::new(name, value.map_or(Filter::True, |value| Filter::properties([("n", value)])))
    });
    let row = any::<[u64; 12]>().prop_map(
        |[next, low, active, bytes, unmatched, deferred, delayed, expired, scheduled, a, b, c]| QueueRow {
            next,
            low,
            active,
            bytes,
            unmatched,
            deferred,
            delayed,
            expired,
            scheduled,
            duplicates: a,
            dropped: b,
            filter_errors: c,
        },
    );
    let returned = (any::<(u64, u32, u32)>(), ".{0,9}", ".{0,9}").prop_map(
        |((parcel, index, count), reason, description)| Returned {
            parcel,
            index,
            count,
            reason,
            description,
        },
    );
    let ids = (any::<(u64, u64)>(), vec((".{0,9}", any::<u64>()), 1..4))
        .prop_map(|((generation, when_ms), ids)| IdsRow { generation, when_ms, ids });
    let alarm =
        || (queue(), any::<(u64, u64)>()).prop_map(|(queue, (when, first))| Alarm::page(when, queue, first));
    prop_oneof![
        (any::<u64>(), entity).prop_map(|(entity, row)| Fact::EntityPut(entity, row)),
        any::<u64>().prop_map(Fact::EntityGone),
        (any::<u64>(), rule).prop_map(|(entity, rule)| Fact::RulePut(entity, rule)),
        (any::<u64>(), ".{0,20}").prop_map(|(entity, name)| Fact::RuleGone(entity, name)),
        (queue(), row).prop_map(|(queue, row)| Fact::QueueState(queue, row)),
        (queue(), any::<u64>(), some_bytes())
            .prop_map(|(queue, first, page)| Fact::PageWritten(queue, first, page)),
        (queue(), any::<u64>(), some_bytes())
            .prop_map(|(queue, first, state)| Fact::PageState(queue, first, state)),
        (queue(), any::<u64>()).prop_map(|(queue, first)| Fact::PageGone(queue, first)),
        (queue(), any::<(u64, u64)>()).prop_map(|(queue, (from, to))| Fact::PagesGone(queue, from, to)),
        (any::<u64>(), lease()).prop_map(|(id, row)| Fact::Leased(id, row)),
        any::<u64>().prop_map(Fact::LeaseGone),
        (any::<(u128, u64)>(), outcomes())
            .prop_map(|((client, first), row)| Fact::Outcomes(client, first, row)),
        any::<(u128, u64)>().prop_map(|(client, first)| Fact::OutcomesGone(client, first)),
        alarm().prop_map(Fact::AlarmSet),
        alarm().prop_map(Fact::AlarmGone),
        (any::<(u64, u64)>(), ".{0,20}", some_bytes()).prop_map(|((entity, next_ms), name, message)| {
            let (cron, zone) = ("@daily".to_owned(), "UTC".to_owned());
            Fact::SchedulePut(
                entity,
                ScheduleInfo { schedule: Schedule { name, cron, zone, message }, next_ms },
            )
        }),
        (any::<u64>(), ".{0,20}").prop_map(|(entity, name)| Fact::ScheduleGone(entity, name)),
        (queue(), any::<(u64, u64)>(), some_bytes()).prop_map(|(queue, (number, due_ms), message)| {
            Fact::Scheduled(queue, number, ScheduledRow { due_ms, message })
        }),
        (queue(), any::<(u64, u64)>())
            .prop_map(|(queue, (number, due_ms))| Fact::ScheduledGone(queue, number, due_ms)),
        any::<[u64; 3]>().prop_map(|[entity, number, begun_ms]| Fact::Generation(
            entity,
            GenerationRow { number, begun_ms }
        )),
        (any::<u64>(), ids).prop_map(|(entity, row)| Fact::IdsSeen(entity, row)),
        any::<u64>().prop_map(Fact::IdsGone),
        (any::<(u16, u64)>(), queue(), ".{1,20}", vec(some_bytes(), 0..4)).prop_map(
            |((shard, number), from, to, records)| Fact::Parcel(shard, number, Parcel { from, to, records })
        ),
        any::<(u16, u64)>().prop_map(|(to, number)| Fact::ParcelGone(to, number)),
        (any::<(u16, u64)>(), vec(returned, 0..3))
            .prop_map(|((from, last), returned)| Fact::Taken(from, Taken { last, returned })),
        any::<(u64, u64, u32, u32, u64)>().prop_map(|(topic, first, pages, bytes, written_ms)| {
            Fact::References(TopicPage { topic, first }, ReferencesRow { pages, bytes, written_ms })
        }),
        any::<(u64, u64)>().prop_map(|(topic, first)| Fact::ReferencesGone(TopicPage { topic, first })),
        any::<u64>().prop_map(Fact::EntityLeft),
        (queue(), any::<(u64, u64)>()).prop_map(|(queue, (from, to))| Fact::Leaving(queue, from, to)),
        (queue(), any::<u64>()).prop_map(|(queue, from)| Fact::LeavingGone(queue, from)),
        (any::<(u64, u64, u64)>(), ".{0,20}").prop_map(|((entity, next, to), filter)| {
            Fact::Replay(entity, ReplayRow { next, to, filter })
        }),
        any::<u64>().prop_map(Fact::ReplayGone),
        (any::<u64>(), some_bytes()).prop_map(|(number, row)| Fact::Journal(number, row)),
        any::<(u64, u64)>().prop_map(|(from, to)| Fact::JournalGone(from, to)),
        any::<[u64; 4]>().prop_map(|[position, last_lease, last_entity, last_parcel]| {
            Fact::ShardState(ShardRow { position, last_lease, last_entity, last_parcel })
        }),
    ]
}

proptest! {
    #[test]
    fn facts_survive_their_bytes(shard in any::<u16>(), facts in vec(any_fact(), 0..6)) {
        prop_assert_eq!(fact::decode(fact::encode(shard, &facts)).unwrap(), (shard, facts));
    }

    /// Whatever the facts say, they become changes of keys that can be read again.
    #[test]
    fn applying_is_total(shard in any::<u16>(), facts in vec(any_fact(), 0..6)) {
        let mut writes = 0;
        apply::apply(shard, &facts, &mut |write| {
            writes += 1;
            if let Write::Put(key, _) | Write::Delete(key) | Write::SingleDelete(key) = write {
                assert_eq!(postrider_core::key::Key::decode(&key.encode()).unwrap(), key);
            }
        });
        prop_assert!(writes >= facts.len());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..80)) {
        let bytes = [&[1, 0, 3][..], &bytes].concat();
        if let Ok((shard, facts)) = fact::decode(Bytes::from(bytes.clone())) {
            prop_assert_eq!(fact::encode(shard, &facts), bytes);
        }
    }

    /// A cut or changed byte is noticed, or gives other facts; it never gives the same ones.
    #[test]
    fn damage_does_not_go_unnoticed(facts in vec(any_fact(), 1..4), at in any::<prop::sample::Index>(), cut in any::<bool>()) {
        let whole = fact::encode(1, &facts).to_vec();
        let mut bytes = whole.clone();
        if cut { bytes.truncate(at.index(whole.len())) } else { bytes[at.index(whole.len())] ^= 0x40 }
        if let Ok((shard, damaged)) = fact::decode(Bytes::from(bytes)) {
            prop_assert!((shard, damaged) != (1, facts));
        }
    }
}
