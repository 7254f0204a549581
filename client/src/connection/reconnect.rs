//! Coming back: a new connection, the same links, and everything that had no answer once more.

use super::actor::{Actor, Live};
use super::handshake::{self, Failure, Link};
use super::links::ReceiverState;
use super::unanswered::Waiting;
use crate::error::Error;
use postrider_protocol::request::{OpenReceiver, Request};
use tokio::time::Instant;

impl Actor {
    /// Connects again, for as long as the policy says. Links keep being looked at meanwhile, so that nobody who gives
    /// up waiting for messages has to wait for the connection.
    pub(super) async fn reconnect(&mut self, reason: String) -> Result<Link, Error> {
        tracing::info!(address = self.config.address, reason, "the connection is lost, connecting again");
        self.forget_connection();
        self.count_failure();
        if self.resumed_at.take().is_none_or(|at| at.elapsed() >= self.config.reconnect.most) {
            self.failures = 0;
        }
        let since = *self.lost_since.get_or_insert_with(Instant::now);
        let mut reason = reason;
        loop {
            self.check_patience(since, &reason)?;
            if self.failures > 0 {
                let wait = self.config.reconnect.wait(self.failures, fastrand::f64());
                self.meanwhile(tokio::time::sleep(wait)).await?;
            }
            self.failures += 1;
            let config = self.config.clone();
            match self.meanwhile(handshake::connect(&config)).await? {
                Ok(link) => return Ok(link),
                Err(failure) => {
                    reason = self.judge(failure)?;
                    self.count_failure();
                }
            }
        }
    }

    fn count_failure(&self) {
        if let Some(breaker) = &self.config.breaker {
            breaker.failed();
        }
    }

    /// What lived only as long as the connection.
    fn forget_connection(&mut self) {
        self.outgoing.queue.clear();
        for waiting in self.outgoing.unanswered.lost() {
            match waiting {
                Waiting::CloseReceiver { link, answer } => self.leave_again(*link, answer),
                other => other.fail(&Error::Connection("the connection was lost; ask again".to_owned())),
            }
        }
        self.links.receivers.values_mut().for_each(super::links::ReceiverLink::lost);
    }

    fn check_patience(&self, since: Instant, reason: &str) -> Result<(), Error> {
        match self.config.reconnect.give_up_after {
            Some(patience) if since.elapsed() >= patience => Err(Error::Connection(format!(
                "the connection to {} was lost and did not come back within {patience:?} ({reason}); check that the broker is running, then make a new client",
                self.config.address
            ))),
            _ => Ok(()),
        }
    }

    /// Ends with the error that no further attempt can help, or the reason why the next one may.
    fn judge(&self, failure: Failure) -> Result<String, Error> {
        let is_retryable = failure.is_retryable();
        match failure.into_error(&self.config) {
            error if is_retryable => {
                tracing::debug!(%error, "could not connect");
                Ok(error.to_string())
            }
            error => Err(error),
        }
    }

    /// Waits for `work` while looking after the links, unless nobody is left to wait for.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::pin!(work);
        let ends = self.ends.clone();
        let mut asked_to_close = false;
        loop {
            tokio::select! {
                outcome = &mut work => return Ok(outcome),
                Some(()) = self.bell.recv() => {
                    self.look_at_links();
                    // Nothing of it can be sent; opening again states all credit.
                    self.outgoing.queue.clear();
                }
                () = ends.closing.cancelled(), if !asked_to_close => {
                    asked_to_close = true;
                    if self.has_nothing_to_say() {
                        return Err(Error::Closed);
                    }
                }
                () = ends.abort.cancelled() => return Err(Error::Closed),
                () = ends.gone.cancelled() => return Err(Error::Closed),
            }
        }
    }

    /// Whether nothing is lost when the connection is not made again: the one operation left is to close it.
    fn has_nothing_to_say(&self) -> bool {
        self.outgoing.unanswered.is_empty() && self.operations.len() <= 1
    }

    /// Starts on a new connection: senders first, since what is sent again needs them.
    pub(super) fn resume(&mut self, link: Link) -> Live {
        let mut live = Live::new(link, Instant::now());
        let again = self.links.senders.iter().filter(|(_, link)| link.opened_once && link.refused.is_none());
        let senders: Vec<_> = again.map(|(handle, link)| (*handle, link.address.clone())).collect();
        live.resuming = Some(senders.len());
        for (handle, address) in senders {
            self.outgoing.ask(Request::OpenSender { handle, address }, Waiting::Reopen { handle });
        }
        if live.resuming == Some(0) {
            self.resume_rest(&mut live);
        }
        live
    }

    /// One sender less to wait for.
    pub(super) fn sender_resumed(&mut self, live: &mut Live) {
        live.resuming = live.resuming.map(|senders| senders.saturating_sub(1));
        if live.resuming == Some(0) {
            self.resume_rest(live);
        }
    }

    /// Sends again what has no answer, in its order and under its numbers, and then opens the receivers: the broker
    /// lets go of what they do not hold, so what they settled must be settled first.
    fn resume_rest(&mut self, live: &mut Live) {
        live.resuming = None;
        self.lost_since = None;
        self.resumed_at = Some(Instant::now());
        self.send_again(false);
        let receivers = self.links.receivers.iter().filter(|(_, link)| link.opened_once);
        let handles: Vec<u32> = receivers.map(|(handle, _)| *handle).collect();
        handles.into_iter().for_each(|handle| self.reopen_receiver(handle));
        self.send_again(true);
        tracing::info!(address = self.config.address, "connected again");
    }

    fn send_again(&mut self, about_receivers: bool) {
        let frames = self.outgoing.unanswered.frames(about_receivers);
        frames.into_iter().for_each(|frame| self.outgoing.queue.push(frame));
    }

    /// Opens a receiver again, naming the leases the application still holds.
    pub(super) fn reopen_receiver(&mut self, handle: u32) {
        if let Some(link) = self.links.receivers.get_mut(&handle) {
            link.state = ReceiverState::Opening;
            let open = OpenReceiver { held: link.held(), ..link.open.clone() };
            self.outgoing.ask(Request::OpenReceiver(open), Waiting::Reopen { handle });
        }
    }
}
