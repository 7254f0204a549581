//! The disk becomes full: publishers are refused before a commit fails, consumers go on, and publishing resumes when there
//! is room. Without a reserve the process ends, and nothing that was acknowledged is lost.

mod volume;

use postrider_client::{Client, ErrorCode, Id, Message, Options, Sender};
use postrider_protocol::options::LOCK_DURATION_MS;
use postrider_tests::broker::{self, Program};
use postrider_tests::{Broker, DEADLINE, dose, until};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use volume::Volume;

/// Times that the disk becomes full.
const ROUNDS: usize = 5;
/// What the broker keeps: more than a compaction of all that fits beside it can take.
const RESERVE: u64 = 144 << 20;
/// What a commit takes at most in these tests, with what RocksDB sets aside for its next log.
const SLACK: u64 = 48 << 20;
const BODY: usize = 64 << 10;
/// Sends under way.
const UNCONFIRMED: usize = 16;
/// How soon publishers go on when there is room.
const RESUMED: Duration = Duration::from_secs(5);
/// How soon the process ends when a commit fails.
const ENDED: Duration = Duration::from_secs(1);

/// What was acknowledged and not completed yet.
type Books = BTreeSet<u64>;

fn start(volume: &Volume, reserve: u64) -> Broker {
    let environment = vec![("POSTRIDER_DISK_RESERVE", reserve.to_string())];
    Broker::start_in(&volume.path(), Program { environment, ..Program::default() })
}

async fn open(broker: &Broker) -> (Client, Sender) {
    let client = broker.client().await;
    client.admin().create_queue("q", Options::new()).await.expect("there is room");
    let sender = client.sender("q").await.expect("a sender");
    (client, sender)
}

fn message(id: u64) -> Message {
    // Not to be compressed: what is published is what it takes.
    let mut body = vec![0; BODY];
    fastrand::Rng::with_seed(id).fill(&mut body);
    Message::new(body).with_id(id)
}

/// Publishes until a message is refused, or gets no answer; says which code the refusal had.
async fn fill(sender: &Sender, next: &mut u64, books: &mut Books) -> Option<ErrorCode> {
    let mut code = None;
    let mut ended = false;
    while !ended {
        let ids: Vec<u64> = (*next..).take(UNCONFIRMED).collect();
        *next += UNCONFIRMED as u64;
        let sent = futures_util::future::join_all(ids.iter().map(|id| sender.send(message(*id)))).await;
        for (id, outcome) in ids.into_iter().zip(sent) {
            match outcome {
                Ok(_) => _ = books.insert(id),
                Err(error) => (ended, code) = (true, code.or(error.code())),
            }
        }
    }
    code
}

/// Completes so many messages at most, and all of them were acknowledged.
async fn consume(client: &Client, most: usize, books: &mut Books) {
    let mut receiver = client.receiver_builder("q").prefetch(50).open().await.expect("a receiver");
    let mut left = most.min(books.len());
    while left > 0 {
        let taken = receiver.receive_batch(left.min(50), DEADLINE).await.expect("messages");
        assert!(!taken.is_empty(), "{left} messages do not come");
        for delivery in &taken {
            let Some(Id::Number(id)) = delivery.message().message_id else {
                panic!("{:?} was not sent", delivery.message().message_id)
            };
            assert_eq!(delivery.body(), &message(id).body, "message {id} is not what was sent");
            delivery.complete().await.expect("completing goes on");
            // What had no answer may be there as well.
            left -= usize::from(books.remove(&id));
        }
    }
    receiver.close().await.expect("a receiver closes in order");
}

/// Lets somebody else's file take all but half of the reserve, also what the broker gives back meanwhile, until a message is
/// refused.
async fn squeeze(volume: &Volume, sender: &Sender, next: &mut u64, books: &mut Books) {
    until("a message is refused", async || {
        volume.fill_up_to(RESERVE / 2);
        let sent = sender.send(message(*next)).await;
        if let Err(error) = &sent {
            assert_eq!(error.code(), Some(ErrorCode::StorageFull), "{error}");
            return true;
        }
        books.insert(*next);
        *next += 1;
        false
    })
    .await;
}

