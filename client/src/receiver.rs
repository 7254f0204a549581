//! Receiving.

mod builder;
mod deferred;
mod settle;

pub(crate) use deferred::per_item;

pub use builder::ReceiverBuilder;

use crate::connection::{Event, Lease, LinkOwner, Parcel};
use crate::delivery::Delivery;
use crate::error::Error;
use futures_core::Stream;
use postrider_protocol::limits;
use postrider_protocol::reply::Delivered;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Credit with which a pull receiver drains: what it may have to hold.
const DRAIN_CREDIT: u32 = 1_000;
/// Messages of one delivery that were not taken yet.
struct Waiting {
    lease: Arc<Lease>,
    messages: std::vec::IntoIter<Delivered>,
    place: u16,
}

/// Receives messages from one queue, subscription or dead-letter queue.
///
/// Dropping a receiver closes it in the background. Closing lets go of everything that is not settled, without counting an
/// attempt; a [`Delivery`] that is still held then may fail to settle with `LockLost`.
///
/// All waiting methods can be cancelled (in a `select!`, say) without losing a message.
///
/// ```no_run
/// use std::time::Duration;
/// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
/// let mut receiver = client.receiver("orders").await?;
/// while let Some(delivery) = receiver.receive_timeout(Duration::from_secs(5)).await? {
///     println!("{:?}", delivery.body());
///     delivery.complete().await?;
/// }
/// receiver.close().await
/// # }
/// ```
pub struct Receiver {
    owner: LinkOwner,
    address: String,
    events: mpsc::Receiver<Event>,
    parcels: VecDeque<Waiting>,
    /// Deferred messages that were asked for, by number, with their places.
    deferred: BTreeMap<u64, (Arc<Lease>, u16, Delivered)>,
    /// Messages in the parcels.
    buffered: u32,
    /// Credit granted of which nothing has been seen yet.
    asked: u32,
    prefetch: u32,
    /// Credit is being taken back; none is granted until that is done.
    draining: bool,
    lock_duration: Duration,
    closed: Option<Error>,
    /// The stream has told why it ended.
    ended: bool,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("address", &self.address)
            .field("prefetch", &self.prefetch)
            .field("buffered", &self.buffered)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// A receiver of a link that is open.
    fn new(
        owner: LinkOwner,
        address: String,
        events: mpsc::Receiver<Event>,
        prefetch: u32,
        lock_duration: Duration,
    ) -> Self {
        let mut receiver = Receiver {
            owner,
            address,
            events,
            parcels: VecDeque::new(),
            deferred: BTreeMap::new(),
            buffered: 0,
            asked: 0,
            prefetch,
            draining: false,
            lock_duration,
            closed: None,
            ended: false,
        };
        receiver.top_up();
        receiver
    }

    /// The queue, subscription or dead-letter queue.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How long messages are locked.
    pub fn lock_duration(&self) -> Duration {
        self.lock_duration
    }

    /// Waits for a message.
    ///
    /// # Errors
    ///
    /// The refusal with which the broker closed the receiver, or why the connection ended. Nothing more comes then.
    pub async fn receive(&mut self) -> Result<Delivery, Error> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// Waits for a message for at most `wait`.
    pub async fn receive_timeout(&mut self, wait: Duration) -> Result<Option<Delivery>, Error> {
        let deadline = Instant::now() + wait;
        match timeout_at(deadline, self.receive()).await {
            Ok(received) => received.map(Some),
            Err(_) => {
                self.take_back_if_pulling().await?;
                self.take().transpose()
            }
        }
    }

