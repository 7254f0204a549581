//! The loads, one function each, on whatever place.

use crate::args::{Args, FAN};
use crate::case::{Case, Job, Scenario};
use crate::place::Place;
use anyhow::Result;
use postrider_benches::figures::Figures;
use postrider_benches::load::{self, Counted, Crew, DRAIN, Load, Moment};
use std::sync::Arc;
use std::time::Duration;

impl Job {
    /// Queues that each message goes to.
    pub fn queues(&self) -> usize {
        match self {
            Job::FanOut { .. } => FAN,
            _ => 1,
        }
    }
}

/// Does a job on a place and removes the place.
pub async fn run<P: Place>(args: &Args, job: &Job, place: P) -> Result<Vec<(Case, Figures)>> {
    let measured = match *job {
        Job::FillAndDrain { size } => fill_and_drain(args, &place, size).await,
        Job::Flow { size } => flow(args, &place, size).await,
        Job::Paced { size, rate } => paced(args, &place, size, rate).await,
        Job::FanOut { size } => fan_out(args, &place, size).await,
    };
    place.remove().await?;
    measured
}

async fn fill_and_drain<P: Place>(args: &Args, place: &P, size: usize) -> Result<Vec<(Case, Figures)>> {
    let load = Arc::new(Load::new(size, args.unconfirmed, args.messages));
    let mut crew = Crew::new(load.clone());
    add_producers(args, place, &load, &mut crew).await?;
    let fill = window(args, place, &load, &mut crew, Counted::Published).await?;
    crew.end().await?;
    let drain = drain(args, place, size, load.published()).await?;
    Ok(vec![(Case::of(Scenario::Fill, size), fill), (Case::of(Scenario::Drain, size), drain)])
}

/// Receives and acknowledges a backlog.
async fn drain<P: Place>(args: &Args, place: &P, size: usize, backlog: u64) -> Result<Figures> {
    let load = Arc::new(Load::new(size, args.unconfirmed, 0));
    let mut crew = Crew::new(load.clone());
    add_consumers(args, place, &load, &mut crew).await?;
    crew.work_until(Load::completed, backlog * DRAIN.0 / 100).await?;
    let start = Moment::now(&load, place.pid())?;
    crew.work_until(Load::completed, backlog * DRAIN.1 / 100).await?;
    let figures = start.until(&Moment::now(&load, place.pid())?, Counted::Completed);
    crew.work_until(Load::completed, backlog).await?;
    crew.end().await?;
    Ok(Figures { published: None, ..figures })
}

async fn flow<P: Place>(args: &Args, place: &P, size: usize) -> Result<Vec<(Case, Figures)>> {
    let load = Arc::new(Load::new(size, args.unconfirmed, u64::MAX));
    let mut crew = Crew::new(load.clone());
    add_consumers(args, place, &load, &mut crew).await?;
    add_producers(args, place, &load, &mut crew).await?;
    let figures = window(args, place, &load, &mut crew, Counted::Completed).await?;
    crew.end().await?;
    Ok(vec![(Case::of(Scenario::Flow, size), figures)])
}

async fn paced<P: Place>(args: &Args, place: &P, size: usize, rate: u32) -> Result<Vec<(Case, Figures)>> {
    let load = Arc::new(Load::new(size, args.unconfirmed, u64::MAX));
    let mut crew = Crew::new(load.clone());
    add_consumers(args, place, &load, &mut crew).await?;
    let apart = Duration::from_secs(1) / rate;
    for number in 0..args.producers as u32 {
        let (publisher, each) = (place.publisher().await?, apart * args.producers as u32);
        crew.add(load::pace(publisher, load.clone(), each, apart * number));
    }
    crew.work_for(args.warmup()).await?;
    load.record_latencies();
    let start = Moment::now(&load, place.pid())?;
    crew.work_for(args.window()).await?;
    let figures = start.until(&Moment::now(&load, place.pid())?, Counted::Completed);
    let latencies = load.latencies().filter(|all| !all.is_empty());
    let case = Case { pace: Some(rate), ..Case::of(Scenario::Paced, size) };
    let ended = crew.end().await;
    // A server may refuse or forget messages that are far more than it can take.
    if case.is_kept_up_with(&figures) != Some(false) {
        ended?;
    }
    let at = |quantile| latencies.as_ref().map(|all| all.value_at_quantile(quantile) as f64 / 1e3);
    Ok(vec![(case, Figures { p50_us: at(0.5), p99_us: at(0.99), published: None, ..figures })])
}

/// Each queue has one consumer, and a message counts once for each of them.
async fn fan_out<P: Place>(args: &Args, place: &P, size: usize) -> Result<Vec<(Case, Figures)>> {
    let load = Arc::new(Load::new(size, args.unconfirmed, u64::MAX));
    let mut crew = Crew::new(load.clone());
    for queue in 0..FAN {
        crew.add(load::consume(place.consumer(queue).await?, load.clone()));
    }
    add_producers(args, place, &load, &mut crew).await?;
    let figures = window(args, place, &load, &mut crew, Counted::Completed).await?;
    crew.end().await?;
    Ok(vec![(Case::of(Scenario::FanOut, size), figures)])
}

async fn add_producers<P: Place>(args: &Args, place: &P, load: &Arc<Load>, crew: &mut Crew) -> Result<()> {
    for _ in 0..args.producers {
        crew.add(load::publish_singly(place.publisher().await?, load.clone()));
    }
    Ok(())
}

/// Adds consumers of the only queue.
async fn add_consumers<P: Place>(args: &Args, place: &P, load: &Arc<Load>, crew: &mut Crew) -> Result<()> {
    for _ in 0..args.consumers {
        crew.add(load::consume(place.consumer(0).await?, load.clone()));
    }
    Ok(())
}

/// Lets a crew work, and measures it once it is warm.
async fn window<P: Place>(
    args: &Args,
    place: &P,
    load: &Load,
    crew: &mut Crew,
    counted: Counted,
) -> Result<Figures> {
    crew.work_for(args.warmup()).await?;
    let start = Moment::now(load, place.pid())?;
    crew.work_for(args.window()).await?;
    Ok(start.until(&Moment::now(load, place.pid())?, counted))
}
