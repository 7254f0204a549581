//! `postrider queue`.

use super::connect::Global;
use super::entity;
use super::failure::Failure;
use super::options::QueueOptions;
use super::purge::Purge;
use clap::{Args, Subcommand};
use postrider_protocol::options::EntityKind::Queue as KIND;

#[derive(Subcommand)]
pub enum Queue {
    /// Create a queue
    #[command(after_help = examples!(
        "postrider queue create email-queue",
        "postrider queue create email-queue --lock-duration 30s --max-delivery-count 5",
        "postrider queue create orders --requires-session --default-ttl 7d",
        "postrider queue create reports --forward-to archive --forward-dead-letters-to failed",
        "postrider queue create mails --retry 'exponential 1s max 10m jitter 20%'",
        "postrider queue create reports --option max_message_bytes=10485760",
    ))]
    Create(Change),
    /// List queues
    #[command(after_help = examples!("postrider queue list", "postrider queue list --output json"))]
    List {
        /// Only queues whose names start with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Show a queue with its options
    #[command(after_help = examples!("postrider queue show email-queue"))]
    Show {
        /// The queue
        name: String,
    },
    /// Change the options of a queue; none brings a default back
    #[command(after_help = examples!(
        "postrider queue update email-queue --lock-duration 5m",
        "postrider queue update email-queue --default-ttl none --option max_bytes=none",
    ))]
    Update(Change),
    /// Delete a queue and its messages
    #[command(after_help = examples!("postrider queue delete email-queue"))]
    Delete {
        /// The queue
        name: String,
    },
    /// Remove messages, as `postrider purge` does
    #[command(after_help = examples!(
        "postrider queue purge email-queue",
        "postrider queue purge 'email-queue/$dead-letter' --yes",
        "postrider queue purge order-events/subscriptions/payment",
    ))]
    Purge(Purge),
}

#[derive(Args)]
pub struct Change {
    /// The queue
    name: String,
    #[command(flatten)]
    options: QueueOptions,
}

impl Queue {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Queue::Create(new) => {
                entity::create(global, KIND, &new.name, new.options.options()?, vec![]).await
            }
            Queue::List { prefix } => entity::list(global, KIND, &prefix).await,
            Queue::Show { name } => entity::show(global, KIND, &name).await,
            Queue::Update(change) => {
                entity::update(global, KIND, &change.name, change.options.options()?).await
            }
            Queue::Delete { name } => entity::delete(global, KIND, &name).await,
            Queue::Purge(purge) => purge.run(global).await,
        }
    }
}
