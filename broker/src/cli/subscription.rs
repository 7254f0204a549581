//! `postrider subscription`.

use super::connect::Global;
use super::entity::{self, subscription_name};
use super::failure::Failure;
use super::filter::RuleArgs;
use super::options::SubscriptionOptions;
use clap::{Args, Subcommand};
use postrider_protocol::options::EntityKind::Subscription as KIND;
use postrider_protocol::rule::DEFAULT_RULE;

#[derive(Subcommand)]
pub enum Subscription {
    /// Create a subscription; without a filter it gets every message of its topic
    #[command(after_help = examples!(
        "postrider subscription create order-events inventory",
        "postrider subscription create order-events large --filter 'total >= @least' --param least:int=100",
        "postrider subscription create order-events payment --where priority=high --where sys.subject=New",
        "postrider subscription create order-events analytics --lock-duration 5m --max-delivery-count 3",
    ))]
    Create(Create),
    /// List subscriptions
    #[command(after_help = examples!("postrider subscription list", "postrider subscription list order-events"))]
    List {
        /// Only those of this topic
        topic: Option<String>,
    },
    /// Show a subscription with its options
    #[command(after_help = examples!("postrider subscription show order-events payment"))]
    Show(Which),
    /// Change the options of a subscription; `postrider rule` changes what it gets
    #[command(after_help = examples!("postrider subscription update order-events payment --lock-duration 2m"))]
    Update(Update),
    /// Delete a subscription and its messages
    #[command(after_help = examples!("postrider subscription delete order-events payment"))]
    Delete(Which),
}

/// A subscription.
#[derive(Args)]
pub struct Which {
    /// The topic
    topic: String,
    /// The subscription's own name
    subscription: String,
}

#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    rule: RuleArgs,
    #[command(flatten)]
    options: SubscriptionOptions,
}

#[derive(Args)]
pub struct Update {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    options: SubscriptionOptions,
}

impl Which {
    /// The subscription's full name.
    pub fn name(&self) -> Result<String, Failure> {
        subscription_name(&self.topic, &self.subscription)
    }

    /// Topic and name, as commands have them.
    pub fn words(&self) -> String {
        format!("{} {}", self.topic, self.subscription)
    }
}

impl Subscription {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Subscription::Create(new) => new.run(global).await,
            Subscription::List { topic } => entity::list(global, KIND, &prefix(topic.as_deref())?).await,
            Subscription::Show(which) => entity::show(global, KIND, &which.name()?).await,
            Subscription::Update(change) => {
                entity::update(global, KIND, &change.which.name()?, change.options.options()?).await
            }
            Subscription::Delete(which) => entity::delete(global, KIND, &which.name()?).await,
        }
    }
}

impl Create {
    /// A filter takes the place of the default rule's.
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let rule = self.rule.rule(DEFAULT_RULE);
        let (name, options) = (self.which.name()?, self.options.options()?);
        entity::create(global, KIND, &name, options, rule.into_iter().collect()).await
    }
}

/// What the names of a topic's subscriptions start with.
fn prefix(topic: Option<&str>) -> Result<String, Failure> {
    topic.map_or(Ok(String::new()), |topic| {
        subscription_name(topic, "x").map(|name| name[..name.len() - 1].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topics_subscriptions_share_a_prefix() {
        assert_eq!(prefix(Some("order-events")).ok().unwrap(), "order-events/subscriptions/");
        assert_eq!(prefix(None).ok().unwrap(), "");
        assert!(prefix(Some("a b")).is_err());
    }
}
