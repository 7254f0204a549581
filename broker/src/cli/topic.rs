//! `postrider topic`.

use super::connect::Global;
use super::entity;
use super::explain::Explain;
use super::failure::Failure;
use super::options::TopicOptions;
use clap::{Args, Subcommand};
use postrider_protocol::options::EntityKind::Topic as KIND;

#[derive(Subcommand)]
pub enum Topic {
    /// Create a topic
    #[command(after_help = examples!(
        "postrider topic create order-events",
        "postrider topic create order-events --max-message-bytes 65536",
        "postrider topic create order-events --retain 7d",
    ))]
    Create(Change),
    /// List topics
    #[command(after_help = examples!("postrider topic list", "postrider topic list order --output jsonl"))]
    List {
        /// Only topics whose names start with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Show a topic with its options
    #[command(after_help = examples!("postrider topic show order-events"))]
    Show {
        /// The topic
        name: String,
    },
    /// Change the options of a topic
    #[command(after_help = examples!(
        "postrider topic update order-events --max-message-bytes 1048576",
        "postrider topic update order-events --retain none",
    ))]
    Update(Change),
    Explain(Explain),
    /// Delete a topic, its subscriptions and their messages
    #[command(after_help = examples!("postrider topic delete order-events"))]
    Delete {
        /// The topic
        name: String,
    },
}

#[derive(Args)]
pub struct Change {
    /// The topic
    name: String,
    #[command(flatten)]
    options: TopicOptions,
}

impl Topic {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Topic::Create(new) => {
                entity::create(global, KIND, &new.name, new.options.options()?, vec![]).await
            }
            Topic::List { prefix } => entity::list(global, KIND, &prefix).await,
            Topic::Show { name } => entity::show(global, KIND, &name).await,
            Topic::Update(change) => {
                entity::update(global, KIND, &change.name, change.options.options()?).await
            }
            Topic::Explain(explain) => explain.run(global).await,
            Topic::Delete { name } => entity::delete(global, KIND, &name).await,
        }
    }
}
