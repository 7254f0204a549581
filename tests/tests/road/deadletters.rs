//! Dead letters: why they are there, and what becomes of them.

use super::{counters, crash, look, next, pulling, queue, send, text};
use postrider_client::{Cause, Client, Message, PeekedMessage, Progress, Selection};
use postrider_tests::until;
use std::time::SystemTime;

const DEAD: &str = "q/$dead-letter";

/// Sends a message for each pair, and dead-letters it with this reason and description.
async fn fail(client: &Client, reasons: &[(&str, &str)]) {
    let sender = client.sender("q").await.expect("a sender");
    let regions = ["eu", "us"].into_iter().cycle();
    let messages = (1..=reasons.len()).zip(regions).map(|(number, region)| {
        Message::new(number.to_string()).with_property("region", region).with_property("n", number as i64)
    });
    let outcomes = sender.send_batch(messages.collect()).await.expect("answers");
    assert!(outcomes.iter().all(Result::is_ok));
    let mut receiver = client.receiver("q").await.expect("a receiver");
    for (reason, description) in reasons {
        next(&mut receiver).await.dead_letter_with(reason, description).await.expect("locked");
    }
}

fn bodies(seen: &[PeekedMessage]) -> Vec<&str> {
    seen.iter().map(|seen| std::str::from_utf8(&seen.message.body).expect("text")).collect()
}

fn cause(reason: &str, description: &str) -> Cause {
    Cause { reason: reason.to_owned(), description: description.to_owned() }
}

