//! What a turn lets out: answers, deliveries with their bodies, and cold pages for the next turn.

use super::outbox::{Outgoing, OutgoingDelivery, OutgoingRun, Records};
use super::queries;
use super::turn::{Current, Stats, Turns};
use crate::store::StoreError;
use bytes::{Bytes, BytesMut};
use postrider_core::command::{Command, Loaded};
use postrider_core::context::Damage;
use postrider_core::effect::{Deliver, Effect, Load, PageRun};
use postrider_core::key::{Key, KeyRange, QueueId};
use postrider_core::page::Page;
use postrider_core::queue::number;
use postrider_core::shard::Shard;
use postrider_core::verbs::settle::moves::changed_record;
use postrider_protocol::reply::{Published, Reply, Settled, StatusInfo};

impl Turns {
    /// Makes an effect ready to go out. A delivery gets its pages now: what is received and deleted is gone after the
    /// commit.
    pub(super) fn prepare(&mut self, turn: &mut Current, shard: u16, effect: Effect) -> Result<(), Damage> {
        match effect {
            Effect::Reply(ticket, reply) => {
                self.stats.count(&reply);
                turn.send(ticket.connection, Outgoing::Reply(ticket.request, reply));
            }
            Effect::Deliver(deliver) => {
                let connection = deliver.receiver.connection;
                let delivery = self.with_pages(shard, deliver)?;
                self.stats.delivered += delivery.messages() as u64;
                turn.send(connection, Outgoing::Delivery(delivery));
            }
            Effect::Closed(key, refusal) => turn.send(key.connection, Outgoing::Closed(key.handle, refusal)),
            Effect::Load(load) => turn.loads.push((shard, load)),
            Effect::Send { to, parcels } => {
                turn.between.push((to, Command::Take { from: shard, parcels }));
            }
            Effect::Receipt { to, taken } => {
                turn.between.push((to, Command::Receipt { from: shard, taken }));
            }
        }
        Ok(())
    }

    fn with_pages(&mut self, shard: u16, deliver: Deliver) -> Result<OutgoingDelivery, Damage> {
        let mut with_page = |run| self.with_page(shard, deliver.queue, run);
        Ok(OutgoingDelivery {
            handle: deliver.receiver.handle,
            token: deliver.token,
            locked_until_ms: deliver.locked_until_ms,
            runs: deliver.runs.into_iter().map(&mut with_page).collect::<Result<_, Damage>>()?,
        })
    }

    fn with_page(&mut self, shard: u16, queue: QueueId, run: PageRun) -> Result<OutgoingRun, Damage> {
        let page = self.bodies.page(shard, queue, run.page)?;
        let records = match (run.changes, page.record(run.index as usize)) {
            (Some(changes), Some(record)) => {
                let mut changed = BytesMut::new();
                let booked = record.len() as u64;
                changed_record(record, Some(&changes))?.put(&mut changed);
                Records::One(changed.freeze(), booked)
            }
            _ => Records::In(page, run.index..run.index + run.count),
        };
        let sequence = number(run.page + u64::from(run.index));
        Ok(OutgoingRun { sequence, attempts: run.attempts, records })
    }

    /// Lets out what the turn came to, now that it is durable.
    pub(super) fn release(&mut self, turn: &mut Current) -> Result<(), StoreError> {
        for (ticket, query) in std::mem::take(&mut turn.queries) {
            let reply =
                queries::answer(&self.shards, &self.placement, &*self.rows, &query, || self.status(turn))?;
            turn.send(ticket.connection, Outgoing::Reply(ticket.request, reply));
        }
        self.let_out(turn);
        for (shard, load) in turn.loads.drain(..) {
            let loaded = self.load_cold(shard, &load)?;
            self.own.push((shard, Command::Loaded(loaded)));
        }
        self.own.append(&mut turn.between);
        Ok(())
    }

    /// Puts what is ready into the connections' outboxes.
    pub(super) fn let_out(&self, turn: &mut Current) {
        for (connection, outgoing) in turn.outgoing.drain() {
            if let Some(outbox) = self.outboxes.get(&connection) {
                outbox.push(outgoing);
            }
        }
    }

    /// Reads part of a cold range: pages with their states, until there are enough.
    fn load_cold(&mut self, shard: u16, load: &Load) -> Result<Loaded, Damage> {
        let mut found = Vec::new();
        let (mut messages, mut bytes, mut to) = (0, 0, load.to);
        self.rows.scan(&KeyRange::pages(shard, load.queue, load.from, load.to), &mut |key, value| {
            let Key::Page(_, _, first) = Key::decode(key)? else { return Ok(false) };
            // Its checksum is looked at where it goes.
            let page = Page::fresh(Bytes::copy_from_slice(value))?;
            let count = page.len();
            messages += count;
            bytes += page.bytes_in_all();
            found.push((first, page));
            let full = messages >= load.messages || bytes >= load.bytes;
            if full {
                to = first + count as u64;
            }
            Ok(!full)
        })?;
        let mut pages = Vec::with_capacity(found.len());
        for (first, page) in found {
            let state = self.rows.get(&Key::PageState(shard, load.queue, first))?;
            let page = self.bodies.keep(shard, load.queue, first, page);
            pages.push((first, page.bytes().clone(), state));
        }
        Ok(Loaded { queue: load.queue, generation: load.generation, from: load.from, to, pages })
    }

    fn status(&self, turn: &Current) -> StatusInfo {
        let mut status = StatusInfo {
            version: crate::VERSION.to_owned(),
            cluster: self.identity.cluster,
            node: self.identity.node,
            uptime_ms: turn.now.mono_ms - self.started.mono_ms,
            connections: self.outboxes.len() as u64,
            published: self.stats.published,
            delivered: self.stats.delivered,
            settled: self.stats.settled,
            commits: self.stats.commits,
            storage_full: u64::from(self.disk.is_full()),
            disk_free: self.disk.free(),
            disk_reserve: self.disk.reserve(),
            ..StatusInfo::default()
        };
        for totals in self.shards.iter().map(Shard::totals) {
            status.entities += totals.entities;
            status.messages += totals.messages;
            status.bytes += totals.bytes;
            status.breakers_open += totals.breakers_open;
        }
        status
    }
}

impl Stats {
    fn count(&mut self, reply: &Reply) {
        match reply {
            Reply::Published(runs) => {
                let accepted = runs.iter().filter(|(_, outcome)| matches!(outcome, Published::Accepted(_)));
                self.published += accepted.map(|(items, _)| u64::from(*items)).sum::<u64>();
            }
            Reply::Settled(runs) => {
                let done = runs.iter().filter(|(_, outcome)| matches!(outcome, Settled::Done));
                self.settled += done.map(|(items, _)| u64::from(*items)).sum::<u64>();
            }
            _ => {}
        }
    }
}
