//! Producers that send to everything.

use super::world::{self, ONCE};
use postrider_client::{Confirm, Error, Sender};
use postrider_tests::broker;
use postrider_tests::history::{self, Event, History};
use std::collections::{BTreeMap, VecDeque};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const PRODUCERS: u64 = 8;
/// Confirms that one lets wait.
const UNCONFIRMED: usize = 2;
/// The target of a message is that of the one so many before it.
const TARGETS: u64 = world::TARGETS.len() as u64;
/// About as many as a producer sends between two kills.
const EARLIER: u64 = 40 * TARGETS;

/// Producers at work.
pub struct Producers {
    tasks: JoinSet<()>,
    over: CancellationToken,
}

impl Producers {
    /// Starts them, each on its own connection.
    pub async fn start(url: &str, history: &History) -> Producers {
        let (mut tasks, over) = (JoinSet::new(), CancellationToken::new());
        for producer in 0..PRODUCERS {
            let client = broker::client(url).connect().await.expect("the broker takes the connection");
            let mut senders = BTreeMap::new();
            for number in 0..TARGETS {
                let target = world::target(number);
                senders.insert(target, client.sender(target).await.expect("a sender"));
            }
            let producer =
                Producer { number: producer, senders, history: history.clone(), waiting: VecDeque::new() };
            tasks.spawn(producer.run(over.clone()));
        }
        Producers { tasks, over }
    }

    /// Waits for all confirms.
    pub async fn stop(self) {
        self.over.cancel();
        self.tasks.join_all().await;
    }
}

/// Which message follows this one into the window of duplicates: the same once more, and one from before the last kill.
fn sent_again(number: u64) -> Option<u64> {
    match number % (2 * TARGETS) {
        0..TARGETS => Some(number),
        _ => number.checked_sub(EARLIER),
    }
}

struct Producer {
    number: u64,
    senders: BTreeMap<&'static str, Sender>,
    history: History,
    waiting: VecDeque<(u64, Confirm)>,
}

impl Producer {
    async fn run(mut self, over: CancellationToken) {
        for number in 0.. {
            if over.is_cancelled() {
                break;
            }
            let id = history::id(self.number, number);
            self.history.add([Event::Sending(world::sending(id))]);
            self.send(id).await;
            if let Some(number) = sent_again(number).filter(|_| world::target(id) == ONCE) {
                let id = history::id(self.number, number);
                self.history.add([Event::SendingAgain { id }]);
                self.send(id).await;
            }
            self.confirm(UNCONFIRMED).await;
        }
        self.confirm(0).await;
    }

    async fn send(&mut self, id: u64) {
        match self.senders[world::target(id)].enqueue(world::message(id)).await {
            Ok(confirm) => self.waiting.push_back((id, confirm)),
            // Its fate is not known, which the checker takes as it comes.
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }

    /// Takes confirms until so many are left.
    async fn confirm(&mut self, left: usize) {
        while self.waiting.len() > left {
            let (id, confirm) = self.waiting.pop_front().expect("it is not empty");
            match confirm.await {
                Ok(outcome) => {
                    let (sequence, duplicate) = (outcome.sequence, outcome.duplicate);
                    self.history.add([Event::Stored { id, sequence, duplicate }]);
                }
                Err(Error::Refused(refusal)) => panic!("message {id:#x}: {refusal}"),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    }
}
