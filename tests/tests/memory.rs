//! Memory does not grow with the backlog, and a restart does not read it.

use postrider_client::Message;
use postrider_tests::Broker;
use std::time::Instant;

const MESSAGES: usize = 200_000;
const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_stays_on_disk() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.admin().create_queue("backlog", postrider_client::Options::new()).await.expect("a queue");
    let sender = client.sender("backlog").await.expect("a sender");
    let before = broker.resident();
    for batch in 0..MESSAGES / 2_000 {
        let body = vec![batch as u8; 200];
        let messages = std::iter::repeat_with(|| Message::new(body.clone())).take(2_000).collect();
        let outcomes = sender.send_batch(messages).await.expect("a batch is answered");
        assert!(outcomes.iter().all(Result::is_ok));
    }
    let after = broker.resident();
    println!("resident: {} MiB before, {} MiB after {MESSAGES} messages", before / MIB, after / MIB);
    assert!(after < 200 * MIB, "{} MiB", after / MIB);

    broker.kill9();
    let start = Instant::now();
    broker.restart();
    let mut receiver = client.receiver_builder("backlog").prefetch(1).open().await.expect("a receiver");
    let first = receiver.receive().await.expect("a message");
    println!("first delivery {:?} after the start", start.elapsed());
    assert_eq!((first.sequence(), first.delivery_count(), first.body().len()), (1, 1, 200));
    first.complete().await.expect("it is locked");
    let counters = client.admin().get("backlog").await.expect("the queue").counters;
    assert_eq!((counters.active, counters.last_sequence), (MESSAGES as u64 - 1, MESSAGES as u64));
    let resident = broker.resident();
    println!("resident: {} MiB after the restart", resident / MIB);
    assert!(resident < 200 * MIB, "{} MiB", resident / MIB);
}
