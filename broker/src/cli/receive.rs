//! `postrider receive`.

use super::connect::Global;
use super::failure::Failure;
use super::output::{Output, Printer, Row};
use super::{message, parse};
use clap::{ArgGroup, Args};
use postrider_client::{Client, Delivery, Error, Receiver, SessionReceiver, Settlement};
use std::io::Write;
use std::time::Duration;

/// Messages that are asked for, shown and completed together.
const TOGETHER: u64 = 256;
/// How long to wait at a time while following.
const WHILE_FOLLOWING: Duration = Duration::from_secs(60);
/// Messages to receive where nothing else is said.
const DEFAULT_MAX: u64 = 10;

/// Receive messages; unless a flag says what becomes of them they go back to their place
#[derive(Args)]
#[command(
    group(ArgGroup::new("settle").args(["ack", "abandon", "defer", "dead_letter"])),
    after_help = examples!(
    "postrider receive email-queue",
    "postrider receive order-events/subscriptions/payment --ack --follow --output jsonl",
    "postrider receive 'email-queue/$dead-letter' --ack --max 100 --wait 1s",
    "postrider receive email-queue --max 1 --abandon --delay 30s",
    "postrider receive orders --next --wait 30s --ack",
    "postrider receive orders --session customer-7 --defer --output jsonl",
    "postrider receive orders --deferred 17,23 --ack",
))]
pub struct Receive {
    /// A queue, <topic>/subscriptions/<name>, or one of these with /$dead-letter behind
    address: String,
    /// Messages to receive at most [default: 10, or no limit with --follow]
    #[arg(long, value_name = "NUMBER")]
    max: Option<u64>,
    /// Wait for more until interrupted; needs --ack or the like, since messages that are only looked at would be kept
    /// from everyone
    #[arg(long, requires = "settle")]
    follow: bool,
    /// Complete the messages that were shown: they are gone
    #[arg(long)]
    ack: bool,
    /// Put the messages that were shown back, with one failed attempt more
    #[arg(long)]
    abandon: bool,
    /// With --abandon: how long until they are delivered again
    #[arg(long, requires = "abandon", value_name = "DURATION", value_parser = parse::milliseconds)]
    delay: Option<u64>,
    /// Set the messages that were shown aside, to be received with --deferred
    #[arg(long)]
    defer: bool,
    /// Move the messages that were shown to the dead letters, for this reason
    #[arg(long, value_name = "REASON")]
    dead_letter: Option<String>,
    /// With --dead-letter: details
    #[arg(
        long,
        requires = "dead_letter",
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// Receive the session of this id
    #[arg(long, value_name = "ID", conflicts_with = "next")]
    session: Option<String>,
    /// Receive the next session that has messages and that nobody holds
    #[arg(long)]
    next: bool,
    /// Receive deferred messages by their numbers; without --ack or the like they are not deferred any more, and
    /// `postrider peek --state deferred` only looks
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', conflicts_with_all = ["follow", "max"])]
    deferred: Vec<u64>,
    /// How long to wait for the session, if one is asked for, and for the first message
    #[arg(long, default_value = "5s", value_parser = parse::duration, value_name = "DURATION", conflicts_with = "follow")]
    wait: Duration,
}

impl Receive {
    /// Receives, and lets go of what was not completed.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let mut source = self.open(&client).await?;
        if let (Source::Session(session), Output::Table) = (&source, global.output()) {
            eprintln!("session {}", session.session_id());
        }
        let mut printer = global.printer();
        let received = tokio::select! {
            received = self.receive(source.receiver(), &mut printer) => received,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        // Closing gives back what is still locked, without counting an attempt.
        let closed = source.close().await;
        printer.finish(&format!("no messages in {}", self.address))?;
        received?;
        closed?;
        Ok(client.close().await?)
    }

    async fn open(&self, client: &Client) -> Result<Source, Failure> {
        let builder = client.receiver_builder(&self.address).prefetch(0).release_on_disconnect(true);
        let sessions = client.session_receiver(&self.address).wait(self.wait).receiver(|_| builder.clone());
        Ok(match &self.session {
            Some(id) => Source::Session(sessions.named(id).accept().await?),
            None if self.next => Source::Session(sessions.next().accept().await?),
            None => Source::Plain(builder.open().await?),
        })
    }

