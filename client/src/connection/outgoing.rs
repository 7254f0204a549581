//! The way out: batches, stamps, and the frames that wait to be written.

use super::batch::{PublishBatch, SettleBatch, settlement_bytes};
use super::operation::{Answers, Waiter};
use super::unanswered::{Unanswered, Waiting};
use bytes::{Buf, Bytes, BytesMut};
use postrider_protocol::frame::HEADER_BYTES;
use postrider_protocol::request::{Request, SettleItem, Settlement, Stamp};
use postrider_protocol::token::LockToken;
use std::collections::VecDeque;
use std::io::IoSlice;

/// Frames that wait to be written, as one buffer of many pieces: one write call takes as many as the socket will.
#[derive(Default)]
pub(super) struct WriteQueue {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl WriteQueue {
    pub fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }
}

impl Buf for WriteQueue {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.frames.front().map_or(&[], |frame| frame)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.frames);
        pairs.map(|(slice, frame)| *slice = IoSlice::new(frame)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(front) = self.frames.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.frames.pop_front();
        }
    }
}

/// Requests on their way out, and those that wait for an answer.
pub(super) struct Outgoing {
    pub queue: WriteQueue,
    pub unanswered: Unanswered,
    publishes: Vec<PublishBatch>,
    settles: Vec<SettleBatch>,
}

impl Outgoing {
    pub fn new() -> Self {
        Outgoing {
            queue: WriteQueue::default(),
            unanswered: Unanswered::new(),
            publishes: Vec::new(),
            settles: Vec::new(),
        }
    }

    /// The batch of a sender with room for so much, the full one before it sent on its way.
    fn publish_batch(
        &mut self,
        sender: u32,
        atomic: bool,
        messages: usize,
        bytes: usize,
    ) -> &mut PublishBatch {
        let at = match self.publishes.iter().position(|batch| batch.sender == sender) {
            Some(at) => at,
            None => {
                self.publishes.push(PublishBatch::new(sender, atomic));
                self.publishes.len() - 1
            }
        };
        let batch = &self.publishes[at];
        if !batch.fits(messages, bytes) || (atomic && !batch.messages.is_empty()) {
            let full = std::mem::replace(&mut self.publishes[at], PublishBatch::new(sender, atomic));
            self.send_publish(full);
        }
        &mut self.publishes[at]
    }

    pub fn publish(
        &mut self,
        sender: u32,
        atomic: bool,
        messages: impl ExactSizeIterator<Item = Bytes>,
        bytes: usize,
        weight: usize,
        waiter: Waiter<super::SendOutcome>,
    ) {
        let batch = self.publish_batch(sender, atomic, messages.len(), bytes);
        messages.for_each(|message| batch.push(message));
        batch.weight += weight;
        batch.waiters.push(waiter);
    }

    fn settle_batch(&mut self, shard: u16, tokens: usize, bytes: usize) -> &mut SettleBatch {
        let at = match self.settles.iter().position(|batch| batch.shard == shard) {
            Some(at) => at,
            None => {
                self.settles.push(SettleBatch::new(shard));
                self.settles.len() - 1
            }
        };
        if !self.settles[at].fits(tokens, bytes) {
            let full = std::mem::replace(&mut self.settles[at], SettleBatch::new(shard));
            self.send_settle(full);
        }
        &mut self.settles[at]
    }

    pub fn settle(&mut self, token: LockToken, settlement: Settlement, waiter: Waiter<Option<u64>>) {
        let batch = self.settle_batch(token.shard, 1, settlement_bytes(&settlement));
        batch.push(token, settlement);
        batch.waiters.push(waiter);
    }

    /// Settles what one call brought: of one shard, and within the limits of one frame.
    pub fn settle_many(&mut self, items: Vec<(LockToken, Settlement)>, answer: Answers<Option<u64>>) {
        let Some(shard) = items.first().map(|(token, _)| token.shard) else {
            drop(answer.send(Ok(Vec::new())));
            return;
        };
        let bytes = items.iter().map(|(_, settlement)| settlement_bytes(settlement)).sum();
        let batch = self.settle_batch(shard, items.len(), bytes);
        batch.waiters.push(Waiter::Many(items.len(), answer));
        items.into_iter().for_each(|(token, settlement)| batch.push(token, settlement));
    }

    /// Sends the batches on their way, publishes first: who settles a message may have sent its result before.
    pub fn flush(&mut self) {
        // Shards and senders of a pass are few; the lists keep their room for the next one.
        let mut publishes = std::mem::take(&mut self.publishes);
        publishes.drain(..).for_each(|batch| self.send_publish(batch));
        self.publishes = publishes;
        let mut settles = std::mem::take(&mut self.settles);
        settles.drain(..).for_each(|batch| self.send_settle(batch));
        self.settles = settles;
    }

    fn send_publish(&mut self, batch: PublishBatch) {
        let PublishBatch { sender, atomic, messages, bytes, waiters, weight } = batch;
        let items = messages.len();
        let room = HEADER_BYTES + 24 + 4 * items + bytes;
        let request = Request::Publish { handle: sender, stamp: Stamp::default(), atomic, messages };
        self.ask_within(request, room, Waiting::Publish { sender, waiters, items, weight });
    }

