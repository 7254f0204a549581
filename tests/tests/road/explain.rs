//! What the rules of a topic would do with a message is what they do with it.

use super::{next, nothing, options, refused};
use postrider_client::{ErrorCode, ExplainedFate, Filter, Message, Rule, Value, Verdict};
use postrider_tests::Broker;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_explained_happens_when_it_is_sent() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    let admin = client.admin();
    admin.create_topic("t", options(&[("fall_through", "rest")])).await.expect("a topic");
    let marked = Rule::sql("marked", "total / n >= @least")
        .with_parameter("least", 10i64)
        .with_action("SET size = 'large'; SET sys.Subject = 'Large'; REMOVE trace");
    let rules = vec![Rule::sql("eu", "region = 'eu'"), marked, Rule::new("tried", Filter::True).as_shadow()];
    admin.create_subscription("t", "s", options(&[]), rules).await.expect("a subscription");
    let none = vec![Rule::new("none", Filter::False)];
    admin.create_subscription("t", "rest", options(&[]), none).await.expect("a subscription");
    broker.kill9();
    broker.restart();
    let order = |n: i64| Message::new("o").with_property("total", 100i64).with_property("n", n);
    let sent = order(5).with_subject("Order").with_property("region", "eu").with_property("trace", 1i64);
    // A sender would give it an id.
    let sent = Message { message_id: Some("m".into()), ..sent };
    let all = admin.explain("t", sent.clone()).await.expect("explained");
    let copies: Vec<_> = all.copies().map(|(of, rule, copy)| (of, rule, copy.clone())).collect();
    assert_eq!((all.unmatched, all.fall_through.as_deref(), copies.len()), (false, None, 2));
    assert_eq!(copies[0], ("t/subscriptions/s", None, sent.clone()));
    assert_eq!((copies[1].0, copies[1].1), ("t/subscriptions/s", Some("marked")));
    let of = &all.subscriptions[1];
    let rules: Vec<_> = of.rules.iter().map(|rule| (rule.name.as_str(), rule.verdict, rule.shadow)).collect();
    assert_eq!(
        rules,
        [("eu", Verdict::True, false), ("marked", Verdict::True, false), ("tried", Verdict::True, true)]
    );
    let parts = of.rules[0].filter.iter().map(|part| (part.depth, part.text.as_str(), part.value.as_str()));
    assert_eq!(parts.collect::<Vec<_>>(), [(0, "region = 'eu'", "TRUE"), (1, "region", "'eu'")]);

    // Nothing has come of it yet; now it does.
    assert_eq!(admin.get("t").await.expect("it").counters.last_sequence, 0);
    assert_eq!(
        admin.rules("t/subscriptions/s").await.expect("rules")[2].shadow.as_ref().map(|it| it.matched),
        Some(0)
    );
    client.sender("t").await.expect("a sender").send(sent).await.expect("stored");
    let mut receiver = client.receiver("t/subscriptions/s").await.expect("a receiver");
    for (_, rule, copy) in &copies {
        let delivery = next(&mut receiver).await;
        assert_eq!((delivery.rule_name(), delivery.message()), (*rule, copy));
    }
    nothing(&mut receiver).await;

    let failing = admin.explain("t", order(0)).await.expect("explained");
    let [outcome] = failing.subscriptions[1].outcomes.as_slice() else { panic!("{failing:?}") };
    let ExplainedFate::DeadLetter { reason, description } = &outcome.fate else { panic!("{outcome:?}") };
    assert_eq!(reason, "FilterEvaluationFailed");
    assert_eq!(description, "rule marked: division by zero in total / n");

    let unwanted = admin.explain("t", order(50)).await.expect("explained");
    assert_eq!((unwanted.unmatched, unwanted.fall_through.as_deref()), (true, Some("t/subscriptions/rest")));
    assert_eq!(unwanted.copies().map(|(of, ..)| of).collect::<Vec<_>>(), ["t/subscriptions/rest"]);
    admin.update("t/subscriptions/rest", options(&[("status", "disabled")])).await.expect("updated");
    let gone = admin.explain("t", order(50)).await.expect("explained");
    assert_eq!((gone.unmatched, gone.fall_through.as_deref(), gone.copies().count()), (true, None, 0));
    assert_eq!(gone.subscriptions[0].disabled.as_deref(), Some("disabled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rules_are_explained_page_by_page() {
    let broker = Broker::start();
    let client = broker.client().await;
    let admin = client.admin();
    admin.create_topic("t", options(&[])).await.expect("a topic");
    let rule = |at: usize| Rule::new(format!("r{at:05}"), Filter::properties([("n", at as i64)]));
    for (name, count) in [("a", 1_500), ("b", 10), ("c", 1_200)] {
        let rules = (0..count).map(|at| rule(at).with_action("SET of = 1")).collect();
        admin.create_subscription("t", name, options(&[]), rules).await.expect("a subscription");
    }
    let all = admin.explain("t", Message::new("x").with_property("n", 1_100i64)).await.expect("explained");
    let rules: Vec<_> = all.subscriptions.iter().map(|of| (of.name.as_str(), of.rules.len())).collect();
    assert_eq!(
        rules,
        [("t/subscriptions/a", 1_500), ("t/subscriptions/b", 10), ("t/subscriptions/c", 1_200)]
    );
    let copies: Vec<_> =
        all.copies().map(|(of, rule, copy)| (of, rule, copy.property("of").cloned())).collect();
    let one = Some(Value::Int(1));
    let own = Some("r01100");
    assert_eq!(copies, [("t/subscriptions/a", own, one.clone()), ("t/subscriptions/c", own, one)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_topic_would_refuse_is_refused() {
    let broker = Broker::start();
    let client = broker.client().await;
    let admin = client.admin();
    let message = || Message::new("x");
    refused(admin.explain("t", message()).await, ErrorCode::NotFound);
    admin.create_queue("q", options(&[])).await.expect("a queue");
    refused(admin.explain("q", message()).await, ErrorCode::InvalidArgument);
    admin.create_topic("t", options(&[("max_message_bytes", "2000000")])).await.expect("a topic");
    refused(admin.explain("t", message().with_property("", 1i64)).await, ErrorCode::InvalidArgument);
    refused(admin.explain("t", Message::new(vec![0; 1_100_000])).await, ErrorCode::MessageTooLarge);
    admin.explain("t", message()).await.expect("explained");
}
