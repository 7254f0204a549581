//! Runs a history: gives its commands to the core and to the model, and compares.

use super::answer::Answer;
use super::bulk::Handed;
use super::ops::{CLIENTS, Op, Setup};
use super::reference::{Durations, Entity, Model};
use super::sharing::Shared;
use super::support::world::World;
use postrider_core::command::{Change, Command, OpenReceiver, Owner};
use postrider_core::effect::Effect;
use postrider_core::limits::Window;
use postrider_protocol::name::{Address, EntityName, Lane};
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish};
use postrider_protocol::token::LockToken;
use std::collections::{BTreeMap, VecDeque};

/// Outcomes are forgotten after an hour without a word; histories stay below.
const LONGEST_MS: u64 = 3_000_000;
/// More moments than the clock can have something to do at.
const MOST_STEPS: u32 = 10_000;
/// Turns from one look at everything to the next.
const LOOK_EVERY: u64 = 12;

/// A history while it runs.
pub struct Run {
    pub world: World,
    pub model: Model,
    /// Names of the entities' numbers.
    pub ids: BTreeMap<(u16, u64), String>,
    /// First token and number of messages of each delivery.
    pub deliveries: Vec<(LockToken, u64)>,
    pub connections: Vec<u64>,
    pub next_connection: u64,
    pub next_request: u32,
    pub sequences: Vec<u64>,
    pub floors: Vec<u64>,
    pub requests: Vec<(u16, usize, u64, Change)>,
    pub gathered: BTreeMap<u16, Vec<Command>>,
    pub gather: usize,
    pub hold_reads: usize,
    pub bodies: u64,
    /// What this turn hands out by number.
    pub handed: VecDeque<Handed>,
    /// What it gives out of queues that share their messages.
    pub shared: BTreeMap<(String, Lane), Shared>,
    turns: u64,
    passed_ms: u64,
}

/// Runs a history in a world of so many shards.
pub fn run(shards: u16, window: Window, history: &[Op]) {
    let mut run = Run {
        world: World::within(shards, window),
        model: Model::default(),
        ids: BTreeMap::new(),
        deliveries: Vec::new(),
        connections: (0..CLIENTS as u64).collect(),
        next_connection: CLIENTS as u64,
        next_request: 0,
        sequences: vec![1; CLIENTS],
        floors: vec![0; CLIENTS],
        requests: Vec::new(),
        gathered: BTreeMap::new(),
        gather: 0,
        hold_reads: 0,
        bodies: 0,
        handed: VecDeque::new(),
        shared: BTreeMap::new(),
        turns: 0,
        passed_ms: 0,
    };
    let setup = |lock_s, max, levels| Setup { lock_s, max, levels, ..Setup::default() };
    run.op(&Op::CreateQueue { name: 0, setup: setup(10, 2, 2) });
    run.op(&Op::CreateTopic { name: 0, window_s: 0 });
    run.op(&Op::CreateSubscription { topic: 0, name: 0, setup: setup(10, 3, 1) });
    run.op(&Op::CreateSubscription { topic: 0, name: 1, setup: setup(30, 1, 3) });
    run.op(&Op::CreateQueue { name: 1, setup: Setup { by_session: true, ..setup(10, 2, 1) } });
    run.op(&Op::CreateSubscription {
        topic: 0,
        name: 2,
        setup: Setup { by_session: true, ..setup(10, 3, 2) },
    });
    history.iter().for_each(|op| run.op(op));
    run.finish();
}

