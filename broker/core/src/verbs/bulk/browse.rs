//! Questions about a queue: peeking, causes of dead letters, sessions, consumers.

use crate::command::Question;
use crate::context::{Damage, Rows};
use crate::key::QueueId;
use crate::queue::Slot;
use crate::shard::Shard;
use crate::verbs::bulk::choose::Chooser;
use crate::verbs::bulk::walk::{Found, Span, Where};
use bytes::BytesMut;
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::{BATCH_BYTES, LISTING_ENTRIES};
use postrider_protocol::name::{Address, Lane};
use postrider_protocol::reply::{Delivered, Peeked, Reply};

impl Shard {
    /// Answers a question from the state after a turn, whose rows are `rows`.
    pub fn answer(&self, rows: &dyn Rows, address: &Address, question: &Question) -> Result<Reply, Damage> {
        match question {
            Question::Peek { from, limit, states, filter } => {
                let chooser = Chooser::within(*states, filter);
                match self.browsable(address).and_then(|queue| Ok((queue, chooser?))) {
                    Ok((queue, chooser)) => self.peek(rows, queue, *from, *limit, &chooser),
                    Err(refusal) => Ok(Reply::Refused(refusal)),
                }
            }
            Question::Causes { from, limit } => match self.queue_at(address) {
                Ok(queue) => self.causes(rows, address, queue, *from, *limit),
                Err(refusal) => Ok(Reply::Refused(refusal)),
            },
            Question::Schedules { after, limit } => Ok(self.schedules(&address.entity, after, *limit)),
            Question::Rules { after, limit } => Ok(self.rules(&address.entity, after, *limit)),
            Question::Explain { message, after, limit } => {
                Ok(self.explain(&address.entity, message, after, *limit))
            }
            Question::Sessions { after, limit } => match self.queue_at(address) {
                Ok(queue) => Ok(self.list_sessions(queue, after, *limit)),
                Err(refusal) => Ok(Reply::Refused(refusal)),
            },
            Question::Consumers => match self.queue_at(address) {
                Ok(queue) => Ok(Reply::Consumers(self.consumers(queue))),
                Err(refusal) => Ok(Reply::Refused(refusal)),
            },
        }
    }

    /// What can be looked into: every queue, and a topic for the messages that are scheduled there.
    fn browsable(&self, address: &Address) -> Result<QueueId, Refusal> {
        let (entity, found) = self.catalog.require(&address.entity)?;
        let is_topic = !found.has_queues() && address.lane == Lane::Main;
        if is_topic { Ok(QueueId::main(entity)) } else { self.queue_at(address) }
    }

    /// Messages from a number on, until the answer is full or as many were looked at as one request should.
    fn peek(
        &self,
        rows: &dyn Rows,
        queue: QueueId,
        from: u64,
        limit: u32,
        chooser: &Chooser,
    ) -> Result<Reply, Damage> {
        let limit = (if limit == 0 { LISTING_ENTRIES } else { limit.min(LISTING_ENTRIES) }) as usize;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let span = Span { from, to: 0, limit: 0, numbers: &[] };
        let examined = self.examine(rows, queue, span, &mut |found| {
            if messages.len() >= limit {
                return Ok(false);
            }
            if chooser.takes(&found)? {
                let peeked = self.peeked(&found)?;
                let size = peeked.message.record.len();
                if !messages.is_empty() && bytes + size > BATCH_BYTES {
                    return Ok(false);
                }
                bytes += size;
                messages.push(peeked);
            }
            Ok(true)
        })?;
        Ok(Reply::Peeked { messages, next: examined.next })
    }

    fn peeked(&self, found: &Found) -> Result<Peeked, Damage> {
        let mut record = BytesMut::new();
        found.record()?.put(&mut record);
        let message =
            Delivered { sequence: found.number, attempts: found.attempts(), record: record.freeze() };
        Ok(Peeked { state: found.state(), until_ms: self.until_ms(found), message })
    }

    /// Until when a message stays in its state, as far as time decides that.
    fn until_ms(&self, found: &Found) -> u64 {
        match found.at {
            Where::Scheduled { due_ms } => due_ms,
            Where::Stored { slot: Slot::Delayed { until_ms, .. }, .. } => until_ms,
            Where::Stored { slot: Slot::Locked { lease, .. }, page, index } => {
                let places = self.leases.get(&lease).map_or(&[][..], |lease| &lease.places);
                let place = places.iter().find(|place| (place.page, place.index) == (page, index));
                place.map_or(0, |place| place.until_ms)
            }
            Where::Stored { .. } => 0,
        }
    }
}
