//! The task that owns a connection.

use super::Config;
use super::handshake::Link;
use super::links::{Event, LinkCell, Links, ReceiverLink, SenderLink};
use super::operation::{Answer, Opened, Operation, Waiter};
use super::outgoing::Outgoing;
use super::unanswered::Waiting;
use crate::error::Error;
use bytes::{Buf, BytesMut};
use postrider_protocol::frame::FrameDecoder;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{OpenReceiver, Request, Stamp};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, Sleep};
use tokio_util::io::poll_write_buf;
use tokio_util::sync::CancellationToken;

/// Unwritten bytes beyond which no more operations are taken: they batch better while they wait.
const UNWRITTEN_BYTES: usize = 512 * 1024;
/// Operations taken at once.
const TAKEN_AT_ONCE: usize = 4096;

/// What the actor shares with its handles.
#[derive(Clone)]
pub(super) struct Ends {
    pub room: Arc<Semaphore>,
    pub ended: Arc<OnceLock<Error>>,
    pub abort: CancellationToken,
    pub closing: CancellationToken,
    pub gone: CancellationToken,
}

/// The socket and what is known of the other side of it. Dies with the connection.
pub(super) struct Live {
    pub stream: TcpStream,
    pub decoder: FrameDecoder,
    pub inbox: BytesMut,
    pub heartbeat: Duration,
    pub in_flight: usize,
    pub last_received: Instant,
    pub last_sent: Instant,
    pub last_ping: Instant,
    /// Senders that are still to be opened again before anything else is sent.
    pub resuming: Option<usize>,
    pub timer: Pin<Box<Sleep>>,
}

impl Live {
    pub fn new(link: Link, now: Instant) -> Self {
        let heartbeat = Duration::from_millis(link.welcome.heartbeat_ms.max(1));
        Live {
            stream: link.stream,
            decoder: link.decoder,
            inbox: link.inbox,
            heartbeat,
            in_flight: (link.welcome.requests_in_flight as usize).max(1),
            last_received: now,
            last_sent: now,
            last_ping: now,
            resuming: None,
            timer: Box::pin(tokio::time::sleep_until(now + heartbeat)),
        }
    }
}

/// Why the actor stops working with a connection.
pub(super) enum End {
    /// All is done and said.
    Finished,
    /// The connection is of no use any more; make another one.
    Lost(String),
    /// No connection will do.
    Fatal(Error),
}

impl End {
    pub fn io(error: &io::Error) -> Self {
        End::Lost(error.to_string())
    }
}

/// A link that is about to be closed, once nothing before it waits.
pub(super) struct Leaving {
    pub handle: u32,
    /// Operations that were asked for before: they are taken first.
    pub after_taken: u64,
    /// Requests sent before: a sender's publishes and all settlements among them are answered first.
    pub after_request: Option<u64>,
    pub answer: Option<Answer<()>>,
}

/// How far a graceful end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    NotYet,
    LinksClosed,
    Said,
}

/// The state of a client's connection. It outlives sockets.
pub(super) struct Actor {
    pub(super) config: Config,
    pub(super) ends: Ends,
    pub(super) operations: mpsc::Receiver<Operation>,
    pub(super) bell: mpsc::Receiver<()>,
    batch: Vec<Operation>,
    pub(super) taken: u64,
    /// No more operations will come.
    pub(super) exhausted: bool,
    pub(super) outgoing: Outgoing,
    pub(super) links: Links,
    pub(super) leaving: VecDeque<Leaving>,
    closing: Vec<Answer<()>>,
    pub(super) farewell: Farewell,
    /// Attempts to connect since a connection last held for a while: a broker that takes connections only to close
    /// them must not be asked in a tight loop.
    pub(super) failures: u32,
    pub(super) lost_since: Option<Instant>,
    /// When the connection last was as before.
    pub(super) resumed_at: Option<Instant>,
    /// The earliest moment at which something refused is to be tried again; never later than the true one.
    pub(super) wake_at: Option<Instant>,
}

impl Actor {
    pub fn new(
        config: Config,
        operations: mpsc::Receiver<Operation>,
        bell: mpsc::Receiver<()>,
        ends: Ends,
    ) -> Self {
        Actor {
            config,
            ends,
            operations,
            bell,
            batch: Vec::new(),
            taken: 0,
            exhausted: false,
            outgoing: Outgoing::new(),
            links: Links::default(),
            leaving: VecDeque::new(),
            closing: Vec::new(),
            farewell: Farewell::NotYet,
            failures: 0,
            lost_since: None,
            resumed_at: None,
            wake_at: None,
        }
    }

