//! Receiving with a handler.

use crate::delivery::Delivery;
use crate::error::Error;
use crate::receiver::Receiver;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How a handler is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Messages handled at the same time, at least 1.
    pub concurrency: usize,
    /// How long a message's lock is kept alive while its handler runs. Zero: not beyond its first duration.
    pub renew_up_to: Duration,
}

impl Default for SubscribeOptions {
    /// One message at a time, its lock kept for five minutes.
    fn default() -> Self {
        SubscribeOptions { concurrency: 1, renew_up_to: Duration::from_secs(300) }
    }
}

/// Why a handler did not get its work done, and what is to happen to the message.
///
/// Any error becomes [`HandlerError::Retry`], so `?` works in handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandlerError {
    /// Deliver the message again, with one attempt more.
    Retry(String),
    /// Another attempt would not help.
    DeadLetter {
        /// A name for the cause.
        reason: String,
        /// Details for a person.
        description: String,
    },
}

impl HandlerError {
    /// To the dead-letter queue, saying why.
    pub fn dead_letter(reason: impl Into<String>, description: impl fmt::Display) -> Self {
        HandlerError::DeadLetter { reason: reason.into(), description: description.to_string() }
    }
}

// `HandlerError` itself is no `std::error::Error`, or this would collide with `From<T> for T`.
impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        HandlerError::Retry(error.to_string())
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandlerError::Retry(cause) => write!(f, "to be retried: {cause}"),
            HandlerError::DeadLetter { reason, description } => {
                write!(f, "dead letter, {reason}: {description}")
            }
        }
    }
}

/// A handler at work. Dropping it stops it in the background.
#[derive(Debug)]
#[must_use = "dropping a subscription stops it"]
pub struct Subscription {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    ended: bool,
    _stop_when_dropped: DropGuard,
}

impl Subscription {
    /// A task that ends once `stop` is cancelled.
    pub(crate) fn new(stop: CancellationToken, task: JoinHandle<Result<(), Error>>) -> Self {
        Subscription { _stop_when_dropped: stop.clone().drop_guard(), stop, task, ended: false }
    }

    /// Takes no more messages, waits for the handlers that run, and lets go of what they did not get.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop.cancel();
        self.wait().await
    }

    /// Waits until the subscription ends, which it does when it is stopped, when the broker closes its receiver, or when
    /// the client ends. May be given up, as a branch of a `select!`, and asked again; but once it has said how the
    /// subscription ended, it answers [`Error::Closed`].
    pub async fn wait(&mut self) -> Result<(), Error> {
        if self.ended {
            return Err(Error::Closed);
        }
        // The task is never aborted and catches the handler's panics; at most the runtime is being shut down.
        let ended = (&mut self.task).await.unwrap_or(Err(Error::Closed));
        self.ended = true;
        ended
    }
}

impl Receiver {
    /// Runs `handler` for each message, at most [`SubscribeOptions::concurrency`] at a time, and settles by its result:
    /// `Ok` completes, [`HandlerError::Retry`] abandons, [`HandlerError::DeadLetter`] dead-letters. Locks are renewed
    /// while the handler runs. A handler that panics counts as one to be retried. A handler that settles the message
    /// itself is left alone.
    ///
    /// Messages prefetched beyond the concurrency wait with their locks running: for slow handlers open the receiver with a
    /// small prefetch. What has lost its lock by the time its turn comes is skipped, since it is delivered again.
    ///
    /// ```no_run
    /// use postrider_client::{Client, HandlerError, SubscribeOptions};
    /// #[derive(serde::Deserialize)]
    /// struct Order { id: u64 }
    /// # async fn run(client: Client) -> Result<(), postrider_client::Error> {
    /// let options = SubscribeOptions { concurrency: 8, ..SubscribeOptions::default() };
    /// let subscription = client.receiver("orders").await?.subscribe(options, |delivery| async move {
    ///     let order: Order = delivery.json().map_err(|error| HandlerError::dead_letter("BadOrder", error))?;
    ///     println!("order {}", order.id);
    ///     Ok(())
    /// });
    /// // later
    /// subscription.stop().await
    /// # }
    /// ```
    pub fn subscribe<H, F>(mut self, options: SubscribeOptions, handler: H) -> Subscription
    where
        H: Fn(Arc<Delivery>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let options = SubscribeOptions { concurrency: options.concurrency.max(1), ..options };
        self.prefetch_at_least(options.concurrency);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(self, options, Arc::new(handler), stop.clone()));
        Subscription::new(stop, task)
    }
}

