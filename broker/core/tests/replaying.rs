//! A topic with subscriptions over long histories: what it stores once, what it keeps, and what is replayed. After each
//! step every subscription has the messages that a naive account says, in its order.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use postrider_core::command::{Change, Portion, Question};
use postrider_core::key::{Key, KeyRange, QueueId};
use postrider_core::limits::Window;
use postrider_protocol::message::{Message, Record};
use postrider_protocol::name::{Address, EntityName, Lane};
use postrider_protocol::options::{EntityKind, Options, REPLAY_FROM_SEQUENCE, RETAIN_MS};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Start, States};
use postrider_protocol::rule::Rule;
use postrider_protocol::value::{Id, Value};
use proptest::prelude::*;
use support::bodies;
use support::world::{START_MS, World, body, incoming};

/// Subscriptions, and the SQL filter of each.
const SUBSCRIPTIONS: [(&str, &str); 3] = [("all", "TRUE"), ("odd", "n % 2 = 1"), ("few", "n = 3")];
/// A filter beside the rules, for some replays.
const SMALL: &str = "n < 4";

#[derive(Debug, Clone)]
enum Step {
    /// So many messages of about so many bytes.
    Publish(usize, usize),
    /// The oldest messages of a subscription go.
    Drop(usize, u32),
    Purge(usize),
    /// A subscription goes, and one of its name comes, with all that is kept or without.
    Replace(usize, bool),
    /// From so far behind the last number, or so long ago, with the filter or without.
    Replay(usize, u64, bool),
    ReplaySince(usize, u64),
    Advance(u64),
    Retain(u64),
    Reload,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..SUBSCRIPTIONS.len();
    let publish = prop_oneof![
        3 => (1..9usize, 1..200usize),
        3 => (Just(1usize), 1..200usize),
        1 => (1..4usize, 1_000..90_000usize),
        1 => (1_000..1_500usize, 1..20usize),
    ];
    let step = prop_oneof![
        6 => publish.prop_map(|(count, bytes)| Step::Publish(count, bytes)),
        3 => (which.clone(), 1..12u32).prop_map(|(at, count)| Step::Drop(at, count)),
        1 => which.clone().prop_map(Step::Purge),
        1 => (which.clone(), any::<bool>()).prop_map(|(at, replays)| Step::Replace(at, replays)),
        3 => (which.clone(), 0..2_000u64, any::<bool>()).prop_map(|(at, back, small)| Step::Replay(at, back, small)),
        2 => (which, 0..9_000u64).prop_map(|(at, ago)| Step::ReplaySince(at, ago)),
        4 => (1..2_000u64).prop_map(Step::Advance),
        1 => prop_oneof![Just(0), 1_000..9_000u64].prop_map(Step::Retain),
        2 => Just(Step::Reload),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A message as the account has it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sent {
    number: u64,
    n: i64,
    when_ms: u64,
}

struct Run {
    world: World,
    sequence: u64,
    sent: u64,
    retain_ms: u64,
    kept: Vec<Sent>,
    /// Of each subscription: the topic's number of each message, and whether it was replayed.
    expected: Vec<Vec<(u64, bool)>>,
}

fn name(at: usize) -> EntityName {
    EntityName::new(&format!("events/subscriptions/{}", SUBSCRIPTIONS[at].0)).unwrap()
}

fn address(at: usize) -> Address {
    Address { entity: name(at), lane: Lane::Main }
}

fn wants(at: usize, n: i64) -> bool {
    [true, n % 2 == 1, n == 3][at]
}

impl Run {
    fn new() -> Self {
        let world = World::within(1, Window { messages: 50, bytes: 20_000 });
        let expected = vec![Vec::new(); SUBSCRIPTIONS.len()];
        let mut run = Run { world, sequence: 0, sent: 0, retain_ms: 0, kept: Vec::new(), expected };
        let (name, kind) = (EntityName::new("events").unwrap(), EntityKind::Topic);
        run.change(Change::Create { name, kind, options: Options::new(), rules: Vec::new() });
        (0..SUBSCRIPTIONS.len()).for_each(|at| run.create(at, false));
        run
    }

    fn change(&mut self, change: Change) -> Reply {
        self.sequence += 1;
        self.world.once(self.sequence, change)
    }

    fn create(&mut self, at: usize, replays: bool) {
        let rules = vec![Rule::sql("wanted", SUBSCRIPTIONS[at].1)];
        let options = Options::new();
        let replays = replays && self.retain_ms > 0;
        let options = if replays { options.with_number(REPLAY_FROM_SEQUENCE, 1) } else { options };
        let reply =
            self.change(Change::Create { name: name(at), kind: EntityKind::Subscription, options, rules });
        assert_eq!(reply, Reply::Done);
        if replays {
            self.expect_replay(at, |_| true);
        }
    }

    fn expect_replay(&mut self, at: usize, takes: impl Fn(&Sent) -> bool) {
        let kept = self.kept.iter().filter(|sent| wants(at, sent.n) && takes(sent));
        self.expected[at].extend(kept.map(|sent| (sent.number, true)));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish(count, bytes) => self.publish(count, bytes),
            Step::Drop(at, limit) => {
                let portion = Portion { limit, ..Portion::default() };
                self.change(Change::Purge { address: address(at), portion });
                let most = self.expected[at].len().min(limit as usize);
                self.expected[at].drain(..most);
            }
            Step::Purge(at) => {
                self.change(Change::Purge { address: address(at), portion: Portion::default() });
                self.expected[at].clear();
            }
            Step::Replace(at, replays) => {
                self.change(Change::Delete { name: name(at) });
                self.expected[at].clear();
                self.create(at, replays);
            }
            Step::Replay(at, back, small) => {
                let from = self.sent.saturating_sub(back);
                let filter = if small { SMALL } else { "" };
                self.replay(at, Start::Sequence(from), filter, |sent| {
                    sent.number >= from && (!small || sent.n < 4)
                });
            }
            Step::ReplaySince(at, ago) => {
                let since = (self.world.now.wall_ms - ago).max(START_MS);
                self.replay(at, Start::Time(since), "", |sent| sent.when_ms >= since);
            }
            Step::Advance(ms) => self.world.advance(ms),
            Step::Retain(retain_ms) => {
                let options = match retain_ms {
                    0 => Options::new().with_unset(RETAIN_MS),
                    _ => Options::new().with_number(RETAIN_MS, retain_ms),
                };
                self.change(Change::Update { name: EntityName::new("events").unwrap(), options });
                self.retain_ms = retain_ms;
            }
            Step::Reload => self.world.reload(0),
        }
    }

    fn publish(&mut self, count: usize, bytes: usize) {
        let messages = (0..count).map(|at| {
            let n = (self.sent as i64 + at as i64) % 7;
            let message = Message { body: body(bytes + at), ..Message::default() };
            let id = Some(Id::Text((self.sent + at as u64 + 1).to_string()));
            Message { message_id: id, properties: vec![("n".to_owned(), Value::Int(n))], ..message }
        });
        let messages = messages.map(|message| Ok(incoming(&message))).collect();
        let when_ms = self.world.now.wall_ms;
        self.change(Change::Publish { entity: EntityName::new("events").unwrap(), atomic: false, messages });
        for _ in 0..count {
            let sent = Sent { number: self.sent + 1, n: self.sent as i64 % 7, when_ms };
            self.sent += 1;
            self.kept.extend((self.retain_ms > 0).then_some(sent));
            for at in (0..SUBSCRIPTIONS.len()).filter(|at| wants(*at, sent.n)) {
                self.expected[at].push((sent.number, false));
            }
        }
    }

    fn replay(&mut self, at: usize, start: Start, filter: &str, takes: impl Fn(&Sent) -> bool) {
        let filter = filter.to_owned();
        match self.change(Change::Replay { subscription: name(at), start, filter }) {
            Reply::Replaying { .. } => self.expect_replay(at, takes),
            reply => assert!(matches!(reply, Reply::Refused(_)) && self.retain_ms == 0, "{reply:?}"),
        }
    }

    /// Until nothing is to be done, with a start anew after each turn where that is wanted.
    fn settle(&mut self, reloads: bool) {
        while self.world.is_busy().is_some() {
            self.world.turn(0, Vec::new());
            if reloads {
                self.world.reload(0);
            }
        }
        let (now, retain_ms) = (self.world.now.wall_ms, self.retain_ms);
        self.kept.retain(|sent| sent.when_ms + retain_ms > now);
    }

    fn check(&self) {
        bodies::check(&self.world.rows, 0);
        for (at, expected) in self.expected.iter().enumerate() {
            assert_eq!(self.found(at), *expected, "{}", SUBSCRIPTIONS[at].0);
        }
    }

    fn found(&self, at: usize) -> Vec<(u64, bool)> {
        let (mut found, mut from) = (Vec::new(), 0);
        loop {
            let question =
                Question::Peek { from, limit: 0, states: States::default(), filter: String::new() };
            let reply = self.world.shards[0].answer(&self.world.rows, &address(at), &question);
            let Reply::Peeked { messages, next } = reply.unwrap() else { panic!("no answer") };
            for peeked in messages {
                let record = Record::decode(peeked.message.record).unwrap();
                let message = Message::decode(record.message).unwrap();
                let Some(Id::Text(id)) = message.message_id else { panic!("{message:?}") };
                found.push((id.parse().unwrap(), record.replayed));
            }
            if next == 0 {
                return found;
            }
            from = next;
        }
    }

    /// Without subscriptions and time for what is kept, nothing is left of any message.
    fn end(mut self) {
        self.step(&Step::Retain(0));
        (0..SUBSCRIPTIONS.len()).for_each(|at| self.step(&Step::Purge(at)));
        self.settle(true);
        self.check();
        let keys = self.world.rows.0.keys().map(|key| Key::decode(key).unwrap());
        let left: Vec<_> = keys
            .filter(|key| matches!(key, Key::Page(..) | Key::References(..) | Key::Leaving(..)))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        self.world.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_subscription_has_what_it_should(steps in steps(), reloads in any::<bool>()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
            run.settle(reloads);
            run.check();
        }
        run.end();
    }
}

/// The pages of what was purged leave over many turns, whatever happens between them, and nobody finds them.
#[test]
fn what_leaves_is_not_seen_again() {
    let mut run = Run::new();
    for _ in 0..700 {
        run.publish(1, 10);
    }
    run.change(Change::Purge { address: address(0), portion: Portion::default() });
    run.expected[0].clear();
    let left = |run: &Run| {
        let pages = KeyRange::pages(0, QueueId::main(2), 0, u64::MAX);
        run.world.rows.range(&pages).count()
    };
    let mut before = left(&run);
    assert!(before > 256, "{before} pages are left after one turn");
    while run.world.is_busy().is_some() {
        run.publish(1, 10);
        run.check();
        run.world.reload(0);
        run.check();
        let now = left(&run);
        assert!(now < before, "{now} pages are left of {before}");
        before = now;
    }
    run.change(Change::Delete { name: name(0) });
    run.change(Change::Delete { name: EntityName::new("events").unwrap() });
    run.settle(true);
    assert_eq!(left(&run), 0);
    run.world.finish();
}
