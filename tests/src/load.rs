//! Producers and consumers that write down what they see.

use crate::broker;
use crate::checker::{Checker, DEAD_LETTERS, default_rules};
use crate::history::{self, Counts, Event, History, Sending, Settling, Verb};
use postrider_client::{
    Client, Delivery, Error, Filter, LockToken, Message, Options, Receiver, Rule, SendOutcome, Settlement,
};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The queue.
pub const QUEUE: &str = "orders";
/// The topic.
pub const TOPIC: &str = "order-events";
/// The topic's subscriptions; the last one gets only messages of high priority.
pub const SUBSCRIPTIONS: [&str; 3] = ["inventory", "payment", "notification"];

/// Scans after which the counters of a place must have stood still once.
const SCANS: usize = 20;
/// Confirms that a producer lets wait, if nothing else is said.
const UNCONFIRMED: usize = 64;
/// How long a consumer waits for a message before it looks whether it is over.
const WAIT: Duration = Duration::from_millis(100);

/// A subscription's full name.
pub fn subscription(name: &str) -> String {
    format!("{TOPIC}/subscriptions/{name}")
}

/// Everything that holds messages, dead letters aside.
pub fn places() -> Vec<String> {
    std::iter::once(QUEUE.to_owned()).chain(SUBSCRIPTIONS.map(subscription)).collect()
}

/// Where a message that is sent to `to` must come to.
pub fn places_of(to: &str, id: u64) -> Vec<String> {
    let wanted = |name: &&str| *name != SUBSCRIPTIONS[2] || history::has_priority(id, "high");
    match to {
        TOPIC => SUBSCRIPTIONS.into_iter().filter(wanted).map(subscription).collect(),
        QUEUE => vec![QUEUE.to_owned()],
        _ => vec![],
    }
}

/// The checker of this load.
pub fn checker() -> Checker<'static> {
    Checker { places: &places_of, rules: &default_rules, locks_may_expire: false, may_be_overtaken: false }
}

/// Creates queue, topic and subscriptions with these options for all that hold messages.
pub async fn create(client: &Client, options: &Options) -> Result<(), Error> {
    let admin = client.admin();
    admin.create_queue(QUEUE, options.clone()).await?;
    admin.create_topic(TOPIC, Options::new()).await?;
    for name in SUBSCRIPTIONS {
        let high = Rule::new("high", Filter::properties([("priority", "high")]));
        let rules = if name == SUBSCRIPTIONS[2] { vec![high] } else { vec![] };
        admin.create_subscription(TOPIC, name, options.clone(), rules).await?;
    }
    Ok(())
}

/// Load under way.
pub struct Load {
    history: History,
    producing: CancellationToken,
    consuming: CancellationToken,
    producers: JoinSet<()>,
    consumers: JoinSet<()>,
}

impl Load {
    /// Three producers, one consumer for each place and two more for the queue, each on its own connection.
    pub async fn start(url: &str, history: &History, seed: u64) -> Load {
        Self::with_unconfirmed(url, history, seed, UNCONFIRMED).await
    }

    /// The same with producers that let so many confirms wait.
    pub async fn with_unconfirmed(url: &str, history: &History, seed: u64, unconfirmed: usize) -> Load {
        let mut load = Load {
            history: history.clone(),
            producing: CancellationToken::new(),
            consuming: CancellationToken::new(),
            producers: JoinSet::new(),
            consumers: JoinSet::new(),
        };
        for producer in 0..3 {
            let client = connect(url).await;
            let producer = Producer { client, history: load.history.clone(), number: producer, unconfirmed };
            load.producers.spawn(producer.run(load.producing.clone()));
        }
        let places = places().into_iter().chain([QUEUE.to_owned(), QUEUE.to_owned()]);
        for (number, place) in places.enumerate() {
            let random = fastrand::Rng::with_seed(seed.wrapping_add(number as u64));
            let consumer =
                Consumer { client: connect(url).await, at: place, history: load.history.clone(), random };
            load.consumers.spawn(consumer.run(load.consuming.clone()));
        }
        load
    }

