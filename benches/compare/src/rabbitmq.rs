//! RabbitMQ through `lapin`: quorum queues, persistent messages, publisher confirms, one acknowledgement for all messages
//! that were taken together.

use crate::args::Args;
use crate::place::{self, NAME, gather};
use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, MaybeDone, maybe_done};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use postrider_benches::client;

const URL: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";
/// How a message says that it is to be kept on disk.
const PERSISTENT: u8 = 2;
/// How a connection says that nothing went wrong.
const BYE: u16 = 200;

/// Quorum queues; more than one are bound to a fanout exchange.
pub struct Place {
    pid: u32,
    connection: Connection,
    channel: Channel,
    queues: usize,
    prefetch: u16,
    take: usize,
}

impl Place {
    /// Declares so many queues on the server with process `pid`.
    pub async fn open(args: &Args, queues: usize, pid: u32) -> Result<Self> {
        let (connection, channel) = connect().await?;
        let place = Place { pid, connection, channel, queues, prefetch: args.prefetch, take: args.take };
        place.delete().await?;
        place::rest(pid).await?;
        place.declare().await?;
        Ok(place)
    }

    async fn declare(&self) -> Result<()> {
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        if self.queues > 1 {
            let (options, none) =
                (ExchangeDeclareOptions { durable: true, ..Default::default() }, FieldTable::default());
            self.channel.exchange_declare(NAME.into(), ExchangeKind::Fanout, options, none).await?;
        }
        for number in 0..self.queues {
            let name = queue(number);
            self.channel.queue_declare(name.clone(), QueueDeclareOptions::durable(), quorum.clone()).await?;
            if self.queues > 1 {
                let (options, none) = (QueueBindOptions::default(), FieldTable::default());
                self.channel.queue_bind(name, NAME.into(), "".into(), options, none).await?;
            }
        }
        Ok(())
    }

    /// Deletes what is there; what is not is fine.
    async fn delete(&self) -> Result<()> {
        for number in 0..self.queues {
            self.channel.queue_delete(queue(number), QueueDeleteOptions::default()).await?;
        }
        Ok(self.channel.exchange_delete(NAME.into(), ExchangeDeleteOptions::default()).await?)
    }
}

impl place::Place for Place {
    type Publisher = Publisher;
    type Consumer = Consumer;

    fn pid(&self) -> u32 {
        self.pid
    }

    async fn publisher(&self) -> Result<Publisher> {
        let (connection, channel) = connect().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        // The default exchange routes by the queue's name, a fanout exchange to all that are bound to it.
        let (exchange, key) = match self.queues {
            1 => ("".into(), queue(0)),
            _ => (NAME.into(), "".into()),
        };
        Ok(Publisher { connection, channel, exchange, key })
    }

    async fn consumer(&self, number: usize) -> Result<Consumer> {
        let (connection, channel) = connect().await?;
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let messages = channel.basic_consume(queue(number), "".into(), options, none).await?;
        Ok(Consumer { connection, channel, messages, take: self.take })
    }

    async fn remove(self) -> Result<()> {
        self.delete().await?;
        self.connection.close(BYE, "".into()).await?;
        place::rest(self.pid).await
    }
}

async fn connect() -> Result<(Connection, Channel)> {
    let connection = Connection::connect(URL, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

fn queue(number: usize) -> ShortString {
    format!("{NAME}-{number}").into()
}

/// A producer's connection.
pub struct Publisher {
    connection: Connection,
    channel: Channel,
    exchange: ShortString,
    key: ShortString,
}

impl client::Publisher for Publisher {
    type Confirm = MaybeDone<BoxFuture<'static, lapin::Result<Confirmation>>>;

    /// `basic_publish` hands the message over in its first step and then waits until it is written to the socket. Waiting
    /// for that here would make a system call, and two changes of threads, of each message.
    async fn enqueue(&self, body: Bytes) -> Result<Self::Confirm> {
        let (channel, exchange, key) = (self.channel.clone(), self.exchange.clone(), self.key.clone());
        let publish = async move {
            let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
            let options = BasicPublishOptions::default();
            channel.basic_publish(exchange, key, options, &body, properties).await?.await
        };
        let mut confirm = maybe_done(publish.boxed());
        let _ = (&mut confirm).now_or_never();
        Ok(confirm)
    }

    async fn stored(mut confirm: Self::Confirm) -> Result<()> {
        (&mut confirm).await;
        let confirmation = std::pin::Pin::new(&mut confirm).take_output();
        let confirmed = matches!(confirmation.transpose()?, Some(Confirmation::Ack(None)));
        ensure!(confirmed, "RabbitMQ did not take a message");
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(self.connection.close(BYE, "".into()).await?)
    }
}

/// A consumer's connection.
pub struct Consumer {
    connection: Connection,
    channel: Channel,
    messages: lapin::Consumer,
    take: usize,
}

impl client::Consumer for Consumer {
    type Delivery = Delivery;

    async fn receive(&mut self) -> Result<Vec<Delivery>> {
        gather(&mut self.messages, self.take).await
    }

    fn body(delivery: &Delivery) -> &[u8] {
        &delivery.data
    }

    /// One acknowledgement up to the last; RabbitMQ does not answer it.
    async fn complete(&mut self, deliveries: &[Delivery]) -> Result<()> {
        match deliveries.last() {
            Some(last) => {
                Ok(self.channel.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }).await?)
            }
            None => Ok(()),
        }
    }

    async fn close(self) -> Result<()> {
        Ok(self.connection.close(BYE, "".into()).await?)
    }
}
