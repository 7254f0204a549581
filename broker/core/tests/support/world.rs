//! Shards, the store under them, and a replica that sees nothing but facts.

use super::bodies;
use super::rows::MemoryRows;
use bytes::Bytes;
use postrider_core::command::{Change, Command, Loaded, Ticket};
use postrider_core::context::{Calendar, Context, Now, Places, Rows};
use postrider_core::effect::{Effect, Load};
use postrider_core::fact::{self, Fact};
use postrider_core::key::{Key, KeyRange, QueueId};
use postrider_core::limits::Window;
use postrider_core::page::Page;
use postrider_core::shard::{Shard, Turn};
use postrider_protocol::message::{Incoming, Message, Record};
use postrider_protocol::name::EntityName;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Stamp;

/// When every world begins, UTC milliseconds.
pub const START_MS: u64 = 1_700_000_000_000;

/// A calendar of one kind of expression: `10s` is every ten seconds since the world began, in the zone `UTC`.
pub struct Fake;

impl Calendar for Fake {
    fn next_ms(&self, cron: &str, zone: &str, after_ms: u64) -> Result<u64, String> {
        if zone != "UTC" {
            return Err(format!("there is no time zone {zone}"));
        }
        let every_ms =
            super::line::checked_ms(cron).filter(|every_ms| (1..=u64::from(u32::MAX)).contains(every_ms));
        let every_ms = every_ms.ok_or_else(|| format!("{cron} is no cron expression"))?;
        Ok(START_MS + ((after_ms - START_MS) / every_ms + 1) * every_ms)
    }
}

/// Entities by a hash of their names, over so many shards.
#[derive(Clone, Copy)]
pub struct Homes(pub u16);

impl Places for Homes {
    fn shard_of(&self, name: &EntityName) -> u16 {
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = name.home().bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
        ((hash >> 32) % u64::from(self.0)) as u16
    }
}

/// The world.
pub struct World {
    /// The machines.
    pub shards: Vec<Shard>,
    /// The store.
    pub rows: MemoryRows,
    /// The moment.
    pub now: Now,
    window: Window,
    /// Bytes of each shard's journal.
    journal: u64,
    shadow: MemoryRows,
    /// What the engine has for each shard and not handed over yet: pages that it has read, parcels, receipts.
    read: Vec<Vec<Command>>,
    turns: u64,
}

impl World {
    /// An empty world of so many shards.
    pub fn new(shards: u16) -> Self {
        Self::within(shards, Window::default())
    }

    /// The same, with queues that keep so much of themselves in memory.
    pub fn within(shards: u16, window: Window) -> Self {
        let rows = MemoryRows::default();
        let now = Now { wall_ms: START_MS, mono_ms: 5_000 };
        World {
            shards: (0..shards).map(|id| Shard::load_within(id, &rows, now, window).unwrap()).collect(),
            read: vec![Vec::new(); usize::from(shards)],
            shadow: rows.clone(),
            rows,
            now,
            window,
            journal: 0,
            turns: 0,
        }
    }

    /// The shard where an entity lives.
    pub fn home(&self, name: &EntityName) -> u16 {
        Homes(self.shards.len() as u16).shard_of(name)
    }

    /// One turn of a shard: time, what was read for it, then the commands.
    pub fn turn(&mut self, shard: u16, commands: Vec<Command>) -> Turn {
        let read = std::mem::take(&mut self.read[usize::from(shard)]);
        self.turn_of(shard, read.into_iter().chain(commands))
    }

    /// Carries out one change in a turn of the first shard, and returns the answer.
    pub fn once(&mut self, sequence: u64, change: Change) -> Reply {
        let ticket = Ticket { connection: 1, request: sequence as u32 };
        let stamp = Stamp { sequence, floor: sequence };
        let turn = self.turn(0, vec![Command::Once { ticket, client: 1, stamp, change }]);
        let reply = turn.effects.into_iter().find_map(|effect| match effect {
            Effect::Reply(of, reply) if of == ticket => Some(reply),
            _ => None,
        });
        reply.expect("an answer")
    }

    /// A turn, while what was read is still on its way.
    pub fn turn_without_reads(&mut self, shard: u16, commands: Vec<Command>) -> Turn {
        self.turn_of(shard, commands.into_iter())
    }

    fn turn_of(&mut self, shard: u16, commands: impl Iterator<Item = Command>) -> Turn {
        self.turns += 1;
        let entropy = self.turns.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let places = Homes(self.shards.len() as u16);
        let cx = Context { now: self.now, entropy, rows: &self.rows, calendar: &Fake, places: &places };
        let machine = &mut self.shards[usize::from(shard)];
        machine.tick(&cx).unwrap();
        commands.for_each(|command| machine.decide(&cx, command).unwrap());
        let turn = machine.seal(&cx).unwrap();
        machine.check().unwrap();
        self.commit(shard, &turn.facts);
        for effect in &turn.effects {
            let (to, command) = match effect {
                Effect::Load(load) => (shard, Command::Loaded(self.load(shard, load))),
                Effect::Send { to, parcels } => {
                    (*to, Command::Take { from: shard, parcels: parcels.clone() })
                }
                Effect::Receipt { to, taken } => {
                    (*to, Command::Receipt { from: shard, taken: taken.clone() })
                }
                _ => continue,
            };
            self.read[usize::from(to)].push(command);
        }
        turn
    }

