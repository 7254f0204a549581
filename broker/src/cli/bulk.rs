//! Work on many messages: which ones, and how far it has come.

use super::failure::Failure;
use super::parse;
use clap::Args;
use indicatif::ProgressBar;
use postrider_client::{Admin, Cause, PeekState, Progress, Selection, States};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which messages are meant; all that is given must hold.
#[derive(Args)]
pub struct SelectionFlags {
    /// Only messages that this SQL filter lets through
    #[arg(long, value_name = "SQL", default_value = "", hide_default_value = true)]
    filter: String,
    /// Only messages that were enqueued longer ago
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    older_than: Option<Duration>,
    #[command(flatten)]
    cause: CauseFlags,
}

/// Dead letters of one cause.
#[derive(Args)]
pub struct CauseFlags {
    /// Only dead letters of this reason, as `postrider dlq causes` shows it
    #[arg(long, value_name = "REASON")]
    cause: Option<String>,
    /// Which of the causes with that reason, by its description
    #[arg(long, value_name = "TEXT", requires = "cause")]
    description: Option<String>,
}

/// Only messages in some states.
#[derive(Args)]
pub struct StateFlags {
    /// Only messages in these states: ready, locked, scheduled, deferred, delayed
    #[arg(long = "state", value_name = "STATE", value_parser = parse::state, value_delimiter = ',')]
    states: Vec<PeekState>,
}

impl StateFlags {
    /// The states; without any, all.
    pub fn states(&self) -> States {
        States::of(&self.states)
    }
}

impl SelectionFlags {
    /// The selection. A cause is looked up at `address`.
    pub async fn selection(
        &self,
        admin: &Admin,
        address: &str,
        states: States,
    ) -> Result<Selection, Failure> {
        let cause = self.cause.find(admin, address).await?;
        let before_ms = self.older_than.map_or(0, before);
        Ok(Selection { states, filter: self.filter.clone(), before_ms, cause, sequences: Vec::new() })
    }
}

/// UTC milliseconds of so long ago.
fn before(age: Duration) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(age);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl CauseFlags {
    async fn find(&self, admin: &Admin, address: &str) -> Result<Option<Cause>, Failure> {
        let Some(reason) = &self.cause else { return Ok(None) };
        let causes = admin.causes(address).await?.into_iter().map(|info| info.cause);
        self.choose(reason, causes.collect(), address).map(Some)
    }

    /// The one cause that is meant.
    fn choose(&self, reason: &str, causes: Vec<Cause>, address: &str) -> Result<Cause, Failure> {
        let is_meant = |cause: &Cause| {
            cause.reason == reason && self.description.as_ref().is_none_or(|text| *text == cause.description)
        };
        let mut found: Vec<_> = causes.into_iter().filter(is_meant).collect();
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Failure::refused(format!("{address} has no dead letters of the cause {reason}"))
                .hint(format!("see what there is with: postrider dlq causes '{address}'"))),
            more => {
                let texts: Vec<_> = found.iter().map(|cause| format!("{:?}", cause.description)).collect();
                let text = format!("{more} causes have the reason {reason}: {}", texts.join(", "));
                Err(Failure::usage(text).hint("say which with: --description TEXT"))
            }
        }
    }
}

/// The dead-letter queue of an entity, or the one of what could not be passed on; both may be named themselves.
pub fn dead_letters(address: &str, transfer: bool) -> String {
    if address.ends_with(DEAD_LETTER) || address.ends_with(TRANSFER) {
        return address.to_owned();
    }
    format!("{address}{}", if transfer { TRANSFER } else { DEAD_LETTER })
}

const DEAD_LETTER: &str = "/$dead-letter";
const TRANSFER: &str = "/$transfer-dead-letter";

/// Shows how far work has come, on stderr and only where that is a terminal.
pub struct Meter(ProgressBar);

impl Meter {
    /// Nothing done yet.
    pub fn new() -> Self {
        Meter(ProgressBar::new_spinner())
    }

    /// `what` says what is done with messages.
    pub fn show(&self, what: &str, progress: &Progress) {
        self.0.set_message(format!("{} {what}, {} looked at", progress.done, progress.examined));
        self.0.tick();
    }
}

/// Takes it away, also where the work failed.
impl Drop for Meter {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Asks on the terminal, where there is one, before something is gone for ever.
pub fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes || !io::stdin().is_terminal() {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::usage("not confirmed, nothing was done")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(description: Option<&str>) -> CauseFlags {
        CauseFlags { cause: Some("Bad".to_owned()), description: description.map(str::to_owned) }
    }

    fn cause(reason: &str, description: &str) -> Cause {
        Cause { reason: reason.to_owned(), description: description.to_owned() }
    }

    #[test]
    fn a_cause_is_told_by_its_reason_and_if_need_be_its_description() {
        let causes = || vec![cause("Bad", "a"), cause("Bad", "b"), cause("Other", "a")];
        assert_eq!(flags(None).choose("Other", causes(), "q").ok(), Some(cause("Other", "a")));
        assert_eq!(flags(Some("b")).choose("Bad", causes(), "q").ok(), Some(cause("Bad", "b")));
        assert!(flags(None).choose("Bad", causes(), "q").is_err());
        assert!(flags(None).choose("None", causes(), "q").is_err());
    }

    #[test]
    fn a_dead_letter_queue_may_be_named_by_its_entity() {
        assert_eq!(dead_letters("q", false), "q/$dead-letter");
        assert_eq!(dead_letters("q/$dead-letter", false), "q/$dead-letter");
        assert_eq!(dead_letters("q", true), "q/$transfer-dead-letter");
        assert_eq!(dead_letters("q/$transfer-dead-letter", false), "q/$transfer-dead-letter");
    }

    #[test]
    fn an_age_is_a_time_before_now() {
        assert!(before(Duration::from_secs(3_600)) < before(Duration::ZERO));
        assert_eq!(before(Duration::MAX), 1, "0 would be all");
    }
}
