//! What happened to a message, over a broker that is killed on the way.

use super::{crash, next, options, pulling};
use postrider_client::{Client, Message, StepKind};
use postrider_tests::Broker;

/// Kind, address and number of each step.
async fn steps(client: &Client, id: &str, entity: Option<&str>) -> Vec<(StepKind, String, u64)> {
    let trace = client.admin().trace(id, entity).await.expect("a trace");
    assert!(!trace.more);
    trace.steps.into_iter().map(|step| (step.kind, step.address, step.sequence)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_a_message_s_life_over_a_kill() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    let admin = client.admin();
    admin.create_topic("t", options(&[])).await.expect("a topic");
    for name in ["a", "b"] {
        admin.create_subscription("t", name, options(&[]), vec![]).await.expect("a subscription");
    }
    let sender = client.sender("t").await.expect("a sender");
    sender.send(Message::new("x").with_id("other")).await.expect("stored");
    sender.send(Message::new("x").with_id("m1")).await.expect("stored");
    let mut receiver = pulling(&client, "t/subscriptions/a").await;
    next(&mut receiver).await.complete().await.expect("locked");
    next(&mut receiver).await.abandon().await.expect("locked");
    crash(&mut broker);
    let again = next(&mut receiver).await;
    assert_eq!(again.delivery_count(), 2);
    again.dead_letter_with("Invalid", "no total").await.expect("locked");
    let redriven = admin.redrive("t/subscriptions/a/$dead-letter").run().await.expect("a redrive");
    assert_eq!(redriven.moved, 1);
    crash(&mut broker);
    let mut receiver = pulling(&client, "t/subscriptions/a").await;
    next(&mut receiver).await.complete().await.expect("locked");
    let (a, b) = ("t/subscriptions/a".to_owned(), "t/subscriptions/b".to_owned());
    let of_a = [
        (StepKind::Copied, a.clone(), 2),
        (StepKind::Delivered, a.clone(), 2),
        (StepKind::Abandoned, a.clone(), 2),
        (StepKind::Delivered, a.clone(), 2),
        (StepKind::DeadLettered, a.clone(), 2),
        (StepKind::Redriven, format!("{a}/$dead-letter"), 1),
        (StepKind::Delivered, a.clone(), 3),
        (StepKind::Completed, a.clone(), 3),
    ];
    let mut all =
        vec![(StepKind::Accepted, "t".to_owned(), 2), of_a[0].clone(), (StepKind::Copied, b.clone(), 2)];
    all.extend_from_slice(&of_a[1..]);
    assert_eq!(steps(&client, "m1", None).await, all);
    assert_eq!(steps(&client, "m1", Some("t")).await, all, "a topic and its subscriptions");
    assert_eq!(steps(&client, "m1", Some(&a)).await, of_a);
    assert_eq!(steps(&client, "m1", Some(&b)).await, [(StepKind::Copied, b, 2)]);
    assert_eq!(steps(&client, "nobody", None).await, []);
    let trace = admin.trace("m1", Some(&a)).await.expect("a trace").steps;
    let dead = &trace[4];
    assert_eq!((dead.reason.as_str(), dead.description.as_str()), ("Invalid", "no total"));
    assert_eq!((dead.to_address.as_str(), dead.to_sequence), ("t/subscriptions/a/$dead-letter", 1));
    assert_eq!((trace[1].attempt, trace[3].attempt, trace[6].attempt), (1, 2, 1));
    assert_eq!(trace[1].client, trace[3].client);
    assert!(trace.iter().all(|step| (step.kind == StepKind::Delivered) == (step.until_ms > step.when_ms)));
}
