//! Deleting entities that nobody has used for long enough. When they were used is in [`crate::idle`].

use crate::command::{Change, Operation};
use crate::context::Context;
use crate::key::QueueId;
use crate::queue::Queue;
use crate::shard::Shard;
use postrider_protocol::name::EntityName;
use postrider_protocol::request::SettleItem;
use std::collections::BTreeSet;

impl Shard {
    /// Watches an entity as its options say, which somebody has just set.
    pub(crate) fn watch_idle(&mut self, entity: u64) {
        let idle_ms = self.catalog.get(entity).map_or(0, |found| found.settings.auto_delete_on_idle_ms);
        self.idle.watch(entity, idle_ms);
        self.use_entity(entity);
    }

    /// Notes which entity a change uses. Even a refused one shows that somebody is there.
    pub(crate) fn note_use(&mut self, change: &Change) {
        if self.idle.is_empty() {
            return;
        }
        match change {
            Change::Publish { entity: name, .. }
            | Change::Scheduled { entity: name, .. }
            | Change::PutSchedule { entity: name, .. }
            | Change::DeleteSchedule { entity: name, .. }
            | Change::Create { name, .. }
            | Change::Update { name, .. }
            | Change::Delete { name }
            | Change::PutRule { subscription: name, .. }
            | Change::DeleteRule { subscription: name, .. }
            | Change::PromoteRule { subscription: name, .. }
            | Change::Replay { subscription: name, .. } => self.use_name(name),
            Change::Purge { address, .. } | Change::Redrive { address, .. } => self.use_name(&address.entity),
            Change::Settle(items) => self.use_locked(items),
            Change::Transact(operations) => {
                for operation in operations {
                    match operation {
                        Operation::Send { entity: name, .. } => self.use_name(name),
                        Operation::Remove { address, .. } => self.use_name(&address.entity),
                        Operation::Settle(item) => self.use_locked(std::slice::from_ref(item)),
                    }
                }
            }
            // They come from an open receiver.
            Change::ReceiveDeferred { .. } | Change::SetSessionState { .. } => {}
        }
    }

    /// Notes that the entities are used whose messages are settled.
    fn use_locked(&mut self, items: &[SettleItem]) {
        let leases = items.iter().filter_map(|item| self.leases.get(&item.token.lease));
        for entity in leases.map(|lease| lease.queue.entity).collect::<BTreeSet<_>>() {
            self.use_entity(entity);
        }
    }

    fn use_name(&mut self, name: &EntityName) {
        if let Some(entity) = self.catalog.find(name) {
            self.use_entity(entity);
        }
    }

    /// Notes that an entity is used, and a subscription's topic with it.
    pub(crate) fn use_entity(&mut self, entity: u64) {
        if self.idle.is_empty() {
            return;
        }
        self.idle.used(entity);
        if let Some(topic) = self.catalog.topic_of(entity) {
            self.idle.used(topic);
        }
    }

    /// Deletes what nobody has used for long enough, so much as one tick should.
    pub(crate) fn delete_idle(&mut self, cx: &Context<'_>) {
        for entity in self.idle.due(cx.now.mono_ms) {
            if self.is_in_use(entity) {
                self.use_entity(entity);
            } else {
                self.delete_whole(cx.now, entity);
            }
        }
    }

    /// Whether somebody receives, messages are scheduled, or there are schedules, there or in one of a topic's subscriptions.
    fn is_in_use(&self, entity: u64) -> bool {
        let Some(found) = self.catalog.get(entity) else { return false };
        let waits = |queue: &Queue| !queue.receivers.is_empty() || queue.row().scheduled > 0;
        let has_receivers = |entity: u64| {
            QueueId::all(entity).into_iter().any(|queue| self.queues.get(&queue).is_some_and(waits))
        };
        found.topic.scheduled > 0
            || !found.schedules.is_empty()
            || has_receivers(entity)
            || found.subscriptions.iter().any(|subscription| has_receivers(*subscription))
    }

    /// What is watched is there, under its own deadline, and nothing of a turn is left.
    pub(crate) fn check_idle(&self) -> Result<(), String> {
        let idle = &self.idle;
        let stands = |(entity, (idle_ms, deadline_ms)): (&u64, &(u64, u64))| {
            let wanted = self.catalog.get(*entity).map(|found| found.settings.auto_delete_on_idle_ms);
            wanted == Some(*idle_ms) && idle.deadlines.contains(&(*deadline_ms, *entity))
        };
        let all = idle.watched.len() == idle.deadlines.len() && idle.watched.iter().all(stands);
        if all && idle.used.is_empty() {
            return Ok(());
        }
        Err(format!("idle entities are not watched as they should be: {idle:?}"))
    }
}
