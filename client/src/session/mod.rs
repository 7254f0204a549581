//! Sessions: messages that belong together, received in order by one receiver at a time.

mod handler;

pub use handler::SessionOptions;

use crate::connection::{Connection, LinkCell, Operation};
use crate::delivery::{milliseconds, time};
use crate::error::Error;
use crate::receiver::{Receiver, ReceiverBuilder};
use bytes::Bytes;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Request, SessionWish, Stamp};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::DropGuard;

/// Settings of a [`SessionReceiver`].
///
/// ```no_run
/// use std::time::Duration;
/// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
/// let next = client.session_receiver("orders").next().wait(Duration::from_secs(30)).accept().await?;
/// let mine = client.session_receiver("orders").named("customer-7").accept().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until accept is called"]
pub struct SessionReceiverBuilder {
    receiver: ReceiverBuilder,
    wish: SessionWish,
    wait: Duration,
    renew_up_to: Duration,
}

impl SessionReceiverBuilder {
    pub(crate) fn new(receiver: ReceiverBuilder) -> Self {
        SessionReceiverBuilder {
            receiver,
            wish: SessionWish::Next,
            wait: Duration::ZERO,
            renew_up_to: Duration::ZERO,
        }
    }

    /// The session of this id, whether it has messages or not.
    pub fn named(mut self, id: impl Into<String>) -> Self {
        self.wish = SessionWish::Named(id.into());
        self
    }

    /// The next session that has messages and that nobody has locked; so it is where nothing is said.
    pub fn next(mut self) -> Self {
        self.wish = SessionWish::Next;
        self
    }

    /// How long the broker may wait until there is such a session; not at all where nothing is said.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// How long the session's lock is renewed in the background, from when it was accepted. Zero where nothing is said:
    /// call [`SessionReceiver::renew_session`].
    pub fn renew_up_to(mut self, duration: Duration) -> Self {
        self.renew_up_to = duration;
        self
    }

    /// How the receiver inside is opened: prefetch, mode, lock duration.
    ///
    /// ```no_run
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let session = client.session_receiver("orders").receiver(|receiver| receiver.prefetch(10)).accept().await?;
    /// # Ok(()) }
    /// ```
    pub fn receiver(mut self, change: impl FnOnce(ReceiverBuilder) -> ReceiverBuilder) -> Self {
        self.receiver = change(self.receiver);
        self
    }

    /// Locks the session and opens a receiver on it.
    ///
    /// # Errors
    ///
    /// `SessionCannotBeLocked` when there was no such session to be had within the wait.
    pub async fn accept(self) -> Result<SessionReceiver, Error> {
        let (receiver, opened) = self.receiver.open_link(self.wish, self.wait).await?;
        let mut session = SessionReceiver { receiver, id: opened.session_id, _renewing: None };
        if !self.renew_up_to.is_zero() {
            session._renewing = Some(session.renew_in_background(self.renew_up_to));
        }
        Ok(session)
    }
}

/// A receiver of one session, whose lock it holds: nobody else gets messages of it. Receives and settles as the
/// [`Receiver`] that it also is.
///
/// After a reconnect it goes on with its session. Where the lock was lost meanwhile, receiving ends with
/// `SessionLockLost`. Dropping it lets go of the session in the background.
///
/// ```no_run
/// use std::time::Duration;
/// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
/// let mut session = client.session_receiver("orders").named("customer-7").accept().await?;
/// let mut seen = session.state().await?.map_or(0, |state| state.len());
/// while let Some(delivery) = session.receive_timeout(Duration::from_secs(1)).await? {
///     seen += 1;
///     session.set_state(vec![0; seen]).await?;
///     delivery.complete().await?;
/// }
/// session.close().await
/// # }
/// ```
#[derive(Debug)]
pub struct SessionReceiver {
    receiver: Receiver,
    id: String,
    /// Ends the renewing when the receiver is dropped.
    _renewing: Option<DropGuard>,
}

impl Deref for SessionReceiver {
    type Target = Receiver;

    fn deref(&self) -> &Receiver {
        &self.receiver
    }
}

impl DerefMut for SessionReceiver {
    fn deref_mut(&mut self) -> &mut Receiver {
        &mut self.receiver
    }
}

impl SessionReceiver {
    /// The session's id.
    pub fn session_id(&self) -> &str {
        &self.id
    }

