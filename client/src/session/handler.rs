//! Handling session after session.

use super::{SessionReceiver, SessionReceiverBuilder};
use crate::error::Error;
use crate::subscribe::Subscription;
use postrider_protocol::error::ErrorCode;
use postrider_protocol::request::SessionWish;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The shortest wait for a session: a broker that has none must not be asked in a tight loop.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// How sessions are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// Sessions handled at the same time, at least 1.
    pub concurrency: usize,
    /// How long the broker is asked to wait for the next session before it is asked again, at least a second.
    pub wait: Duration,
}

impl Default for SessionOptions {
    /// One session at a time.
    fn default() -> Self {
        SessionOptions { concurrency: 1, wait: Duration::from_secs(30) }
    }
}

impl SessionReceiverBuilder {
    /// Accepts the next session, over and over, and runs `handler` for each, at most [`SessionOptions::concurrency`] at
    /// a time. A handler receives for as long as it likes; when it returns, its session is let go of. An error of a
    /// handler is logged, and what it did not settle is delivered again.
    ///
    /// ```no_run
    /// use postrider_client::SessionOptions;
    /// use std::time::Duration;
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let options = SessionOptions { concurrency: 8, ..SessionOptions::default() };
    /// let sessions = client.session_receiver("orders").renew_up_to(Duration::from_secs(600));
    /// let work = sessions.for_each_session(options, |mut session| async move {
    ///     while let Some(delivery) = session.receive_timeout(Duration::from_secs(1)).await? {
    ///         delivery.complete().await?;
    ///     }
    ///     Ok(())
    /// });
    /// // later
    /// work.stop().await
    /// # }
    /// ```
    pub fn for_each_session<H, F>(self, options: SessionOptions, handler: H) -> Subscription
    where
        H: Fn(SessionReceiver) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let builder =
            SessionReceiverBuilder { wish: SessionWish::Next, wait: options.wait.max(LEAST_WAIT), ..self };
        let task = tokio::spawn(run(builder, options.concurrency.max(1), Arc::new(handler), stop.clone()));
        Subscription::new(stop, task)
    }
}

/// One loop for each session at a time; the first that cannot go on ends all.
async fn run<H, F>(
    builder: SessionReceiverBuilder,
    concurrency: usize,
    handler: Arc<H>,
    stop: CancellationToken,
) -> Result<(), Error>
where
    H: Fn(SessionReceiver) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut loops = JoinSet::new();
    for _ in 0..concurrency {
        loops.spawn(one_by_one(builder.clone(), handler.clone(), stop.clone()));
    }
    let mut outcome = Ok(());
    while let Some(ended) = loops.join_next().await {
        let ended = ended.unwrap_or_else(|panic| {
            tracing::warn!(%panic, "a session's handler panicked");
            Ok(())
        });
        if ended.is_err() && outcome.is_ok() {
            outcome = ended;
            stop.cancel();
        } else if !stop.is_cancelled() {
            loops.spawn(one_by_one(builder.clone(), handler.clone(), stop.clone()));
        }
    }
    outcome
}

async fn one_by_one<H, F>(
    builder: SessionReceiverBuilder,
    handler: Arc<H>,
    stop: CancellationToken,
) -> Result<(), Error>
where
    H: Fn(SessionReceiver) -> F,
    F: Future<Output = Result<(), Error>>,
{
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            accepted = builder.clone().accept() => accepted,
        };
        match accepted {
            Ok(session) => handle(&*handler, session).await,
            Err(error) if is_none_free(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn handle<H, F>(handler: &H, session: SessionReceiver)
where
    H: Fn(SessionReceiver) -> F,
    F: Future<Output = Result<(), Error>>,
{
    let id = session.session_id().to_owned();
    if let Err(error) = handler(session).await {
        tracing::warn!(session = id, %error, "a session's handler failed");
    }
}

/// The wait is over, and the next one begins.
fn is_none_free(error: &Error) -> bool {
    matches!(error.code(), Some(ErrorCode::SessionCannotBeLocked | ErrorCode::Timeout))
}
