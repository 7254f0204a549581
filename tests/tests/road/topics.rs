//! Topics, subscriptions, rules.

use super::{next, nothing, options, refused};
use postrider_client::{Client, Condition, ErrorCode, Filter, Message, Rule, Value};
use postrider_tests::Broker;

async fn topic() -> (Broker, Client) {
    let broker = Broker::start();
    let client = broker.client().await;
    client.admin().create_topic("t", options(&[])).await.expect("a topic");
    (broker, client)
}

fn rule(name: &str, filter: Filter) -> Rule {
    Rule::new(name, filter)
}

fn system(name: &str, value: &str) -> Condition {
    Condition { system: true, name: name.to_owned(), value: Value::from(value) }
}

async fn subscribe(client: &Client, name: &str, rules: Vec<Rule>) {
    client.admin().create_subscription("t", name, options(&[]), rules).await.expect("a subscription");
}

async fn active(client: &Client, name: &str) -> u64 {
    let name = format!("t/subscriptions/{name}");
    client.admin().get(&name).await.expect("a subscription").counters.active
}

#[tokio::test(flavor = "multi_thread")]
async fn every_subscription_gets_its_own_copy() {
    let (mut broker, client) = topic().await;
    subscribe(&client, "a", vec![]).await;
    subscribe(&client, "b", vec![]).await;
    let sender = client.sender("t").await.expect("a sender");
    sender.send(Message::new("x").with_property("p", 1i64)).await.expect("stored");
    let mut a = client.receiver("t/subscriptions/a").await.expect("a receiver");
    next(&mut a).await.complete().await.expect("locked");
    broker.kill9();
    broker.restart();
    nothing(&mut a).await;
    let mut b = client.receiver("T/Subscriptions/B").await.expect("names have no case");
    let copy = next(&mut b).await;
    assert_eq!((&copy.body()[..], copy.message().property("p")), (&b"x"[..], Some(&Value::from(1i64))));
}

#[tokio::test(flavor = "multi_thread")]
async fn correlation_filters_choose() {
    let (_broker, client) = topic().await;
    subscribe(&client, "all", vec![]).await;
    subscribe(&client, "none", vec![rule("no", Filter::False)]).await;
    subscribe(&client, "high", vec![rule("r", Filter::properties([("Priority", "high")]))]).await;
    let both = Filter::Correlation(vec![
        system("subject", "New"),
        Condition { system: false, name: "priority".to_owned(), value: Value::from("high") },
    ]);
    subscribe(&client, "both", vec![rule("r", both)]).await;
    let either =
        vec![rule("one", Filter::properties([("n", 1i64)])), rule("two", Filter::properties([("n", 2i64)]))];
    subscribe(&client, "either", either).await;
    let sender = client.sender("t").await.expect("a sender");
    let message = |subject: &str, priority: &str, n: i64| {
        Message::new("x").with_subject(subject).with_property("priority", priority).with_property("n", n)
    };
    for message in [
        message("New", "high", 1),
        message("New", "low", 2),
        message("Old", "high", 3),
        message("Old", "High", 4),
    ] {
        sender.send(message).await.expect("stored");
    }
    let mut counts = Vec::new();
    for name in ["all", "none", "high", "both", "either"] {
        counts.push(active(&client, name).await);
    }
    assert_eq!(counts, [4, 0, 2, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_change_while_messages_flow() {
    let (_broker, client) = topic().await;
    subscribe(&client, "s", vec![]).await;
    let (admin, name) = (client.admin(), "t/subscriptions/s");
    let sender = client.sender("t").await.expect("a sender");
    sender.send(Message::new("1")).await.expect("stored");
    admin.add_rule(name, rule("never", Filter::False)).await.expect("added");
    refused(admin.add_rule(name, rule("NEVER", Filter::True)).await, ErrorCode::AlreadyExists);
    admin.delete_rule(name, "$default").await.expect("deleted");
    refused(admin.delete_rule(name, "$default").await, ErrorCode::NotFound);
    sender.send(Message::new("2")).await.expect("stored");
    assert_eq!(active(&client, "s").await, 1);
    admin.replace_rule(name, rule("NEVER", Filter::True)).await.expect("replaced");
    refused(admin.replace_rule(name, rule("other", Filter::True)).await, ErrorCode::NotFound);
    sender.send(Message::new("3")).await.expect("stored");
    assert_eq!(active(&client, "s").await, 2);
    let sql = Rule::sql("sql", "1 =");
    refused(admin.add_rule(name, sql).await, ErrorCode::InvalidArgument);
    assert_eq!(admin.get(name).await.expect("it").rules, [rule("NEVER", Filter::True)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_is_counted() {
    let (_broker, client) = topic().await;
    let sender = client.sender("t").await.expect("a sender");
    sender.send(Message::new("x")).await.expect("accepted");
    let counters = client.admin().get("t").await.expect("the topic").counters;
    assert_eq!((counters.unmatched, counters.subscriptions), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_has_dead_letters_of_its_own() {
    let (_broker, client) = topic().await;
    subscribe(&client, "a", vec![]).await;
    subscribe(&client, "b", vec![]).await;
    client.sender("t").await.expect("a sender").send(Message::new("x")).await.expect("stored");
    let mut receiver = client.receiver("t/subscriptions/a").await.expect("a receiver");
    next(&mut receiver).await.dead_letter_with("No", "").await.expect("locked");
    let mut dead = client.receiver("t/subscriptions/a/$dead-letter").await.expect("a receiver");
    assert_eq!(next(&mut dead).await.dead_letter().expect("why").source, "t/subscriptions/a");
    assert_eq!(active(&client, "b").await, 1);
}