    /// Ends the producers, waiting for their confirms, and then the consumers.
    pub async fn stop(mut self) {
        self.producing.cancel();
        join(&mut self.producers).await;
        self.consuming.cancel();
        join(&mut self.consumers).await;
    }
}

async fn connect(url: &str) -> Client {
    broker::client(url).connect().await.expect("the broker takes the connection")
}

async fn join(tasks: &mut JoinSet<()>) {
    while let Some(joined) = tasks.join_next().await {
        joined.expect("no producer or consumer panics");
    }
}

struct Producer {
    client: Client,
    history: History,
    number: u64,
    /// Confirms that it lets wait.
    unconfirmed: usize,
}

impl Producer {
    /// Sends to queue and topic in turn.
    async fn run(self, over: CancellationToken) {
        let Producer { client, history, number: producer, unconfirmed } = self;
        let senders =
            [client.sender(QUEUE).await.expect("a sender"), client.sender(TOPIC).await.expect("a sender")];
        let mut waiting = VecDeque::new();
        let mut number = 0;
        while !over.is_cancelled() {
            let id = history::id(producer, number);
            let sender = &senders[(number % 2) as usize];
            number += 1;
            history.add([Event::Sending(Sending {
                id,
                to: sender.address().to_owned(),
                expires_ms: None,
                session: None,
            })]);
            match sender.enqueue(history::message(id)).await {
                Ok(confirm) => waiting.push_back((id, confirm)),
                // Its fate is not known, which the checker takes as it comes.
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            while waiting.len() > unconfirmed {
                let (id, confirm) = waiting.pop_front().expect("it is not empty");
                confirmed(&history, id, confirm.await);
            }
        }
        for (id, confirm) in waiting {
            confirmed(&history, id, confirm.await);
        }
    }
}

fn confirmed(history: &History, id: u64, outcome: Result<SendOutcome, Error>) {
    match outcome {
        Ok(SendOutcome { sequence, duplicate }) => history.add([Event::Stored { id, sequence, duplicate }]),
        Err(error) => assert!(error.is_retryable(), "{error}"),
    }
}

struct Consumer {
    client: Client,
    at: String,
    history: History,
    random: fastrand::Rng,
}

impl Consumer {
    async fn run(mut self, over: CancellationToken) {
        while !over.is_cancelled() {
            // The broker may close a receiver, as it does when a shard changes its leader: another one is opened.
            if let Ok(receiver) = self.client.receiver_builder(&self.at).prefetch(50).open().await {
                self.receive(receiver, &over).await;
            }
        }
        self.client.close().await.expect("a client closes in order");
    }

    async fn receive(&mut self, mut receiver: Receiver, over: &CancellationToken) {
        while !over.is_cancelled() {
            match receiver.receive_batch(20, WAIT).await {
                Ok(deliveries) => self.settle(&receiver, &deliveries).await,
                Err(error) => return assert!(error.is_retryable(), "{error}"),
            }
        }
        receiver.close().await.expect("a receiver closes in order");
    }

