//! What a topic keeps of its messages, for replays: all that came within its window, whoever has settled what.
//!
//! A page is kept while its number is not below the topic's `low`, which one alarm for each topic moves on.

use crate::context::{Context, Damage, Now, Rows};
use crate::fact::{Fact, ReferencesRow};
use crate::key::{Alarm, Key, KeyRange, TopicPage};
use crate::limits::KEPT_PAGES_PER_TICK;
use crate::shard::Shard;
use crate::verbs::recover::read_row;
use bytes::Bytes;

impl Shard {
    /// Whether a topic keeps what comes now.
    pub(super) fn keeps(&self, topic: u64) -> bool {
        self.catalog.get(topic).is_some_and(|entity| entity.settings.retain_ms > 0)
    }

    /// Gives a message of a topic its number.
    pub(super) fn number_in(&mut self, now: Now, topic: u64) -> u64 {
        let entity = self.catalog.get_mut(topic).expect("the topic was looked up before");
        self.touched_topics.insert(topic);
        let (retain_ms, row) = (entity.settings.retain_ms, &mut entity.topic);
        if retain_ms == 0 {
            return row.take_number();
        }
        if row.low == row.next {
            let when_ms = now.wall_ms.saturating_add(retain_ms);
            self.turn.facts.push(Fact::AlarmSet(Alarm::kept(when_ms, topic)));
        }
        row.next += 1;
        row.next - 1
    }

    /// How long a topic keeps messages has changed: what it keeps already is looked at anew.
    pub(crate) fn change_kept(&mut self, now: Now, topic: u64) {
        self.show_bodies(now, topic);
        if self.catalog.get(topic).is_some_and(|entity| entity.topic.low < entity.topic.next) {
            self.turn.facts.push(Fact::AlarmSet(Alarm::kept(now.wall_ms, topic)));
        }
    }

    /// Lets go of what a topic has kept for long enough.
    pub(crate) fn ring_kept(&mut self, cx: &Context<'_>, topic: u64) -> Result<(), Damage> {
        let Some(entity) = self.catalog.get(topic) else { return Ok(()) };
        let (low, next, retain_ms) = (entity.topic.low, entity.topic.next, entity.settings.retain_ms);
        let (mut looked_at, mut rest) = (Vec::new(), None);
        self.each_references(cx, topic, low, next, &mut |page, row| {
            let until_ms = row.written_ms.saturating_add(retain_ms);
            if until_ms > cx.now.wall_ms || looked_at.len() >= KEPT_PAGES_PER_TICK {
                rest = Some((page.first, until_ms.max(cx.now.wall_ms)));
                return Ok(false);
            }
            looked_at.push(page);
            Ok(true)
        })?;
        looked_at.into_iter().for_each(|page| self.bodies.look_at(page));
        if let Some((_, when_ms)) = rest {
            self.turn.facts.push(Fact::AlarmSet(Alarm::kept(when_ms, topic)));
        }
        let low = rest.map_or(next, |(first, _)| first);
        let entity = self.catalog.get_mut(topic);
        let subscriptions = entity.map(|entity| {
            entity.topic.low = low;
            entity.subscriptions.clone()
        });
        // What they wait with may be kept no longer.
        subscriptions.into_iter().flatten().for_each(|subscription| self.wake_replay(subscription));
        self.touched_topics.insert(topic);
        Ok(())
    }

    /// Visits what refers to the pages of a topic that begin at `from` or behind it and before `to`.
    pub(super) fn each_references(
        &self,
        cx: &Context<'_>,
        topic: u64,
        from: u64,
        to: u64,
        visit: &mut dyn FnMut(TopicPage, ReferencesRow) -> Result<bool, Damage>,
    ) -> Result<(), Damage> {
        self.rows(cx).scan(&KeyRange::references(self.id, topic, from, to), &mut |key, value| {
            let Key::References(_, page) = Key::decode(key)? else { return Ok(false) };
            let row = Bytes::copy_from_slice(value);
            visit(page, read_row("what refers to a page", row, ReferencesRow::read)?)
        })
    }
}
