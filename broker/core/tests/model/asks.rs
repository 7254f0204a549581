//! Work on many messages, on some by their numbers, and on sessions, made into commands.

use super::history::entity;
use super::ops::{Op, Part, Wish};
use super::queue::Queue;
use super::reference::Entity;
use super::run::Run;
use super::support::world::body;
use postrider_core::command::{Change, Command, Owner, Portion, ReceiverKey};
use postrider_protocol::name::{Address, Lane};
use postrider_protocol::options::{BALANCE, CAPACITY_UNITS, EntityKind, FAIR_KEY, Options, STATUS};
use postrider_protocol::reply::PeekState;
use postrider_protocol::request::{ScheduledAction, Selection, SessionWish, States};

/// No message has this number.
const UNKNOWN: u64 = 1_000_000;

impl Run {
    pub fn ask(&mut self, op: &Op) {
        match op {
            Op::Purge { entity: at, dead, part } => {
                let address = address(*at, *dead);
                let portion = self.portion(&address, part);
                self.change(entity(*at), |_| Change::Purge { address, portion });
            }
            Op::Redrive { entity: at, dead, part, dry_run } => {
                let address = address(*at, *dead);
                let portion = self.portion(&address, part);
                let dry_run = *dry_run;
                self.change(entity(*at), |_| Change::Redrive { address, portion, dry_run });
            }
            Op::Scheduled { entity: at, now, picks } => {
                let there = self.model.entities.get(&entity(*at).key());
                let there = there.map(|entity| entity.scheduled.keys().copied().collect::<Vec<u64>>());
                let sequences = pick(&there.unwrap_or_default(), picks);
                let action = if *now { ScheduledAction::DeliverNow } else { ScheduledAction::Cancel };
                self.change(entity(*at), |entity| Change::Scheduled { entity, action, sequences });
            }
            Op::ReceiveDeferred { client, handle, picks } => {
                let key = ReceiverKey { connection: self.connections[*client], handle: *handle };
                self.receive_deferred(key, picks, *client);
            }
            Op::RenewSession { client, handle } => {
                let key = ReceiverKey { connection: self.connections[*client], handle: *handle };
                let ticket = self.ticket(key.connection);
                self.send(self.shard_of(key), Command::RenewSession { ticket, handle: *handle });
            }
            Op::GetState { client, handle } => {
                let key = ReceiverKey { connection: self.connections[*client], handle: *handle };
                let ticket = self.ticket(key.connection);
                self.send(self.shard_of(key), Command::GetSessionState { ticket, handle: *handle });
            }
            Op::SetState { client, handle, bytes } => {
                let key = ReceiverKey { connection: self.connections[*client], handle: *handle };
                let state = bytes.map(body);
                let change = Change::SetSessionState { handle: *handle, state };
                self.stamped_by(self.shard_of(key), *client, change);
            }
            _ => {}
        }
    }

    /// The shard where a receiver is open, or waits for its session.
    pub fn shard_of(&self, key: ReceiverKey) -> u16 {
        let waits = || self.model.waiting.iter().find(|waiting| waiting.key() == key).map(|it| it.shard);
        self.model.receivers.get(&key).map(|open| open.shard).or_else(waits).unwrap_or(0)
    }

    /// The session that is asked for, and how long it is waited for. Who holds something of another queue does not
    /// wait: it would be let go in the middle of a turn's end.
    pub fn wish(&mut self, address: &Address, owner: Owner, wish: &Wish) -> (SessionWish, u64) {
        let at = (address.entity.key(), address.lane);
        if self.model.is_by_session(&at) == wish.wrong {
            return (SessionWish::None, 0);
        }
        let opens = |it: &Command| matches!(it, Command::OpenReceiver(open) if open.owner == owner);
        if self.gathered.values().flatten().any(opens) {
            self.flush();
        }
        let session = match wish.session {
            0 => SessionWish::Next,
            number => SessionWish::Named(format!("s{number}")),
        };
        let open =
            self.model.receivers.values().filter(|open| open.owner == owner).map(|open| open.at.clone());
        let locked = self.model.queues(&|_| true).into_iter().filter(|at| {
            let mut locks = self.model.queue(at).into_iter().flat_map(Queue::locks);
            locks.any(|lock| lock.owner == owner)
        });
        let waits = open.chain(locked).all(|other| other == at);
        (session, if waits { wish.wait_s * 1_000 } else { 0 })
    }

    /// Deferred messages, and among them any other.
    fn receive_deferred(&mut self, key: ReceiverKey, picks: &[usize], client: usize) {
        let Some(receiver) = self.model.receivers.get(&key) else { return };
        let (shard, queue) = (receiver.shard, self.model.queue(&receiver.at).unwrap());
        let there = queue.messages.iter().filter(|(number, message)| message.deferred || *number % 5 == 0);
        let there = there.map(|(number, _)| *number).collect::<Vec<u64>>();
        let change = Change::ReceiveDeferred { handle: key.handle, sequences: pick(&there, picks) };
        self.stamped_by(shard, client, change);
    }

    fn portion(&self, address: &Address, part: &Part) -> Portion {
        let queue = self.model.queue(&(address.entity.key(), address.lane));
        let there =
            queue.map(|queue| queue.messages.keys().copied().collect::<Vec<u64>>()).unwrap_or_default();
        let age_ms = part.age_s * 1_000;
        let selection = Selection {
            states: States::of(PeekState::ALL.get(part.state..=part.state).unwrap_or_default()),
            before_ms: if age_ms == 0 { 0 } else { self.world.now.wall_ms - age_ms },
            sequences: if part.picks.is_empty() { Vec::new() } else { pick(&there, &part.picks) },
            ..Selection::default()
        };
        let to = if part.span == 0 { 0 } else { part.from + part.span };
        Portion { selection, from: part.from, to, limit: part.limit }
    }

    /// Where a window is on, the clock is not set back: ids may be forgotten then. Where queues are full, it does not
    /// jump ahead over several moments.
    pub fn may_move_clock(&self, seconds: i64) -> bool {
        let forgets = |entity: &Entity| seconds < 0 && entity.window_ms > 0;
        let jumps = |entity: &Entity| seconds > 0 && entity.is_limited();
        !self.model.entities.values().any(|entity| forgets(entity) || jumps(entity))
    }

    /// Everything may be received again.
    pub fn give_all_out(&mut self) {
        let entities = self.model.entities.values().map(|entity| (entity.name.clone(), entity.kind));
        for (name, kind) in entities.collect::<Vec<_>>() {
            let mut options = Options::new().with_text(STATUS, "active");
            if kind != EntityKind::Topic {
                options = options.with_text(BALANCE, "least-outstanding");
                options = options.with_unset(CAPACITY_UNITS).with_unset(FAIR_KEY);
            }
            self.change(name, |name| Change::Update { name, options });
        }
        self.flush();
    }
}

fn address(number: usize, dead: bool) -> Address {
    let lane = if dead { Lane::DeadLetter } else { Lane::Main };
    Address { entity: entity(number), lane }
}

/// Numbers of what is there, and of what is not.
fn pick(there: &[u64], picks: &[usize]) -> Vec<u64> {
    picks.iter().map(|at| there.get(*at).copied().unwrap_or(UNKNOWN + *at as u64)).collect()
}
