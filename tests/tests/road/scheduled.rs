//! Messages that wait for their time.

use super::{counters, crash, look, next, nothing, options, pulling, queue, refused, text};
use postrider_client::{ErrorCode, Message, PeekState};
use std::time::{Duration, SystemTime};

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3_600)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scheduled_waits_over_a_kill() {
    let (mut broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    let at = SystemTime::now() + Duration::from_millis(700);
    sender.schedule(Message::new("late"), in_an_hour()).await.expect("stored");
    sender.schedule(Message::new("soon"), at).await.expect("stored");
    sender.schedule(Message::new("past"), SystemTime::UNIX_EPOCH).await.expect("stored");
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let past = next(&mut receiver).await;
    assert_eq!(text(&past), "past", "what has passed is at once");
    past.complete().await.expect("locked");
    crash(&mut broker);
    let soon = next(&mut receiver).await;
    assert!(SystemTime::now() + Duration::from_millis(1) >= at, "not before its time");
    assert_eq!((text(&soon), soon.sequence()), ("soon", soon.enqueued_sequence()));
    assert!(soon.enqueued_time() + Duration::from_millis(1) >= at, "it came when it was due");
    assert_eq!(counters(&client, "q").await.scheduled, 1);
    nothing(&mut receiver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_messages_are_listed_cancelled_and_delivered_now() {
    let (mut broker, client) = queue(&[]).await;
    let sender = client.sender("q").await.expect("a sender");
    let mut numbers = Vec::new();
    for body in ["a", "b", "c"] {
        numbers.push(sender.schedule(Message::new(body), in_an_hour()).await.expect("stored"));
    }
    crash(&mut broker);
    let seen = look(&client, "q").await;
    let bodies: Vec<_> = seen.iter().map(|seen| (seen.state, &seen.message.body[..])).collect();
    let scheduled = PeekState::Scheduled;
    assert_eq!(bodies, [(scheduled, &b"a"[..]), (scheduled, b"b"), (scheduled, b"c")]);
    assert!(seen.iter().all(|seen| seen.until > Some(SystemTime::now())));
    let cancelled = sender.cancel_scheduled(&[numbers[0], 99, numbers[0]]).await.expect("answers");
    assert!(cancelled[0].is_ok());
    for again in cancelled.into_iter().skip(1) {
        refused(again, ErrorCode::MessageNotFound);
    }
    let delivered = client.admin().deliver_scheduled_now("q", &numbers).await.expect("answers");
    assert_eq!(delivered.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
    crash(&mut broker);
    let mut receiver = client.receiver("q").await.expect("a receiver");
    assert_eq!([text(&next(&mut receiver).await), text(&next(&mut receiver).await)], ["b", "c"]);
    refused(
        client.admin().cancel_scheduled("q", &numbers[1..2]).await.expect("answers").remove(0),
        ErrorCode::MessageNotFound,
    );
    assert_eq!(counters(&client, "q").await.scheduled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_routes_when_it_is_due() {
    let (mut broker, client) = queue(&[]).await;
    let admin = client.admin();
    admin.create_topic("t", options(&[])).await.expect("a topic");
    let sender = client.sender("t").await.expect("a sender");
    let number = sender.schedule(Message::new("a"), in_an_hour()).await.expect("stored");
    assert_eq!((look(&client, "t").await.len(), counters(&client, "t").await.scheduled), (1, 1));
    crash(&mut broker);
    admin.create_subscription("t", "late", options(&[]), vec![]).await.expect("a subscription");
    sender.deliver_scheduled_now(&[number]).await.expect("answers").remove(0).expect("scheduled");
    let mut receiver = pulling(&client, "t/subscriptions/late").await;
    assert_eq!(text(&next(&mut receiver).await), "a");
}
