//! Moving dead letters back to where they failed, carefully.

use super::Admin;
use super::bulk::{Progress, check_numbers};
use crate::error::Error;
use postrider_protocol::request::{Cause, Request, Selection, Stamp};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Messages to look at in one request where the rate does not ask for fewer.
const PORTION: u32 = 1_000;
/// Dead letters of one cause that came back, from which on a redrive may stop.
const MANY: u64 = 10;

/// A redrive that is about to begin.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until start or run is called"]
pub struct RedriveBuilder {
    admin: Admin,
    address: String,
    selection: Selection,
    rate: Option<f64>,
    dry_run: bool,
}

/// Dead letters being moved back.
#[derive(Debug)]
pub struct Redrive {
    plan: RedriveBuilder,
    /// Where to go on; `None`: all done.
    from: Option<u64>,
    /// What was dead-lettered since the beginning has this number or a higher one, and is left alone.
    to: u64,
    progress: Progress,
    came_back: Option<CameBack>,
    /// When the rate allows the next portion.
    due: Instant,
}

/// Dead letters that came back after they were moved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CameBack {
    /// Why, again.
    pub cause: Cause,
    /// How many.
    pub messages: u64,
}

/// What became of a redrive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedriveOutcome {
    /// Dead letters moved, or with a dry run those that would be.
    pub moved: u64,
    /// Dead letters looked at.
    pub examined: u64,
    /// Why it stopped before the end: what was moved mostly comes back. Look after the cause, then redrive the rest.
    pub stopped: Option<CameBack>,
}

impl Admin {
    /// Moves dead letters back to where they failed: those that are there when it begins. Name the dead-letter queue.
    ///
    /// It stops by itself when the dead letters that come back for one cause are at least ten and at least half of what
    /// was moved so far.
    ///
    /// ```no_run
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let redrive = client.admin().redrive("orders/$dead-letter").filter("region = 'eu'").rate(50.0);
    /// let outcome = redrive.run().await?;
    /// println!("{} moved", outcome.moved);
    /// if let Some(back) = outcome.stopped {
    ///     println!("stopped: {} came back with {}", back.messages, back.cause.reason);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn redrive(&self, address: &str) -> RedriveBuilder {
        let (admin, address) = (self.clone(), address.to_owned());
        RedriveBuilder { admin, address, selection: Selection::default(), rate: None, dry_run: false }
    }
}

impl RedriveBuilder {
    /// Only the dead letters that the selection takes.
    pub fn selection(mut self, selection: Selection) -> Self {
        self.selection = selection;
        self
    }

    /// Only dead letters that this SQL filter lets through.
    pub fn filter(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.selection.filter);
        self
    }

    /// Only dead letters of this cause, as [`Admin::causes`] tells it.
    pub fn cause(mut self, cause: Cause) -> Self {
        self.selection.cause = Some(cause);
        self
    }

    /// At most so many messages a second, more than 0. A slow redrive finds out earlier that messages come back.
    pub fn rate(mut self, messages_per_second: f64) -> Self {
        self.rate = Some(messages_per_second);
        self
    }

    /// Counts what would be moved, and moves nothing.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Looks up which dead letters there are. Nothing is moved before [`Redrive::next`].
    pub async fn start(self) -> Result<Redrive, Error> {
        check_numbers(&self.selection)?;
        check_rate(self.rate)?;
        let causes = self.admin.causes_from(&self.address, 0).await?;
        let last = causes.values().map(|info| info.sample).max();
        Ok(Redrive {
            plan: self,
            from: last.map(|_| 0),
            to: last.map_or(0, |last| last.saturating_add(1)),
            progress: Progress::default(),
            came_back: None,
            due: Instant::now(),
        })
    }

    /// Does all of it, or as much as is of use.
    pub async fn run(self) -> Result<RedriveOutcome, Error> {
        let mut redrive = self.start().await?;
        while redrive.next().await?.is_some() {}
        Ok(redrive.outcome())
    }
}

impl Redrive {
    /// Does the next portion, when the rate allows it, and says how far it has come in all; `None` when there is nothing
    /// more to do. Can be stopped at any time by not calling it again.
    pub async fn next(&mut self) -> Result<Option<Progress>, Error> {
        let Some(from) = self.from.filter(|_| self.came_back.is_none()) else { return Ok(None) };
        sleep_until(self.due).await;
        let (done, examined, next) = self.plan.admin.work("redrive", self.request(from)).await?;
        self.progress.add(done, examined);
        self.from = next;
        if !self.plan.dry_run && next.is_some() {
            self.pace(done);
            self.look_back().await?;
        }
        Ok(Some(self.progress))
    }

    /// What became of it so far.
    pub fn outcome(&self) -> RedriveOutcome {
        RedriveOutcome {
            moved: self.progress.done,
            examined: self.progress.examined,
            stopped: self.came_back.clone(),
        }
    }

    fn request(&self, from: u64) -> Request {
        Request::Redrive {
            stamp: Stamp::default(),
            address: self.plan.address.clone(),
            selection: self.plan.selection.clone(),
            from,
            to: self.to,
            limit: portion(self.plan.rate.filter(|_| !self.plan.dry_run)),
            dry_run: self.plan.dry_run,
        }
    }

    /// Has the next portion wait until the rate has room for it.
    fn pace(&mut self, done: u64) {
        if let Some(rate) = self.plan.rate {
            let taken = Duration::try_from_secs_f64(done as f64 / rate).unwrap_or(Duration::MAX);
            let now = Instant::now();
            self.due = now.checked_add(taken).unwrap_or(now);
        }
    }

    /// Looks at what was dead-lettered since the beginning, after it had been redriven.
    async fn look_back(&mut self) -> Result<(), Error> {
        let since = self.plan.admin.causes_from(&self.plan.address, self.to).await?;
        let worst = since.into_values().max_by_key(|info| info.redriven);
        let enough = |redriven: u64| redriven >= MANY && redriven.saturating_mul(2) >= self.progress.done;
        if let Some(info) = worst.filter(|info| enough(info.redriven)) {
            self.came_back = Some(CameBack { cause: info.cause, messages: info.redriven });
        }
        Ok(())
    }
}

/// Messages to look at in one request: about a second's worth.
fn portion(rate: Option<f64>) -> u32 {
    rate.map_or(PORTION, |rate| rate.clamp(1.0, f64::from(PORTION)) as u32)
}

fn check_rate(rate: Option<f64>) -> Result<(), Error> {
    match rate {
        Some(rate) if !(rate.is_finite() && rate > 0.0) => Err(Error::InvalidArgument(format!(
            "the rate is {rate} messages a second; give a number above 0, or none for no limit"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_is_a_seconds_worth() {
        assert_eq!((portion(None), portion(Some(0.1)), portion(Some(50.9))), (PORTION, 1, 50));
        assert_eq!(portion(Some(1e12)), PORTION);
    }

    #[test]
    fn a_rate_is_above_zero() {
        assert!(check_rate(None).is_ok() && check_rate(Some(0.5)).is_ok());
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(check_rate(Some(rate)).unwrap_err().to_string().contains("above 0"));
        }
    }
}
