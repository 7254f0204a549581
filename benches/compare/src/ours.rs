//! Postrider: a broker of its own for each case, with a queue, or with a topic and its subscriptions.

use crate::args::Args;
use crate::place::{self, NAME};
use crate::slow_sync::{self, SlowSync};
use anyhow::Result;
use postrider_benches::broker::Broker;
use postrider_benches::ours::{Consumer, Publisher};
use postrider_benches::shape::Shape;
use postrider_client::Options;

/// A broker, and what it has.
pub struct Place {
    broker: Broker,
    queues: usize,
    prefetch: u32,
    take: usize,
}

impl Place {
    /// Starts a broker with so many queues; more than one are the subscriptions of a topic.
    pub async fn open(args: &Args, queues: usize, slow: Option<&SlowSync>) -> Result<Self> {
        let mut program = args.postrider()?;
        program.environment = slow.map_or_else(Vec::new, SlowSync::environment);
        let broker = Broker::start(program, &args.dir()?).await?;
        slow_sync::check(broker.pid(), slow)?;
        let admin = broker.control().admin();
        if queues == 1 {
            admin.create_queue(NAME, Options::default()).await?;
        } else {
            admin.create_topic(NAME, Options::default()).await?;
            for queue in 0..queues {
                admin.create_subscription(NAME, &format!("s{queue}"), Options::default(), Vec::new()).await?;
            }
        }
        Ok(Place { broker, queues, prefetch: args.prefetch.into(), take: args.take })
    }

    fn address(&self, queue: usize) -> String {
        match self.queues {
            1 => NAME.to_owned(),
            _ => format!("{NAME}/subscriptions/s{queue}"),
        }
    }
}

impl place::Place for Place {
    type Publisher = Publisher;
    type Consumer = Consumer;

    fn pid(&self) -> u32 {
        self.broker.pid()
    }

    async fn publisher(&self) -> Result<Publisher> {
        Publisher::open(self.broker.url(), NAME, &Shape::default()).await
    }

    async fn consumer(&self, queue: usize) -> Result<Consumer> {
        Consumer::open(self.broker.url(), &self.address(queue), self.prefetch, self.take).await
    }

    async fn remove(self) -> Result<()> {
        self.broker.end().await
    }
}
