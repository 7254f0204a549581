//! Taking messages in.

use super::{HotPage, Pending, Queue, number, place, rank};
use crate::context::Now;
use crate::page::{Body, Mark, NEVER_MS, PageBuilder, Reference};
use postrider_protocol::message::Record;

impl Queue {
    /// Appends a message as its sender laid it out to the strand of a rank; returns its number.
    pub fn append(&mut self, now: Now, rank: usize, mark: Mark, body: Body<'_>) -> u64 {
        let sequence = self.row.next;
        let builder = self.page_for(now, rank, body);
        let before = builder.bytes();
        builder.push(now.wall_ms, sequence, mark, body);
        let size = builder.bytes() - before;
        self.accept(rank, mark, size, 0)
    }

    /// Appends a record that has been somewhere before, where deliveries of it may have failed.
    pub fn append_record(
        &mut self,
        now: Now,
        rank: usize,
        mark: Mark,
        record: &Record,
        stored: Option<Reference>,
        attempts: u32,
    ) -> u64 {
        let builder = self.page_for(now, rank, Body { message: &record.message, stored });
        let before = builder.bytes();
        builder.push_record(record, mark, stored);
        if before == 0 && record.enqueued_time_ms != now.wall_ms {
            builder.set_written_ms(now.wall_ms);
        }
        let size = builder.bytes() - before;
        self.accept(rank, mark, size, attempts)
    }

    /// The page of this turn that the next message of a strand belongs into, up to the place of that message.
    fn page_for(&mut self, now: Now, rank: usize, body: Body<'_>) -> &mut PageBuilder {
        let next = place(rank, self.row.next);
        let last = self.pending.iter().rposition(|pending| super::rank(pending.first) == rank);
        let fits = |pending: &Pending| pending.builder.has_room_for(body, next - pending.first);
        let at = match last.filter(|at| fits(&self.pending[*at])) {
            Some(at) => at,
            None => self.begin_page(now, next),
        };
        // The next message's page is the last one.
        let pending = self.pending.remove(at);
        self.pending.push(pending);
        self.pad(next);
        let pending = self.pending.last_mut().expect("it was just put there");
        &mut pending.builder
    }

    /// Fills the last page up to a place, where numbers in between went to other strands.
    fn pad(&mut self, next: u64) {
        let Some(pending) = self.pending.last_mut() else { return };
        let records = (next - pending.first) as usize;
        if pending.builder.len() < records {
            pending.builder.pad(records);
            if let Some(hot) = self.window.get_mut(&pending.first) {
                hot.pad(records);
            }
        }
    }

    fn begin_page(&mut self, now: Now, first: u64) -> usize {
        let pending =
            Pending { first, builder: PageBuilder::default(), tried: Vec::new(), alarm_ms: NEVER_MS };
        self.pending.push(pending);
        let strand = &self.strands[rank(first)];
        let is_full = strand.ready.len() >= self.bounds.messages || strand.ready_bytes >= self.bounds.bytes;
        if self.by_session {
            // In the window for this turn only.
            self.window.insert(first, HotPage { warmed: true, ..HotPage::new(now.wall_ms) });
            self.stirred.insert(first);
        } else if strand.cold.is_empty() && !is_full {
            self.window.insert(first, HotPage::new(now.wall_ms));
        }
        self.pending.len() - 1
    }

    /// Books the message that was just put into the last pending page.
    fn accept(&mut self, rank: usize, mark: Mark, size: usize, attempts: u32) -> u64 {
        let at = place(rank, self.row.next);
        self.row.next += 1;
        self.row.active += 1;
        self.row.bytes += size as u64;
        self.dirty = true;
        let pending = self.pending.last_mut().expect("the message was just put there");
        pending.alarm_ms = pending.alarm_ms.min(mark.expires_ms);
        if attempts > 0 {
            pending.tried.push(((at - pending.first) as u32, attempts));
        }
        let strand = &mut self.strands[rank];
        match self.window.get_mut(&pending.first) {
            Some(page) => {
                page.push(attempts, size as u32, mark);
                strand.ready_bytes += size as u64;
                strand.ready.insert(at, at + 1);
                if let Some(keyed) = &mut self.keyed {
                    keyed.insert(at, mark);
                }
            }
            None => {
                // Numbers in between belong to other strands, unless a page begins there.
                let (window, parked) = (&self.window, &self.parked);
                let is_next = |to: u64| {
                    to == at || window.range(to..at).next().is_none() && parked.range(to..at).next().is_none()
                };
                strand.extend_cold(at, is_next);
            }
        }
        number(at)
    }
}
