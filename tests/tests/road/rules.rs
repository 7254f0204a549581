//! SQL rules, actions, shadow rules and what falls through, over a kill.

use super::{next, nothing, options, refused};
use postrider_client::{Client, ErrorCode, Filter, Message, Rule, Value};
use postrider_tests::Broker;

async fn topic(rules: Vec<Rule>) -> (Broker, Client) {
    let broker = Broker::start();
    let client = broker.client().await;
    client.admin().create_topic("t", options(&[("fall_through", "rest")])).await.expect("a topic");
    client.admin().create_subscription("t", "s", options(&[]), rules).await.expect("a subscription");
    let rest = vec![Rule::new("none", Filter::False)];
    client.admin().create_subscription("t", "rest", options(&[]), rest).await.expect("a subscription");
    (broker, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_with_actions_make_their_own_copies() {
    let large = Rule::sql("large", "total >= @least")
        .with_parameter("least", 100i64)
        .with_action("SET size = 'large'; SET sys.Subject = 'Large'; REMOVE trace");
    let (mut broker, client) = topic(vec![Rule::sql("eu", "region = 'eu'"), large]).await;
    broker.kill9();
    broker.restart();
    let sender = client.sender("t").await.expect("a sender");
    let order = |region: &str, total: i64| {
        Message::new("o").with_subject("Order").with_property("region", region).with_property("total", total)
    };
    sender.send(order("eu", 100).with_property("trace", 7i64)).await.expect("stored");
    sender.send(order("us", 5)).await.expect("stored");
    broker.kill9();
    broker.restart();
    let mut receiver = client.receiver("t/subscriptions/s").await.expect("a receiver");
    let (plain, own) = (next(&mut receiver).await, next(&mut receiver).await);
    assert_eq!((plain.rule_name(), plain.message().property("trace")), (None, Some(&Value::Int(7))));
    assert_eq!((own.rule_name(), own.message().subject.as_deref()), (Some("large"), Some("Large")));
    assert_eq!(own.message().property("size"), Some(&Value::from("large")));
    assert_eq!((own.message().property("trace"), &own.body()[..]), (None, &b"o"[..]));
    plain.complete().await.expect("locked");
    own.dead_letter_with("No", "").await.expect("locked");
    nothing(&mut receiver).await;
    let mut dead = client.receiver("t/subscriptions/s/$dead-letter").await.expect("a receiver");
    assert_eq!(next(&mut dead).await.rule_name(), Some("large"));
    let mut rest = client.receiver("t/subscriptions/rest").await.expect("a receiver");
    assert_eq!(next(&mut rest).await.message().property("region"), Some(&Value::from("us")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_rule_counts_until_it_is_promoted() {
    let (mut broker, client) = topic(vec![Rule::sql("tried", "1 / n > 0").as_shadow()]).await;
    let (admin, name) = (client.admin(), "t/subscriptions/s");
    let sender = client.sender("t").await.expect("a sender");
    for n in [1i64, 0, 5, 1] {
        sender.send(Message::new("x").with_property("n", n)).await.expect("stored");
    }
    let rules = admin.rules(name).await.expect("the rules");
    let seen = rules[0].shadow.as_ref().expect("it is a shadow");
    assert_eq!((rules.len(), seen.matched, seen.failed), (1, 2, 1));
    assert_eq!(seen.samples.iter().map(|sample| sample.sequence).collect::<Vec<_>>(), [1, 4]);
    assert!(seen.since_ms > 0 && seen.samples.iter().all(|sample| sample.time_ms >= seen.since_ms));
    assert_eq!(admin.get(name).await.expect("it").counters.active, 0);
    broker.kill9();
    broker.restart();
    admin.promote_rule(name, "TRIED").await.expect("it is a shadow");
    refused(admin.promote_rule(name, "tried").await, ErrorCode::InvalidArgument);
    refused(admin.promote_rule(name, "other").await, ErrorCode::NotFound);
    broker.kill9();
    broker.restart();
    sender.send(Message::new("x").with_property("n", 1i64)).await.expect("stored");
    assert_eq!(admin.get(name).await.expect("it").counters.active, 1);
    assert_eq!(admin.rules(name).await.expect("the rules")[0].shadow, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rules_are_listed_and_found() {
    let rule = |at: usize| Rule::new(format!("r{at:05}"), Filter::properties([("n", at as i64)]));
    let (mut broker, client) = topic((0..2_500).map(rule).collect()).await;
    broker.kill9();
    broker.restart();
    let sender = client.sender("t").await.expect("a sender");
    for n in [0i64, 2_499, 2_500] {
        sender.send(Message::new("x").with_property("N", n)).await.expect("stored");
    }
    let admin = client.admin();
    let rules = admin.rules("t/subscriptions/s").await.expect("the rules");
    assert_eq!(
        rules.iter().map(|info| &info.rule).collect::<Vec<_>>(),
        (0..2_500).map(rule).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(admin.get("t/subscriptions/s").await.expect("it").counters.active, 2);
    assert_eq!(admin.get("t/subscriptions/rest").await.expect("it").counters.active, 1);
    refused(admin.rules("t").await, ErrorCode::InvalidArgument);
}
