//! NATS JetStream through `async-nats`: a stream in files, publishing with an acknowledgement each, pull consumers that
//! acknowledge each message.

use crate::args::Args;
use crate::place::{self, NAME, gather};
use anyhow::{Result, anyhow};
use async_nats::Client;
use async_nats::jetstream::consumer::pull::{self, Stream};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::context::{ContextBuilder, DeleteStreamErrorKind, PublishAckFuture};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode, Message};
use bytes::Bytes;
use postrider_benches::client;

/// Syncs before each answer.
pub const SYNCED: &str = "nats://127.0.0.1:4222";
/// Answers before it syncs.
pub const UNSYNCED: &str = "nats://127.0.0.1:4223";

/// Messages without an acknowledgement for each that consumers prefetch: enough that nobody waits, and few enough that
/// acknowledgements which the server has not worked on yet do not count as work done.
const UNACKNOWLEDGED: i64 = 2;

/// Messages of a producer that the client lets wait for their confirm: how many there are is for the load to say, and a
/// paced one does not look at them before its end.
const UNCONFIRMED: usize = 10_000_000;

/// A stream with a durable consumer for each queue.
pub struct Place {
    pid: u32,
    url: &'static str,
    context: Context,
    consumers: usize,
    prefetch: u16,
    take: usize,
}

impl Place {
    /// Creates the stream on the server with process `pid`.
    pub async fn open(url: &'static str, args: &Args, queues: usize, pid: u32) -> Result<Self> {
        let context = jetstream::new(connect(url).await?);
        let (consumers, prefetch, take) = (args.consumers, args.prefetch, args.take);
        let place = Place { pid, url, context, consumers, prefetch, take };
        place.delete().await?;
        place::rest(pid).await?;
        place.create(queues).await?;
        Ok(place)
    }

    async fn create(&self, queues: usize) -> Result<()> {
        let retention = match queues {
            1 => RetentionPolicy::WorkQueue,
            _ => RetentionPolicy::Interest,
        };
        let stream = Config {
            name: NAME.into(),
            subjects: vec![NAME.into()],
            storage: StorageType::File,
            retention,
            ..Config::default()
        };
        let stream = self.context.create_stream(stream).await?;
        for queue in 0..queues {
            let config = pull::Config {
                durable_name: Some(consumer(queue)),
                ack_policy: AckPolicy::Explicit,
                max_ack_pending: UNACKNOWLEDGED * i64::from(self.prefetch) * self.consumers as i64,
                ..pull::Config::default()
            };
            stream.create_consumer(config).await?;
        }
        Ok(())
    }

    /// Deletes what is there; what is not is fine.
    async fn delete(&self) -> Result<()> {
        match self.context.delete_stream(NAME).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                DeleteStreamErrorKind::JetStream(of) if of.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Ok(())
                }
                _ => Err(error.into()),
            },
        }
    }
}

impl place::Place for Place {
    type Publisher = Publisher;
    type Consumer = Consumer;

    fn pid(&self) -> u32 {
        self.pid
    }

    async fn publisher(&self) -> Result<Publisher> {
        let client = connect(self.url).await?;
        let context = ContextBuilder::new().max_ack_inflight(UNCONFIRMED).build(client.clone());
        Ok(Publisher { client, context })
    }

    async fn consumer(&self, queue: usize) -> Result<Consumer> {
        let client = connect(self.url).await?;
        let context = jetstream::new(client.clone());
        let consumer: PullConsumer = context.get_consumer_from_stream(consumer(queue), NAME).await?;
        let messages = consumer.stream().max_messages_per_batch(self.prefetch.into()).messages().await?;
        Ok(Consumer { client, messages, take: self.take })
    }

    async fn remove(self) -> Result<()> {
        self.delete().await?;
        place::rest(self.pid).await
    }
}

async fn connect(url: &str) -> Result<Client> {
    Ok(async_nats::connect(url).await?)
}

fn consumer(queue: usize) -> String {
    format!("{NAME}-{queue}")
}

/// A producer's connection.
pub struct Publisher {
    client: Client,
    context: Context,
}

impl client::Publisher for Publisher {
    type Confirm = PublishAckFuture;

    async fn enqueue(&self, body: Bytes) -> Result<PublishAckFuture> {
        Ok(self.context.publish(NAME, body).await?)
    }

    async fn stored(confirm: PublishAckFuture) -> Result<()> {
        confirm.await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(self.client.flush().await?)
    }
}

/// A consumer's connection.
pub struct Consumer {
    client: Client,
    messages: Stream,
    take: usize,
}

impl client::Consumer for Consumer {
    type Delivery = Message;

    async fn receive(&mut self) -> Result<Vec<Message>> {
        gather(&mut self.messages, self.take).await
    }

    fn body(delivery: &Message) -> &[u8] {
        &delivery.payload
    }

    /// An acknowledgement each, which the server does not answer.
    async fn complete(&mut self, deliveries: &[Message]) -> Result<()> {
        for delivery in deliveries {
            delivery.ack().await.map_err(|error| anyhow!(error))?;
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(self.client.flush().await?)
    }
}