    /// Until when the session is locked, by the broker's clock.
    pub fn locked_until(&self) -> SystemTime {
        time(self.receiver.link().cell.session_until_ms.load(Ordering::Acquire))
    }

    /// Keeps the session's lock for its own duration from now. Returns until when.
    ///
    /// # Errors
    ///
    /// `SessionLockLost` when it ran out before; accept the session again.
    pub async fn renew_session(&self) -> Result<SystemTime, Error> {
        self.renewal().renew().await.map(time)
    }

    /// What was kept with the session; `None` where nothing is.
    pub async fn state(&self) -> Result<Option<Bytes>, Error> {
        let what = "get the state of a session";
        let handle = self.receiver.link().handle;
        match self.ask(what, Request::GetSessionState { handle }).await? {
            Reply::SessionState { state, .. } => Ok(state),
            other => Err(Error::unexpected(what, &other)),
        }
    }

    /// Keeps something with the session, at most 1 MiB, in the place of what was there. It outlives the lock.
    pub async fn set_state(&self, state: impl Into<Bytes>) -> Result<(), Error> {
        self.put_state(Some(state.into())).await
    }

    /// Keeps nothing with the session any more.
    pub async fn clear_state(&self) -> Result<(), Error> {
        self.put_state(None).await
    }

    async fn put_state(&self, state: Option<Bytes>) -> Result<(), Error> {
        let what = "set the state of a session";
        let handle = self.receiver.link().handle;
        match self.ask(what, Request::SetSessionState { stamp: Stamp::default(), handle, state }).await? {
            Reply::Done => Ok(()),
            other => Err(Error::unexpected(what, &other)),
        }
    }

    async fn ask(&self, what: &str, request: Request) -> Result<Reply, Error> {
        let link = self.receiver.link();
        ask(&link.connection, what, link.handle, request).await
    }

    /// Waits for the settlements that are under way, then lets go of the session: what is not settled is ready again, and
    /// the attempt does not count.
    pub async fn close(self) -> Result<(), Error> {
        self.receiver.close().await
    }

    fn renewal(&self) -> Renewal {
        let link = self.receiver.link();
        Renewal { connection: link.connection.clone(), cell: link.cell.clone(), handle: link.handle }
    }

    fn renew_in_background(&self, up_to: Duration) -> DropGuard {
        let stop = tokio_util::sync::CancellationToken::new();
        let (renewal, stopped) = (self.renewal(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = renewal.keep(up_to) => {}
                () = stopped.cancelled() => {}
            }
        });
        stop.drop_guard()
    }
}

/// What renewing a session's lock needs.
struct Renewal {
    connection: Arc<Connection>,
    cell: Arc<LinkCell>,
    handle: u32,
}

/// The shortest wait between two renewals: the clocks of client and broker may differ.
const LEAST_WAIT: Duration = Duration::from_millis(500);

impl Renewal {
    /// Returns until when, in UTC milliseconds.
    async fn renew(&self) -> Result<u64, Error> {
        let (what, handle) = ("renew the lock of a session", self.handle);
        match ask(&self.connection, what, handle, Request::RenewSession { handle }).await? {
            Reply::SessionRenewed { locked_until_ms } => {
                self.cell.session_until_ms.store(locked_until_ms, Ordering::Release);
                Ok(locked_until_ms)
            }
            other => Err(Error::unexpected(what, &other)),
        }
    }

    /// Renews at half of the remaining time, for so long or until that fails.
    async fn keep(&self, up_to: Duration) {
        let most = Instant::now() + up_to;
        while Instant::now() < most {
            let wait = (self.remaining() / 2).max(LEAST_WAIT);
            sleep_until((Instant::now() + wait).min(most)).await;
            match self.renew().await {
                Ok(_) => {}
                Err(error) if error.is_retryable() => sleep(LEAST_WAIT).await,
                Err(error) => {
                    tracing::debug!(%error, "the session's lock could not be renewed");
                    return;
                }
            }
        }
    }

    fn remaining(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds);
        Duration::from_millis(self.cell.session_until_ms.load(Ordering::Acquire).saturating_sub(now))
    }
}

async fn ask(connection: &Connection, what: &str, handle: u32, request: Request) -> Result<Reply, Error> {
    request.check()?;
    let request = Box::new(request);
    connection.call_within(what, |answer| Operation::AskReceiver { handle, request, answer }).await
}
