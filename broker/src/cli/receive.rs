//! `postrider receive`.

use super::connect::Global;
use super::failure::Failure;
use super::output::Printer;
use super::{message, parse};
use clap::Args;
use postrider_client::Receiver;
use std::io::Write;
use std::time::Duration;

/// Messages that are asked for, shown and completed together.
const TOGETHER: u64 = 256;
/// How long to wait at a time while following.
const WHILE_FOLLOWING: Duration = Duration::from_secs(60);
/// Messages to receive where nothing else is said.
const DEFAULT_MAX: u64 = 10;

/// Receive messages; without --ack they go back to their place
#[derive(Args)]
#[command(after_help = examples!(
    "postrider receive email-queue",
    "postrider receive order-events/subscriptions/payment --ack --follow --output jsonl",
    "postrider receive 'email-queue/$dead-letter' --ack --max 100 --wait 1s",
))]
pub struct Receive {
    /// A queue, <topic>/subscriptions/<name>, or one of these with /$dead-letter behind
    address: String,
    /// Messages to receive at most [default: 10, or no limit with --follow]
    #[arg(long, value_name = "NUMBER")]
    max: Option<u64>,
    /// Wait for more until interrupted; needs --ack, since messages that are only looked at would be kept from everyone
    #[arg(long, requires = "ack")]
    follow: bool,
    /// Complete the messages that were shown: they are gone
    #[arg(long)]
    ack: bool,
    /// How long to wait for the first message
    #[arg(long, default_value = "5s", value_parser = parse::duration, value_name = "DURATION", conflicts_with = "follow")]
    wait: Duration,
}

impl Receive {
    /// Receives, and lets go of what was not completed.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let builder = client.receiver_builder(&self.address).prefetch(0).release_on_disconnect(true);
        let mut receiver = builder.open().await?;
        let mut printer = global.printer();
        let received = tokio::select! {
            received = self.receive(&mut receiver, &mut printer) => received,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        // Closing gives back what is still locked, without counting an attempt.
        let closed = receiver.close().await;
        printer.finish(&format!("no messages in {}", self.address))?;
        received?;
        closed?;
        Ok(client.close().await?)
    }

    /// Shows batch after batch. A batch that is not full was all there is at the moment.
    async fn receive<W: Write>(
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
            printer.part(&batch.iter().map(message::delivered).collect::<Vec<_>>())?;
            if self.ack {
                receiver.complete_batch(&batch).await?.into_iter().collect::<Result<(), _>>()?;
            }
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
