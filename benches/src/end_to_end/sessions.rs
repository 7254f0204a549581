//! Accepting the next of many sessions: how long until its lock, until its first message, and until all is done.

use super::site::{ADDRESS, Site};
use crate::args::Args;
use crate::client::Publisher as _;
use crate::figures::Sessions;
use crate::load::latencies;
use crate::ours::{self, Publisher};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use postrider_client::Message;
use std::time::Instant;

const SIZE: usize = 200;
/// Messages of each session: one after the other they go through all sessions, so that a session's are far apart.
const ROUNDS: u64 = 3;
const BATCH: u64 = 256;

/// Nanoseconds of the accepts so far.
struct Taken {
    accept: Histogram<u64>,
    first_message: Histogram<u64>,
    whole: Histogram<u64>,
}

/// Measures it.
pub async fn measure(args: &Args) -> Result<Sessions> {
    ensure!(args.accepts <= args.sessions, "there are {} sessions to accept", args.sessions);
    let site = Site::with_session_queue(args, SIZE).await?;
    fill(&site, args.sessions).await?;
    let client = ours::Sessions::open(site.broker.url(), ADDRESS).await?;
    let mut taken = Taken { accept: latencies(), first_message: latencies(), whole: latencies() };
    for number in 0..args.accepts {
        let start = Instant::now();
        let mut session = client.accept_next().await?;
        taken.accept.saturating_record(nanos(start));
        let delivery = session.receive().await?;
        taken.first_message.saturating_record(nanos(start));
        ensure!(delivery.sequence() == number + 1, "not the session whose oldest message came first");
        delivery.complete().await?;
        session.close().await?;
        taken.whole.saturating_record(nanos(start));
    }
    let resident_mib = site.broker.resident_mib()?;
    site.broker.end().await?;
    let micros = |all: &Histogram<u64>, quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    let both = |all| (micros(all, 0.5), micros(all, 0.99));
    Ok(Sessions {
        sessions: args.sessions,
        accepts: args.accepts,
        accept_us: both(&taken.accept),
        first_message_us: both(&taken.first_message),
        whole_us: both(&taken.whole),
        resident_mib,
    })
}

async fn fill(site: &Site<'_>, sessions: u64) -> Result<()> {
    let publisher = Publisher::open(site.broker.url(), ADDRESS, &site.args.shape).await?;
    let body = Bytes::from(vec![0; SIZE]);
    let message = |number| Message::new(body.clone()).with_session_id(format!("session-{number:08}"));
    for _ in 0..ROUNDS {
        let mut from = 0;
        while from < sessions {
            let to = sessions.min(from + BATCH);
            publisher.send((from..to).map(message).collect()).await.context("filling the sessions")?;
            from = to;
        }
    }
    publisher.close().await
}

fn nanos(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}
