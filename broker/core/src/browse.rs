//! Questions about a queue: peeking, causes of dead letters, sessions, consumers.

use crate::command::Question;
use crate::context::{Damage, Rows};
use crate::key::{Key, KeyRange, QueueId};
use crate::limits::PAGE_MESSAGES;
use crate::moves::changed_record;
use crate::page::{Page, PageState};
use crate::queue::{Slot, number};
use crate::shard::{Shard, not_available};
use bytes::{Bytes, BytesMut};
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::{BATCH_BYTES, LISTING_ENTRIES};
use postrider_protocol::name::Address;
use postrider_protocol::reply::{Delivered, PeekState, Peeked, Reply};

impl Shard {
    /// Answers a question from the state after a turn, whose rows are `rows`.
    pub fn answer(&self, rows: &dyn Rows, address: &Address, question: &Question) -> Result<Reply, Damage> {
        let queue = match self.queue_at(address) {
            Ok(queue) => queue,
            Err(refusal) => return Ok(Reply::Refused(refusal)),
        };
        match question {
            Question::Peek { from, limit, .. } => self.peek(rows, queue, *from, *limit),
            Question::Causes { .. } => Ok(Reply::Refused(not_available("causes"))),
            Question::Sessions { after, limit } => Ok(self.list_sessions(queue, after, *limit)),
            Question::Consumers => Ok(Reply::Refused(not_available("consumers"))),
        }
    }

    /// Walks the pages from the one that may hold `from`, and stops when the answer is full.
    fn peek(&self, rows: &dyn Rows, id: QueueId, from: u64, limit: u32) -> Result<Reply, Damage> {
        let Some(queue) = self.queue(id) else { return Ok(Reply::Refused(Refusal::not_found("the queue"))) };
        let limit = (if limit == 0 { LISTING_ENTRIES } else { limit.min(LISTING_ENTRIES) }) as usize;
        let start = from.saturating_sub(PAGE_MESSAGES as u64).max(queue.low());
        let (mut messages, mut bytes, mut next) = (Vec::new(), 0, 0);
        rows.scan(&KeyRange::pages(self.id, id, start, u64::MAX), &mut |key, value| {
            let Key::Page(_, _, first) = Key::decode(key)? else { return Ok(false) };
            let page = Page::open(Bytes::copy_from_slice(value))?;
            let state = PageState::of(&page, rows.get(&Key::PageState(self.id, id, first))?)?;
            for (index, attempts) in (0..).zip(&state.attempts) {
                let sequence = number(first) + u64::from(index);
                let (Some(attempts), Some(record)) = (*attempts, page.record(index as usize)) else {
                    continue;
                };
                if sequence < from {
                    continue;
                }
                if messages.len() >= limit || bytes >= BATCH_BYTES {
                    next = sequence;
                    return Ok(false);
                }
                bytes += record.len();
                let locked = matches!(queue.slot(first, index), Some(Slot::Locked { .. }));
                let peeked = if locked { PeekState::Locked } else { PeekState::Ready };
                let mut laid_out = BytesMut::new();
                changed_record(record, state.changed.get(&index))?.put(&mut laid_out);
                let message = Delivered { sequence, attempts, record: laid_out.freeze() };
                messages.push(Peeked { state: peeked, until_ms: 0, message });
            }
            Ok(true)
        })?;
        Ok(Reply::Peeked { messages, next })
    }
}
