//! Work that is bounded by capacity units: what the consumers themselves see in flight, and how much of the units that is.
//!
//! Two logs are kept. What is worked on ends just before it is completed: it must never be more than the units there are.
//! What is in use ends with the answer to the completion: until then nobody else can have the units.

use super::site::{ADDRESS, Site};
use crate::args::Args;
use crate::client::{Consumer as _, Publisher as _};
use crate::figures::Capacity;
use crate::ours::{Consumer, Publisher};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use postrider_client::{Delivery, Message};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const SIZE: usize = 200;
const UNITS: u64 = 10;
/// Costs are from 1 to this, in turn.
const MOST_COST: u64 = 5;
const CONSUMERS: usize = 4;
const BATCH: u64 = 256;
/// Without a message for so long there are none.
const IDLE: Duration = Duration::from_secs(2);

/// What the consumers know together.
#[derive(Default)]
struct Logs {
    worked_on: Log,
    in_use: Log,
}

/// Each entry is the moment, and the units that come or go.
#[derive(Default)]
struct Log {
    entries: Mutex<Vec<(Instant, i64)>>,
}

impl Log {
    fn add(&self, units: i64) {
        // The moment is taken under the lock, so that the log is in order.
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push((Instant::now(), units));
    }

    fn take(&self) -> Vec<(Instant, i64)> {
        std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Measures it.
pub async fn measure(args: &Args) -> Result<Capacity> {
    let site = Site::with_capacity(args, SIZE, UNITS).await?;
    fill(&site, args.capacity_messages).await?;
    let logs = Arc::new(Logs::default());
    let mut consumers = JoinSet::new();
    let work = Duration::from_millis(args.work_ms);
    let start = Instant::now();
    for _ in 0..CONSUMERS {
        let consumer = Consumer::open(site.broker.url(), ADDRESS, UNITS as u32, 1).await?;
        consumers.spawn(consume(consumer, logs.clone(), work));
    }
    let mut done = 0;
    while let Some(ended) = consumers.join_next().await {
        done += ended.context("a consumer failed")??;
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(done == args.capacity_messages, "{done} of {} messages were worked on", args.capacity_messages);
    site.broker.end().await?;
    let (most, worked_on) = units_in_flight(&logs.worked_on.take(), args.capacity_messages);
    let (_, in_use) = units_in_flight(&logs.in_use.take(), args.capacity_messages);
    ensure!(most <= UNITS as i64, "{most} of {UNITS} units were in flight");
    Ok(Capacity {
        messages: args.capacity_messages,
        work_ms: args.work_ms,
        units: UNITS,
        most: most as u64,
        worked_on: worked_on / UNITS as f64,
        in_use: in_use / UNITS as f64,
        seconds,
    })
}

async fn fill(site: &Site<'_>, messages: u64) -> Result<()> {
    let publisher = Publisher::open(site.broker.url(), ADDRESS, &site.args.shape).await?;
    let body = Bytes::from(vec![0; SIZE]);
    // Seven and five have no factor in common: all costs, mixed.
    let message = |number: u64| Message::new(body.clone()).with_cost(1 + (number * 7 % MOST_COST) as u32);
    let mut from = 0;
    while from < messages {
        let to = messages.min(from + BATCH);
        publisher.send((from..to).map(message).collect()).await.context("filling the queue")?;
        from = to;
    }
    publisher.close().await
}

/// Works on all that comes at once, until nothing comes any more; returns how many messages that were.
async fn consume(mut consumer: Consumer, logs: Arc<Logs>, work: Duration) -> Result<u64> {
    let (mut tasks, mut done, mut last) = (JoinSet::new(), 0, Instant::now());
    while last.elapsed() < IDLE {
        for delivery in consumer.receive().await? {
            logs.worked_on.add(cost(&delivery));
            logs.in_use.add(cost(&delivery));
            tasks.spawn(work_on(delivery, logs.clone(), work));
            last = Instant::now();
        }
        while let Some(ended) = tasks.try_join_next() {
            ended.context("a worker failed")??;
            done += 1;
        }
    }
    consumer.close().await?;
    Ok(done)
}

async fn work_on(delivery: Delivery, logs: Arc<Logs>, work: Duration) -> Result<()> {
    tokio::time::sleep(work).await;
    // Before it is said: from then on others may begin.
    logs.worked_on.add(-cost(&delivery));
    delivery.complete().await?;
    logs.in_use.add(-cost(&delivery));
    Ok(())
}

fn cost(delivery: &Delivery) -> i64 {
    i64::from(delivery.message().cost.unwrap_or(1))
}

/// The most units that were in flight, and their mean over time from the first message until the last one has begun:
/// until then there is a backlog.
fn units_in_flight(log: &[(Instant, i64)], messages: u64) -> (i64, f64) {
    let (mut now, mut most, mut begun, mut unit_seconds, mut seconds) = (0, 0, 0, 0.0, 0.0);
    for (at, (moment, units)) in log.iter().enumerate() {
        if at > 0 && begun < messages {
            let span = (*moment - log[at - 1].0).as_secs_f64();
            unit_seconds += now as f64 * span;
            seconds += span;
        }
        now += units;
        most = most.max(now);
        begun += u64::from(*units > 0);
    }
    (most, unit_seconds / seconds)
}
