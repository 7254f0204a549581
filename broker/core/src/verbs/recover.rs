//! Building a shard from its rows, and checking that it adds up. What does not is damage, named: never less data in
//! silence.

use crate::bodies::Bodies;
use crate::catalog::{Catalog, Entity};
use crate::context::{Damage, Now, Rows};
use crate::ends::Ends;
use crate::fact::{EntityRow, GenerationRow, QueueRow, ShardRow};
use crate::idle::Idle;
use crate::journal::Journal;
use crate::key::{Key, KeyRange, QueueId};
use crate::lease::{Lease, LeaseRow, Place};
use crate::limits::Window;
use crate::outbox::Outbox;
use crate::outcomes::Outcomes;
use crate::queue::Queue;
use crate::rules::ParsedRule;
use crate::seen::Duplicates;
use crate::session::{Sessions, Waits};
use crate::shard::{Shard, Turn};
use crate::staged::Staged;
use bytes::Bytes;
use postrider_protocol::name::Lane;
use postrider_protocol::options::EntityKind;
use postrider_protocol::rule::Rule;
use postrider_protocol::schedule::ScheduleInfo;
use postrider_protocol::wire::{Read, Reader};
use std::collections::{BTreeMap, BTreeSet};

impl Shard {
    /// The state that `rows` hold, with every lock's deadline counted from `now`.
    pub fn load(id: u16, rows: &dyn Rows, now: Now) -> Result<Self, Damage> {
        Self::load_within(id, rows, now, Window::default())
    }

    /// The same, with queues that keep so much of themselves in memory.
    pub fn load_within(id: u16, rows: &dyn Rows, now: Now, window: Window) -> Result<Self, Damage> {
        let mut shard = Shard::empty(id, window);
        if let Some(row) = rows.get(&Key::ShardState(id))? {
            shard.row = read_row("a shard's counters", row, ShardRow::read)?;
        }
        shard.mono_ms = now.mono_ms;
        shard.load_entities(rows, now)?;
        shard.load_leaving(rows)?;
        shard.load_replays(rows)?;
        shard.load_sessions(rows, now)?;
        shard.load_leases(rows, now)?;
        shard.recover_session_locks();
        let entities: Vec<_> = shard.catalog.with_queues().collect();
        for entity in entities {
            shard.reshare(entity);
            shard.set_breaker(entity);
        }
        shard.hungry.clear();
        shard.load_alarms(rows)?;
        shard.load_outbox(rows)?;
        shard.journal.load(id, rows)?;
        shard.idle.seal(now.mono_ms);
        each_row(rows, &KeyRange::generations(id), |key, value| {
            if let Key::Generation(_, entity) = key {
                let row = read_row("a generation of ids", value, GenerationRow::read)?;
                shard.duplicates.load(entity, row);
            }
            Ok(())
        })?;
        each_row(rows, &KeyRange::outcomes(id), |key, value| match key {
            Key::Outcomes(_, client, first) => shard.outcomes.load(client, first, value, now.mono_ms),
            _ => Ok(()),
        })?;
        shard.check().map_err(Damage::new)?;
        Ok(shard)
    }

    fn empty(id: u16, window: Window) -> Self {
        Shard {
            id,
            window,
            row: ShardRow::default(),
            catalog: Catalog::default(),
            queues: BTreeMap::new(),
            receivers: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            leases: BTreeMap::new(),
            leases_by_owner: BTreeSet::new(),
            timers: BTreeSet::new(),
            sessions: BTreeMap::new(),
            session_timers: BTreeSet::new(),
            waits: Waits::default(),
            outcomes: Outcomes::default(),
            outbox: Outbox::default(),
            taken: BTreeMap::new(),
            ends: Ends::default(),
            next_alarm: None,
            idle: Idle::default(),
            journal: Journal::default(),
            duplicates: Duplicates::default(),
            shares: BTreeMap::new(),
            refills: BTreeSet::new(),
            breakers: BTreeMap::new(),
            pauses: BTreeSet::new(),
            mono_ms: 0,
            hungry: BTreeSet::new(),
            touched: BTreeSet::new(),
            touched_topics: BTreeSet::new(),
            touched_leases: BTreeSet::new(),
            read: None,
            bodies: Bodies::default(),
            leaving: BTreeMap::new(),
            replays: BTreeMap::new(),
            replayed_last: 0,
            staged: Staged::default(),
            turn: Turn::default(),
        }
    }

