//! A consumer that takes nothing off its socket holds up nobody else.

use super::{next, options, queue};
use postrider_client::Message;
use postrider_tests::raw::Raw;

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_reads_holds_up_nobody() {
    let (broker, client) = queue(&[]).await;
    client.admin().create_queue("other", options(&[])).await.expect("a queue");
    let before = broker.resident();
    // Each takes what it has room for, and as much again in the buffers of its socket: 8 MiB, half of all in all.
    let stuck: Vec<Raw> = (0..4)
        .map(|_| {
            let mut raw = Raw::open(broker.address());
            raw.open_receiver(1, "q", 100_000);
            raw
        })
        .collect();
    let (full, other) =
        (client.sender("q").await.expect("a sender"), client.sender("other").await.expect("a sender"));
    let mut receiver = client.receiver("other").await.expect("a receiver");
    for round in 0..60 {
        let megabyte = std::iter::repeat_with(|| Message::new(vec![0; 16 * 1024])).take(64).collect();
        assert!(full.send_batch(megabyte).await.expect("answers").iter().all(Result::is_ok));
        other.send(Message::new(round.to_string())).await.expect("stored");
        next(&mut receiver).await.complete().await.expect("locked");
    }
    // A receiver on the same queue gets what the others cannot take.
    let mut reading = client.receiver_builder("q").prefetch(10).open().await.expect("a receiver");
    for _ in 0..100 {
        next(&mut reading).await.complete().await.expect("locked");
    }
    let grown = broker.resident().saturating_sub(before);
    assert!(grown < 200 * MIB, "{} MiB for {} receivers that do not read", grown / MIB, stuck.len());
}
