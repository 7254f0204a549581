//! `postrider peek`.

use super::connect::Global;
use super::failure::Failure;
use super::message;
use clap::Args;
use postrider_protocol::limits::LISTING_ENTRIES;

/// Look at messages without touching them, ready and locked ones alike
#[derive(Args)]
#[command(after_help = examples!(
    "postrider peek email-queue",
    "postrider peek 'email-queue/$dead-letter' --limit 100",
    "postrider peek order-events/subscriptions/payment --from 4711 --output json",
))]
pub struct Peek {
    /// A queue, <topic>/subscriptions/<name>, or one of these with /$dead-letter behind
    address: String,
    /// The first sequence number to look at
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    from: u64,
    /// Messages to look at, at most
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    limit: u64,
}

impl Peek {
    /// Shows the messages, page by page.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let (admin, mut printer) = (client.admin(), global.printer());
        let (mut from, mut left) = (self.from, self.limit);
        while left > 0 {
            let page = left.min(u64::from(LISTING_ENTRIES)) as u32;
            let messages = admin.peek(&self.address, from, page).await?;
            printer.part(&messages.iter().map(message::peeked).collect::<Vec<_>>())?;
            let Some(next) = messages.last().and_then(|message| message.sequence.checked_add(1)) else {
                break;
            };
            left -= (messages.len() as u64).min(left);
            from = next;
        }
        Ok(printer.finish(&format!("no messages in {} from {}", self.address, self.from))?)
    }
}