    fn load_entities(&mut self, rows: &dyn Rows, now: Now) -> Result<(), Damage> {
        each_row(rows, &KeyRange::entities(self.id), |key, value| {
            if let Key::Entity(_, entity) = key {
                self.catalog.insert(entity, Entity::new(read_row("an entity", value, EntityRow::read)?));
                self.watch_idle(entity);
            }
            Ok(())
        })?;
        each_row(rows, &KeyRange::rules(self.id), |key, value| match key {
            Key::Rule(_, entity, _) => self.load_rule(entity, read_row("a rule", value, Rule::read)?, now),
            _ => Ok(()),
        })?;
        each_row(rows, &KeyRange::schedules(self.id), |key, value| {
            if let Key::Schedule(_, entity, name) = key {
                let info = read_row("a schedule", value, ScheduleInfo::read)?;
                let owner = self.catalog.get_mut(entity);
                let owner = owner.ok_or_else(|| Damage::new("a schedule has no queue or topic"))?;
                owner.schedules.insert(name, info);
            }
            Ok(())
        })?;
        each_row(rows, &KeyRange::queue_states(self.id), |key, value| {
            if let Key::QueueState(_, queue) = key {
                let row = read_row("a queue's counters", value, QueueRow::read)?;
                let entity = self.catalog.get_mut(queue.entity);
                let entity = entity.ok_or_else(|| Damage::new(format!("{queue:?} belongs to no entity")))?;
                if entity.has_queues() {
                    let levels = entity.levels(queue.lane);
                    let by_session = entity.settings.requires_session;
                    self.add_queue(Queue::load(queue, row, levels, self.window), queue, by_session);
                } else {
                    entity.topic = row;
                }
            }
            Ok(())
        })?;
        for entity in self.catalog.with_queues().collect::<Vec<_>>() {
            self.add_transfer_queue(entity);
            let missing = QueueId::all(entity).into_iter().find(|queue| !self.queues.contains_key(queue));
            if let Some(queue) = missing {
                return Err(Damage::new(format!("the counters of {queue:?} are missing")));
            }
        }
        Ok(())
    }

    /// The queue of what could not be passed on: it is stored when something is in it.
    pub(crate) fn add_transfer_queue(&mut self, entity: u64) {
        let id = QueueId::transfer(entity);
        let row = QueueRow { next: 1, low: 1, ..QueueRow::default() };
        self.queues.entry(id).or_insert_with(|| Queue::load(id, row, 1, self.window));
    }

    /// A rule was parsed before it was stored.
    fn load_rule(&mut self, entity: u64, rule: Rule, now: Now) -> Result<(), Damage> {
        let owner = self.catalog.get(entity).ok_or_else(|| Damage::new("a rule has no subscription"))?;
        let about = format!("rule {} of {}", rule.name, owner.row.name);
        let parsed = ParsedRule::parse(rule, now);
        self.catalog.put_rule(entity, parsed.map_err(|refusal| Damage::new(format!("{about}: {refusal}")))?);
        Ok(())
    }

    fn load_leases(&mut self, rows: &dyn Rows, now: Now) -> Result<(), Damage> {
        let mut found = Vec::new();
        each_row(rows, &KeyRange::leases(self.id), |key, value| {
            if let Key::Lease(_, lease) = key {
                found.push((lease, read_row("a lease", value, LeaseRow::read)?));
            }
            Ok(())
        })?;
        found.into_iter().try_for_each(|(lease, row)| self.recover_lease(rows, now, lease, &row))
    }

    fn recover_lease(&mut self, rows: &dyn Rows, now: Now, id: u64, row: &LeaseRow) -> Result<(), Damage> {
        let mut lease = Lease { dirty: false, ..Lease::new(row, None, now) };
        // A page that is leaving has no lock left, whatever a row says that was not written again since.
        let held = lease.places.iter().filter(|place| place.held).map(|place| place.page);
        let pages: BTreeSet<u64> = held.filter(|page| self.leaves(row.queue, *page).is_none()).collect();
        let queue = self.queues.get_mut(&row.queue);
        let queue = queue
            .ok_or_else(|| Damage::new(format!("lease {id} is of {:?}, which is not there", row.queue)))?;
        for first in pages {
            // A page whose messages are all settled is not there any more.
            if let Some(page) = rows.get(&Key::Page(self.id, lease.queue, first))? {
                let state = rows.get(&Key::PageState(self.id, lease.queue, first))?;
                queue.fetch(first, page, state)?;
            }
        }
        for at in 0..lease.places.len() {
            let place = lease.places[at];
            if place.held && !queue.recover_lock(place.page, place.index, id, place.attempts) {
                lease.let_go(at);
            }
        }
        queue.recovered();
        if lease.live == 0 {
            return Err(Damage::new(format!("lease {id} holds nothing, but was not removed")));
        }
        lease.timer_ms = lease.deadline_ms();
        self.insert_lease(id, lease);
        Ok(())
    }

