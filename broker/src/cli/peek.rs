//! `postrider peek`.

use super::bulk::StateFlags;
use super::connect::Global;
use super::failure::Failure;
use super::message;
use clap::Args;
use postrider_client::PeekQuery;
use postrider_protocol::limits::LISTING_ENTRIES;

/// Look at messages without touching them, in whatever state they are
#[derive(Args)]
#[command(after_help = examples!(
    "postrider peek email-queue",
    "postrider peek 'email-queue/$dead-letter' --limit 100",
    "postrider peek orders --state scheduled,deferred --filter \"region = 'eu'\" --all",
    "postrider peek order-events/subscriptions/payment --from 4711 --output json",
))]
pub struct Peek {
    /// A queue, <topic>/subscriptions/<name>, or one of these with /$dead-letter behind
    address: String,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    states: StateFlags,
}

/// Which messages, and how many.
#[derive(Args)]
pub struct What {
    /// The first sequence number to look at
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    from: u64,
    /// Messages to show, at most
    #[arg(long, default_value_t = 10, value_name = "NUMBER", conflicts_with = "all")]
    limit: u64,
    /// Show all there are
    #[arg(long)]
    all: bool,
    /// Only messages that this SQL filter lets through
    #[arg(long, value_name = "SQL", default_value = "", hide_default_value = true)]
    filter: String,
}

impl Peek {
    /// Shows the messages, page by page.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        self.what.show(global, &self.address, &self.states).await
    }
}

impl What {
    /// Shows those of `address`.
    pub async fn show(&self, global: &Global, address: &str, states: &StateFlags) -> Result<(), Failure> {
        let client = global.connect().await?;
        let (admin, mut printer) = (client.admin(), global.printer());
        let (mut next, mut left) = (Some(self.from), if self.all { u64::MAX } else { self.limit });
        while let Some(from) = next.filter(|_| left > 0) {
            let limit = left.min(u64::from(LISTING_ENTRIES)) as u32;
            let query = PeekQuery { from, limit, states: states.states(), filter: self.filter.clone() };
            let page = admin.peek_page(address, &query).await?;
            printer.part(
                &page.messages.iter().map(|found| message::peeked(address, found)).collect::<Vec<_>>(),
            )?;
            left -= (page.messages.len() as u64).min(left);
            next = page.next;
        }
        Ok(printer.finish(&self.nothing(address, states))?)
    }

    /// Tells that there was nothing to show.
    fn nothing(&self, address: &str, states: &StateFlags) -> String {
        let such = if self.filter.is_empty() && states.states().is_all() { "" } else { "such " };
        let from = if self.from > 1 { format!(" from {}", self.from) } else { String::new() };
        format!("no {such}messages in {address}{from}")
    }
}
