//! What a load asks of a broker's client. Postrider's own is in `ours.rs`, those of other brokers in `benches/compare`.

use anyhow::Result;
use bytes::Bytes;

/// A producer's connection.
pub trait Publisher: Send + Sync + 'static {
    /// A message that waits for its confirm.
    type Confirm: Send;

    /// Publishes one message; its confirm comes later.
    fn enqueue(&self, body: Bytes) -> impl Future<Output = Result<Self::Confirm>> + Send;

    /// Waits until a message is stored; fails when it was refused.
    fn stored(confirm: Self::Confirm) -> impl Future<Output = Result<()>> + Send;

    /// Ends the connection.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// A consumer's connection.
pub trait Consumer: Send + 'static {
    /// A message on its way to the consumer.
    type Delivery: Send + Sync;

    /// What is there, some hundreds of messages at most; nothing when nothing came for a while.
    fn receive(&mut self) -> impl Future<Output = Result<Vec<Self::Delivery>>> + Send;

    /// A message's body.
    fn body(delivery: &Self::Delivery) -> &[u8];

    /// Completes messages, as safely as the broker offers it.
    fn complete(&mut self, deliveries: &[Self::Delivery]) -> impl Future<Output = Result<()>> + Send;

    /// Ends the connection.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}
