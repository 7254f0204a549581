//! How consumers share a queue.

use super::{WAIT, crash, next, options, queue, send, text};
use postrider_client::{Client, Delivery, Message, Receiver};
use postrider_tests::{pause, until};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the consumers themselves know of the work in flight.
#[derive(Default)]
struct Log {
    in_flight: AtomicU64,
    most: AtomicU64,
    done: AtomicU64,
}

impl Log {
    fn begin(&self, cost: u64) {
        let now = self.in_flight.fetch_add(cost, Ordering::SeqCst) + cost;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn end(&self, cost: u64) {
        self.in_flight.fetch_sub(cost, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
    }
}

async fn work(client: Client, log: Arc<Log>) {
    let mut receiver = client.receiver_builder("q").prefetch(3).open().await.expect("a receiver");
    // Until the queue is deleted.
    while let Ok(delivery) = receiver.receive().await {
        let cost = u64::from(delivery.message().cost.expect("each has one"));
        log.begin(cost);
        pause(Duration::from_millis(cost)).await;
        // Before it is said: from then on others may have begun.
        log.end(cost);
        delivery.complete().await.expect("still locked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_in_flight_never_passes_the_capacity() {
    let (mut broker, client) = queue(&[("capacity_units", "10")]).await;
    let sender = client.sender("q").await.expect("a sender");
    let costs = (0..400u32).map(|number| Message::new("x").with_cost(1 + number * 7 % 5));
    let outcomes = sender.send_batch(costs.collect()).await.expect("answers");
    assert!(outcomes.iter().all(Result::is_ok));
    let log = Arc::new(Log::default());
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(tokio::spawn(work(broker.client().await, log.clone())));
    }
    for part in [100, 200] {
        until("a part is done", async || log.done.load(Ordering::SeqCst) >= part).await;
        crash(&mut broker);
    }
    until("all is done", async || super::counters(&client, "q").await.active == 0).await;
    let most = log.most.load(Ordering::SeqCst);
    assert!(most <= 10, "{most} units in flight");
    assert!(most > 5, "they worked one after the other");
    assert_eq!(log.done.load(Ordering::SeqCst), 400, "each once");
    assert_eq!(client.admin().consumers("q").await.expect("consumers").refilled, 0);
    client.admin().delete("q").await.expect("deleted");
    for worker in workers {
        worker.await.expect("a worker does not panic");
    }
}

/// Receives so many messages, or fails.
async fn take(receiver: &mut Receiver, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let batch = receiver.receive_batch(count - taken.len(), WAIT).await.expect("no error");
        assert!(!batch.is_empty(), "{} of {count} came", taken.len());
        taken.extend(batch);
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_share_in_proportion() {
    let (mut broker, client) = queue(&[("balance", "weighted")]).await;
    let mut light = client.receiver_builder("q").weight(1).open().await.expect("a receiver");
    let mut heavy = client.receiver_builder("q").weight(3).open().await.expect("a receiver");
    crash(&mut broker);
    gathered(&client, 2).await;
    send(&client, "q", &["x"; 80]).await;
    let (few, many) = (take(&mut light, 20).await, take(&mut heavy, 60).await);
    assert_eq!((few.len(), many.len()), (20, 60));
    let tail = many.iter().filter(|delivery| delivery.sequence() > 40).count();
    assert!((28..=32).contains(&tail), "evenly mixed, but {tail} of 60 came late");
}

/// Which consumers got messages of which customer, of so many messages.
async fn owners(receivers: &mut [Receiver], messages: usize) -> BTreeMap<String, BTreeSet<usize>> {
    let (mut owners, mut came) = (BTreeMap::<String, BTreeSet<usize>>::new(), 0);
    until("all have come", async || {
        for (who, receiver) in receivers.iter_mut().enumerate() {
            for delivery in receiver.receive_batch(100, Duration::from_millis(1)).await.expect("no error") {
                owners.entry(text(&delivery).to_owned()).or_default().insert(who);
                delivery.complete().await.expect("locked");
                came += 1;
            }
        }
        came == messages
    })
    .await;
    owners
}

/// Waits until so many receivers can take something.
async fn gathered(client: &Client, count: usize) {
    until("all are back", async || {
        let info = client.admin().consumers("q").await.expect("consumers");
        info.consumers.iter().filter(|consumer| consumer.credit > 0).count() == count
    })
    .await;
}

fn of(customer: &str) -> Message {
    Message::new(customer.to_owned()).with_property("customer", customer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_keeps_its_consumer_over_a_kill() {
    let (mut broker, client) = queue(&[("balance", "key-hash"), ("fair_key", "customer")]).await;
    let sender = client.sender("q").await.expect("a sender");
    let mut receivers = Vec::new();
    for _ in 0..3 {
        receivers.push(broker.client().await.receiver("q").await.expect("a receiver"));
    }
    let mut rounds = Vec::new();
    for _ in 0..2 {
        gathered(&client, 3).await;
        let messages = (0..90).map(|number| of(&format!("customer {}", number % 30))).collect();
        assert!(sender.send_batch(messages).await.expect("answers").iter().all(Result::is_ok));
        rounds.push(owners(&mut receivers, 90).await);
        crash(&mut broker);
    }
    assert!(rounds[0].values().all(|owners| owners.len() == 1), "{:?}", rounds[0]);
    assert_eq!(rounds[0], rounds[1]);
    let all: BTreeSet<_> = rounds[0].values().flatten().collect();
    assert_eq!(all.len(), 3, "nobody is left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_does_not_hold_up_other_customers() {
    let (mut broker, client) = queue(&[("fair_key", "customer")]).await;
    let sender = client.sender("q").await.expect("a sender");
    let flood = std::iter::repeat_n("loud", 500).chain(["quiet"; 3]).map(of).collect();
    assert!(sender.send_batch(flood).await.expect("answers").iter().all(Result::is_ok));
    crash(&mut broker);
    let mut receiver = super::pulling(&client, "q").await;
    let mut came = Vec::new();
    for _ in 0..6 {
        came.push(text(&next(&mut receiver).await).to_owned());
    }
    assert_eq!(came.iter().filter(|customer| *customer == "quiet").count(), 3, "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_after_the_other_and_the_balance_changes_while_in_use() {
    let (_broker, client) = queue(&[("balance", "round-robin")]).await;
    let mut one = client.receiver("q").await.expect("a receiver");
    let mut two = client.receiver("q").await.expect("a receiver");
    gathered(&client, 2).await;
    send(&client, "q", &["x"; 20]).await;
    take(&mut one, 10).await;
    take(&mut two, 10).await;
    client.admin().update("q", options(&[("balance", "none")])).await.expect("changed");
    send(&client, "q", &["x"; 20]).await;
    take(&mut one, 10).await;
    take(&mut two, 10).await;
}
