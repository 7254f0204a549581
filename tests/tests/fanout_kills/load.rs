//! A publisher, and consumers, that go on until the broker is gone and then tell what they have seen.

use super::books::{TOPIC, name};
use fastrand::Rng;
use postrider_client::{Client, Confirm, Error, Message, SendOutcome, Sender, Settlement};
use std::collections::VecDeque;
use std::time::Duration;

const REGIONS: [&str; 4] = ["eu", "us", "uk", "jp"];
/// Confirms that the publisher lets wait.
const UNCONFIRMED: usize = 32;
/// Messages that it sends at once, at most.
const BATCH: u64 = 8;
const BODY_BYTES: (f64, f64) = (10.0, 20_480.0);
/// Messages that a consumer takes at once.
const TAKEN: usize = 20;

/// What was sent since the last kill, and what of it the broker said is stored.
#[derive(Default)]
pub struct Published {
    pub sent: Vec<(u64, Message)>,
    /// Ids, and their numbers in the topic.
    pub stored: Vec<(u64, u64)>,
}

/// What a consumer saw of its subscription since the last kill.
pub struct Taken {
    pub place: usize,
    /// Numbers and messages.
    pub delivered: Vec<(u64, Message)>,
    /// Numbers that it asked to complete.
    pub asked: Vec<u64>,
    /// Those of them that the broker said are completed.
    pub done: Vec<u64>,
}

/// Sends single messages and batches, the first with this id, until the broker is gone.
pub async fn publish(client: Client, first: u64, random: Rng) -> Published {
    // The kill may come before the sender is there.
    let Ok(sender) = client.sender(TOPIC).await else { return Published::default() };
    let published = Published::default();
    Publisher { sender, random, next: first, waiting: VecDeque::new(), published }.run().await
}

struct Publisher {
    sender: Sender,
    random: Rng,
    next: u64,
    waiting: VecDeque<(u64, Confirm)>,
    published: Published,
}

impl Publisher {
    async fn run(mut self) -> Published {
        loop {
            let sent = if self.random.bool() { self.batch().await } else { self.singles().await };
            if sent.is_err() {
                self.confirm(0).await;
                return self.published;
            }
            self.confirm(UNCONFIRMED).await;
        }
    }

    async fn batch(&mut self) -> Result<(), Error> {
        let messages = self.messages();
        let ids: Vec<_> = messages.iter().map(|(id, _)| *id).collect();
        let outcomes =
            self.sender.send_batch(messages.into_iter().map(|(_, message)| message).collect()).await?;
        ids.into_iter().zip(outcomes).for_each(|(id, outcome)| self.note(id, outcome));
        Ok(())
    }

    async fn singles(&mut self) -> Result<(), Error> {
        for (id, message) in self.messages() {
            self.waiting.push_back((id, self.sender.enqueue(message).await?));
        }
        Ok(())
    }

    /// Some new messages, noted as sent.
    fn messages(&mut self) -> Vec<(u64, Message)> {
        let first = self.next;
        self.next += self.random.u64(1..=BATCH);
        let messages: Vec<_> = (first..self.next).map(|id| (id, message(id, &mut self.random))).collect();
        self.published.sent.extend(messages.iter().cloned());
        messages
    }

    /// Takes confirms until so many are left.
    async fn confirm(&mut self, left: usize) {
        while self.waiting.len() > left {
            let (id, confirm) = self.waiting.pop_front().expect("it is not empty");
            let outcome = confirm.await;
            self.note(id, outcome);
        }
    }

    fn note(&mut self, id: u64, outcome: Result<SendOutcome, Error>) {
        match outcome {
            Ok(outcome) => self.published.stored.push((id, outcome.sequence)),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

/// Small sizes are as frequent as large ones, by their powers of ten.
fn message(id: u64, random: &mut Rng) -> Message {
    let (least, most) = BODY_BYTES;
    let mut body = vec![0; (least * (most / least).powf(random.f64())) as usize];
    random.fill(&mut body);
    let region = REGIONS[random.usize(..REGIONS.len())];
    Message::new(body).with_id(id).with_property("region", region).with_property("weight", random.i64(..100))
}

/// Takes messages and completes most of them until the broker is gone.
pub async fn consume(client: Client, place: usize, mut random: Rng) -> Taken {
    let mut taken = Taken { place, delivered: vec![], asked: vec![], done: vec![] };
    let Ok(mut receiver) = client.receiver_builder(&name(place)).prefetch(2 * TAKEN as u32).open().await
    else {
        return taken;
    };
    while let Ok(deliveries) = receiver.receive_batch(TAKEN, Duration::from_secs(10)).await {
        let seen = deliveries.iter().map(|delivery| (delivery.sequence(), delivery.message().clone()));
        taken.delivered.extend(seen);
        let chosen: Vec<_> = deliveries.iter().filter(|_| random.u8(..10) < 8).collect();
        let numbers: Vec<_> = chosen.iter().map(|delivery| delivery.sequence()).collect();
        taken.asked.extend(&numbers);
        let tokens = chosen.iter().map(|delivery| (delivery.lock_token(), Settlement::Complete));
        let Ok(outcomes) = receiver.settle_batch(tokens.collect()).await else { break };
        taken
            .done
            .extend(numbers.iter().zip(outcomes).filter(|(_, done)| done.is_ok()).map(|(number, _)| number));
    }
    taken
}
