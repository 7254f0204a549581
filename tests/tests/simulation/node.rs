//! The broker: the engine's own turns, taken when the simulation says so.

use super::client::{Asked, Request, Said};
use super::disk::{Disk, NodeClock, Time};
use fastrand::Rng;
use postrider::engine::{
    Identity, Job, Outbox, Outgoing, OutgoingDelivery, Parts, Placement, Query, Records, Turns,
};
use postrider::store::{Disk as Room, LocalLog, StoreError};
use postrider_core::command::{Change, Command, OpenReceiver, Operation, Owner, Ticket};
use postrider_core::context::Places;
use postrider_protocol::name::Address;
use postrider_protocol::reply::{Delivered, Delivery, Reply};
use postrider_protocol::request::{ReceiveMode, Stamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The connection of the simulation itself, for questions.
const OBSERVER: u64 = u64::MAX;

/// A broker that runs.
pub struct Node {
    turns: Turns,
    placement: Arc<Placement>,
    inbox: Vec<Job>,
    outboxes: BTreeMap<u64, Arc<Outbox>>,
    /// When its next turn is.
    pub turn_ms: Option<u64>,
}

impl Node {
    /// Starts on what a disk has.
    pub fn start(disk: &Disk, time: &Time, shards: u16, mut random: Rng) -> Result<Node, StoreError> {
        let turns = Turns::load(Parts {
            log: Box::new(LocalLog::new(disk.clone())),
            rows: Arc::new(disk.clone()),
            // How full it is the simulation says by failing.
            disk: Arc::new(Room::unwatched()),
            clock: Box::new(NodeClock { time: time.clone(), since_ms: time.get().mono_ms }),
            entropy: Box::new(move || Ok(random.u64(..))),
            shards,
            journal_bytes: 64 * 1024,
            identity: Identity { cluster: 1, node: 1 },
            on_failure: Box::new(|_| ()),
        })?;
        let placement = turns.placement();
        let mut node = Node { turns, placement, inbox: vec![], outboxes: BTreeMap::new(), turn_ms: None };
        node.connect(OBSERVER);
        Ok(node)
    }

    pub fn connect(&mut self, connection: u64) {
        let outbox = Arc::new(Outbox::new());
        self.outboxes.insert(connection, outbox.clone());
        self.inbox.push(Job::Connect(connection, outbox));
    }

    pub fn disconnect(&mut self, connection: u64) {
        if self.outboxes.remove(&connection).is_some() {
            self.inbox.push(Job::Disconnect(connection, None));
        }
    }

    pub fn knows(&self, connection: u64) -> bool {
        self.outboxes.contains_key(&connection)
    }

    /// A request has arrived.
    pub fn ask(&mut self, connection: u64, client: u128, request: &Request) {
        let (shard, command) = self.command(connection, client, request);
        self.inbox.push(Job::Command(shard, command, 0));
    }

    /// As the native door translates it.
    fn command(&self, connection: u64, client: u128, request: &Request) -> (u16, Command) {
        let ticket = Ticket { connection, request: request.number };
        let home = |address: &str| {
            let address = Address::parse(address).expect("clients know their addresses");
            (self.placement.shard_of(&address.entity), address)
        };
        match &request.asked {
            Asked::Open { at, held, session } => {
                let (shard, address) = home(at);
                let owner = Owner { client, handle: super::client::HANDLE };
                let open = OpenReceiver {
                    ticket,
                    owner,
                    address,
                    mode: ReceiveMode::PeekLock,
                    lock_duration_ms: 0,
                    release_on_disconnect: false,
                    held: held.clone(),
                    weight: 1,
                    session: session.clone(),
                    wait_ms: 100,
                };
                (shard, Command::OpenReceiver(open))
            }
            Asked::Flow { at, flow } => (home(at).0, Command::Flow { ticket, flow: *flow }),
            Asked::Close { at } => {
                (home(at).0, Command::CloseReceiver { ticket, handle: super::client::HANDLE })
            }
            Asked::Once { sequence, floor, change } => {
                let stamp = Stamp { sequence: *sequence, floor: *floor };
                (self.shard_of(change), Command::Once { ticket, client, stamp, change: change.clone() })
            }
        }
    }

    fn shard_of(&self, change: &Change) -> u16 {
        match change {
            Change::Create { name, options, .. } => self.placement.of_new(name, options),
            Change::Publish { entity, .. } => self.placement.shard_of(entity),
            Change::Settle(items) => items.first().expect("something to settle").token.shard,
            Change::Transact(operations) => match operations.first() {
                Some(Operation::Settle(item)) => item.token.shard,
                _ => panic!("transactions settle first"),
            },
            other => panic!("no client asks for {other:?}"),
        }
    }

    pub fn has_jobs(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Takes a turn. The error is the node's end; what was let out before it is there to be taken.
    pub fn turn(&mut self) -> Result<(), StoreError> {
        self.turns.step(std::mem::take(&mut self.inbox))
    }

    /// Milliseconds until there is something to do, unless requests come.
    pub fn wait_ms(&self) -> Option<u64> {
        self.turns.wait().map(|wait| wait.as_millis() as u64)
    }

    /// What waits for connections, in the order of their numbers.
    pub fn said(&self) -> Vec<(u64, Said)> {
        let clients = self.outboxes.iter().filter(|(connection, _)| **connection != OBSERVER);
        clients
            .flat_map(|(connection, outbox)| {
                outbox.take_now().into_iter().map(|out| (*connection, said(out)))
            })
            .collect()
    }

    /// Asks a question, in a turn of its own.
    pub fn query(&mut self, query: Query) -> Result<Reply, StoreError> {
        self.inbox.push(Job::Query(Ticket { connection: OBSERVER, request: 1 }, query));
        self.turn()?;
        let mut replies = self.outboxes[&OBSERVER].take_now();
        match replies.pop() {
            Some(Outgoing::Reply(1, reply)) => Ok(reply),
            _ => panic!("a question has an answer"),
        }
    }
}

fn said(outgoing: Outgoing) -> Said {
    match outgoing {
        Outgoing::Reply(request, reply) => Said::Reply(request, reply),
        Outgoing::Delivery(delivery) => Said::Delivery(laid_out(delivery)),
        Outgoing::Closed(..) => Said::Closed,
    }
}

/// A delivery with its records, as the door writes them.
fn laid_out(delivery: OutgoingDelivery) -> Delivery {
    let OutgoingDelivery { handle, token, locked_until_ms, runs } = delivery;
    let mut messages = Vec::new();
    for run in runs {
        let records = match run.records {
            Records::One(record, _) => vec![record],
            Records::In(page, places) => {
                places.map(|place| page.record(place as usize).expect("it was delivered")).collect()
            }
        };
        messages.extend((run.sequence..).zip(records).map(|(sequence, record)| Delivered {
            sequence,
            attempts: run.attempts,
            record,
        }));
    }
    Delivery { handle, token, locked_until_ms, messages }
}
