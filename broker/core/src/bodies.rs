//! What topics store once for all their subscriptions: pages of messages, and how many pages refer to each.
//!
//! A page goes when nothing refers to it and the topic does not keep it for replays.

use crate::context::Now;
use crate::fact::Fact;
use crate::key::{QueueId, TopicPage};
use crate::page::{Body, Mark, PageBuilder, Reference, ReferencesRow};
use postrider_protocol::message::Record;
use std::collections::BTreeMap;

/// A page that this turn fills.
#[derive(Debug)]
struct Filling {
    first: u64,
    builder: PageBuilder,
}

/// What this turn does to the pages of topics.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    /// By topic; the last one takes the next message.
    filling: BTreeMap<u64, Vec<Filling>>,
    /// Pages that were written, with their rows of references as they begin.
    written: BTreeMap<TopicPage, ReferencesRow>,
    /// How many pages more or less refer to a page; 0 where it is only to be looked at.
    changes: BTreeMap<TopicPage, i64>,
}

impl Bodies {
    /// Stores a topic's message under its number.
    pub fn store(&mut self, now: Now, topic: u64, sequence: u64, record: &Record) -> Reference {
        let body = Body::own(&record.message);
        let filling = self.filling.entry(topic).or_default();
        let fits = |filling: &Filling| filling.builder.has_room_for(body, sequence - filling.first);
        if !filling.last().is_some_and(fits) {
            filling.push(Filling { first: sequence, builder: PageBuilder::default() });
        }
        let filling = filling.last_mut().expect("it was just put there");
        let index = (sequence - filling.first) as usize;
        filling.builder.pad(index);
        filling.builder.push_record(record, Mark::default(), None);
        if index == 0 && record.enqueued_time_ms != now.wall_ms {
            filling.builder.set_written_ms(now.wall_ms);
        }
        Reference { page: TopicPage { topic, first: filling.first }, index: index as u32 }
    }

    /// Forgets what a topic that is gone has stored in this turn.
    pub fn forget(&mut self, topic: u64) {
        self.filling.remove(&topic);
    }

    /// Notes how many pages more or less refer to pages.
    pub fn refer(&mut self, changes: impl IntoIterator<Item = (TopicPage, i64)>) {
        for (page, change) in changes {
            *self.changes.entry(page).or_default() += change;
        }
    }

    /// Lets a page be looked at when the turn ends: perhaps nobody needs it any more.
    pub fn look_at(&mut self, page: TopicPage) {
        self.changes.entry(page).or_default();
    }

    /// Writes what a topic has stored in this turn so far; what comes behind begins another page. Returns the pages.
    pub fn show(&mut self, now: Now, topic: u64, facts: &mut Vec<Fact>) -> Vec<(TopicPage, ReferencesRow)> {
        let mut shown = Vec::new();
        for filling in self.filling.remove(&topic).into_iter().flatten() {
            let page = TopicPage { topic, first: filling.first };
            let bytes = filling.builder.build();
            let row = ReferencesRow { pages: 0, bytes: bytes.len() as u32, written_ms: now.wall_ms };
            self.written.insert(page, row);
            self.look_at(page);
            facts.push(Fact::PageWritten(QueueId::main(topic), page.first, bytes));
            shown.push((page, row));
        }
        shown
    }

    /// The same for all topics, at the end of the turn. A page that nobody refers to is written only where `is_kept` says
    /// that its topic keeps it.
    pub fn show_all(&mut self, now: Now, is_kept: impl Fn(TopicPage) -> bool, facts: &mut Vec<Fact>) {
        for topic in self.filling.keys().copied().collect::<Vec<_>>() {
            let changes = &self.changes;
            let is_used = |filling: &mut Filling| {
                let page = TopicPage { topic, first: filling.first };
                changes.get(&page).is_some_and(|pages| *pages > 0) || is_kept(page)
            };
            self.filling.entry(topic).or_default().retain_mut(is_used);
            self.show(now, topic, facts);
        }
    }

    /// The changes of the turn, each with the page's row where the turn has written it.
    pub fn take_changes(&mut self) -> Vec<(TopicPage, i64, Option<ReferencesRow>)> {
        let written = std::mem::take(&mut self.written);
        let changes = std::mem::take(&mut self.changes);
        changes.into_iter().map(|(page, change)| (page, change, written.get(&page).copied())).collect()
    }
}
