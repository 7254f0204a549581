//! The way in: replies find who waits for them.

use super::actor::{Actor, End, Live};
use super::backoff::{REFUSALS, after_refusal};
use super::batch::per_token;
use super::links::{Event, ReceiverState};
use super::operation::{Answer, Opened, SendOutcome, Waiter};
use super::unanswered::{Pending, Waiting};
use crate::error::Error;
use bytes::BytesMut;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::frame::Frame;
use postrider_protocol::reply::{Published, Reply, Runs, Settled};
use postrider_protocol::request::{Request, opcode};
use postrider_protocol::wire::Malformed;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

/// Bytes to read at once at least.
const READ_BYTES: usize = 64 * 1024;
/// Bytes to make room for when there is less than that.
const INBOX_BYTES: usize = 256 * 1024;

/// Whether the broker may take the very same request a little later.
fn is_momentary(refusal: &Refusal) -> bool {
    matches!(
        refusal.code,
        ErrorCode::Busy
            | ErrorCode::Throttled
            | ErrorCode::StorageFull
            | ErrorCode::Unavailable
            | ErrorCode::NotLeader
    )
}

/// Makes room for the next read. A large frame gets room in doubling steps: bytes that have really arrived pay for it.
fn make_room(inbox: &mut BytesMut) {
    if inbox.capacity() - inbox.len() < READ_BYTES {
        inbox.reserve(INBOX_BYTES.max(inbox.len()));
    }
}

