//! CloudMart's topics, subscriptions and queues.

use anyhow::{Context, Result};
use postrider_client::{Admin, Options, Rule};
use postrider_examples::order::{Order, Priority};
use postrider_examples::{EMAIL_QUEUE, ORDER_EVENTS};

/// The subscription that gets high-priority orders only.
const FILTERED: &str = "analytics";
/// The subscriptions of the topic.
pub const SUBSCRIPTIONS: [&str; 4] = ["inventory", "payment", "notification", FILTERED];

/// Short, so that what a killed broker's consumers held comes again soon.
const LOCK_DURATION_MS: &str = "5000";
/// Attempts before an e-mail is a dead letter.
const EMAIL_ATTEMPTS: &str = "3";

/// Creates everything.
pub async fn apply(admin: &Admin) -> Result<()> {
    admin.create_topic(ORDER_EVENTS, Options::new()).await?;
    for name in SUBSCRIPTIONS {
        let options = options(&[("lock_duration_ms", LOCK_DURATION_MS)])?;
        let created = admin.create_subscription(ORDER_EVENTS, name, options, vec![rule(name)]).await;
        created.with_context(|| format!("cannot create the subscription {name}"))?;
    }
    let options = options(&[("lock_duration_ms", LOCK_DURATION_MS), ("max_delivery_count", EMAIL_ATTEMPTS)])?;
    admin.create_queue(EMAIL_QUEUE, options).await.context("cannot create the queue")
}

/// What each subscription gets; but for the filtered one, all orders.
fn rule(subscription: &str) -> Rule {
    match subscription {
        FILTERED => {
            let filter = "sys.Subject LIKE 'Order%' AND priority = @priority";
            Rule::sql("high-priority", filter).with_parameter("priority", Priority::High.to_string())
        }
        "payment" => Rule::sql("to-be-paid", "sys.Subject = 'OrderCreated' AND amount > 0"),
        "notification" => Rule::sql("to-customers", "sys.Subject LIKE 'Order%' AND EXISTS(country)"),
        _ => Rule::sql("created", "sys.Subject = 'OrderCreated'"),
    }
}

fn options(values: &[(&str, &str)]) -> Result<Options> {
    let mut options = Options::new();
    for (name, value) in values {
        options.set(name, value)?;
    }
    Ok(options)
}

/// Whether a subscription must get an order: what its rules are meant to say.
pub fn wants(subscription: &str, order: &Order) -> bool {
    subscription != FILTERED || order.priority == Priority::High
}

/// A subscription with what it is filtered on.
pub fn title(subscription: &str) -> String {
    match subscription {
        FILTERED => format!("{subscription} (priority = {})", Priority::High),
        _ => subscription.to_owned(),
    }
}

/// Everything that holds messages, in the order in which they travel.
pub fn addresses() -> impl Iterator<Item = String> {
    let subscriptions = SUBSCRIPTIONS.iter().map(|name| format!("{ORDER_EVENTS}/subscriptions/{name}"));
    subscriptions.chain([EMAIL_QUEUE.to_owned()])
}
