//! Turns of the core: messages are published, delivered in the same turn, and completed in the next one.

use super::{Alone, NOW, Rounds, repeat};
use crate::bodies::Bodies;
use crate::figures::Micro;
use anyhow::{Context as _, Result, anyhow};
use postrider::store::{LocalLog, MemoryStore, ShardLog};
use postrider_core::command::{Change, Command, OpenReceiver, Owner, Ticket};
use postrider_core::context::Context;
use postrider_core::effect::Effect;
use postrider_core::shard::{Shard, Turn};
use postrider_protocol::message::{Incoming, Message};
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish, SettleItem, Settlement, Stamp};
use postrider_protocol::token::LockToken;

const CLIENT: u128 = 7;
const HANDLE: u32 = 1;
/// What a shard keeps of its decisions where nothing else is said.
const JOURNAL_BYTES: u64 = 4 << 20;
const TICKET: Ticket = Ticket { connection: 1, request: 1 };

/// Measures turns of so many messages: deciding alone, and laying out what is to be stored.
pub fn measure(size: usize, messages: usize) -> Result<Vec<Micro>> {
    let plain = ["core: publish, deliver, complete", "core: apply to a store in memory"];
    let noted = ["core: the same with a journal", "core: apply the same to a store in memory"];
    let mut all = measure_with(0, plain, size, messages)?;
    all.extend(measure_with(JOURNAL_BYTES, noted, size, messages)?);
    Ok(all)
}

fn measure_with(journal: u64, names: [&'static str; 2], size: usize, messages: usize) -> Result<Vec<Micro>> {
    let (bodies, mut machine) = (Bodies::new(size), Machine::new()?);
    machine.shard.set_journal(journal);
    let (mut decide, mut apply) = (Rounds::default(), Rounds::default());
    repeat(|| {
        let batch = (0..messages).map(|_| incoming(&bodies)).collect::<Result<Vec<_>>>()?;
        let published = decide.time(|| machine.publish(batch))?;
        let token = delivered(&published)?;
        let settled = decide.time(|| machine.settle(token, messages, &published))?;
        apply.time(|| machine.store(published).and_then(|()| machine.store(settled)))
    })?;
    // A message takes two turns.
    decide.seconds = decide.seconds.chunks(2).map(|pair| pair.iter().sum()).collect();
    Ok(vec![decide.micro(names[0], size, messages), apply.micro(names[1], size, messages)])
}

fn incoming(bodies: &Bodies) -> Result<Incoming> {
    let message = Message::new(bodies.next()).with_id("0123456789abcdef0123456789abcdef-12345");
    Incoming::parse(message.encode()).map_err(|refusal| anyhow!("{refusal}"))
}

fn delivered(turn: &Turn) -> Result<LockToken> {
    let deliver = turn.effects.iter().find_map(|effect| match effect {
        Effect::Deliver(deliver) => Some(deliver.token),
        _ => None,
    });
    deliver.context("nothing was delivered")
}

/// A shard with a queue and a receiver.
struct Machine {
    shard: Shard,
    rows: MemoryStore,
    log: LocalLog<MemoryStore>,
    entity: EntityName,
    sequence: u64,
    delivered: u64,
}

impl Machine {
    fn new() -> Result<Self> {
        let rows = MemoryStore::new();
        let shard = Shard::load(0, &rows, NOW)?;
        let entity = EntityName::new("bench").map_err(|refusal| anyhow!("{refusal}"))?;
        let log = LocalLog::new(rows.clone());
        let mut machine = Machine { shard, rows, log, entity, sequence: 0, delivered: 0 };
        let (name, kind) = (machine.entity.clone(), EntityKind::Queue);
        let create =
            machine.once(Change::Create { name, kind, options: Options::default(), rules: Vec::new() });
        let open = Command::OpenReceiver(machine.receiver()?);
        let turn = machine.turn([create, open])?;
        machine.store(turn)?;
        Ok(machine)
    }

    fn receiver(&self) -> Result<OpenReceiver> {
        Ok(OpenReceiver {
            ticket: TICKET,
            owner: Owner { client: CLIENT, handle: HANDLE },
            address: Address::parse(&self.entity.to_string()).map_err(|refusal| anyhow!("{refusal}"))?,
            mode: ReceiveMode::PeekLock,
            lock_duration_ms: 0,
            release_on_disconnect: false,
            held: Vec::new(),
            weight: 1,
            session: SessionWish::None,
            wait_ms: 0,
        })
    }

    fn once(&mut self, change: Change) -> Command {
        self.sequence += 1;
        let stamp = Stamp { sequence: self.sequence, floor: self.sequence };
        Command::Once { ticket: TICKET, client: CLIENT, stamp, change }
    }

    fn publish(&mut self, messages: Vec<Incoming>) -> Result<Turn> {
        let credit = messages.len() as u32;
        let flow = Flow { handle: HANDLE, delivered: self.delivered, credit, drain: false };
        self.delivered += u64::from(credit);
        let messages = messages.into_iter().map(Ok).collect();
        let publish = self.once(Change::Publish { entity: self.entity.clone(), atomic: false, messages });
        self.turn([Command::Flow { ticket: TICKET, flow }, publish])
    }

    fn settle(&mut self, token: LockToken, messages: usize, published: &Turn) -> Result<Turn> {
        let run = u16::try_from(messages)?;
        let settle =
            self.once(Change::Settle(vec![SettleItem { token, run, settlement: Settlement::Complete }]));
        // The connection has taken the deliveries meanwhile.
        let taken = published.effects.iter().filter_map(|effect| match effect {
            Effect::Deliver(deliver) => {
                Some(Command::Taken { receiver: deliver.receiver, bytes: u64::MAX / 2 })
            }
            _ => None,
        });
        self.turn(taken.chain([settle]).collect::<Vec<_>>())
    }

    fn turn(&mut self, commands: impl IntoIterator<Item = Command>) -> Result<Turn> {
        let cx =
            Context { now: NOW, entropy: self.sequence, rows: &self.rows, calendar: &Alone, places: &Alone };
        for command in commands {
            self.shard.decide(&cx, command)?;
        }
        Ok(self.shard.seal(&cx)?)
    }

    fn store(&mut self, turn: Turn) -> Result<()> {
        Ok(self.log.append(&[(0, turn.facts)])?)
    }
}
