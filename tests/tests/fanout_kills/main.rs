//! One publish goes to fifty subscriptions, and the broker is killed at any moment: each message has all of its copies
//! or none, and what was acknowledged has them all.

mod books;
mod load;
mod place;

use books::{Books, Totals};
use fastrand::Rng;
use load::{Published, Taken};
use postrider_tests::{Broker, dose, pause};
use std::time::{Duration, Instant};

const KILLS: usize = 60;
/// Subscriptions that have a consumer between two kills.
const CONSUMERS: usize = 10;
/// Kills after which the subscriptions are emptied, and until which each was looked through from its first message.
const EMPTIED: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_all_of_its_copies_or_none() {
    let (kills, seed) = (dose("POSTRIDER_KILLS", KILLS), fastrand::u64(..));
    eprintln!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let mut broker = Broker::start();
    let mut books = Books::open(&broker.client().await).await;
    let start = Instant::now();
    for kill in 0..kills {
        let (published, taken) = until_killed(&mut broker, &books, &mut random).await;
        broker.restart();
        let client = broker.mortal_client().await;
        books.balance(&client, published, taken, |place| place % EMPTIED == kill % EMPTIED).await;
        if kill % EMPTIED == EMPTIED - 1 {
            books.empty(&client).await;
        }
    }
    let client = broker.mortal_client().await;
    books.balance(&client, Published::default(), vec![], |_| true).await;
    println!("{kills} kills, {:?} each: {:?}", start.elapsed() / kills as u32, books.totals());
    let Totals { acknowledged, stored_unanswered, completed, .. } = books.totals();
    assert!(*acknowledged > kills && *completed > kills, "too little happened between the kills");
    assert!(*stored_unanswered > kills / 20, "too few kills came between a commit and its answers");
}

/// Load until a moment within 40 ms, in which the broker dies.
async fn until_killed(broker: &mut Broker, books: &Books, random: &mut Rng) -> (Published, Vec<Taken>) {
    let (producer, consumer) = (broker.mortal_client().await, broker.mortal_client().await);
    let publishing = tokio::spawn(load::publish(producer, books.next_id(), random.fork()));
    let mut places: Vec<usize> = (0..books::PLACES).collect();
    random.shuffle(&mut places);
    let consuming: Vec<_> = places[..CONSUMERS]
        .iter()
        .map(|place| tokio::spawn(load::consume(consumer.clone(), *place, random.fork())))
        .collect();
    pause(Duration::from_micros(random.u64(1_000..40_000))).await;
    broker.kill9();
    let mut taken = Vec::with_capacity(CONSUMERS);
    for consumer in consuming {
        taken.push(consumer.await.expect("a consumer does not panic"));
    }
    (publishing.await.expect("the publisher does not panic"), taken)
}