/// Four dead letters of two causes.
const FOUR: [(&str, &str); 4] = [
    ("MailServerDown", "'a.example' was silent for 30 s"),
    ("BadAddress", "no @"),
    ("MailServerDown", "'b.example' was silent for 7 s"),
    ("MailServerDown", "'a.example' was silent for 31 s"),
];

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_grouped_by_cause() {
    let (mut broker, client) = queue(&[]).await;
    fail(&client, &FOUR).await;
    crash(&mut broker);
    let causes = client.admin().causes(DEAD).await.expect("causes");
    let down = cause("MailServerDown", "<text> was silent for <n> s");
    let told: Vec<_> = causes.iter().map(|info| (info.cause.clone(), info.messages, info.sample)).collect();
    assert_eq!(told, [(down, 3, 4), (cause("BadAddress", "no @"), 1, 2)]);
    let letter = &look(&client, DEAD).await[2];
    assert_eq!(letter.dead_letter.as_ref().expect("why").description, FOUR[2].1, "as it was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn redriven_they_are_messages_as_new() {
    let (mut broker, client) = queue(&[("max_delivery_count", "2")]).await;
    send(&client, "q", &["a"]).await;
    let mut receiver = pulling(&client, "q").await;
    for _ in 0..2 {
        next(&mut receiver).await.abandon().await.expect("locked");
    }
    send(&client, "q", &["b"]).await;
    crash(&mut broker);
    let outcome = client.admin().redrive(DEAD).run().await.expect("moved");
    assert_eq!((outcome.moved, outcome.examined, outcome.stopped), (1, 1, None));
    crash(&mut broker);
    assert_eq!(text(&next(&mut receiver).await), "b", "it is at the end of the queue");
    let again = next(&mut receiver).await;
    assert_eq!((text(&again), again.delivery_count(), again.redrive_count()), ("a", 1, 1));
    assert_eq!((again.dead_letter(), again.enqueued_sequence()), (None, 1));
    assert_eq!(counters(&client, "q").await.dead_letters, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_exactly_what_would_be_moved() {
    let (mut broker, client) = queue(&[]).await;
    fail(&client, &FOUR).await;
    let admin = client.admin();
    let down = cause("MailServerDown", "<text> was silent for <n> s");
    let plans = [
        admin.redrive(DEAD).filter("region = 'us' AND n < 4"),
        admin.redrive(DEAD).cause(down.clone()).filter("sys.DeadLetterReason = 'MailServerDown' AND n = 1"),
        admin.redrive(DEAD).cause(down),
        admin.redrive(DEAD),
    ];
    let mut moved = Vec::new();
    for plan in plans {
        let dry = plan.clone().dry_run(true).run().await.expect("counted");
        let before = counters(&client, "q").await;
        crash(&mut broker);
        let done = plan.run().await.expect("moved");
        let after = counters(&client, "q").await;
        assert_eq!((dry.moved, dry.examined), (done.moved, done.examined));
        assert_eq!(after.active - before.active, done.moved);
        assert_eq!(before.dead_letters - after.dead_letters, done.moved);
        moved.push(done.moved);
    }
    assert_eq!(moved, [1, 1, 2, 0]);
    assert_eq!(bodies(&look(&client, "q").await), ["2", "1", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_stops_when_they_come_back() {
    let (_broker, client) = queue(&[]).await;
    fail(&client, &[("MailServerDown", "no answer"); 60]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let mut redrive = client.admin().redrive(DEAD).rate(10.0).start().await.expect("there are some");
    let mut moved = 0;
    while let Some(progress) = redrive.next().await.expect("no error") {
        for _ in moved..progress.done {
            next(&mut receiver).await.dead_letter_with("MailServerDown", "no answer").await.expect("locked");
        }
        moved = progress.done;
    }
    let outcome = redrive.outcome();
    let back = outcome.stopped.expect("they came back");
    assert_eq!((outcome.moved, back.messages), (20, 10), "it looks before the next second's worth is gone");
    assert_eq!(back.cause, cause("MailServerDown", "no answer"));
    assert_eq!(counters(&client, "q").await.dead_letters, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_leaves_what_was_dead_lettered_meanwhile() {
    let (_broker, client) = queue(&[]).await;
    fail(&client, &FOUR).await;
    let redrive = client.admin().redrive(DEAD).start().await.expect("there are some");
    fail(&client, &[("Later", "")]).await;
    let mut redrive = redrive;
    while redrive.next().await.expect("no error").is_some() {}
    assert_eq!(redrive.outcome().moved, 4);
    assert_eq!(look(&client, DEAD).await[0].dead_letter.as_ref().expect("why").reason, "Later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_dead_letters_go_back_to_it_alone() {
    let (mut broker, client) = queue(&[]).await;
    let admin = client.admin();
    admin.create_topic("t", super::options(&[])).await.expect("a topic");
    for name in ["a", "b"] {
        admin.create_subscription("t", name, super::options(&[]), vec![]).await.expect("a subscription");
    }
    send(&client, "t", &["x"]).await;
    next(&mut pulling(&client, "t/subscriptions/a").await)
        .await
        .dead_letter_with("No", "")
        .await
        .expect("it");
    crash(&mut broker);
    let outcome = admin.redrive("t/subscriptions/a/$dead-letter").run().await.expect("moved");
    assert_eq!(outcome.moved, 1);
    for name in ["a", "b"] {
        assert_eq!(counters(&client, &format!("t/subscriptions/{name}")).await.active, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_by_filter_and_age_says_how_far_it_is() {
    let (mut broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    let numbered = |number: i64| Message::new("x").with_property("n", number);
    let outcomes = sender.send_batch((0..12_000).map(numbered).collect()).await.expect("answers");
    assert!(outcomes.iter().all(Result::is_ok));
    let last = client.admin().peek("q", 12_000, 1).await.expect("a peek").remove(0).enqueued_time;
    until("the clock goes on", async || SystemTime::now() > last + std::time::Duration::from_millis(2)).await;
    let before_ms = last.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64 + 1;
    sender.send(numbered(0)).await.expect("stored");
    crash(&mut broker);
    let selection = Selection { filter: "n % 2 = 0".to_owned(), before_ms, ..Selection::default() };
    let mut purge = client.admin().purge_selected("q", selection);
    let mut steps: Vec<Progress> = Vec::new();
    while let Some(progress) = purge.next().await.expect("no error") {
        steps.push(progress);
        crash(&mut broker);
    }
    let last = *steps.last().expect("a step");
    assert!(steps.len() > 1 && steps.is_sorted_by_key(|step| step.examined), "{steps:?}");
    assert_eq!((last.done, last.examined), (6_000, 12_001));
    assert_eq!(counters(&client, "q").await.active, 6_001, "what came later stays");
}
