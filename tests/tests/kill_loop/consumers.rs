//! Consumers of everything, two of them for sessions.

use super::world::{self, PLACES, SESSIONS};
use fastrand::Rng;
use postrider_client::{Client, Delivery, ErrorCode, Receiver};
use postrider_tests::broker;
use postrider_tests::history::{History, Verb};
use postrider_tests::load;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Messages taken at once, and how long a consumer waits for one before it looks whether it is over.
const TAKEN: usize = 20;
const WAIT: Duration = Duration::from_millis(50);

/// Batches of one session at a time.
const BATCHES: usize = 5;

/// Consumers at work.
pub struct Consumers {
    tasks: JoinSet<()>,
    over: CancellationToken,
}

impl Consumers {
    /// Starts consumers that abandon, release and dead-letter some messages.
    pub async fn start(url: &str, history: &History, seed: u64) -> Consumers {
        Self::all(url, history, |number| Some(Rng::with_seed(seed.wrapping_add(number)))).await
    }

    /// Starts consumers that complete everything.
    pub async fn completing(url: &str, history: &History) -> Consumers {
        Self::all(url, history, |_| None).await
    }

    async fn all(url: &str, history: &History, random: impl Fn(u64) -> Option<Rng>) -> Consumers {
        let (mut tasks, over) = (JoinSet::new(), CancellationToken::new());
        for (number, at) in (0..).zip(PLACES.into_iter().chain([SESSIONS])) {
            let client = broker::client(url).connect().await.expect("the broker takes the connection");
            let consumer =
                Consumer { client, at, history: history.clone(), random: random(number), over: over.clone() };
            tasks.spawn(consumer.run());
        }
        Consumers { tasks, over }
    }

    /// Waits until all have settled what they hold.
    pub async fn stop(self) {
        self.over.cancel();
        self.tasks.join_all().await;
    }
}

struct Consumer {
    client: Client,
    at: &'static str,
    history: History,
    /// `None`: everything is completed.
    random: Option<Rng>,
    over: CancellationToken,
}

impl Consumer {
    async fn run(mut self) {
        while !self.over.is_cancelled() {
            match self.at {
                SESSIONS => self.session().await,
                _ => self.receiver().await,
            }
        }
        self.client.close().await.expect("a client closes in order");
    }

    async fn receiver(&mut self) {
        let mut receiver =
            self.client.receiver_builder(self.at).prefetch(50).open().await.expect("a receiver");
        while !self.over.is_cancelled() {
            self.receive(&mut receiver).await;
        }
        receiver.close().await.expect("a receiver closes in order");
    }

    /// Takes the next session, and what it has, but not for so long that its lock could run out.
    async fn session(&mut self) {
        let mut session = match self.client.session_receiver(self.at).next().wait(WAIT).accept().await {
            Ok(session) => session,
            Err(error) => return assert_eq!(error.code(), Some(ErrorCode::SessionCannotBeLocked), "{error}"),
        };
        for _ in 0..BATCHES {
            if self.receive(&mut session).await == 0 || self.over.is_cancelled() {
                break;
            }
        }
        session.close().await.expect("a session closes in order");
    }

    /// Settles some messages; says how many there were.
    async fn receive(&mut self, receiver: &mut Receiver) -> usize {
        let deliveries = receiver.receive_batch(TAKEN, WAIT).await.expect("messages");
        let verbs: Vec<_> = deliveries.iter().map(|delivery| self.verb(delivery)).collect();
        load::settle(receiver, &deliveries, &verbs, self.at, &self.history, world::read).await;
        deliveries.len()
    }

    fn verb(&mut self, delivery: &Delivery) -> Verb {
        let Some(random) = &mut self.random else { return Verb::Complete };
        if world::read(delivery.message()).is_some_and(world::is_poison) {
            return Verb::Abandon;
        }
        match random.u8(..100) {
            0..4 => Verb::Abandon,
            4..6 => Verb::Release,
            6..8 => Verb::DeadLetter,
            _ => Verb::Complete,
        }
    }
}