impl Run {
    pub fn send(&mut self, shard: u16, command: Command) {
        self.gathered.entry(shard).or_default().push(command);
        self.gather = self.gather.saturating_sub(1);
        if self.gather == 0 {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        self.gather = 0;
        for (shard, commands) in std::mem::take(&mut self.gathered) {
            self.turn(shard, &commands);
            self.follow_up(shard);
        }
    }

    fn follow_up(&mut self, shard: u16) {
        if self.hold_reads > 0 {
            self.hold_reads -= 1;
            return;
        }
        while self.world.has_read(shard) {
            self.turn(shard, &[]);
        }
        self.nobody_waits(shard);
    }

    fn turn(&mut self, shard: u16, commands: &[Command]) {
        let turn = match self.hold_reads {
            0 => self.world.turn(shard, commands.to_vec()),
            _ => self.world.turn_without_reads(shard, commands.to_vec()),
        };
        self.learn(shard, &turn.facts);
        self.decide(shard, commands, &turn.effects);
        self.model.entities.values_mut().for_each(Entity::note_mixed);
        turn.effects.iter().for_each(|effect| self.effect(shard, effect));
        self.check_shared();
        self.model.entities.values_mut().for_each(Entity::forget_sessions);
        assert_eq!(self.model.answers, BTreeMap::new(), "not answered");
        assert!(self.model.closed.is_empty(), "not closed: {:?}", self.model.closed);
        self.compare(shard);
        self.turns += 1;
        if self.turns.is_multiple_of(LOOK_EVERY) {
            self.look_at_all(shard);
        }
    }

    fn effect(&mut self, shard: u16, effect: &Effect) {
        match effect {
            Effect::Reply(ticket, Reply::Drained { handle, delivered }) => {
                self.drained(*ticket, *handle, *delivered);
            }
            Effect::Reply(ticket, reply) => {
                assert_eq!(self.model.answers.remove(ticket), Some(Answer::of(reply)), "{reply:?}");
            }
            Effect::Deliver(deliver) => self.deliver(shard, deliver),
            Effect::Closed(key, _) => assert!(self.model.closed.remove(key), "{key:?} was closed"),
            Effect::Load(_) | Effect::Send { .. } | Effect::Receipt { .. } => {}
        }
    }

    pub fn advance(&mut self, ms: u64) {
        self.flush();
        if self.passed_ms + ms > LONGEST_MS {
            return;
        }
        self.passed_ms += ms;
        let (mut left_ms, mut steps) = (ms, 0);
        // What full queues do with several moments at once depends on where pages begin: there each comes by itself.
        while let Some(step_ms) = self.next_step_ms().filter(|step_ms| *step_ms < left_ms) {
            left_ms -= step_ms;
            steps += 1;
            assert!(steps < MOST_STEPS, "the clock acts on and on");
            self.pass(step_ms);
        }
        self.pass(left_ms);
    }

    /// How long until the clock acts, where it has to act moment by moment.
    fn next_step_ms(&self) -> Option<u64> {
        let now = self.world.now;
        let deadlines = self.world.shards.iter().filter_map(|shard| shard.next_deadline_ms(now)).min();
        let is_limited = self.model.entities.values().any(Entity::is_limited);
        deadlines.filter(|_| is_limited).map(|deadline| deadline.saturating_sub(now.mono_ms))
    }

    fn pass(&mut self, ms: u64) {
        self.world.advance(ms);
        for shard in 0..self.world.shards.len() as u16 {
            let deadline = self.world.shards[usize::from(shard)].next_deadline_ms(self.world.now);
            if deadline.is_some_and(|deadline| deadline <= self.world.now.mono_ms) {
                self.turn(shard, &[]);
                self.follow_up(shard);
            }
        }
    }

    /// Every message that was accepted and not settled comes out, in order.
    fn finish(&mut self) {
        self.flush();
        self.hold_reads = 0;
        // The connections that the broker takes for alive, too.
        (0..self.next_connection)
            .for_each(|connection| self.send_to_all(&Command::Disconnected { connection }));
        self.passed_ms = 0;
        self.give_all_out();
        // Locks run out, and then the delays that follow.
        self.advance(60_000);
        self.advance(60_000);
        let left: Vec<_> = self.model.queues(&|_| true);
        for (key, lane) in left {
            let name = self.model.entities[&key].name.clone();
            if self.model.is_by_session(&(key.clone(), lane)) {
                self.empty_sessions(&name);
                self.is_empty(&key, lane);
            } else if self.model.entities[&key].kind != EntityKind::Topic {
                self.empty(&key, lane);
            }
        }
        self.world.finish();
    }

    fn empty(&mut self, key: &str, lane: Lane) {
        let address = Address { entity: EntityName::new(key).unwrap(), lane };
        let shard = self.world.home(&address.entity);
        let owner = Owner { client: 99, handle: self.next_request };
        let ticket = self.ticket(self.next_connection);
        let mode = ReceiveMode::ReceiveAndDelete;
        let (lock_duration_ms, release_on_disconnect, held) = (0, false, Vec::new());
        let open = OpenReceiver {
            ticket,
            owner,
            address,
            mode,
            lock_duration_ms,
            release_on_disconnect,
            held,
            weight: 1,
            session: SessionWish::None,
            wait_ms: 0,
        };
        self.send(shard, Command::OpenReceiver(open));
        let flow = Flow { handle: owner.handle, delivered: 0, credit: 10_000, drain: true };
        let ticket = self.ticket(self.next_connection);
        self.send(shard, Command::Flow { ticket, flow });
        self.is_empty(key, lane);
    }

    /// Nothing is left but what waits to be asked for, or behind such.
    fn is_empty(&self, key: &str, lane: Lane) {
        let left = self.model.queue(&(key.to_owned(), lane)).unwrap();
        assert_eq!(left.active(), left.deferred() + left.delayed(), "{key} is not empty");
    }

    pub fn remember(&mut self, token: LockToken, messages: u64, durations: Durations) {
        self.deliveries.push((token, messages));
        let before = self.model.leases.insert((token.shard, token.lease), durations);
        assert!(before.is_none(), "lease {} was given twice", token.lease);
    }
}