    /// Makes facts durable: through their bytes, here and in the replica.
    fn commit(&mut self, shard: u16, facts: &[Fact]) {
        if facts.is_empty() {
            return;
        }
        let (of, decoded) = fact::decode(fact::encode(shard, facts)).unwrap();
        assert_eq!((of, &decoded[..]), (shard, facts));
        let last = facts.last();
        assert!(
            matches!(last, Some(Fact::ShardState(row)) if row.position == self.position(shard) + 1),
            "{last:?}"
        );
        self.rows.apply(shard, facts);
        self.shadow.apply(of, &decoded);
    }

    /// As many messages are scheduled as are counted.
    fn check_scheduled(&self) {
        let infos = self.shards.iter().flat_map(|shard| shard.list(None, "", "", usize::MAX));
        let counted: u64 = infos.map(|info| info.counters.scheduled).sum();
        let keys = self.rows.0.keys().map(|key| Key::decode(key).unwrap());
        let rows = keys.filter(|key| matches!(key, Key::Scheduled(..))).count();
        assert_eq!(rows as u64, counted, "scheduled messages");
    }

    fn position(&self, shard: u16) -> u64 {
        let row = self.rows.get(&Key::ShardState(shard)).unwrap();
        row.map_or(0, |row| u64::from_be_bytes(row[..8].try_into().unwrap()))
    }

    /// Reads a cold range as the engine does.
    fn load(&self, shard: u16, load: &Load) -> Loaded {
        let (mut messages, mut bytes, mut to) = (0, 0, load.to);
        let mut pages = Vec::new();
        for (key, value) in self.rows.range(&KeyRange::pages(shard, load.queue, load.from, load.to)) {
            let Key::Page(_, _, first) = key else { panic!("{key:?} is no page") };
            if messages >= load.messages || bytes >= load.bytes {
                to = first;
                break;
            }
            messages += Page::open(value.clone()).unwrap().len();
            bytes += value.len() as u64;
            let state = self.rows.get(&Key::PageState(shard, load.queue, first)).unwrap();
            pages.push((first, value.clone(), state));
        }
        Loaded { queue: load.queue, generation: load.generation, from: load.from, to, pages }
    }

    /// Whether something was read for the shard and not handed over yet.
    pub fn has_read(&self, shard: u16) -> bool {
        !self.read[usize::from(shard)].is_empty()
    }

    /// The first shard that something was read for and not handed over yet.
    pub fn has_read_any(&self) -> Option<u16> {
        (0..self.shards.len() as u16).find(|shard| self.has_read(*shard))
    }

    /// The first shard that has something to do now.
    pub fn is_busy(&self) -> Option<u16> {
        let now = self.now;
        let is_due = |shard: &Shard| shard.next_deadline_ms(now).is_some_and(|next| next <= now.mono_ms);
        self.shards.iter().position(is_due).map(|shard| shard as u16)
    }

    /// Steps down and leads again: what is not in the store is forgotten.
    pub fn reload(&mut self, shard: u16) {
        self.read[usize::from(shard)].clear();
        let again = Shard::load_within(shard, &self.rows, self.now, self.window).unwrap();
        assert_eq!(again.position(), self.shards[usize::from(shard)].position());
        self.shards[usize::from(shard)] = again;
        self.keep_journal(self.journal);
    }

    /// Lets every shard keep so many bytes of a journal.
    pub fn keep_journal(&mut self, bytes: u64) {
        self.journal = bytes;
        self.shards.iter_mut().for_each(|shard| shard.set_journal(bytes));
    }

    /// Lets time pass, for both clocks.
    pub fn advance(&mut self, ms: u64) {
        self.now.wall_ms += ms;
        self.now.mono_ms += ms;
    }

    /// A stored record.
    pub fn record(&self, shard: u16, queue: QueueId, page: u64, index: u32) -> Record {
        let page = self.rows.get(&Key::Page(shard, queue, page)).unwrap().expect("the page is there");
        let page = Page::resolve(&self.rows, shard, page).unwrap();
        Record::decode(page.record(index as usize).unwrap()).unwrap()
    }

    /// The end of every test: the replica is what the store is.
    pub fn finish(&self) {
        self.check_scheduled();
        (0..self.shards.len() as u16).for_each(|shard| bodies::check(&self.rows, shard));
        assert_eq!(self.rows, self.shadow, "the replica differs from the store");
    }
}

/// A message as it comes in.
pub fn incoming(message: &Message) -> Incoming {
    Incoming::parse(message.encode()).unwrap()
}

/// A body of so many bytes.
pub fn body(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}
