//! Postrider's own client as the load sees it: the only file here that knows how to publish and consume.

use crate::client;
use crate::shape::Shape;
use anyhow::{Result, ensure};
use bytes::Bytes;
use postrider_client::{Client, Confirm, Delivery, Message, Receiver, Sender, SessionReceiver};
use std::time::Duration;

/// How long a consumer waits for messages before it looks around.
const WAIT: Duration = Duration::from_millis(50);

/// A producer's connection.
pub struct Publisher {
    client: Client,
    sender: Sender,
    shape: Shape,
}

impl Publisher {
    /// Connects, and opens a sender.
    pub async fn open(url: &str, address: &str, shape: &Shape) -> Result<Self> {
        let client = Client::connect(url).await?;
        let sender = client.sender(address).await?;
        Ok(Publisher { client, sender, shape: shape.clone() })
    }

    /// Publishes messages together and waits until all are stored.
    pub async fn send_batch(&self, bodies: impl Iterator<Item = Bytes>) -> Result<()> {
        self.send(bodies.map(|body| self.shape.message(body)).collect()).await
    }

    /// Publishes messages as they are, together, and waits until all are stored.
    pub async fn send(&self, messages: Vec<Message>) -> Result<()> {
        for outcome in self.sender.send_batch(messages).await? {
            outcome?;
        }
        Ok(())
    }
}

impl client::Publisher for Publisher {
    type Confirm = Confirm;

    async fn enqueue(&self, body: Bytes) -> Result<Confirm> {
        Ok(self.sender.enqueue(self.shape.message(body)).await?)
    }

    async fn stored(confirm: Confirm) -> Result<()> {
        confirm.await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(self.client.close().await?)
    }
}

/// A consumer's connection.
pub struct Consumer {
    client: Client,
    receiver: Receiver,
    take: usize,
}

impl Consumer {
    /// Connects, and opens a receiver.
    pub async fn open(url: &str, address: &str, prefetch: u32, take: usize) -> Result<Self> {
        let client = Client::connect(url).await?;
        let receiver = client.receiver_builder(address).prefetch(prefetch).open().await?;
        Ok(Consumer { client, receiver, take })
    }
}

impl client::Consumer for Consumer {
    type Delivery = Delivery;

    async fn receive(&mut self) -> Result<Vec<Delivery>> {
        Ok(self.receiver.receive_batch(self.take, WAIT).await?)
    }

    fn body(delivery: &Delivery) -> &[u8] {
        delivery.body()
    }

    /// Waits until that is stored.
    async fn complete(&mut self, deliveries: &[Delivery]) -> Result<()> {
        let outcomes = self.receiver.complete_batch(deliveries).await?;
        ensure!(outcomes.len() == deliveries.len(), "some completions were not answered");
        for outcome in outcomes {
            outcome?;
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(self.client.close().await?)
    }
}

/// A connection that accepts sessions.
pub struct Sessions {
    client: Client,
    address: String,
}

impl Sessions {
    /// Connects.
    pub async fn open(url: &str, address: &str) -> Result<Self> {
        Ok(Sessions { client: Client::connect(url).await?, address: address.to_owned() })
    }

    /// Locks the next session, for a receiver of one message at a time.
    pub async fn accept_next(&self) -> Result<SessionReceiver> {
        let next = self.client.session_receiver(&self.address).next();
        Ok(next.receiver(|receiver| receiver.prefetch(1)).accept().await?)
    }
}
