//! Replaying what a topic keeps to one of its subscriptions.

use super::Admin;
use crate::delivery::milliseconds;
use crate::error::Error;
use postrider_protocol::options::{Options, REPLAY_FROM_MS, REPLAY_FROM_SEQUENCE};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Request, Stamp, Start as At};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the topic's message with this number, or the first one behind it that is kept.
    Sequence(u64),
    /// At the first message that came at this moment or later.
    Time(SystemTime),
}

impl Start {
    /// Options with which a subscription is created from here: it gets what its topic keeps from here on, and all that
    /// comes.
    ///
    /// ```no_run
    /// use postrider_client::{Options, Start};
    /// use std::time::{Duration, SystemTime};
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let admin = client.admin();
    /// let mut options = Options::new();
    /// options.set("retain_ms", "604800000")?; // a week
    /// admin.create_topic("order-events", options).await?;
    ///
    /// let an_hour_ago = Start::Time(SystemTime::now() - Duration::from_secs(3_600));
    /// let options = an_hour_ago.upon(Options::new());
    /// admin.create_subscription("order-events", "audit", options, vec![]).await
    /// # }
    /// ```
    pub fn upon(self, options: Options) -> Options {
        match self.on_the_wire() {
            At::Sequence(sequence) => options.with_number(REPLAY_FROM_SEQUENCE, sequence.max(1)),
            At::Time(ms) => options.with_number(REPLAY_FROM_MS, ms.max(1)),
        }
    }

    fn on_the_wire(self) -> At {
        match self {
            Start::Sequence(sequence) => At::Sequence(sequence),
            Start::Time(time) => At::Time(milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())),
        }
    }
}

/// The numbers of a topic whose messages are replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replaying {
    /// The first one.
    pub from: u64,
    /// The one behind the last; the same as `from` where nothing is replayed.
    pub to: u64,
}

impl Replaying {
    /// How many numbers these are. Filter and rules may let fewer messages through.
    pub fn numbers(self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

impl Admin {
    /// Copies what the topic of a subscription keeps to it once more, from `start` to what is there now: what its rules,
    /// and the SQL filter beside them if it is not empty, let through. The copies come after this returns; `replaying`
    /// among the subscription's counters says how many numbers are still to be looked at. A replay takes the place of one
    /// that is under way, and one of nothing ends it.
    ///
    /// ```no_run
    /// use postrider_client::Start;
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let subscription = "order-events/subscriptions/payment";
    /// let replaying = client.admin().replay(subscription, Start::Sequence(4_711), "region = 'eu'").await?;
    /// println!("{} numbers, {} to {}", replaying.numbers(), replaying.from, replaying.to);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where the topic keeps nothing, or the filter means nothing.
    pub async fn replay(&self, subscription: &str, start: Start, filter: &str) -> Result<Replaying, Error> {
        let what = "replay to a subscription";
        let request = Request::Replay {
            stamp: Stamp::default(),
            subscription: subscription.to_owned(),
            start: start.on_the_wire(),
            filter: filter.to_owned(),
        };
        match self.connection.ask(what, request).await? {
            Reply::Replaying { from, to } => Ok(Replaying { from, to }),
            other => Err(Error::unexpected(what, &other)),
        }
    }
}
