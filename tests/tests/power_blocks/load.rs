//! Publishers and consumers that write down when they asked and when they were answered, by the disk's log.

use super::books::{Books, QUEUE, SUBSCRIPTIONS, TOPIC, target};
use super::log::Growing;
use fastrand::Rng;
use postrider_client::{Client, Confirm, Delivery, Id, Message, Options, Receiver, SendOutcome, Settlement};
use postrider_tests::broker;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PUBLISHERS: u64 = 3;
/// Messages that one sends at most.
const PER_PUBLISHER: u64 = 1 << 32;
/// Confirms that one lets wait.
const UNCONFIRMED: usize = 8;
const BODY_BYTES: (f64, f64) = (32.0, 6_144.0);
/// From this number on messages are large: enough of them make the store write a table and begin another log.
const LARGE: u64 = PUBLISHERS * PER_PUBLISHER;
const LARGE_BYTES: usize = 900_000;
const LARGE_MESSAGES: u64 = 44;
/// Messages that a consumer takes at once, and how long it waits for one before it looks whether it is over.
const TAKEN: usize = 20;
const WAIT: Duration = Duration::from_millis(50);

/// The message of an id. Nothing in it comes twice.
pub fn message(id: u64) -> Message {
    let (mut random, (least, most)) = (Rng::with_seed(id), BODY_BYTES);
    let bytes = if id < LARGE { (least * (most / least).powf(random.f64())) as usize } else { LARGE_BYTES };
    let mut body = vec![0; bytes];
    random.fill(&mut body);
    Message::new(body).with_id(id)
}

/// The id of a message that is just as it was sent.
pub fn read(message: &Message) -> Option<u64> {
    match &message.message_id {
        Some(Id::Number(id)) if self::message(*id) == *message => Some(*id),
        _ => None,
    }
}

/// The books, and the log that says when. Clones share them.
#[derive(Clone)]
pub struct Recorder {
    books: Arc<Mutex<Books>>,
    log: Arc<Growing>,
}

impl Recorder {
    pub fn new(log: Growing) -> Recorder {
        Recorder { books: Arc::default(), log: Arc::new(log) }
    }

    /// What was written down.
    pub fn take(&self) -> Books {
        std::mem::take(&mut *self.books())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, id: u64, outcome: Result<SendOutcome, postrider_client::Error>) {
        outcome.expect("clients come back until there is an answer");
        let answered = self.log.entries();
        self.books().stored(id, answered);
    }
}

/// Load under way.
pub struct Load {
    client: Client,
    recorder: Recorder,
    publishing: CancellationToken,
    consuming: CancellationToken,
    publishers: JoinSet<()>,
    consumers: JoinSet<()>,
}

impl Load {
    /// Creates the entities, and starts publishers, and consumers of all places but the last one.
    pub async fn start(client: Client, url: &str, recorder: &Recorder) -> Load {
        let admin = client.admin();
        admin.create_queue(QUEUE, Options::new()).await.expect("a queue");
        admin.create_topic(TOPIC, Options::new()).await.expect("a topic");
        for name in SUBSCRIPTIONS {
            let own = name.rsplit('/').next().expect("a name has an end");
            admin.create_subscription(TOPIC, own, Options::new(), vec![]).await.expect("a subscription");
        }
        let (publishing, consuming) = (CancellationToken::new(), CancellationToken::new());
        let (mut publishers, mut consumers) = (JoinSet::new(), JoinSet::new());
        for publisher in 0..PUBLISHERS {
            let client = connect(url).await;
            publishers.spawn(publish(
                client,
                publisher * PER_PUBLISHER,
                recorder.clone(),
                publishing.clone(),
            ));
        }
        for place in [QUEUE].into_iter().chain(SUBSCRIPTIONS[..3].iter().copied()) {
            consumers.spawn(consume(connect(url).await, place, recorder.clone(), consuming.clone()));
        }
        Load { client, recorder: recorder.clone(), publishing, consuming, publishers, consumers }
    }

    /// Sends large messages as well.
    pub async fn send_large(&self) {
        let sender = self.client.sender(target(LARGE)).await.expect("a sender");
        for id in (LARGE..).step_by(2).take(LARGE_MESSAGES as usize) {
            self.recorder.books().send(id, self.recorder.log.entries());
            self.recorder.stored(id, sender.send(message(id)).await);
        }
    }

    /// Ends the publishers, waiting for their confirms, and then the consumers.
    pub async fn stop(self) {
        self.publishing.cancel();
        self.publishers.join_all().await;
        self.consuming.cancel();
        self.consumers.join_all().await;
    }
}

async fn connect(url: &str) -> Client {
    broker::client(url).connect().await.expect("the broker takes the connection")
}

/// Sends to the queue and the topic in turn.
async fn publish(client: Client, first: u64, recorder: Recorder, over: CancellationToken) {
    let senders =
        [client.sender(QUEUE).await.expect("a sender"), client.sender(TOPIC).await.expect("a sender")];
    let mut waiting = VecDeque::<(u64, Confirm)>::new();
    for id in first.. {
        let is_over = over.is_cancelled();
        while waiting.len() > if is_over { 0 } else { UNCONFIRMED } {
            let (id, confirm) = waiting.pop_front().expect("it is not empty");
            recorder.stored(id, confirm.await);
        }
        if is_over {
            break;
        }
        let asked = recorder.log.entries();
        recorder.books().send(id, asked);
        let sender = senders.iter().find(|sender| sender.address() == target(id)).expect("there are both");
        waiting.push_back((id, sender.enqueue(message(id)).await.expect("a client that comes back")));
    }
}

/// Completes all that comes.
async fn consume(client: Client, place: &'static str, recorder: Recorder, over: CancellationToken) {
    let mut receiver = client.receiver_builder(place).prefetch(2 * TAKEN as u32).open().await.expect("one");
    while !over.is_cancelled() {
        let deliveries = receiver.receive_batch(TAKEN, WAIT).await.expect("clients come back");
        complete(&receiver, &deliveries, place, &recorder).await;
    }
}

async fn complete(receiver: &Receiver, deliveries: &[Delivery], place: &'static str, recorder: &Recorder) {
    let id = |delivery: &Delivery| read(delivery.message()).expect("I2 invented: it was sent like this");
    let ids: Vec<_> = deliveries.iter().map(id).collect();
    let asked = recorder.log.entries();
    ids.iter().for_each(|id| recorder.books().complete(*id, place, asked));
    let settlements = deliveries.iter().map(|delivery| (delivery.lock_token(), Settlement::Complete));
    let Ok(outcomes) = receiver.settle_batch(settlements.collect()).await else { return };
    let answered = recorder.log.entries();
    let done = ids.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok());
    done.for_each(|(id, _)| recorder.books().completed(*id, place, answered));
}