async fn is_full(client: &Client) -> bool {
    client.admin().status().await.expect("an answer").storage_full == 1
}

/// Waits until publishing goes on.
async fn resumed(client: &Client, sender: &Sender, next: &mut u64, books: &mut Books) {
    let start = Instant::now();
    until("publishing goes on", async || !is_full(client).await).await;
    assert!(start.elapsed() < RESUMED, "publishing went on after {:?}", start.elapsed());
    sender.send(message(*next)).await.expect("there is room again");
    books.insert(*next);
    *next += 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_refused_before_the_disk_is_full() {
    let rounds = dose("POSTRIDER_FILLS", ROUNDS);
    let volume = Volume::mount();
    let mut broker = start(&volume, RESERVE);
    let (client, sender) = open(&broker).await;
    let (mut next, mut books) = (1, Books::new());
    for round in 1..=rounds {
        // By a backlog.
        let code = fill(&sender, &mut next, &mut books).await;
        assert_eq!(code, Some(ErrorCode::StorageFull), "round {round}");
        let free = volume.free();
        assert!(free > RESERVE - SLACK, "round {round}: {free} bytes are left of the reserve");
        others_are_refused(&client).await;
        let half = books.len() / 2;
        consume(&client, half, &mut books).await;
        broker.kill9();
        broker.restart();
        consume(&client, usize::MAX, &mut books).await;
        resumed(&client, &sender, &mut next, &mut books).await;

        // By somebody else's file.
        squeeze(&volume, &sender, &mut next, &mut books).await;
        consume(&client, usize::MAX, &mut books).await;
        volume.clear();
        resumed(&client, &sender, &mut next, &mut books).await;
    }
    println!("{rounds} rounds, {next} messages");
    consume(&client, usize::MAX, &mut books).await;
    assert_eq!(client.admin().get("q").await.expect("the queue").counters.active, 0);
    assert!(broker.ended().is_none(), "the broker lives on");
}

/// What else makes the store larger is refused, and what clears up is not.
async fn others_are_refused(client: &Client) {
    let admin = client.admin();
    let refused = admin.create_queue("other", Options::new()).await.expect_err("there is no room");
    assert_eq!(refused.code(), Some(ErrorCode::StorageFull));
    let options = Options::new().with_number(LOCK_DURATION_MS, 60_000);
    admin.update("q", options).await.expect("an update is taken");
    admin.peek("q", 0, 1).await.expect("a look is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_reserve_the_process_ends_and_loses_nothing() {
    let volume = Volume::mount();
    let mut broker = start(&volume, 0);
    let (_client, mut sender) = open(&broker).await;
    let (mut next, mut books) = (1, Books::new());
    volume.fill_up_to(SLACK);
    sender = mortal(&broker, sender).await;
    let code = fill(&sender, &mut next, &mut books).await;
    assert_eq!(code, None, "nobody is refused");
    let since = Instant::now();
    until("the process ends", async || broker.ended().is_some()).await;
    assert!(since.elapsed() < ENDED, "it ended after {:?}", since.elapsed());
    assert_eq!(broker.ended().and_then(|status| status.code()), Some(70));
    let told = broker.process().stderr();
    assert!(told.contains("No space left on device"), "{told}");
    volume.clear();
    broker.restart();
    let client = broker::client(&broker.url()).connect().await.expect("it serves");
    consume(&client, usize::MAX, &mut books).await;
}

/// A sender that does not come back, in the place of one that does.
async fn mortal(broker: &Broker, before: Sender) -> Sender {
    before.close().await.expect("a sender closes in order");
    broker.mortal_client().await.sender("q").await.expect("a sender")
}