/// Takes messages as long as there is a place for their handlers.
async fn run<H, F>(
    mut receiver: Receiver,
    options: SubscribeOptions,
    handler: Arc<H>,
    stop: CancellationToken,
) -> Result<(), Error>
where
    H: Fn(Arc<Delivery>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let ended = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break None,
            Some(_) = running.join_next() => {}
            received = receiver.receive(), if running.len() < options.concurrency => match received {
                Ok(delivery) if is_late(&delivery) => {}
                Ok(delivery) => drop(running.spawn(handle(Arc::new(delivery), handler.clone(), options.renew_up_to))),
                Err(error) => break Some(error),
            },
        }
    };
    while running.join_next().await.is_some() {}
    match ended {
        None => receiver.close().await,
        Some(error) => Err(error),
    }
}

/// Whether the lock ran out while the message waited for its turn.
fn is_late(delivery: &Delivery) -> bool {
    let late = !delivery.is_deleted() && Instant::now() >= delivery.lock_deadline();
    if late {
        tracing::debug!(
            sequence = delivery.sequence(),
            "skipped: its lock ran out before its turn; lower the prefetch"
        );
    }
    late
}

/// Runs the handler for one message, keeps its lock meanwhile, and settles by the result.
async fn handle<H, F>(delivery: Arc<Delivery>, handler: Arc<H>, renew_up_to: Duration)
where
    H: Fn(Arc<Delivery>) -> F,
    F: Future<Output = Result<(), HandlerError>>,
{
    let given = delivery.clone();
    // The handler is called inside, so that its own panic is caught as well as its future's.
    let work = Caught(Box::pin(async move { handler(given).await }));
    let outcome = tokio::select! {
        outcome = work => outcome,
        never = renew(&delivery, renew_up_to) => match never {},
    };
    if delivery.is_deleted() || delivery.is_settled() {
        return;
    }
    let settled = match outcome {
        Ok(()) => delivery.complete().await,
        Err(HandlerError::Retry(cause)) => {
            tracing::debug!(sequence = delivery.sequence(), cause, "the handler failed");
            delivery.abandon().await
        }
        Err(HandlerError::DeadLetter { reason, description }) => {
            delivery.dead_letter_with(&reason, &description).await
        }
    };
    if let Err(error) = settled {
        tracing::warn!(sequence = delivery.sequence(), %error, "the message could not be settled");
    }
}

/// Renews the lock at half of its remaining time, up to a limit. Never returns: the handler's end does.
async fn renew(delivery: &Delivery, up_to: Duration) -> std::convert::Infallible {
    let most = Instant::now() + up_to;
    while !delivery.is_deleted() {
        let now = Instant::now();
        let next = now + delivery.lock_deadline().saturating_duration_since(now) / 2;
        if next >= most || next <= now {
            break;
        }
        sleep_until(next).await;
        if let Err(error) = delivery.renew().await {
            tracing::debug!(sequence = delivery.sequence(), %error, "the lock could not be renewed");
            break;
        }
    }
    std::future::pending().await
}

/// A handler's future whose panic becomes an error.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future<Output = Result<(), HandlerError>>> Future for Caught<F> {
    type Output = Result<(), HandlerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // After a panic the future is never polled again, so nothing sees what it left half done.
        let polled = catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx)));
        polled.unwrap_or_else(|panic| Poll::Ready(Err(HandlerError::Retry(panic_text(&*panic)))))
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("without a text"))
}
