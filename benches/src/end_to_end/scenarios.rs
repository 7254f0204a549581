//! The cases, one function each.

use super::meter::{Counted, Moment};
use super::site::Site;
use crate::args::{Args, Mode, Scenario};
use crate::figures::Figures;
use crate::load::{DRAIN, Load};
use anyhow::Result;

/// Publishes into an empty queue; then receives and completes what is there, if that is asked for.
pub async fn fill_and_drain(args: &Args, size: usize, mode: Mode) -> Result<(Figures, Option<Figures>)> {
    let mut site = Site::with_queue(args, size, args.messages).await?;
    let mut crew = site.crew();
    site.add_producers(&mut crew, mode).await?;
    crew.work_for(args.warmup()).await?;
    let start = Moment::now(&site).await?;
    crew.work_for(args.window()).await?;
    let fill = start.until_now(&site, Counted::Published).await?;
    crew.end().await?;
    let drain = match args.wants(Scenario::Drain) {
        true => Some(named(drain(&mut site).await?, "drain", mode, size)),
        false => None,
    };
    site.broker.end().await?;
    Ok((named(fill, "fill", mode, size), drain))
}

/// Receives and completes all that the load has published.
async fn drain(site: &mut Site<'_>) -> Result<Figures> {
    let backlog = site.begin_anew();
    let mut crew = site.crew();
    site.add_consumers(&mut crew).await?;
    crew.work_until(Load::completed, backlog * DRAIN.0 / 100).await?;
    let start = Moment::now(site).await?;
    crew.work_until(Load::completed, backlog * DRAIN.1 / 100).await?;
    let figures = start.until_now(site, Counted::Completed).await?;
    crew.work_until(Load::completed, backlog).await?;
    crew.end().await?;
    Ok(Figures { published: None, ..figures })
}

/// Publishes and consumes at once.
pub async fn flow(args: &Args, size: usize, mode: Mode) -> Result<Figures> {
    let site = Site::with_queue(args, size, u64::MAX).await?;
    let mut crew = site.crew();
    site.add_consumers(&mut crew).await?;
    site.add_producers(&mut crew, mode).await?;
    crew.work_for(args.warmup()).await?;
    let start = Moment::now(&site).await?;
    crew.work_for(args.window()).await?;
    let figures = start.until_now(&site, Counted::Completed).await?;
    crew.end().await?;
    site.broker.end().await?;
    Ok(named(figures, "flow", mode, size))
}

/// Publishes at a fixed rate; how long is a message on its way?
pub async fn paced(args: &Args, size: usize) -> Result<Figures> {
    let site = Site::with_queue(args, size, u64::MAX).await?;
    let mut crew = site.crew();
    site.add_consumers(&mut crew).await?;
    site.add_paced_producers(&mut crew).await?;
    crew.work_for(args.warmup()).await?;
    site.load.record_latencies();
    let start = Moment::now(&site).await?;
    crew.work_for(args.window()).await?;
    let figures = start.until_now(&site, Counted::Completed).await?;
    let latencies = site.load.latencies();
    crew.end().await?;
    site.broker.end().await?;
    let at = |quantile| latencies.as_ref().map(|all| all.value_at_quantile(quantile) as f64 / 1e3);
    let figures = Figures { p50_us: at(0.5), p99_us: at(0.99), published: None, ..figures };
    Ok(named(figures, "paced", Mode::Single, size))
}

/// Publishes to a topic while each subscription has a consumer; a message counts once for each of them.
pub async fn fan_out(args: &Args, size: usize, subscriptions: usize) -> Result<Figures> {
    let site = Site::with_topic(args, size, subscriptions).await?;
    let mut crew = site.crew();
    site.add_subscribers(&mut crew, subscriptions).await?;
    site.add_producers(&mut crew, Mode::Single).await?;
    crew.work_for(args.warmup()).await?;
    let start = Moment::now(&site).await?;
    crew.work_for(args.window()).await?;
    let figures = start.until_now(&site, Counted::Completed).await?;
    crew.end().await?;
    site.broker.end().await?;
    Ok(named(figures, &format!("fan-out {subscriptions}"), Mode::Single, size))
}

fn named(mut figures: Figures, scenario: &str, mode: Mode, size: usize) -> Figures {
    let mode = match mode {
        Mode::Single => "single",
        Mode::Batch => "batch",
    };
    scenario.clone_into(&mut figures.scenario);
    (figures.mode, figures.size) = (mode, size);
    eprintln!("{}", crate::report::line(&figures));
    figures
}
