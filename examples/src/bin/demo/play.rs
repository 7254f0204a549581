//! The play itself: who comes on stage when, and what is waited for in between.

use crate::broker::Broker;
use crate::evidence::Evidence;
use crate::process::Process;
use crate::progress::{Progress, Tail};
use crate::stage::Stage;
use crate::topology::{self, SUBSCRIPTIONS};
use crate::wait::{Patience, wait_until};
use anyhow::{Context, Result};
use postrider_client::{Admin, Client, Counters};
use postrider_examples::EMAIL_QUEUE;
use std::time::{Duration, Instant};

/// The service that publishes.
pub const ORDER_SERVICE: &str = "order-service";
/// Who sends the e-mails.
pub const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];

/// Unconfirmed orders: few, so that there is a middle in which to kill the broker.
const IN_FLIGHT: &str = "64";
/// Between two looks at the order service's history: it takes its orders in no time.
const OFTEN: Duration = Duration::from_millis(1);
/// Between two questions to the broker.
const SELDOM: Duration = Duration::from_millis(50);

/// What was played, and what is left to look at.
pub struct Played {
    pub evidence: Evidence,
    pub time: Duration,
    pub kills: usize,
    /// How long the broker was away in all.
    pub away: Duration,
}

/// Plays it from the first order to the last e-mail, and stops everybody.
pub async fn play(stage: &Stage, mut kill_at: Vec<f64>) -> Result<Played> {
    kill_at.sort_by(f64::total_cmp);
    let progress = Progress::new(stage.count);
    let mut broker = Broker::start(stage).await?;
    let client = Client::builder().url(&broker.url()).name("demo").connect().await?;
    topology::apply(&client.admin()).await.context("cannot apply the topology")?;
    let mut cast = Cast::enter(stage, &broker.url(), &client.admin()).await?;
    progress.step(&format!("{} orders, 4 subscribers, 3 e-mail workers: go", stage.count));

    let (start, mut away) = (Instant::now(), Duration::ZERO);
    cast.publish(stage, &broker.url())?;
    for share in &kill_at {
        let orders = (stage.count as f64 * share).max(1.0) as u64;
        let acknowledged = cast.acknowledged(orders, &mut broker, &progress).await?;
        let killed = Instant::now();
        broker = broker.kill_and_start(stage).await?;
        away += killed.elapsed();
        let ms = killed.elapsed().as_millis();
        progress.step(&format!(
            "killed the broker after {acknowledged} acknowledged orders; it is back after {ms} ms"
        ));
    }
    cast.drained(&mut broker, &client.admin(), &progress).await?;
    let time = start.elapsed();

    let evidence = cast.leave(stage, &client.admin()).await?;
    client.close().await?;
    broker.stop().await?;
    Ok(Played { evidence, time, kills: kill_at.len(), away })
}

/// The services.
struct Cast {
    consumers: Vec<Process>,
    order_service: Option<Process>,
    published: Tail,
    /// How long anything may take.
    within: Duration,
}

impl Cast {
    /// Starts those who receive, and waits until they do.
    async fn enter(stage: &Stage, url: &str, admin: &Admin) -> Result<Self> {
        let subscribers = SUBSCRIPTIONS.iter().map(|name| ("subscriber", name));
        let workers = WORKERS.iter().map(|name| ("email-worker", name));
        let consumers = subscribers.chain(workers).map(|(program, name)| start(stage, url, program, name));
        let consumers = consumers.collect::<Result<_>>()?;
        let published = Tail::new(stage.history(ORDER_SERVICE));
        let within = Duration::from_secs(60) + Duration::from_millis(stage.count);
        let mut cast = Cast { consumers, order_service: None, published, within };
        let patience = Patience { every: SELDOM, within };
        wait_until("the services to be ready", patience, async || cast.is_ready(admin).await).await?;
        Ok(cast)
    }

    async fn is_ready(&mut self, admin: &Admin) -> Result<Option<()>> {
        self.consumers.iter_mut().try_for_each(Process::ensure_running)?;
        let receivers = sum(admin, |counters| counters.receivers).await?;
        Ok((receivers == self.consumers.len() as u64).then_some(()))
    }

    /// Starts the order service.
    fn publish(&mut self, stage: &Stage, url: &str) -> Result<()> {
        self.order_service = Some(start(stage, url, ORDER_SERVICE, ORDER_SERVICE)?);
        Ok(())
    }

    /// Waits until at least so many orders are acknowledged; returns how many are.
    async fn acknowledged(&mut self, orders: u64, broker: &mut Broker, progress: &Progress) -> Result<u64> {
        let what = format!("{orders} acknowledged orders");
        let patience = Patience { every: OFTEN, within: self.within };
        wait_until(&what, patience, async || {
            let acknowledged = self.watch(broker, progress)?;
            Ok((acknowledged >= orders).then_some(acknowledged))
        })
        .await
    }

    /// Waits until all is published and the broker holds nothing any more.
    async fn drained(&mut self, broker: &mut Broker, admin: &Admin, progress: &Progress) -> Result<()> {
        let patience = Patience { every: SELDOM, within: self.within };
        let drained = wait_until("everything to be worked off", patience, async || {
            self.watch(broker, progress)?;
            // Asked in the order in which messages travel, so that what is empty stays empty.
            let published = self.order_service.as_mut().map_or(Ok(true), Process::has_ended)?;
            let waiting = sum(admin, |counters| counters.active).await?;
            progress.waiting(waiting);
            Ok((published && waiting == 0).then_some(()))
        });
        match drained.await {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(holds(admin).await)),
        }
    }

    /// Looks after everybody, and returns how many orders are acknowledged.
    fn watch(&mut self, broker: &mut Broker, progress: &Progress) -> Result<u64> {
        broker.ensure_running()?;
        self.consumers.iter_mut().try_for_each(Process::ensure_running)?;
        self.order_service.as_mut().map_or(Ok(true), Process::has_ended)?;
        let acknowledged = self.published.lines()?;
        progress.acknowledged(acknowledged);
        Ok(acknowledged)
    }

    /// Stops everybody, and gathers what they left behind.
    async fn leave(self, stage: &Stage, admin: &Admin) -> Result<Evidence> {
        for consumer in self.consumers {
            consumer.stop().await?;
        }
        Evidence::gather(stage, admin).await
    }
}

/// Adds up what the broker counts.
async fn sum(admin: &Admin, counter: impl Fn(Counters) -> u64) -> Result<u64> {
    let mut sum = 0;
    for address in topology::addresses() {
        sum += counter(admin.get(&address).await?.counters);
    }
    Ok(sum)
}

/// What the broker still holds, for an error.
async fn holds(admin: &Admin) -> String {
    let mut text = "the broker holds".to_owned();
    for address in topology::addresses() {
        match admin.get(&address).await.map(|info| info.counters) {
            Ok(counters) => {
                text += &format!(" {} ({} locked) in {address}", counters.active, counters.locked);
            }
            Err(error) => text += &format!(" (no answer about {address}: {error})"),
        }
    }
    text
}

fn start(stage: &Stage, url: &str, program: &str, name: &str) -> Result<Process> {
    let mut command = stage.service(program);
    command.env("POSTRIDER_URL", url).arg("--history").arg(stage.history(name));
    match name {
        ORDER_SERVICE => command.arg("--orders").arg(&stage.orders).args(["--in-flight", IN_FLIGHT]),
        "notification" => command.args(["--name", name, "--emails-to", EMAIL_QUEUE]),
        _ => command.args(["--name", name]),
    };
    Process::start(name, &mut command, stage.log(name))
}
