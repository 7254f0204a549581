//! Messages that go from entity to entity over long histories, with what is on its way lost at any moment: each one is in
//! one place at the end, or was completed.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use bytes::Bytes;
use postrider_core::command::{Change, Command, OpenReceiver, Operation, Owner, Portion, Question, Ticket};
use postrider_core::effect::{Deliver, Effect};
use postrider_core::limits::PARCELS_AGAIN_MS;
use postrider_core::shard::Turn;
use postrider_protocol::message::{Message, Record};
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish, SettleItem, Settlement, Stamp, States};
use postrider_protocol::token::LockToken;
use proptest::prelude::*;
use std::collections::BTreeSet;
use support::world::{World, incoming};

/// Queues, and what they pass on: along a chain, into one that is soon full, dead letters, and in a circle.
const QUEUES: [(&str, &[(&str, &str)]); 10] = [
    ("last", &[]),
    ("middle", &[("forward_to", "last")]),
    ("first", &[("forward_to", "middle")]),
    ("small", &[("max_messages", "2")]),
    ("to-small", &[("forward_to", "small")]),
    ("failing", &[("max_delivery_count", "1"), ("forward_dead_letters_to", "last")]),
    ("circle", &[("forward_to", "around")]),
    ("around", &[("forward_to", "circle")]),
    ("sessions", &[("requires_session", "true"), ("max_messages", "3"), ("on_full", "drop-oldest")]),
    ("urgent", &[("priority_levels", "3"), ("fair_key", "to"), ("capacity_units", "2")]),
];

/// Queues that somebody receives from.
const WORKED: [&str; 4] = ["last", "small", "failing", "urgent"];

/// What a worker does with a message.
#[derive(Debug, Clone, Copy)]
enum Work {
    Complete,
    Abandon,
    /// Completes it, and sends another to a queue in the same transaction.
    Transact(usize),
}

