//! Pages that are no queue's any more, and are removed little by little.
//!
//! A purged or deleted subscription has pages that nobody has looked at, and each may refer to a page of its topic. They
//! leave the queue at once, as ranges, and the store page by page, so that the topic's pages go with the last of them.

use crate::context::{Context, Damage, Rows};
use crate::fact::Fact;
use crate::key::{Key, KeyRange, QueueId};
use crate::limits::{LEAVING_BYTES_PER_TICK, LEAVING_PAGES_PER_TICK};
use crate::page::Page;
use crate::shard::Shard;
use crate::verbs::recover::{each_row, read_row};
use bytes::Bytes;

impl Shard {
    /// Takes note of a range that leaves a queue.
    pub(crate) fn leave(&mut self, queue: QueueId, from: u64, to: u64) {
        self.leaving.insert((queue, from), to);
    }

    /// Lets all pages of a queue leave that is no more.
    pub(crate) fn leave_all(&mut self, queue: QueueId) {
        for from in self.leaving_of(queue) {
            self.leaving.remove(&(queue, from));
            self.turn.facts.push(Fact::LeavingGone(queue, from));
        }
        self.leave(queue, 0, u64::MAX);
        self.turn.facts.push(Fact::Leaving(queue, 0, u64::MAX));
    }

    /// Forgets what is leaving a queue, whose rows are all removed.
    pub(crate) fn forget_leaving(&mut self, queue: QueueId) {
        for from in self.leaving_of(queue) {
            self.leaving.remove(&(queue, from));
        }
    }

    fn leaving_of(&self, queue: QueueId) -> Vec<u64> {
        self.leaving.range((queue, 0)..=(queue, u64::MAX)).map(|((_, from), _)| *from).collect()
    }

    /// The end of the range that a page is leaving in, if it is.
    pub(crate) fn leaves(&self, queue: QueueId, first: u64) -> Option<u64> {
        let (_, to) = self.leaving.range((queue, 0)..=(queue, first)).next_back()?;
        (first < *to).then_some(*to)
    }

    /// Removes some of the pages that are leaving.
    pub(crate) fn remove_leaving(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        let Some((&(queue, from), &to)) = self.leaving.first_key_value() else { return Ok(()) };
        let (mut pages, mut bytes, mut next) = (Vec::new(), 0, None);
        self.rows(cx).scan(&KeyRange::pages(self.id, queue, from, to), &mut |key, value| {
            let Key::Page(_, _, first) = Key::decode(key)? else { return Ok(false) };
            if pages.len() >= LEAVING_PAGES_PER_TICK || bytes >= LEAVING_BYTES_PER_TICK {
                next = Some(first);
                return Ok(false);
            }
            bytes += value.len();
            pages.push(Page::open(Bytes::copy_from_slice(value))?.refers());
            Ok(true)
        })?;
        self.bodies.refer(pages.into_iter().flatten().map(|page| (page, -1)));
        self.leaving.remove(&(queue, from));
        self.turn.facts.push(Fact::LeavingGone(queue, from));
        self.turn.facts.push(Fact::PagesGone(queue, from, next.unwrap_or(to)));
        if let Some(next) = next {
            self.leave(queue, next, to);
            self.turn.facts.push(Fact::Leaving(queue, next, to));
        }
        Ok(())
    }

    /// In recovery: what is leaving is not the queue's any more.
    pub(crate) fn load_leaving(&mut self, rows: &dyn Rows) -> Result<(), Damage> {
        each_row(rows, &KeyRange::leaving(self.id), |key, value| {
            if let Key::Leaving(_, queue, from) = key {
                let to = read_row("pages that leave", value, |reader| reader.u64("to"))?;
                self.leave(queue, from, to);
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.leave_out(from, to);
                }
            }
            Ok(())
        })
    }
}