impl Actor {
    /// Reads once and handles every frame that is complete.
    pub(super) fn poll_incoming(&mut self, cx: &mut Context<'_>, live: &mut Live) -> Result<bool, End> {
        make_room(&mut live.inbox);
        match poll_read_buf(Pin::new(&mut live.stream), cx, &mut live.inbox) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(0)) => return Err(End::Lost("the broker closed the connection".to_owned())),
            Poll::Ready(Err(error)) => return Err(End::io(&error)),
            Poll::Ready(Ok(_)) => live.last_received = Instant::now(),
        }
        self.handle_frames(live)?;
        Ok(true)
    }

    /// Handles every complete frame in the inbox.
    pub(super) fn handle_frames(&mut self, live: &mut Live) -> Result<(), End> {
        while let Some(frame) = live.decoder.next(&mut live.inbox).map_err(malformed)? {
            self.handle_frame(&frame, live)?;
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: &Frame, live: &mut Live) -> Result<(), End> {
        if frame.opcode == opcode::PING {
            return Ok(()); // A sign of life; ours go out on their own.
        }
        match Reply::decode(frame).map_err(malformed)? {
            Reply::Pong => Ok(()),
            Reply::Delivery(delivery) => self.handle_delivery(delivery, live.last_received),
            Reply::Drained { handle, .. } => {
                if let Some(link) = self.links.receivers.get_mut(&handle) {
                    link.drained();
                }
                Ok(())
            }
            Reply::ReceiverClosed { handle, refusal } => {
                self.handle_receiver_closed(handle, refusal, live.last_received);
                Ok(())
            }
            // What the broker calls malformed it would call malformed again on the next connection.
            Reply::Goodbye(refusal)
                if matches!(refusal.code, ErrorCode::Unauthorized | ErrorCode::InvalidArgument) =>
            {
                Err(End::Fatal(refusal.into()))
            }
            Reply::Goodbye(refusal) => Err(End::Lost(format!("the broker said goodbye: {refusal}"))),
            reply => self.handle_answer(frame.request, reply, live),
        }
    }

    fn handle_delivery(
        &mut self,
        delivery: postrider_protocol::reply::Delivery,
        now: Instant,
    ) -> Result<(), End> {
        let handle = delivery.handle;
        // Where the receiver was closed while it was on its way, closing lets go of it.
        let delivered = self.links.receivers.get_mut(&handle).is_none_or(|link| link.deliver(delivery, now));
        match delivered {
            true => Ok(()),
            false => Err(malformed(Malformed::new("delivery", "exceeds the receiver's credit"))),
        }
    }

    /// The broker closed a receiver: for the moment, or for good.
    pub(super) fn handle_receiver_closed(&mut self, handle: u32, refusal: Refusal, now: Instant) {
        let Some(link) = self.links.receivers.get_mut(&handle) else { return };
        if is_momentary(&refusal) {
            link.lost();
            link.failures += 1;
            let wait = after_refusal(link.failures.min(8), refusal.retry_after_ms, fastrand::f64());
            link.state = ReceiverState::Waiting { until: now + wait };
            self.wake_at(now + wait);
        } else {
            link.tell(Event::Closed(refusal.into()));
            self.links.receivers.remove(&handle);
        }
    }

    fn handle_answer(&mut self, request: u32, reply: Reply, live: &mut Live) -> Result<(), End> {
        let Some((number, pending)) = self.outgoing.unanswered.take(request) else {
            tracing::trace!(request, "an answer that nobody waits for");
            return Ok(());
        };
        if pending.retry_at.is_some() {
            return Err(malformed(Malformed::new("reply.request", format!("{request} is answered twice"))));
        }
        match reply {
            Reply::Refused(refusal) => self.handle_refused(number, pending, refusal, live),
            reply => self.handle_done(pending.waiting, reply, live),
        }
    }

    fn handle_refused(
        &mut self,
        number: u64,
        pending: Pending,
        refusal: Refusal,
        live: &mut Live,
    ) -> Result<(), End> {
        if refusal.code == ErrorCode::Unauthorized {
            let error = Error::from(refusal);
            self.fail(pending.waiting, &error);
            return Err(End::Fatal(error));
        }
        if is_momentary(&refusal) && pending.stamp.is_some() && pending.refusals < REFUSALS {
            let wait = after_refusal(pending.refusals, refusal.retry_after_ms, fastrand::f64());
            let at = live.last_received + wait;
            self.outgoing.unanswered.put_back(number, pending, at);
            self.wake_at(at);
            return Ok(());
        }
        match pending.waiting {
            Waiting::Reopen { handle } => self.handle_reopen_refused(handle, refusal, live),
            Waiting::Open { handle, answer } => {
                self.links.senders.remove(&handle);
                self.links.receivers.remove(&handle);
                drop(answer.send(Err(refusal.into())));
                Ok(())
            }
            // The broker has closed it already.
            Waiting::CloseReceiver { answer, .. } => {
                drop(answer.map(|answer| answer.send(Ok(()))));
                Ok(())
            }
            waiting => {
                self.fail(waiting, &refusal.into());
                Ok(())
            }
        }
    }

    /// Tells who waits that it failed, and gives back the room it took.
    pub(super) fn fail(&mut self, waiting: Waiting, error: &Error) {
        match &waiting {
            Waiting::Publish { weight, .. } => self.ends.room.add_permits(*weight),
            Waiting::Deferred { handle, sequences, .. } => self.unclaim(*handle, sequences),
            _ => {}
        }
        waiting.fail(error);
    }

    /// Deferred messages that were asked for are answered. The broker hears anew how much credit there is, which they
    /// do not take of.
    fn unclaim(&mut self, handle: u32, sequences: &[u64]) {
        if let Some(link) = self.links.receivers.get_mut(&handle) {
            link.claimed.retain(|sequence| !sequences.contains(sequence));
            if link.state == ReceiverState::Open && link.outstanding > 0 {
                self.outgoing.tell(&Request::Flow(link.flow()));
            }
        }
    }

    fn handle_reopen_refused(&mut self, handle: u32, refusal: Refusal, live: &mut Live) -> Result<(), End> {
        let Some(link) = self.links.senders.get_mut(&handle) else {
            let link = self.links.receivers.get(&handle);
            let refusal = link.map(|link| link.reopen_refusal(refusal.clone())).unwrap_or(refusal);
            self.handle_receiver_closed(handle, refusal, live.last_received);
            return Ok(());
        };
        if is_momentary(&refusal) {
            return Err(End::Lost(format!("a sender could not be opened again: {refusal}")));
        }
        link.refused = Some(refusal.clone());
        let error = Error::from(refusal);
        for waiting in self.outgoing.unanswered.take_publishes(handle) {
            self.fail(waiting, &error);
        }
        self.sender_resumed(live);
        Ok(())
    }

    fn handle_done(&mut self, waiting: Waiting, reply: Reply, live: &mut Live) -> Result<(), End> {
        match (waiting, reply) {
            (Waiting::Publish { waiters, items, weight, .. }, Reply::Published(runs)) => {
                self.ends.room.add_permits(weight);
                check_count(&runs, items)?;
                resolve(waiters, outcomes(runs));
            }
            (Waiting::Settle { waiters, tokens, runs }, Reply::Settled(outcomes)) => {
                let outcomes = per_token(outcomes, &runs, tokens).ok_or_else(|| {
                    malformed(Malformed::new("settled", "does not have as many outcomes as items"))
                })?;
                resolve(waiters, outcomes.into_iter().map(settled));
            }
            (
                Waiting::Open { handle, answer },
                Reply::Opened { max_message_bytes, lock_duration_ms, session_id, locked_until_ms },
            ) => {
                let opened = Opened { max_message_bytes, lock_duration_ms, session_id, locked_until_ms };
                self.handle_opened(handle, answer, opened);
            }
            (Waiting::Reopen { handle }, Reply::Opened { session_id, locked_until_ms, .. }) => {
                self.handle_reopened(handle, session_id, locked_until_ms, live);
            }
            (Waiting::Deferred { handle, sequences, answer }, reply) => {
                self.unclaim(handle, &sequences);
                drop(answer.send(Ok(reply)));
            }
            (Waiting::Close(answer) | Waiting::CloseReceiver { answer, .. }, _) => {
                drop(answer.map(|answer| answer.send(Ok(()))));
            }
            (Waiting::Ask(answer) | Waiting::AskReceiver(answer), reply) => drop(answer.send(Ok(reply))),
            (waiting, reply) => {
                let error = Error::unexpected("a request", &reply);
                self.fail(waiting, &error);
                return Err(End::Fatal(error));
            }
        }
        Ok(())
    }

    fn handle_opened(&mut self, handle: u32, answer: Answer<Opened>, opened: Opened) {
        if let Some(link) = self.links.receivers.get_mut(&handle) {
            link.opened_once = true;
            link.opened(opened.session_id.clone(), opened.locked_until_ms);
        } else if let Some(link) = self.links.senders.get_mut(&handle) {
            link.opened_once = true;
        }
        if answer.send(Ok(opened)).is_err() {
            // Whoever wanted the link has stopped waiting for it.
            self.leave_at_once(handle);
        }
    }

    fn handle_reopened(&mut self, handle: u32, session_id: String, locked_until_ms: u64, live: &mut Live) {
        match self.links.receivers.get_mut(&handle) {
            None => self.sender_resumed(live),
            Some(link) => {
                link.failures = 0;
                link.opened(session_id, locked_until_ms);
                if link.outstanding > 0 {
                    self.outgoing.tell(&Request::Flow(link.flow()));
                }
            }
        }
    }
}

