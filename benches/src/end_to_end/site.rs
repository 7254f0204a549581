//! A broker with one destination, and the load that works on it.

use crate::args::{Args, Mode};
use crate::broker::Broker;
use crate::load::{self, Crew, Load};
use crate::ours::{Consumer, Publisher};
use anyhow::Result;
use postrider_client::Options;
use postrider_protocol::options;
use std::sync::Arc;
use std::time::Duration;

/// What producers publish to.
pub const ADDRESS: &str = "bench";

/// A broker and the load on it.
pub struct Site<'a> {
    pub args: &'a Args,
    pub broker: Broker,
    pub load: Arc<Load>,
}

impl<'a> Site<'a> {
    /// A fresh broker with a queue.
    pub async fn with_queue(args: &'a Args, size: usize, most: u64) -> Result<Self> {
        Self::with(args, args.shape.options()?, size, most).await
    }

    /// A fresh broker with a queue whose messages belong to sessions.
    pub async fn with_session_queue(args: &'a Args, size: usize) -> Result<Self> {
        let options = args.shape.options()?.with_flag(options::REQUIRES_SESSION, true);
        Self::with(args, options, size, 0).await
    }

    /// A fresh broker with a queue that has so many capacity units. None are written off.
    pub async fn with_capacity(args: &'a Args, size: usize, units: u64) -> Result<Self> {
        let options = args.shape.options()?.with_number(options::CAPACITY_UNITS, units);
        Self::with(args, options.with_number(options::CAPACITY_REFILL_PERCENT, 0), size, 0).await
    }

    async fn with(args: &'a Args, options: Options, size: usize, most: u64) -> Result<Self> {
        let broker = Broker::start(args.postrider()?, &args.dir()).await?;
        broker.control().admin().create_queue(ADDRESS, options).await?;
        Ok(Site { args, broker, load: Arc::new(Load::new(size, args.unconfirmed, most)) })
    }

    /// A fresh broker with a topic and subscriptions that want everything.
    pub async fn with_topic(args: &'a Args, size: usize, subscriptions: usize) -> Result<Self> {
        let broker = Broker::start(args.postrider()?, &args.dir()).await?;
        let admin = broker.control().admin();
        admin.create_topic(ADDRESS, Options::default()).await?;
        for number in 0..subscriptions {
            admin.create_subscription(ADDRESS, &format!("s{number}"), Options::default(), Vec::new()).await?;
        }
        Ok(Site { args, broker, load: Arc::new(Load::new(size, args.unconfirmed, u64::MAX)) })
    }

    /// Begins a load that publishes nothing; returns what the one before has published.
    pub fn begin_anew(&mut self) -> u64 {
        let published = self.load.published();
        self.load = Arc::new(Load::new(self.load.bodies.size(), self.load.unconfirmed, 0));
        published
    }

    /// Nobody at work yet.
    pub fn crew(&self) -> Crew {
        Crew::new(self.load.clone())
    }

    /// Adds producers that publish as fast as they can.
    pub async fn add_producers(&self, crew: &mut Crew, mode: Mode) -> Result<()> {
        for _ in 0..self.args.producers {
            let publisher = Publisher::open(self.broker.url(), ADDRESS, &self.args.shape).await?;
            match mode {
                Mode::Single => crew.add(load::publish_singly(publisher, self.load.clone())),
                Mode::Batch => {
                    crew.add(load::publish_in_batches(publisher, self.load.clone(), self.args.batches));
                }
            }
        }
        Ok(())
    }

    /// Adds producers that publish at the rate asked for, all together and evenly.
    pub async fn add_paced_producers(&self, crew: &mut Crew) -> Result<()> {
        let apart = Duration::from_secs_f64(1.0 / self.args.rate);
        let each = apart * self.args.producers as u32;
        for number in 0..self.args.producers {
            let publisher = Publisher::open(self.broker.url(), ADDRESS, &self.args.shape).await?;
            crew.add(load::pace(publisher, self.load.clone(), each, apart * number as u32));
        }
        Ok(())
    }

    /// Adds consumers of the queue.
    pub async fn add_consumers(&self, crew: &mut Crew) -> Result<()> {
        for _ in 0..self.args.consumers {
            self.add_consumer(crew, ADDRESS).await?;
        }
        Ok(())
    }

    /// Adds a consumer for each subscription.
    pub async fn add_subscribers(&self, crew: &mut Crew, subscriptions: usize) -> Result<()> {
        for number in 0..subscriptions {
            self.add_consumer(crew, &format!("{ADDRESS}/subscriptions/s{number}")).await?;
        }
        Ok(())
    }

    async fn add_consumer(&self, crew: &mut Crew, address: &str) -> Result<()> {
        let consumer = Consumer::open(self.broker.url(), address, self.args.prefetch, self.args.take).await?;
        crew.add(load::consume(consumer, self.load.clone()));
        Ok(())
    }
}