    /// What becomes of the messages that were shown.
    fn settlement(&self) -> Option<Settlement> {
        let properties = Vec::new();
        match &self.dead_letter {
            Some(reason) => {
                let (reason, description) = (reason.clone(), self.description.clone());
                Some(Settlement::DeadLetter { reason, description, properties })
            }
            None if self.ack => Some(Settlement::Complete),
            None if self.abandon => {
                Some(Settlement::Abandon { delay_ms: self.delay.unwrap_or(0), properties })
            }
            None => self.defer.then_some(Settlement::Defer { properties }),
        }
    }

    async fn settle(&self, receiver: &Receiver, batch: &[Delivery]) -> Result<(), Failure> {
        if let Some(settlement) = self.settlement() {
            receiver.settle_all(batch, &settlement).await?.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    fn rows(&self, deliveries: &[Delivery]) -> Vec<Row> {
        deliveries.iter().map(|delivery| message::delivered(&self.address, delivery)).collect()
    }

    async fn receive<W: Write>(
        &self,
        receiver: &mut Receiver,
        printer: &mut Printer<W>,
    ) -> Result<(), Failure> {
        match self.deferred.is_empty() {
            true => self.receive_ready(receiver, printer).await,
            false => self.receive_deferred(receiver, printer).await,
        }
    }

    /// Shows the deferred messages that are there. That some are not is a failure.
    async fn receive_deferred<W: Write>(
        &self,
        receiver: &mut Receiver,
        printer: &mut Printer<W>,
    ) -> Result<(), Failure> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for received in receiver.receive_deferred(&self.deferred).await? {
            match received {
                Ok(delivery) => found.push(delivery),
                Err(error) => missing.push(self.not_deferred(error)),
            }
        }
        printer.part(&self.rows(&found))?;
        self.settle(receiver, &found).await?;
        let count = missing.len();
        match missing.into_iter().next() {
            None => Ok(()),
            Some(only) if count == 1 => Err(only),
            Some(first) => Err(first.and_more(count - 1)),
        }
    }

    /// Says what to do about a message that is not deferred.
    fn not_deferred(&self, error: Error) -> Failure {
        let hint = format!("see which are with: postrider peek '{}' --state deferred", self.address);
        Failure::from(error).hint(hint)
    }

    /// Shows batch after batch. A batch that is not full was all there is at the moment.
    async fn receive_ready<W: Write>(
        &self,
        receiver: &mut Receiver,
        printer: &mut Printer<W>,
    ) -> Result<(), Failure> {
        let mut left = self.max.unwrap_or(if self.follow { u64::MAX } else { DEFAULT_MAX });
        let mut wait = self.wait;
        while left > 0 {
            let asked = left.min(TOGETHER);
            let batch = receiver
                .receive_batch(asked as usize, if self.follow { WHILE_FOLLOWING } else { wait })
                .await?;
            printer.part(&self.rows(&batch))?;
            self.settle(receiver, &batch).await?;
            let received = batch.len() as u64;
            if received < asked && !self.follow {
                break;
            }
            left -= received;
            wait = Duration::ZERO;
        }
        Ok(())
    }
}

/// Where messages come from.
enum Source {
    Plain(Receiver),
    Session(SessionReceiver),
}

impl Source {
    fn receiver(&mut self) -> &mut Receiver {
        match self {
            Source::Plain(receiver) => receiver,
            Source::Session(session) => session,
        }
    }

    async fn close(self) -> Result<(), Error> {
        match self {
            Source::Plain(receiver) => receiver.close().await,
            Source::Session(session) => session.close().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        receive: Receive,
    }

    fn settlement(words: &[&str]) -> Result<Option<Settlement>, clap::Error> {
        Ok(Line::try_parse_from([&["receive", "q"], words].concat())?.receive.settlement())
    }

    #[test]
    fn one_flag_says_what_becomes_of_messages() {
        let properties = Vec::new;
        assert_eq!(settlement(&[]).unwrap(), None);
        assert_eq!(settlement(&["--ack"]).unwrap(), Some(Settlement::Complete));
        let abandon = Settlement::Abandon { delay_ms: 30_000, properties: properties() };
        assert_eq!(settlement(&["--abandon", "--delay", "30s"]).unwrap(), Some(abandon));
        assert_eq!(settlement(&["--defer"]).unwrap(), Some(Settlement::Defer { properties: properties() }));
        let (reason, description) = ("Bad".to_owned(), String::new());
        let dead = Settlement::DeadLetter { reason, description, properties: properties() };
        assert_eq!(settlement(&["--dead-letter", "Bad"]).unwrap(), Some(dead));
        for wrong in
            [&["--ack", "--defer"][..], &["--delay", "1s"], &["--follow"], &["--session", "a", "--next"]]
        {
            assert!(settlement(wrong).is_err(), "{wrong:?}");
        }
    }
}