    pub async fn run(mut self, link: Link) {
        let mut live = Live::new(link, Instant::now());
        let abort = self.ends.abort.clone();
        let error = loop {
            let end = tokio::select! {
                end = poll_fn(|cx| self.poll(cx, &mut live)) => end,
                () = abort.cancelled() => End::Finished,
            };
            match end {
                End::Finished => break Error::Closed,
                End::Fatal(error) => break error,
                // Only goodbyes were left to say; the broker has let go of the links by itself.
                End::Lost(_) if self.farewell != Farewell::NotYet => {
                    self.farewell = Farewell::Said;
                    break Error::Closed;
                }
                End::Lost(reason) => match self.reconnect(reason).await {
                    Ok(link) => live = self.resume(link),
                    Err(error) => break error,
                },
            }
        };
        self.end(&error);
    }

    /// Does everything that can be done now.
    fn poll(&mut self, cx: &mut Context<'_>, live: &mut Live) -> Poll<End> {
        loop {
            match self.poll_once(cx, live) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
    }

    /// One round over all sources; whether any of them had something.
    fn poll_once(&mut self, cx: &mut Context<'_>, live: &mut Live) -> Result<bool, End> {
        let mut progress = self.poll_incoming(cx, live)?;
        progress |= self.poll_bell(cx);
        progress |= self.poll_operations(cx, live);
        self.close_leaving(live);
        self.say_farewell(live)?;
        progress |= self.poll_write(cx, live)?;
        progress |= self.poll_timer(cx, live)?;
        Ok(progress)
    }

    fn poll_bell(&mut self, cx: &mut Context<'_>) -> bool {
        let rung = matches!(self.bell.poll_recv(cx), Poll::Ready(Some(())));
        if rung {
            self.look_at_links();
        }
        rung
    }

    /// Takes what handles wrote into their cells since the last look.
    pub(super) fn look_at_links(&mut self) {
        for link in self.links.receivers.values_mut() {
            if link.look() {
                self.outgoing.tell(&Request::Flow(link.flow()));
            }
        }
        for handle in self.links.dropped() {
            // What the dropped handle asked for before is in the channel, or was taken already.
            self.leave(handle, self.taken + self.operations.len() as u64, None);
        }
    }

    /// Takes the operations that wait and makes frames of them.
    fn poll_operations(&mut self, cx: &mut Context<'_>, live: &Live) -> bool {
        let free = live.in_flight.saturating_sub(self.outgoing.unanswered.len());
        let blocked = live.resuming.is_some() || self.outgoing.queue.remaining() > UNWRITTEN_BYTES;
        // Each operation becomes at most one request, so that as many as there is room for may be taken.
        if self.exhausted || blocked || free == 0 {
            return false;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let taken = self.operations.poll_recv_many(cx, &mut batch, free.min(TAKEN_AT_ONCE));
        batch.drain(..).for_each(|operation| self.handle_operation(operation));
        self.batch = batch;
        self.outgoing.flush();
        match taken {
            Poll::Pending => false,
            Poll::Ready(0) => {
                self.exhausted = true;
                true
            }
            Poll::Ready(taken) => {
                self.taken += taken as u64;
                true
            }
        }
    }

    fn handle_operation(&mut self, operation: Operation) {
        match operation {
            Operation::Publish { sender, message, weight, answer } => {
                let bytes = message.len();
                self.publish(sender, false, std::iter::once(message), bytes, weight, Waiter::One(answer));
            }
            Operation::PublishMany { sender, messages, weight, atomic, answer } => {
                let bytes = messages.iter().map(bytes::Bytes::len).sum();
                let waiter = Waiter::Many(messages.len(), answer);
                self.publish(sender, atomic, messages.into_iter(), bytes, weight, waiter);
            }
            Operation::Settle { token, settlement, answer } => {
                self.outgoing.settle(token, settlement, Waiter::One(answer));
            }
            Operation::SettleMany { items, answer } => self.outgoing.settle_many(items, answer),
            other => {
                // These must not overtake what was asked for before them.
                self.outgoing.flush();
                self.handle_rare(other);
            }
        }
    }

    fn handle_rare(&mut self, operation: Operation) {
        match operation {
            Operation::Ask { request, answer } => self.outgoing.ask(*request, Waiting::Ask(answer)),
            Operation::AskReceiver { handle, request, answer } => {
                self.ask_receiver(handle, *request, answer);
            }
            Operation::ReceiveDeferred { handle, sequences, answer } => {
                self.receive_deferred(handle, sequences, answer);
            }
            Operation::OpenSender { handle, address, cell, answer } => {
                self.open_sender(handle, address, cell, answer);
            }
            Operation::OpenReceiver { open, cell, events, answer } => {
                self.open_receiver(*open, cell, events, answer);
            }
            Operation::CloseLink { handle, answer } => self.leave(handle, 0, Some(answer)),
            Operation::Close { answer } => {
                self.closing.push(answer);
                self.operations.close();
            }
            other => other.fail(Error::Closed),
        }
    }

    fn publish(
        &mut self,
        sender: u32,
        atomic: bool,
        messages: impl ExactSizeIterator<Item = bytes::Bytes>,
        bytes: usize,
        weight: usize,
        waiter: Waiter<super::SendOutcome>,
    ) {
        let refused = match self.links.senders.get(&sender) {
            Some(link) => link.refused.clone().map(Error::from),
            None => Some(Error::Closed),
        };
        match refused {
            None => self.outgoing.publish(sender, atomic, messages, bytes, weight, waiter),
            Some(error) => {
                self.ends.room.add_permits(weight);
                waiter.fail(error);
            }
        }
    }

    fn open_sender(&mut self, handle: u32, address: String, cell: Arc<LinkCell>, answer: Answer<Opened>) {
        self.links
            .senders
            .insert(handle, SenderLink { address: address.clone(), cell, refused: None, opened_once: false });
        self.outgoing.ask(Request::OpenSender { handle, address }, Waiting::Open { handle, answer });
    }

    fn open_receiver(
        &mut self,
        open: OpenReceiver,
        cell: Arc<LinkCell>,
        events: mpsc::Sender<Event>,
        answer: Answer<Opened>,
    ) {
        let handle = open.handle;
        self.links.receivers.insert(handle, ReceiverLink::new(open.clone(), cell, events));
        self.outgoing.ask(Request::OpenReceiver(open), Waiting::Open { handle, answer });
    }

    fn ask_receiver(&mut self, handle: u32, request: Request, answer: Answer<Reply>) {
        match self.links.receivers.contains_key(&handle) {
            true => self.outgoing.ask(request, Waiting::AskReceiver(answer)),
            false => drop(answer.send(Err(Error::Closed))),
        }
    }

    fn receive_deferred(&mut self, handle: u32, sequences: Vec<u64>, answer: Answer<Reply>) {
        let Some(link) = self.links.receivers.get_mut(&handle) else {
            return drop(answer.send(Err(Error::Closed)));
        };
        link.claimed.extend(&sequences);
        let request =
            Request::ReceiveDeferred { handle, stamp: Stamp::default(), sequences: sequences.clone() };
        self.outgoing.ask(request, Waiting::Deferred { handle, sequences, answer });
    }

    /// Writes all frames that wait, with as few calls as the socket allows.
    fn poll_write(&mut self, cx: &mut Context<'_>, live: &mut Live) -> Result<bool, End> {
        let mut progress = false;
        while self.outgoing.queue.has_remaining() {
            match poll_write_buf(Pin::new(&mut live.stream), cx, &mut self.outgoing.queue) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(End::Lost("the socket takes no more bytes".to_owned())),
                Poll::Ready(Ok(_)) => progress = true,
                Poll::Ready(Err(error)) => return Err(End::io(&error)),
            }
        }
        if progress {
            live.last_sent = Instant::now();
        }
        Ok(progress)
    }

    /// Tells everybody that it is over, and why.
    fn end(mut self, error: &Error) {
        // Set before anything is closed, so that whoever finds it closed also finds the reason.
        drop(self.ends.ended.set(error.clone()));
        self.operations.close();
        self.ends.room.close();
        self.outgoing.flush();
        self.outgoing.unanswered.take_all().into_iter().for_each(|waiting| waiting.fail(error));
        while let Ok(operation) = self.operations.try_recv() {
            operation.fail(error.clone());
        }
        self.links.receivers.values().for_each(|link| link.tell(Event::Closed(error.clone())));
        let finished = self.farewell == Farewell::Said;
        let outcome = || if finished { Ok(()) } else { Err(error.clone()) };
        self.leaving
            .into_iter()
            .filter_map(|leaving| leaving.answer)
            .for_each(|answer| drop(answer.send(outcome())));
        self.closing.into_iter().for_each(|answer| drop(answer.send(outcome())));
    }
}