/// The other side does not keep to the protocol. Another connection to it would not either.
fn malformed(malformed: Malformed) -> End {
    End::Fatal(malformed.into())
}

fn check_count<T>(runs: &Runs<T>, items: usize) -> Result<(), End> {
    let counted: usize = runs.iter().map(|(items, _)| *items as usize).sum();
    match counted == items {
        true => Ok(()),
        false => Err(malformed(Malformed::new("runs", format!("have {counted} outcomes for {items} items")))),
    }
}

fn resolve<T>(waiters: Vec<Waiter<T>>, mut outcomes: impl Iterator<Item = Result<T, Error>>) {
    waiters.into_iter().for_each(|waiter| waiter.resolve(&mut outcomes));
}

/// What became of each message.
pub(crate) fn outcomes(runs: Runs<Published>) -> impl Iterator<Item = Result<SendOutcome, Error>> {
    runs.into_iter().flat_map(|(items, first)| (0..items).map(move |places| published(&first, places)))
}

fn published(first: &Published, places: u32) -> Result<SendOutcome, Error> {
    match first {
        Published::Accepted(sequence) => {
            Ok(SendOutcome { sequence: sequence.saturating_add(u64::from(places)), duplicate: false })
        }
        Published::Duplicate(sequence) => Ok(SendOutcome { sequence: *sequence, duplicate: true }),
        Published::Refused(refusal) => Err(refusal.clone().into()),
        Published::Underway => Ok(SendOutcome { sequence: 0, duplicate: false }),
    }
}

/// For a renewal, until when.
fn settled(outcome: Settled) -> Result<Option<u64>, Error> {
    match outcome {
        Settled::Done => Ok(None),
        Settled::Renewed(until) => Ok(Some(until)),
        Settled::Refused(refusal) => Err(refusal.into()),
    }
}