    /// Takes over a queue, and makes room for its sessions where it has some. Dead letters have none.
    pub(crate) fn add_queue(&mut self, mut queue: Queue, id: QueueId, by_session: bool) {
        let kind = self.catalog.get(id.entity).map(|entity| entity.row.kind);
        if kind == Some(EntityKind::Subscription) && id.lane == Lane::Main {
            queue.set_may_refer();
        }
        if by_session && id.lane == Lane::Main {
            queue.set_by_session();
            self.sessions.insert(id, Sessions::default());
        }
        self.queues.insert(id, queue);
    }

    /// Checks what must always be true between turns; says what is not.
    pub fn check(&self) -> Result<(), String> {
        self.queues.values().try_for_each(Queue::check)?;
        for (id, sessions) in &self.sessions {
            let queue = self.queues.get(id).ok_or_else(|| format!("sessions of {id:?} have no queue"))?;
            sessions.check(queue.active(), queue.locked())?;
        }
        self.check_waits()?;
        let locked: u64 = self.queues.values().map(Queue::locked).sum();
        let live: u64 = self.leases.values().map(|lease| lease.live).sum();
        if locked != live {
            return Err(format!("queues have {locked} locked messages, leases {live}"));
        }
        for (key, receiver) in &self.receivers {
            let of_receiver = self.leases.values().filter(|lease| lease.receiver == Some(*key));
            let held: u64 = of_receiver.map(|lease| lease.live).sum();
            if held != receiver.outstanding {
                return Err(format!(
                    "{key:?} has {} outstanding, its leases hold {held}",
                    receiver.outstanding
                ));
            }
        }
        self.check_leases()?;
        self.check_idle()?;
        self.journal.check()?;
        self.check_duplicates()?;
        self.check_shares()?;
        self.check_breakers()?;
        self.check_rules()?;
        if self.timers.len() != self.leases.len() || self.leases_by_owner.len() != self.leases.len() {
            return Err("a lease has no timer or no owner".to_owned());
        }
        Ok(())
    }

    /// What a lease holds is locked by it, and its timer stands where the shard looks for it.
    fn check_leases(&self) -> Result<(), String> {
        for (id, lease) in &self.leases {
            let queue = self.queues.get(&lease.queue).ok_or_else(|| format!("lease {id} has no queue"))?;
            let held = || lease.places.iter().filter(|place| place.held);
            let locked = |place: &&Place| {
                queue.slot(place.page, place.index).is_some_and(|slot| slot.is_locked_by(*id))
            };
            if held().count() as u64 != lease.live || !held().all(|place| locked(&place)) {
                return Err(format!("lease {id} holds what is not locked by it: {lease:?}"));
            }
            if lease.timer_ms > lease.deadline_ms() || !self.timers.contains(&(lease.timer_ms, *id)) {
                return Err(format!("lease {id} has its timer behind its deadline: {lease:?}"));
            }
        }
        Ok(())
    }
}

/// Decodes every row of a range and hands it on.
pub(crate) fn each_row(
    rows: &dyn Rows,
    range: &KeyRange,
    mut each: impl FnMut(Key, Bytes) -> Result<(), Damage>,
) -> Result<(), Damage> {
    rows.scan(range, &mut |key, value| {
        each(Key::decode(key)?, Bytes::copy_from_slice(value))?;
        Ok(true)
    })
}

pub(crate) fn read_row<T>(
    what: &str,
    value: Bytes,
    read: impl Fn(&mut Reader) -> Read<T>,
) -> Result<T, Damage> {
    let mut reader = Reader::new(value);
    let whole = read(&mut reader).and_then(|row| reader.finish().map(|()| row));
    whole.map_err(|malformed| Damage::new(format!("{what}: {malformed}")))
}