#[derive(Debug, Clone)]
enum Step {
    Publish(usize, usize),
    Work(usize, Vec<Work>),
    /// What is on its way to a shard arrives.
    Arrive(u16),
    /// A shard begins again from its rows; what was on its way to it is lost.
    Reload(u16),
    Advance(u64),
    /// A queue passes its messages, or its dead letters, on to another one from now on, or to none.
    Redirect(usize, &'static str, Option<usize>),
    /// What a queue keeps of what failed is tried again.
    Redrive(usize, &'static str),
    SetStatus(usize, &'static str),
    /// A queue goes with all that is in it, and one of its name comes.
    Replace(usize),
    /// A message that nobody holds is removed, and another one sent for it.
    Exchange(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let queue = 0..QUEUES.len();
    let work =
        prop_oneof![Just(Work::Complete), Just(Work::Abandon), queue.clone().prop_map(Work::Transact),];
    let step = prop_oneof![
        4 => (queue, 1..6usize).prop_map(|(queue, count)| Step::Publish(queue, count)),
        3 => (0..WORKED.len(), prop::collection::vec(work, 1..5)).prop_map(|(queue, work)| Step::Work(queue, work)),
        4 => (0..16u16).prop_map(Step::Arrive),
        2 => (0..16u16).prop_map(Step::Reload),
        1 => (1..2_000u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..60)
}

/// The same, with queues that change and go.
fn changes() -> impl Strategy<Value = Vec<Step>> {
    let queue = || 0..QUEUES.len();
    let option = prop::sample::select(vec!["forward_to", "forward_dead_letters_to"]);
    let lane = prop::sample::select(vec!["$dead-letter", "$transfer-dead-letter"]);
    let status =
        prop::sample::select(vec!["active", "active", "send-disabled", "receive-disabled", "disabled"]);
    let step = prop_oneof![
        4 => (queue(), option, prop::option::weighted(0.8, queue())).prop_map(|(queue, option, to)| Step::Redirect(queue, option, to)),
        2 => (queue(), lane).prop_map(|(queue, lane)| Step::Redrive(queue, lane)),
        2 => (queue(), status).prop_map(|(queue, status)| Step::SetStatus(queue, status)),
        2 => (queue(), queue()).prop_map(|(queue, to)| Step::Exchange(queue, to)),
        1 => queue().prop_map(Step::Replace),
    ];
    (steps(), prop::collection::vec((any::<prop::sample::Index>(), step), 0..20)).prop_map(
        |(mut steps, changes)| {
            for (at, change) in changes {
                steps.insert(at.index(steps.len()), change);
            }
            steps
        },
    )
}

struct Moves {
    world: World,
    sequence: u64,
    next_message: u64,
    /// Messages that must be there.
    alive: BTreeSet<u64>,
    /// Whether some of them may have gone with their queue.
    replaced: bool,
}

fn name(text: &str) -> EntityName {
    EntityName::new(text).unwrap()
}

impl Moves {
    fn new(shards: u16) -> Self {
        let mut moves = Moves {
            world: World::new(shards),
            sequence: 0,
            next_message: 0,
            alive: BTreeSet::new(),
            replaced: false,
        };
        (0..QUEUES.len()).for_each(|queue| moves.create(queue));
        moves
    }

    fn create(&mut self, queue: usize) {
        let (queue, texts) = QUEUES[queue];
        let mut options = Options::new();
        texts.iter().for_each(|(name, value)| options.set(name, value).unwrap());
        let create =
            Change::Create { name: name(queue), kind: EntityKind::Queue, options, rules: Vec::new() };
        self.change(self.world.home(&name(queue)), create);
    }

    fn update(&mut self, queue: usize, option: &str, value: &str) {
        let mut options = Options::new();
        options.set(option, value).unwrap();
        let name = name(QUEUES[queue].0);
        self.change(self.world.home(&name), Change::Update { name, options });
    }

    fn replace(&mut self, queue: usize) {
        self.replaced = true;
        let name = name(QUEUES[queue].0);
        self.change(self.world.home(&name), Change::Delete { name });
        self.create(queue);
    }

    fn redrive(&mut self, queue: &str, lane: &str) {
        let address = Address::parse(&format!("{queue}/{lane}")).unwrap();
        let home = self.world.home(&address.entity);
        self.change(home, Change::Redrive { address, portion: Portion::default(), dry_run: false });
    }

    fn exchange(&mut self, queue: &str, to: &str) {
        for lane in ["", "/$dead-letter", "/$transfer-dead-letter"] {
            let address = Address::parse(&format!("{queue}{lane}")).unwrap();
            let Some((sequence, number)) = self.seen(&address).first().copied() else { continue };
            let (sent, message) = self.message();
            let operations = vec![
                Operation::Remove { address: address.clone(), sequence },
                Operation::Send { entity: name(to), messages: vec![incoming(&message)] },
            ];
            if let Reply::Published(_) =
                self.change(self.world.home(&address.entity), Change::Transact(operations))
            {
                self.alive.remove(&number);
                self.alive.insert(sent);
            }
        }
    }

    fn change(&mut self, shard: u16, change: Change) -> Reply {
        self.sequence += 1;
        let (ticket, stamp) =
            (Ticket { connection: 0, request: 0 }, Stamp { sequence: self.sequence, floor: self.sequence });
        let command = Command::Once { ticket, client: 99, stamp, change };
        let turn = self.world.turn_without_reads(shard, vec![command]);
        let replies = turn.effects.iter().find_map(|effect| match effect {
            Effect::Reply(_, reply) => Some(reply.clone()),
            _ => None,
        });
        replies.unwrap()
    }

    fn message(&mut self) -> (u64, Message) {
        self.next_message += 1;
        let number = self.next_message;
        let message = Message {
            session_id: number.is_multiple_of(2).then(|| (number % 3).to_string()),
            priority: Some((number % 3) as u8 + 1),
            ..Message::new("x").with_id(number.to_string().as_str())
        };
        (number, message)
    }

    fn step(&mut self, step: &Step) {
        let shards = self.world.shards.len() as u16;
        match step {
            Step::Publish(queue, count) => (0..*count).for_each(|_| self.publish(QUEUES[*queue].0)),
            Step::Work(queue, work) => self.work(WORKED[*queue], work),
            Step::Arrive(shard) => _ = self.world.turn(shard % shards, Vec::new()),
            Step::Reload(shard) => self.world.reload(shard % shards),
            Step::Advance(ms) => self.world.advance(*ms),
            Step::Redirect(queue, option, to) => {
                self.update(*queue, option, to.map_or("none", |to| QUEUES[to].0));
            }
            Step::SetStatus(queue, status) => self.update(*queue, "status", status),
            Step::Redrive(queue, lane) => self.redrive(QUEUES[*queue].0, lane),
            Step::Replace(queue) => self.replace(*queue),
            Step::Exchange(queue, to) => self.exchange(QUEUES[*queue].0, QUEUES[*to].0),
        }
    }

    fn publish(&mut self, queue: &str) {
        let (number, message) = self.message();
        let messages = vec![Ok(incoming(&message))];
        let publish = Change::Publish { entity: name(queue), atomic: true, messages };
        if let Reply::Published(_) = self.change(self.world.home(&name(queue)), publish) {
            self.alive.insert(number);
        }
    }

    /// Somebody comes, takes as many messages as there are things to do, and leaves.
    fn work(&mut self, queue: &str, work: &[Work]) {
        let shard = self.world.home(&name(queue));
        let ticket = Ticket { connection: 7, request: 0 };
        let open = OpenReceiver {
            ticket,
            owner: Owner { client: 7, handle: 1 },
            address: Address::parse(queue).unwrap(),
            mode: ReceiveMode::PeekLock,
            lock_duration_ms: 0,
            release_on_disconnect: true,
            held: Vec::new(),
            weight: 1,
            session: SessionWish::None,
            wait_ms: 0,
        };
        let flow = Flow { handle: 1, delivered: 0, credit: work.len() as u32, drain: false };
        let commands = vec![Command::OpenReceiver(open), Command::Flow { ticket, flow }];
        let turn = self.world.turn_without_reads(shard, commands);
        for ((token, number), what) in self.delivered(shard, &turn).into_iter().zip(work) {
            self.settle(shard, token, number, *what);
        }
        self.world.turn_without_reads(shard, vec![Command::Disconnected { connection: 7 }]);
    }

    fn delivered(&self, shard: u16, turn: &Turn) -> Vec<(LockToken, u64)> {
        let of = |deliver: &Deliver| {
            let places = deliver
                .runs
                .iter()
                .flat_map(|run| (run.index..run.index + run.count).map(|at| (run.page, at)));
            let messages = places.map(|(page, at)| self.world.record(shard, deliver.queue, page, at));
            let tokens = (0..).map(|place| LockToken { place, ..deliver.token });
            tokens.zip(messages).map(|(token, record)| (token, number(&record))).collect::<Vec<_>>()
        };
        let delivers = turn.effects.iter().filter_map(|effect| match effect {
            Effect::Deliver(deliver) => Some(of(deliver)),
            _ => None,
        });
        delivers.flatten().collect()
    }

    fn settle(&mut self, shard: u16, token: LockToken, number: u64, what: Work) {
        let item = |settlement| SettleItem { token, run: 1, settlement };
        let complete = || Operation::Settle(item(Settlement::Complete));
        match what {
            Work::Abandon => {
                let abandon = Settlement::Abandon { delay_ms: 0, properties: Vec::new() };
                self.change(shard, Change::Settle(vec![item(abandon)]));
            }
            Work::Complete => {
                self.change(shard, Change::Transact(vec![complete()]));
                self.alive.remove(&number);
            }
            Work::Transact(queue) => {
                let (sent, message) = self.message();
                let send =
                    Operation::Send { entity: name(QUEUES[queue].0), messages: vec![incoming(&message)] };
                if let Reply::Published(_) = self.change(shard, Change::Transact(vec![complete(), send])) {
                    self.alive.remove(&number);
                    self.alive.insert(sent);
                }
            }
        }
    }

    /// Lets everything arrive that is on its way.
    fn settle_down(&mut self) {
        let shards = self.world.shards.len() as u16;
        // What was lost leaves again, and what it sets free after it.
        for _ in 0..8 {
            self.world.advance(PARCELS_AGAIN_MS);
            (0..shards).for_each(|shard| _ = self.world.turn(shard, Vec::new()));
            let mut turns = 0;
            while let Some(shard) = self.world.has_read_any() {
                self.world.turn(shard, Vec::new());
                turns += 1;
                assert!(turns < 10_000, "messages are passed on and on");
            }
        }
    }

    /// The messages at an address, in order.
    fn look(&self, address: &str) -> Vec<u64> {
        self.seen(&Address::parse(address).unwrap()).into_iter().map(|(_, number)| number).collect()
    }

    /// The same, with the numbers that they have there.
    fn seen(&self, address: &Address) -> Vec<(u64, u64)> {
        let shard = &self.world.shards[usize::from(self.world.home(&address.entity))];
        let peek = Question::Peek { from: 0, limit: 0, states: States::default(), filter: String::new() };
        let Reply::Peeked { messages, next: 0 } = shard.answer(&self.world.rows, address, &peek).unwrap()
        else {
            panic!("not all is seen");
        };
        let number = |record: &Bytes| number(&Record::decode(record.clone()).unwrap());
        messages.iter().map(|seen| (seen.message.sequence, number(&seen.message.record))).collect()
    }

    fn check(&self) {
        self.check_places();
        for passing in ["middle", "first", "to-small", "circle", "around", "failing/$dead-letter"] {
            assert!(self.look(passing).is_empty(), "nothing stays in {passing}");
        }
    }

    fn check_places(&self) {
        let lanes = ["", "/$dead-letter", "/$transfer-dead-letter"];
        let places = QUEUES.iter().flat_map(|(queue, _)| lanes.map(|lane| format!("{queue}{lane}")));
        let mut all: Vec<_> = places.flat_map(|address| self.look(&address)).collect();
        all.sort_unstable();
        let alive = self.alive.iter().copied().filter(|number| !self.replaced || all.contains(number));
        assert_eq!(all, alive.collect::<Vec<_>>(), "each message is in one place");
    }
}

fn number(record: &Record) -> u64 {
    Message::decode(record.message.clone()).unwrap().message_id.unwrap().to_string().parse().unwrap()
}

fn hold(shards: u16, steps: &[Step], check: fn(&Moves)) {
    let mut moves = Moves::new(shards);
    steps.iter().for_each(|step| moves.step(step));
    moves.settle_down();
    check(&moves);
    (0..shards).for_each(|shard| moves.world.reload(shard));
    moves.settle_down();
    check(&moves);
    moves.world.finish();
}

proptest! {
    #[test]
    fn each_message_is_in_one_place_in_one_shard(steps in steps()) {
        hold(1, &steps, Moves::check);
    }

    #[test]
    fn each_message_is_in_one_place_over_many_shards(steps in steps()) {
        hold(16, &steps, Moves::check);
    }

    #[test]
    fn no_message_is_lost_or_doubled_where_queues_change_and_go(steps in changes()) {
        hold(1, &steps, Moves::check_places);
        hold(16, &steps, Moves::check_places);
    }
}

/// A long backlog goes along a chain in order, while what is on its way is lost again and again.
#[test]
fn order_is_kept_over_restarts() {
    let mut moves = Moves::new(16);
    for at in 0..600 {
        moves.publish("first");
        if at % 7 == 0 {
            (0..16).filter(|shard| (at + shard) % 3 != 0).for_each(|shard| moves.step(&Step::Arrive(shard)));
        }
        if at % 50 == 49 {
            (0..16).for_each(|shard| moves.step(&Step::Reload(shard)));
        }
    }
    moves.settle_down();
    assert_eq!(moves.look("last"), (1..=600).collect::<Vec<_>>());
    moves.check();
}
