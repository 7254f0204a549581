//! Messages that a topic keeps: replays, subscriptions from the past, and bodies that are stored once.

use super::{counters, crash, look, next, options, refused};
use postrider_client::{Client, ErrorCode, Message, PeekQuery, ReceiveMode, Start};
use postrider_tests::{Broker, until};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const S: &str = "t/subscriptions/s";
/// After so long the broker's clock shows a later millisecond.
const TICK: Duration = Duration::from_millis(2);

/// A broker with a topic `t` that keeps an hour, with a subscription `s`.
async fn topic() -> (Broker, Client) {
    let broker = Broker::start();
    let client = broker.client().await;
    client.admin().create_topic("t", options(&[("retain_ms", "3600000")])).await.expect("a topic");
    subscribe(&client, "s").await;
    (broker, client)
}

async fn subscribe(client: &Client, name: &str) {
    client.admin().create_subscription("t", name, options(&[]), vec![]).await.expect("a subscription");
}

/// Sends messages with these numbers as their bodies and properties `n`.
async fn send(client: &Client, numbers: std::ops::Range<i64>) {
    let sender = client.sender("t").await.expect("a sender");
    let messages = numbers.map(|n| Message::new(n.to_string()).with_property("n", n)).collect();
    for outcome in sender.send_batch(messages).await.expect("answers") {
        outcome.expect("it is stored");
    }
}

/// Receives and completes so many messages.
async fn settle(client: &Client, from: &str, count: usize) {
    let mut receiver = client.receiver(from).await.expect("a receiver");
    for _ in 0..count {
        next(&mut receiver).await.complete().await.expect("locked");
    }
    receiver.close().await.expect("closed");
}

/// Waits until nothing more is replayed to `s`.
async fn replayed(client: &Client, subscription: &str) {
    until("the replay ends", async || counters(client, subscription).await.replaying == 0).await;
}

/// The bodies in `s`, in order, and whether each is a copy that a replay made.
async fn bodies(client: &Client, subscription: &str) -> Vec<(String, bool)> {
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).expect("a text");
    let found = look(client, subscription).await;
    found.into_iter().map(|it| (text(&it.message.body), it.replayed)).collect()
}

