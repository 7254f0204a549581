//! Memory does not grow with the backlog, and a restart does not read it.

use postrider_client::{Client, Message, Options, Sender};
use postrider_tests::cgroup::Limited;
use postrider_tests::{Broker, DEADLINE, dose};
use std::time::{Duration, Instant};

/// Messages, unless POSTRIDER_BACKLOG says something else.
const MESSAGES: usize = 1_000_000;
const BATCH: usize = 2_000;
const BODY_BYTES: usize = 200;
const MIB: u64 = 1024 * 1024;
/// What the broker may have at most, where the machine can limit it: page cache included.
const LIMIT: u64 = 512 * MIB;
/// What it may have of its own.
const RESIDENT: u64 = 200 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_stays_on_disk() {
    let messages = dose("POSTRIDER_BACKLOG", MESSAGES).next_multiple_of(BATCH);
    let group = Limited::to(LIMIT);
    let mut broker = Broker::start();
    limit(group.as_ref(), &broker);
    let client = broker.client().await;
    client.admin().create_queue("backlog", Options::new()).await.expect("a queue");
    fill(&client.sender("backlog").await.expect("a sender"), messages / BATCH).await;
    check_memory(&broker, &format!("with {messages} messages"));

    broker.kill9();
    let start = Instant::now();
    broker.restart();
    println!("serving {:?} after the start", start.elapsed());
    limit(group.as_ref(), &broker);
    let mut receiver = client.receiver_builder("backlog").prefetch(1).open().await.expect("a receiver");
    let first = receiver.receive().await.expect("a message");
    println!("first delivery {:?} after the start", start.elapsed());
    assert_eq!((first.sequence(), first.delivery_count(), first.body().len()), (1, 1, BODY_BYTES));
    first.complete().await.expect("it is locked");
    receiver.close().await.expect("a receiver closes in order");
    let counters = client.admin().get("backlog").await.expect("the queue").counters;
    assert_eq!((counters.active, counters.last_sequence), (messages as u64 - 1, messages as u64));
    check_memory(&broker, "after the restart");

    drain(&client, messages as u64).await;
    check_memory(&broker, "when all was completed");
    if let Some(group) = &group {
        println!("{} MiB of {} at most, page cache included", group.most() / MIB, LIMIT / MIB);
    }
    // The group goes when nothing is in it.
    drop(broker);
}

fn limit(group: Option<&Limited>, broker: &Broker) {
    let Some(group) = group else {
        return println!("no limit of memory can be set here: only what is resident is looked at");
    };
    group.take(broker.process().id());
}

/// Publishes batch after batch, and says how fast the first and the last tenth went.
async fn fill(sender: &Sender, batches: usize) {
    let mut took = Vec::with_capacity(batches);
    for batch in 0..batches {
        let body = vec![batch as u8; BODY_BYTES];
        let messages = std::iter::repeat_with(|| Message::new(body.clone())).take(BATCH).collect();
        let start = Instant::now();
        let outcomes = sender.send_batch(messages).await.expect("a batch is answered");
        took.push(start.elapsed());
        assert!(outcomes.iter().all(Result::is_ok));
    }
    let tenth = batches.div_ceil(10);
    let rate = |took: &[Duration]| (took.len() * BATCH) as f64 / took.iter().sum::<Duration>().as_secs_f64();
    let (first, last) = (rate(&took[..tenth]), rate(&took[batches - tenth..]));
    println!("published {first:.0}/s at first, {last:.0}/s at last: {:.0} %", 100.0 * last / first);
}

/// Completes everything, the second message first; each comes once, and in order.
async fn drain(client: &Client, last: u64) {
    let mut receiver = client.receiver_builder("backlog").prefetch(5_000).open().await.expect("a receiver");
    let (start, mut next) = (Instant::now(), 2);
    while next <= last {
        let deliveries = receiver.receive_batch(BATCH, DEADLINE).await.expect("messages");
        assert!(!deliveries.is_empty(), "nothing came, number {next} was next");
        for delivery in &deliveries {
            let body = [((next - 1) / BATCH as u64) as u8; BODY_BYTES];
            assert_eq!((delivery.sequence(), delivery.body().as_ref()), (next, &body[..]));
            next += 1;
        }
        let settled = receiver.complete_batch(&deliveries).await.expect("an answer");
        assert!(settled.iter().all(Result::is_ok));
    }
    println!("drained in {:?}", start.elapsed());
    assert_eq!(client.admin().get("backlog").await.expect("the queue").counters.active, 0);
}

fn check_memory(broker: &Broker, when: &str) {
    let resident = broker.resident();
    println!("resident: {} MiB {when}", resident / MIB);
    assert!(resident < RESIDENT, "{} MiB {when}", resident / MIB);
}
