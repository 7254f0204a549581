//! The window of duplicates against a naive one, through restarts, changes of the window and time.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use postrider_core::command::{Change, Command, Ticket};
use postrider_core::effect::Effect;
use postrider_core::key::KeyRange;
use postrider_protocol::message::Message;
use postrider_protocol::name::EntityName;
use postrider_protocol::options::{DEDUP_WINDOW_MS, EntityKind, Options};
use postrider_protocol::reply::{Published, Reply};
use postrider_protocol::request::Stamp;
use postrider_protocol::value::Id;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use support::world::{World, incoming};

#[derive(Debug, Clone)]
enum Step {
    Publish(Vec<u16>),
    Advance(u64),
    Restart,
    Window(Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(0u16..40, 1..12).prop_map(Step::Publish),
        3 => (1u64..3_000).prop_map(Step::Advance),
        1 => Just(Step::Advance(4_000)),
        1 => Just(Step::Restart),
        1 => proptest::option::of(1_000u64..8_000).prop_map(Step::Window),
    ]
}

/// What the window must be: every id with when it was last taken in, and as which number.
struct Naive {
    window_ms: u64,
    seen: BTreeMap<u16, (u64, u64)>,
    next: u64,
}

impl Naive {
    fn publish(&mut self, now_ms: u64, id: u16) -> Published {
        if self.window_ms > 0
            && let Some((when_ms, number)) = self.seen.get(&id)
            && now_ms < when_ms + self.window_ms
        {
            return Published::Duplicate(*number);
        }
        self.next += 1;
        self.seen.insert(id, (now_ms, self.next));
        Published::Accepted(self.next)
    }
}

struct Run {
    world: World,
    naive: Naive,
    sequence: u64,
}

impl Run {
    fn new(window_ms: u64) -> Self {
        let mut run = Run {
            world: World::new(1),
            naive: Naive { window_ms, seen: BTreeMap::new(), next: 0 },
            sequence: 0,
        };
        let options = Options::new().with_number(DEDUP_WINDOW_MS, window_ms);
        run.once(Change::Create { name: name(), kind: EntityKind::Queue, options, rules: Vec::new() });
        run
    }

    fn once(&mut self, change: Change) -> Reply {
        self.sequence += 1;
        let ticket = Ticket { connection: 1, request: self.sequence as u32 };
        let stamp = Stamp { sequence: self.sequence, floor: self.sequence };
        let turn = self.world.turn(0, vec![Command::Once { ticket, client: 7, stamp, change }]);
        turn.effects
            .into_iter()
            .find_map(|effect| match effect {
                Effect::Reply(_, reply) => Some(reply),
                _ => None,
            })
            .unwrap()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(ids) => self.publish(ids),
            Step::Advance(ms) => self.world.advance(*ms),
            Step::Restart => self.world.reload(0),
            Step::Window(window_ms) => {
                // Off, and on again as long as is wanted: nothing is kept from before.
                let off = Options::new().with_unset(DEDUP_WINDOW_MS);
                self.once(Change::Update { name: name(), options: off });
                self.naive.seen.clear();
                self.naive.window_ms = window_ms.unwrap_or(0);
                if let Some(window_ms) = window_ms {
                    let on = Options::new().with_number(DEDUP_WINDOW_MS, *window_ms);
                    self.once(Change::Update { name: name(), options: on });
                }
            }
        }
    }

    fn send(&mut self, ids: &[u16]) -> Vec<Published> {
        let message = |id: &u16| Ok(incoming(&Message::new("x").with_id(u64::from(*id))));
        let messages = ids.iter().map(message).collect();
        let reply = self.once(Change::Publish { entity: name(), atomic: false, messages });
        let Reply::Published(runs) = reply else { panic!("{reply:?}") };
        runs.iter().flat_map(|(count, first)| (0..*count).map(|at| first.at(at))).collect()
    }

    fn publish(&mut self, ids: &[u16]) {
        let (got, now_ms) = (self.send(ids), self.world.now.wall_ms);
        let expected: Vec<_> = ids.iter().map(|id| self.naive.publish(now_ms, *id)).collect();
        assert_eq!(got, expected);
    }

    /// Rows of ids in the store.
    fn ids(&self) -> usize {
        self.world.rows.range(&KeyRange::seen_ids(0, 1, u64::MAX)).count()
    }
}

