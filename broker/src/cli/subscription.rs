//! `postrider subscription`.

use super::connect::Global;
use super::entity::{self, subscription_name};
use super::failure::Failure;
use super::filter::RuleArgs;
use super::options::SubscriptionOptions;
use super::output::Row;
use super::parse;
use clap::{Args, Subcommand};
use postrider_client::{Replaying, Start};
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
        "postrider subscription create order-events audit --replay-from '2h ago'",
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
    /// Send what the topic keeps to a subscription once more
    #[command(after_help = examples!(
        "postrider subscription replay order-events payment --from 4711",
        "postrider subscription replay order-events payment --from 2026-01-31T12:00:00Z",
        "postrider subscription replay order-events payment --from '2h ago' --filter \"region = 'eu'\"",
    ))]
    Replay(Replay),
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
    /// Begin with what the topic keeps: from its message of this number on, or from a time such as
    /// 2026-01-31T12:00:00Z or '2h ago'
    #[arg(long, value_name = "NUMBER|TIME", value_parser = parse::start)]
    replay_from: Option<Start>,
    #[command(flatten)]
    options: SubscriptionOptions,
}

#[derive(Args)]
pub struct Replay {
    #[command(flatten)]
    which: Which,
    /// The topic's message to begin with, by its number, or a time such as 2026-01-31T12:00:00Z or '2h ago'
    #[arg(long, value_name = "NUMBER|TIME", value_parser = parse::start)]
    from: Start,
    /// Only messages that this SQL filter lets through, besides the rules
    #[arg(long, value_name = "SQL", default_value = "", hide_default_value = true)]
    filter: String,
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
            Subscription::Replay(replay) => replay.run(global).await,
            Subscription::Delete(which) => entity::delete(global, KIND, &which.name()?).await,
        }
    }
}

impl Create {
    /// A filter takes the place of the default rule's.
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let rule = self.rule.rule(DEFAULT_RULE);
        let (name, options) = (self.which.name()?, self.options.options()?);
        let options = self.replay_from.map_or(options.clone(), |start| start.upon(options));
        entity::create(global, KIND, &name, options, rule.into_iter().collect()).await
    }
}

impl Replay {
    /// Begins the replay, and says what it is about.
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let (name, client) = (self.which.name()?, global.connect().await?);
        let replaying = client.admin().replay(&name, self.from, &self.filter).await;
        let replaying = replaying.map_err(Failure::about(KIND))?;
        let numbers = (replaying.numbers() > 0).then_some(replaying);
        let row = Row::new().column("kind", KIND.name()).column("name", name.as_str());
        let row = row.column("first", numbers.map(|replaying| replaying.from));
        let row = row.column("last", numbers.map(|replaying| replaying.to - 1));
        let row = row.column("numbers", replaying.numbers());
        Ok(global.printer().done(&self.sentence(&name, replaying), &row)?)
    }

    fn sentence(&self, name: &str, replaying: Replaying) -> String {
        let Which { topic, .. } = &self.which;
        match replaying.numbers() {
            0 => format!("nothing to replay to {name}: {topic} keeps no messages from there on"),
            numbers => format!(
                "{numbers} numbers of {topic} are replayed to {name}, {} to {}\nwatch `replaying` go to 0 with: postrider subscription show {}",
                replaying.from,
                replaying.to - 1,
                self.which.words(),
            ),
        }
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