    fn send_settle(&mut self, batch: SettleBatch) {
        let SettleBatch { items, tokens, bytes, waiters, .. } = batch;
        let runs = items.iter().map(|item: &SettleItem| item.run).collect();
        let request = Request::Settle { stamp: Stamp::default(), items };
        self.ask_within(request, HEADER_BYTES + 24 + bytes, Waiting::Settle { waiters, tokens, runs });
    }

    /// Sends a request whose answer somebody waits for, stamped if it changes something.
    pub fn ask(&mut self, request: Request, waiting: Waiting) {
        self.ask_within(request, 256, waiting);
    }

    fn ask_within(&mut self, mut request: Request, room: usize, waiting: Waiting) {
        let number = self.unanswered.number();
        let sequence = stamp_of(&mut request).map(|stamp| {
            (stamp.sequence, stamp.floor) = self.unanswered.stamp();
            stamp.sequence
        });
        let frame = encode(&request, number, room);
        self.queue.push(frame.clone());
        self.unanswered.insert(number, frame, sequence, waiting);
    }

    /// Sends what has no answer, or none that anybody waits for.
    pub fn tell(&mut self, request: &Request) {
        let number = self.unanswered.number();
        self.queue.push(encode(request, number, 64));
    }
}

fn encode(request: &Request, number: u64, room: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(room);
    request.put(number as u32, &mut out);
    out.freeze()
}

/// The stamp of a request that changes something.
fn stamp_of(request: &mut Request) -> Option<&mut Stamp> {
    match request {
        Request::Publish { stamp, .. }
        | Request::Settle { stamp, .. }
        | Request::Transact { stamp, .. }
        | Request::Create { stamp, .. }
        | Request::Update { stamp, .. }
        | Request::Delete { stamp, .. }
        | Request::PutRule { stamp, .. }
        | Request::DeleteRule { stamp, .. }
        | Request::PromoteRule { stamp, .. }
        | Request::Replay { stamp, .. }
        | Request::Purge { stamp, .. }
        | Request::PutSchedule { stamp, .. }
        | Request::DeleteSchedule { stamp, .. }
        | Request::Redrive { stamp, .. }
        | Request::Scheduled { stamp, .. }
        | Request::SetSessionState { stamp, .. }
        | Request::ReceiveDeferred { stamp, .. } => Some(stamp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_protocol::frame::FrameDecoder;
    use postrider_protocol::limits;
    use tokio::sync::oneshot;

    fn sent(outgoing: &mut Outgoing) -> Vec<Request> {
        let mut bytes = BytesMut::new();
        while outgoing.queue.has_remaining() {
            let chunk = outgoing.queue.chunk().to_vec();
            bytes.extend_from_slice(&chunk);
            outgoing.queue.advance(chunk.len());
        }
        let mut decoder = FrameDecoder::new(limits::FRAME_BYTES);
        std::iter::from_fn(|| decoder.next(&mut bytes).unwrap())
            .map(|frame| Request::decode(&frame).unwrap())
            .collect()
    }

    fn publish(outgoing: &mut Outgoing, sender: u32, atomic: bool, body: &'static str) {
        let messages = [Bytes::from_static(body.as_bytes())];
        outgoing.publish(
            sender,
            atomic,
            messages.into_iter(),
            body.len(),
            1,
            Waiter::One(oneshot::channel().0),
        );
    }

    #[test]
    fn messages_of_one_sender_share_a_frame_though_others_send_between() {
        let mut outgoing = Outgoing::new();
        for (sender, body) in [(1, "a"), (2, "x"), (1, "b"), (2, "y")] {
            publish(&mut outgoing, sender, false, body);
        }
        publish(&mut outgoing, 1, true, "alone");
        publish(&mut outgoing, 1, false, "c");
        outgoing.flush();
        let frames: Vec<_> = sent(&mut outgoing)
            .into_iter()
            .map(|request| match request {
                Request::Publish { handle, stamp, messages, atomic } => {
                    (handle, stamp.sequence, atomic, messages.concat())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [(1, 1, false, "ab"), (1, 2, true, "alone"), (1, 3, false, "c"), (2, 4, false, "xy")];
        assert_eq!(
            frames,
            expected.map(|(handle, stamp, atomic, body)| (handle, stamp, atomic, body.as_bytes().to_vec()))
        );
        assert_eq!(outgoing.unanswered.len(), 4);
    }

    #[test]
    fn settlements_are_split_by_shard() {
        let mut outgoing = Outgoing::new();
        for shard in [1, 2, 1] {
            let token = LockToken { shard, lease: 1, place: 0, salt: 0 };
            outgoing.settle(token, Settlement::Complete, Waiter::One(oneshot::channel().0));
        }
        outgoing.flush();
        let counts: Vec<_> = sent(&mut outgoing)
            .into_iter()
            .map(|request| match request {
                Request::Settle { items, .. } => (items[0].token.shard, items.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [(1, 2), (2, 1)]);
    }

    #[test]
    fn the_queue_advances_over_frames() {
        let mut queue = WriteQueue::default();
        ["abc", "de", "f"].iter().for_each(|text| queue.push(Bytes::from_static(text.as_bytes())));
        queue.advance(4);
        assert_eq!((queue.remaining(), queue.chunk()), (2, b"e".as_slice()));
        let mut slices = [IoSlice::new(&[]), IoSlice::new(&[]), IoSlice::new(&[])];
        assert_eq!(queue.chunks_vectored(&mut slices), 2);
        queue.advance(2);
        assert!(!queue.has_remaining());
    }
}
