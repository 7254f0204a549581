//! Taking messages in.

use super::{HotPage, Pending, Queue, Slot};
use crate::context::Now;
use crate::page::PageBuilder;
use postrider_protocol::message::Record;

impl Queue {
    /// Appends a message as its sender laid it out; returns its number.
    pub fn append(&mut self, now: Now, message: &[u8]) -> u64 {
        let sequence = self.next;
        self.page_for(message.len()).push(now.wall_ms, sequence, message);
        self.accept(Record::PLAIN_OVERHEAD + message.len(), 0)
    }

    /// Appends a record that comes from another queue, where deliveries of it have failed.
    pub fn append_record(&mut self, record: &Record, attempts: u32) -> u64 {
        let builder = self.page_for(record.message.len());
        let before = builder.bytes();
        builder.push_record(record);
        let size = builder.bytes() - before;
        self.accept(size, attempts)
    }

    /// The page of this turn that the next message belongs into.
    fn page_for(&mut self, message_bytes: usize) -> &mut PageBuilder {
        let has_room = self.pending.last().is_some_and(|pending| pending.builder.has_room_for(message_bytes));
        if !has_room {
            self.begin_page();
        }
        let pending = self.pending.last_mut().expect("a page was begun where there was none");
        &mut pending.builder
    }

    fn begin_page(&mut self) {
        let first = self.next;
        self.pending.push(Pending { first, builder: PageBuilder::default(), tried: Vec::new() });
        if self.cold.is_empty() && !self.is_window_full() {
            let page = HotPage { slots: Vec::new(), sizes: Vec::new(), live: 0, locked: 0 };
            self.window.insert(first, page);
        }
    }

    /// Books the message that was just put into the last pending page.
    fn accept(&mut self, size: usize, attempts: u32) -> u64 {
        let sequence = self.next;
        let first = self.pending.last().map_or(sequence, |pending| pending.first);
        self.next += 1;
        self.active += 1;
        self.bytes += size as u64;
        self.dirty = true;
        if attempts > 0
            && let Some(pending) = self.pending.last_mut()
        {
            pending.tried.push((sequence - first, attempts));
        }
        match self.window.get_mut(&first) {
            Some(page) => {
                page.slots.push(Slot::Ready { attempts });
                page.sizes.push(size as u32);
                page.live += 1;
                self.ready_bytes += size as u64;
                self.ready.insert(sequence, sequence + 1);
            }
            None => self.extend_cold(sequence),
        }
        sequence
    }

    fn extend_cold(&mut self, sequence: u64) {
        match self.cold.back_mut() {
            Some((_, to)) if *to == sequence => *to += 1,
            _ => self.cold.push_back((sequence, sequence + 1)),
        }
    }
}