fn name() -> EntityName {
    EntityName::new("orders").unwrap()
}

proptest! {
    #[test]
    fn the_window_is_as_a_naive_one(window_ms in 1_000u64..8_000, steps in vec(step(), 1..60)) {
        let mut run = Run::new(window_ms);
        steps.iter().for_each(|step| run.step(step));
        run.world.finish();
    }

    /// While the window grows and shrinks, a duplicate always is one of the window there is now; and an id is one at
    /// least as long as every window since it was seen would have it.
    #[test]
    fn a_window_that_changes_is_never_wrong(steps in vec((step(), 1_000u64..8_000), 1..60)) {
        let mut run = Run::new(4_000);
        let mut seen: BTreeMap<u16, Seen> = BTreeMap::new();
        let (mut window_ms, mut next) = (4_000, 1);
        for (step, changed_ms) in &steps {
            match step {
                Step::Window(_) => {
                    window_ms = *changed_ms;
                    let options = Options::new().with_number(DEDUP_WINDOW_MS, window_ms);
                    run.once(Change::Update { name: name(), options });
                    seen.values_mut().for_each(|seen| seen.shortest_ms = seen.shortest_ms.min(window_ms));
                }
                Step::Publish(ids) => {
                    let (got, now_ms) = (run.send(ids), run.world.now.wall_ms);
                    for (id, published) in ids.iter().zip(got) {
                        let before = seen.get(id);
                        if let Published::Duplicate(number) = published {
                            let right = |seen: &Seen| seen.number == number && now_ms < seen.when_ms + window_ms;
                            prop_assert!(before.is_some_and(right));
                            continue;
                        }
                        prop_assert_eq!(published, Published::Accepted(next));
                        let over = |seen: &Seen| now_ms >= seen.when_ms + seen.shortest_ms;
                        prop_assert!(before.is_none_or(over));
                        seen.insert(*id, Seen { when_ms: now_ms, number: next, shortest_ms: window_ms });
                        next += 1;
                    }
                }
                step => run.step(step),
            }
        }
        run.world.finish();
    }
}

/// An id, when it was taken in last and as which number, and the shortest window since.
struct Seen {
    when_ms: u64,
    number: u64,
    shortest_ms: u64,
}

#[test]
fn a_long_quiet_queue_keeps_nothing() {
    let mut run = Run::new(1_000);
    run.publish(&(0..500).collect::<Vec<_>>());
    assert_eq!(run.ids(), 500);
    for _ in 0..3 {
        run.world.advance(1_000);
        run.world.turn(0, Vec::new());
    }
    assert_eq!(run.ids(), 0);
    assert!(run.world.rows.range(&KeyRange::alarms(0)).next().is_none(), "no alarm is left");
    run.publish(&[1]);
    run.world.finish();
}

#[test]
fn with_steady_work_two_windows_are_kept_at_most() {
    let mut run = Run::new(1_000);
    for turn in 0..200u16 {
        run.publish(&(turn * 100..turn * 100 + 100).collect::<Vec<_>>());
        run.world.advance(50);
        assert!(run.ids() <= 2 * 21 * 100, "{} ids after turn {turn}", run.ids());
    }
    run.world.finish();
}

/// Within each kind, other ids have another text.
#[test]
fn ids_of_a_kind_have_texts_of_their_own() {
    let bytes = |bytes: &'static [u8]| Id::Bytes(bytes.into());
    let kinds: [Vec<Id>; 4] = [
        vec!["".into(), "0".into(), "00".into(), "A".into(), "a".into()],
        vec![0.into(), 1.into(), 10.into(), u64::MAX.into()],
        vec![Id::Uuid(0), Id::Uuid(1), Id::Uuid(1 << 48), Id::Uuid(1 << 127), Id::Uuid(u128::MAX)],
        vec![bytes(b""), bytes(b"\0"), bytes(b"\x01"), bytes(b"\x10"), bytes(b"\0\x01")],
    ];
    for ids in kinds {
        let texts: std::collections::BTreeSet<_> = ids.iter().map(Id::to_string).collect();
        assert_eq!(texts.len(), ids.len(), "{ids:?}");
    }
}