    /// Takes up to `most` messages that are there; waits for the first one for at most `wait`. Empty when none came.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// # async fn run(mut receiver: postrider_client::Receiver) -> Result<(), postrider_client::Error> {
    /// let deliveries = receiver.receive_batch(64, Duration::from_secs(1)).await?;
    /// for settled in receiver.complete_batch(&deliveries).await? {
    ///     settled?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn receive_batch(&mut self, most: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        if most == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + wait;
        if self.prefetch == 0 {
            self.pull(most);
        }
        // Waits without taking, so that nothing is lost when the caller stops waiting.
        let arrived = timeout_at(deadline, poll_fn(|cx| self.poll_arrived(cx))).await;
        if let Ok(arrived) = arrived {
            arrived?;
        }
        self.take_events()?;
        if (self.buffered as usize) < most {
            self.take_back_if_pulling().await?;
        }
        self.take_up_to(most)
    }

    /// Takes what is ready now, and has nothing more sent until the next call that receives: at most what was prefetched,
    /// or 1,000 messages where nothing is.
    pub async fn drain(&mut self) -> Result<Vec<Delivery>, Error> {
        if self.prefetch == 0 {
            self.pull(DRAIN_CREDIT as usize);
        }
        self.take_back().await?;
        self.take_up_to(usize::MAX)
    }

    /// The link, for what is asked about it.
    pub(crate) fn link(&self) -> &LinkOwner {
        &self.owner
    }

    /// The receiver as a stream, which it also is itself. Ends after the first error.
    ///
    /// ```no_run
    /// # async fn run(receiver: postrider_client::Receiver) -> Result<(), postrider_client::Error> {
    /// let mut stream = std::pin::pin!(receiver.into_stream());
    /// while let Some(delivery) = std::future::poll_fn(|cx| futures_core::Stream::poll_next(stream.as_mut(), cx)).await {
    ///     delivery?.complete().await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<Delivery, Error>> {
        self
    }

    /// Waits for the settlements that are under way, then closes the receiver: everything that is not settled goes back to
    /// the queue, and the attempt does not count.
    pub async fn close(self) -> Result<(), Error> {
        self.owner.close("close a receiver").await
    }

    /// Makes sure that at least so many messages may wait in the receiver.
    pub(crate) fn prefetch_at_least(&mut self, messages: usize) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX).min(limits::CREDIT);
        self.prefetch = self.prefetch.max(messages);
    }

    /// Grants credit; the connection tells the broker.
    fn grant(&mut self, messages: u32) {
        self.asked += messages;
        self.owner.cell.more.fetch_add(messages, Ordering::AcqRel);
        self.owner.connection.ring();
    }

    /// Grants what the prefetch has room for, once that is half of it: one frame for many messages.
    fn top_up(&mut self) {
        let waiting = self.asked + self.buffered;
        if !self.draining && self.prefetch > 0 && waiting <= self.prefetch / 2 {
            self.grant(self.prefetch - waiting);
        }
    }

    /// Grants exactly what is missing to `most` messages.
    fn pull(&mut self, most: usize) {
        let most = u32::try_from(most).unwrap_or(u32::MAX).min(limits::CREDIT);
        let missing = most.saturating_sub(self.asked + self.buffered);
        if !self.draining && missing > 0 {
            self.grant(missing);
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Error>> {
        ready!(self.poll_arrived(cx))?;
        Poll::Ready(self.take().unwrap_or(Err(Error::Closed)))
    }

    /// Ready when a message is there to be taken.
    fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.buffered == 0 {
            match self.prefetch {
                0 => self.pull(1),
                _ => self.top_up(),
            }
            ready!(self.poll_event(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in one event.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(error) = &self.closed {
            return Poll::Ready(Err(error.clone()));
        }
        let event = ready!(self.events.poll_recv(cx));
        Poll::Ready(self.handle_event(event.unwrap_or_else(|| Event::Closed(self.owner.connection.why()))))
    }

    /// Takes in the events that are there.
    fn take_events(&mut self) -> Result<(), Error> {
        while let Ok(event) = self.events.try_recv() {
            if self.handle_event(event).is_err() {
                break; // What arrived before is handed out first.
            }
        }
        match (&self.closed, self.buffered) {
            (Some(error), 0) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn handle_event(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Messages(parcel) => self.handle_parcel(parcel),
            Event::Deferred(parcel) => self.handle_deferred(parcel),
            Event::Drained => {
                self.asked = 0;
                self.draining = false;
            }
            Event::Closed(error) => {
                self.closed = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    fn handle_parcel(&mut self, parcel: Parcel) {
        let count = u32::try_from(parcel.messages.len()).unwrap_or(u32::MAX);
        self.asked = self.asked.saturating_sub(count);
        self.buffered += count;
        let place = parcel.lease.token.place;
        self.parcels.push_back(Waiting { lease: parcel.lease, messages: parcel.messages.into_iter(), place });
    }

    /// Takes the next message, if one is there.
    fn take(&mut self) -> Option<Result<Delivery, Error>> {
        loop {
            let parcel = self.parcels.front_mut()?;
            if let Some(delivered) = parcel.messages.next() {
                let (lease, place) = (parcel.lease.clone(), parcel.place);
                parcel.place = place.wrapping_add(1);
                self.buffered -= 1;
                self.top_up();
                return Some(Delivery::new(
                    self.owner.connection.clone(),
                    lease,
                    place,
                    delivered,
                    self.lock_duration,
                ));
            }
            self.parcels.pop_front();
        }
    }

    fn take_up_to(&mut self, most: usize) -> Result<Vec<Delivery>, Error> {
        let mut taken = Vec::with_capacity(most.min(self.buffered as usize));
        // Counted before, since taking grants credit, and what comes on it is for the next call.
        for _ in 0..most.min(self.buffered as usize) {
            match self.take() {
                Some(delivery) => taken.push(delivery?),
                None => break,
            }
        }
        Ok(taken)
    }

    async fn take_back_if_pulling(&mut self) -> Result<(), Error> {
        match self.prefetch {
            0 => self.take_back().await,
            _ => Ok(()),
        }
    }

    /// Takes all credit back, and takes in what was on its way.
    async fn take_back(&mut self) -> Result<(), Error> {
        if self.asked > 0 && !self.draining {
            self.draining = true;
            self.owner.cell.drain.store(true, Ordering::Release);
            self.owner.connection.ring();
        }
        while self.draining {
            if let Err(error) = poll_fn(|cx| self.poll_event(cx)).await {
                // What arrived before the end is handed out first.
                return if self.buffered > 0 { Ok(()) } else { Err(error) };
            }
        }
        self.take_events()
    }
}

impl Stream for Receiver {
    type Item = Result<Delivery, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let received = ready!(self.poll_receive(cx));
        self.ended = received.is_err();
        Poll::Ready(Some(received))
    }
}
