//! The messages that a topic stores once for all its subscriptions.

use crate::context::{Context, Damage, Now};
use crate::fact::Fact;
use crate::key::{Key, QueueId, TopicPage};
use crate::page::{Reference, ReferencesRow};
use crate::shard::Shard;
use crate::verbs::publish::Coming;
use crate::verbs::recover::read_row;

impl Shard {
    /// Stores a topic's message, for the copies that refer to it.
    pub(super) fn store_body(
        &mut self,
        now: Now,
        topic: u64,
        sequence: u64,
        coming: Coming<'_>,
    ) -> Reference {
        self.bodies.store(now, topic, sequence, &coming.record(now))
    }

    /// Lets what a topic has stored in this turn be found among the rows; what comes behind begins another page.
    pub(crate) fn show_bodies(&mut self, now: Now, topic: u64) {
        let mut facts = Vec::new();
        for (page, row) in self.bodies.show(now, topic, &mut facts) {
            facts.push(Fact::References(page, row));
        }
        facts.into_iter().for_each(|fact| self.remember(fact));
    }

    /// Ends the turn for the pages of topics: writes those that are needed, counts what refers to each, and removes those
    /// that nobody needs any more.
    pub(crate) fn seal_bodies(&mut self, cx: &Context<'_>, facts: &mut Vec<Fact>) -> Result<(), Damage> {
        let catalog = &self.catalog;
        let is_kept = |page: TopicPage| catalog.get(page.topic).is_some_and(|it| it.topic.low <= page.first);
        self.bodies.show_all(cx.now, is_kept, facts);
        for (page, change, written) in self.bodies.take_changes() {
            // A topic that is gone took its pages with it.
            if self.catalog.get(page.topic).is_some() {
                self.count_references(cx, page, change, written, facts)?;
            }
        }
        Ok(())
    }

    fn count_references(
        &mut self,
        cx: &Context<'_>,
        page: TopicPage,
        change: i64,
        written: Option<ReferencesRow>,
        facts: &mut Vec<Fact>,
    ) -> Result<(), Damage> {
        let damage =
            |what: String| Damage::new(format!("page {} of topic {}: {what}", page.first, page.topic));
        let before = match written {
            Some(row) => row,
            None => self
                .references(cx, page)?
                .ok_or_else(|| damage("nobody knows what refers to it".to_owned()))?,
        };
        let pages = u32::try_from(i64::from(before.pages) + change)
            .map_err(|_| damage(format!("{} pages refer to it, {change} more", before.pages)))?;
        let Some(entity) = self.catalog.get_mut(page.topic) else { return Ok(()) };
        let bytes = u64::from(before.bytes);
        if written.is_some() {
            entity.topic.bytes += bytes;
        }
        if pages > 0 || entity.topic.low <= page.first {
            facts.push(Fact::References(page, ReferencesRow { pages, ..before }));
        } else {
            entity.topic.bytes = entity.topic.bytes.saturating_sub(bytes);
            facts.push(Fact::PageGone(QueueId::main(page.topic), page.first));
            facts.push(Fact::ReferencesGone(page));
        }
        self.touched_topics.insert(page.topic);
        Ok(())
    }

    fn references(&self, cx: &Context<'_>, page: TopicPage) -> Result<Option<ReferencesRow>, Damage> {
        let row = cx.rows.get(&Key::References(self.id, page))?;
        row.map(|row| read_row("what refers to a page", row, ReferencesRow::read)).transpose()
    }
}