    async fn settle(&mut self, receiver: &Receiver, deliveries: &[Delivery]) {
        let random = &mut self.random;
        let verb = || match random.u8(..100) {
            0..4 => Verb::Abandon,
            4..6 => Verb::DeadLetter,
            _ => Verb::Complete,
        };
        let verbs: Vec<_> = std::iter::repeat_with(verb).take(deliveries.len()).collect();
        settle(receiver, deliveries, &verbs, &self.at, &self.history, history::read).await;
    }
}

/// Says which message a delivery is, if it is just as it was sent.
pub type Read = fn(&Message) -> Option<u64>;

/// Settles and writes it down; what is not answered stays open.
pub async fn settle(
    receiver: &Receiver,
    deliveries: &[Delivery],
    verbs: &[Verb],
    at: &str,
    history: &History,
    read: Read,
) {
    history.delivered(at, deliveries, read);
    let asked: Vec<_> =
        deliveries.iter().zip(verbs).map(|(delivery, verb)| settling(delivery, *verb, at, read)).collect();
    history.add(asked.iter().cloned().map(Event::Settling));
    let settlements =
        deliveries.iter().zip(verbs).map(|(delivery, verb)| settlement(delivery.lock_token(), *verb));
    if let Ok(outcomes) = receiver.settle_batch(settlements.collect()).await {
        history.add(asked.into_iter().zip(outcomes).filter_map(|(settling, outcome)| match outcome {
            Ok(()) => Some(Event::Settled(settling)),
            Err(Error::Refused(_)) => Some(Event::NotSettled(settling)),
            Err(_) => None,
        }));
    }
}

/// What cannot be read was noted when it came; it is only put away.
fn settling(delivery: &Delivery, verb: Verb, at: &str, read: Read) -> Settling {
    let id = read(delivery.message()).unwrap_or(u64::MAX);
    Settling { id, at: at.to_owned(), epoch: delivery.epoch(), verb }
}

fn settlement(token: LockToken, verb: Verb) -> (LockToken, Settlement) {
    let settlement = match verb {
        Verb::Complete => Settlement::Complete,
        Verb::Abandon => Settlement::Abandon { delay_ms: 0, properties: vec![] },
        Verb::DeadLetter => Settlement::DeadLetter {
            reason: "Chance".to_owned(),
            description: "the test drew this lot".to_owned(),
            properties: vec![],
        },
        Verb::Release => Settlement::Release,
        Verb::Renew => Settlement::Renew { duration_ms: 0 },
    };
    (token, settlement)
}

/// Completes everything that is left, dead letters included.
pub async fn drain(client: &Client, history: &History) {
    for place in places().iter().flat_map(|place| [place.clone(), format!("{place}{DEAD_LETTERS}")]) {
        drain_one(client, history, &place, history::read).await;
    }
}

/// Completes everything that is left at one address.
pub async fn drain_one(client: &Client, history: &History, at: &str, read: Read) {
    let mut receiver = client.receiver_builder(at).prefetch(500).open().await.expect("a receiver");
    crate::until(&format!("{at} is empty"), async || {
        loop {
            let deliveries = receiver.receive_batch(500, WAIT).await.expect("messages");
            if deliveries.is_empty() {
                return count(client, at).await == 0;
            }
            let verbs = vec![Verb::Complete; deliveries.len()];
            settle(&receiver, &deliveries, &verbs, at, history, read).await;
        }
    })
    .await;
    receiver.close().await.expect("a receiver closes in order");
}

/// Messages at an address by the broker's counters.
pub async fn count(client: &Client, at: &str) -> u64 {
    let entity = at.strip_suffix(DEAD_LETTERS);
    let counters = client.admin().get(entity.unwrap_or(at)).await.expect("the entity").counters;
    if entity.is_some() { counters.dead_letters } else { counters.active }
}

/// I8: the counters of every place are what a scan of it finds.
pub async fn check_counters(client: &Client) {
    for place in places() {
        let (counted, scanned) = count_and_scan(client, &place).await;
        assert_eq!(counted, scanned, "{place}: counted and scanned");
    }
}

/// What a place's counters say, and what a scan of it finds. A scan takes many looks: where a lock or a message's time
/// runs out between two of them it begins again.
pub async fn count_and_scan(client: &Client, place: &str) -> (Counts, Counts) {
    for _ in 0..SCANS {
        let before = counted(client, place).await;
        let (active, locked) = scan(client, place).await;
        let (dead_letters, _) = scan(client, &format!("{place}{DEAD_LETTERS}")).await;
        if counted(client, place).await == before {
            return (before, Counts { active, locked, dead_letters });
        }
    }
    panic!("{place} did not come to rest in {SCANS} scans");
}

async fn counted(client: &Client, place: &str) -> Counts {
    let counters = client.admin().get(place).await.expect("the entity").counters;
    Counts { active: counters.active, locked: counters.locked, dead_letters: counters.dead_letters }
}

/// Messages that a peek over all pages finds, and how many of them are locked.
async fn scan(client: &Client, at: &str) -> (u64, u64) {
    let (mut from, mut found, mut locked) = (0, 0, 0);
    loop {
        let page = client.admin().peek(at, from, 0).await.expect("a peek");
        let Some(last) = page.last() else { return (found, locked) };
        from = last.sequence + 1;
        found += page.len() as u64;
        locked +=
            page.iter().filter(|message| message.state == postrider_client::PeekState::Locked).count() as u64;
    }
}