fn marked(texts: &[&str]) -> Vec<(String, bool)> {
    texts.iter().map(|text| ((*text).to_owned(), true)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_rewound_by_number_and_by_time() {
    let (mut broker, client) = topic().await;
    send(&client, 1..6).await;
    settle(&client, S, 5).await;
    assert_eq!((counters(&client, S).await.active, counters(&client, "t").await.retained), (0, 5));
    crash(&mut broker);

    let replaying = client.admin().replay(S, Start::Sequence(2), "n <> 3").await.expect("a replay");
    assert_eq!((replaying.from, replaying.to, replaying.numbers()), (2, 6, 4));
    replayed(&client, S).await;
    assert_eq!(bodies(&client, S).await, marked(&["2", "4", "5"]));
    let mut receiver = client.receiver(S).await.expect("a receiver");
    for expected in ["2", "4", "5"] {
        let copy = next(&mut receiver).await;
        assert_eq!((&copy.body()[..], copy.is_replayed()), (expected.as_bytes(), true));
        assert_eq!(copy.delivery_count(), 1);
        copy.complete().await.expect("locked");
    }
    receiver.close().await.expect("closed");

    // Times: what came later than all that is kept is nothing, and from long ago on it is everything.
    let later = UNIX_EPOCH + Duration::from_secs(10_000_000_000);
    let nothing = client.admin().replay(S, Start::Time(later), "").await.expect("an answer");
    assert_eq!(nothing.numbers(), 0);
    let all = client.admin().replay(S, Start::Time(UNIX_EPOCH), "n > 3").await.expect("a replay");
    assert_eq!(all.numbers(), 5);
    replayed(&client, S).await;
    send(&client, 6..7).await;
    let mut expected = marked(&["4", "5"]);
    expected.push(("6".to_owned(), false));
    assert_eq!(bodies(&client, S).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_between_two_messages_divides_them() {
    let (_broker, client) = topic().await;
    send(&client, 1..3).await;
    let first = look(&client, S).await[1].enqueued_time;
    // The next one comes at a later millisecond.
    until("the clock moves on", async || SystemTime::now() > first + TICK).await;
    send(&client, 3..5).await;
    settle(&client, S, 4).await;
    let between = Start::Time(first + Duration::from_millis(1));
    let replaying = client.admin().replay(S, between, "").await.expect("a replay");
    assert_eq!((replaying.from, replaying.to), (3, 5));
    replayed(&client, S).await;
    assert_eq!(bodies(&client, S).await, marked(&["3", "4"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_lives_from_the_replay_on_and_tells_when_it_first_came() {
    let (_broker, client) = topic().await;
    let sender = client.sender("t").await.expect("a sender");
    let lasting = Message::new("x").with_id("x").with_ttl(Duration::from_secs(3_600));
    sender.send(lasting).await.expect("stored");
    let first = look(&client, S).await.remove(0);
    until("the clock moves on", async || SystemTime::now() > first.enqueued_time + TICK).await;
    client.admin().replay(S, Start::Sequence(1), "").await.expect("a replay");
    replayed(&client, S).await;
    let found = look(&client, S).await;
    assert_eq!(found.len(), 2, "what is there stays");
    assert_eq!((found[0].replayed, found[1].replayed), (false, true));
    assert_eq!((found[1].sequence, found[1].enqueued_time), (2, first.enqueued_time));
    assert!(found[1].expires_at > first.expires_at, "{found:?}");
    let mut receiver = client.receiver(S).await.expect("a receiver");
    next(&mut receiver).await.complete().await.expect("locked");
    next(&mut receiver).await.dead_letter_with("No", "").await.expect("locked");
    assert!(look(&client, &format!("{S}/$dead-letter")).await[0].replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_refused() {
    let (_broker, client) = topic().await;
    let admin = client.admin();
    refused(admin.replay(S, Start::Sequence(1), "n >").await, ErrorCode::InvalidArgument);
    refused(admin.replay("t", Start::Sequence(1), "").await, ErrorCode::InvalidArgument);
    refused(admin.replay("t/subscriptions/x", Start::Sequence(1), "").await, ErrorCode::NotFound);
    admin.create_topic("brief", options(&[])).await.expect("a topic");
    let past = Start::Sequence(1).upon(options(&[]));
    let created = admin.create_subscription("brief", "s", past, vec![]).await;
    refused(created, ErrorCode::InvalidArgument);
    refused(admin.get("brief/subscriptions/s").await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_subscription_begins_in_the_past() {
    let (mut broker, client) = topic().await;
    send(&client, 1..5).await;
    let from_three = Start::Sequence(3).upon(options(&[]));
    client.admin().create_subscription("t", "three", from_three, vec![]).await.expect("a subscription");
    let from_all = Start::Time(UNIX_EPOCH).upon(options(&[]));
    client.admin().create_subscription("t", "all", from_all, vec![]).await.expect("a subscription");
    crash(&mut broker);
    replayed(&client, "t/subscriptions/three").await;
    replayed(&client, "t/subscriptions/all").await;
    assert_eq!(bodies(&client, "t/subscriptions/three").await, marked(&["3", "4"]));
    assert_eq!(bodies(&client, "t/subscriptions/all").await, marked(&["1", "2", "3", "4"]));
    assert_eq!(bodies(&client, S).await.len(), 4, "those who had them are left alone");
    send(&client, 5..6).await;
    assert_eq!(counters(&client, "t/subscriptions/three").await.active, 3);
}

/// How many messages: many turns' worth.
const MANY: i64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_over_a_kill_and_brings_each_message_once() {
    let (mut broker, client) = topic().await;
    send(&client, 0..MANY).await;
    client.admin().purge(S).await.expect("purged");
    // It waits in the middle, so that the kill is certain to come before its end.
    client.admin().update(S, options(&[("max_messages", "4000")])).await.expect("updated");
    client.admin().replay(S, Start::Sequence(1), "n % 2 = 0").await.expect("a replay");
    crash(&mut broker);
    until("there is no more room", async || counters(&client, S).await.active == 4_000).await;
    assert!(counters(&client, S).await.replaying > 0);
    crash(&mut broker);
    client.admin().update(S, options(&[("max_messages", "none")])).await.expect("updated");
    crash(&mut broker);
    send(&client, MANY..MANY + 1).await;
    replayed(&client, S).await;
    assert_eq!(counters(&client, S).await.active, MANY as u64 / 2 + 1);
    let mut seen = vec![0; MANY as usize + 1];
    let builder = client.receiver_builder(S).mode(ReceiveMode::ReceiveAndDelete);
    let mut receiver = builder.open().await.expect("a receiver");
    for _ in 0..MANY / 2 + 1 {
        let delivery = next(&mut receiver).await;
        let number: usize = std::str::from_utf8(delivery.body()).expect("a text").parse().expect("a number");
        assert_eq!(delivery.is_replayed(), number < MANY as usize);
        seen[number] += 1;
    }
    let expected: Vec<_> = (0..=MANY).map(|n| i32::from(n % 2 == 0)).collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_full_waits_and_ends_with_its_subscription() {
    let (_broker, client) = topic().await;
    let admin = client.admin();
    send(&client, 1..6).await;
    settle(&client, S, 5).await;
    admin.update(S, options(&[("max_messages", "2")])).await.expect("updated");
    admin.replay(S, Start::Sequence(1), "").await.expect("a replay");
    until("it is full", async || counters(&client, S).await.active == 2).await;
    assert_eq!(counters(&client, S).await.replaying, 3);
    settle(&client, S, 2).await;
    until("there is room again", async || counters(&client, S).await.replaying == 1).await;
    assert_eq!(bodies(&client, S).await, marked(&["3", "4"]));
    // Nothing to replay ends the one that waits.
    assert_eq!(admin.replay(S, Start::Sequence(6), "").await.expect("an answer").numbers(), 0);
    assert_eq!(counters(&client, S).await.replaying, 0);
    assert_eq!(counters(&client, S).await.dead_letters, 0, "nothing found itself turned away");
    admin.replay(S, Start::Sequence(1), "").await.expect("a replay");
    admin.delete(S).await.expect("deleted");
    subscribe(&client, "s").await;
    assert_eq!(counters(&client, S).await.replaying, 0);
}

/// Subscriptions of one topic.
const COPIES: usize = 50;
/// Messages that all of them get.
const BIG: usize = 64;
/// Bytes of the body of each: 1 MiB in all.
const BODY: usize = 16 * 1024;

/// A topic without a window, with many subscriptions that all have the same MiB.
async fn copies() -> (Broker, Client) {
    let broker = Broker::start();
    let client = broker.client().await;
    client.admin().create_topic("t", options(&[])).await.expect("a topic");
    for number in 0..COPIES {
        subscribe(&client, &number.to_string()).await;
    }
    let sender = client.sender("t").await.expect("a sender");
    let messages = (0..BIG).map(|_| Message::new(vec![7u8; BODY])).collect();
    for outcome in sender.send_batch(messages).await.expect("answers") {
        outcome.expect("it is stored");
    }
    (broker, client)
}

fn nth(number: usize) -> String {
    format!("t/subscriptions/{number}")
}

async fn stored(client: &Client) -> u64 {
    counters(client, "t").await.bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_stored_once_and_goes_with_the_last_who_has_it() {
    let (mut broker, client) = copies().await;
    let (least, most) = ((BIG * BODY) as u64, (BIG * (BODY + 100)) as u64);
    let bytes = stored(&client).await;
    assert!((least..most).contains(&bytes), "{bytes}");
    for number in 1..COPIES {
        settle(&client, &nth(number), BIG).await;
    }
    assert_eq!(stored(&client).await, bytes, "one has them all");
    crash(&mut broker);
    assert_eq!(stored(&client).await, bytes);
    let mut last = client.receiver(&nth(0)).await.expect("a receiver");
    for _ in 0..BIG {
        let delivery = next(&mut last).await;
        assert_eq!(delivery.body(), &vec![7u8; BODY]);
        delivery.complete().await.expect("locked");
    }
    assert_eq!(stored(&client).await, 0);
    assert_eq!(counters(&client, "t").await.retained, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_or_deleted_lets_go() {
    let (mut broker, client) = copies().await;
    let bytes = stored(&client).await;
    // After the start nobody has looked at a page yet.
    crash(&mut broker);
    for number in 2..COPIES {
        match number % 2 {
            0 => drop(client.admin().purge(&nth(number)).await.expect("purged")),
            _ => client.admin().delete(&nth(number)).await.expect("deleted"),
        }
    }
    crash(&mut broker);
    assert_eq!(stored(&client).await, bytes, "two have them all");
    assert_eq!(counters(&client, &nth(2)).await.active, 0);
    client.admin().delete(&nth(1)).await.expect("deleted");
    let mut whole = client.admin().peek_all(&nth(0), PeekQuery::default());
    for _ in 0..BIG {
        let found = whole.next().await.expect("a peek").expect("a message");
        assert_eq!(found.message.body, vec![7u8; BODY]);
    }
    client.admin().purge(&nth(0)).await.expect("purged");
    until("the last ones have let go", async || stored(&client).await == 0).await;
}
