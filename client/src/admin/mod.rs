//! Administration: entities, rules, and a look into queues.

mod backup;
mod bulk;
mod explain;
mod peek;
mod queue;
mod redrive;
mod replay;
mod rules;
mod schedules;
mod trace;

pub use backup::BackedUp;
pub use bulk::{Progress, Purge};
pub use explain::{ExplainedFate, ExplainedOutcome, ExplainedSubscription, Explanation};
pub use peek::{PeekPage, PeekQuery, PeekStream, PeekedMessage};
pub use redrive::{CameBack, Redrive, RedriveBuilder, RedriveOutcome};
pub use replay::{Replaying, Start};
pub use trace::Trace;

use crate::connection::Connection;
use crate::error::Error;
use postrider_protocol::entity::EntityInfo;
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::reply::{Reply, StatusInfo};
use postrider_protocol::request::{Listing, Request, Stamp};
use postrider_protocol::rule::Rule;
use std::sync::Arc;

/// Creates, changes, lists and deletes entities. Each change is carried out once, however often the connection is lost.
///
/// ```no_run
/// use postrider_client::{Options, Rule};
/// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
/// let admin = client.admin();
/// let mut options = Options::new();
/// options.set("lock_duration_ms", "60000")?;
/// admin.create_queue("orders", options).await?;
///
/// admin.create_topic("order-events", Options::new()).await?;
/// let rule = Rule::sql("high", "priority = 'high' AND total >= 100");
/// admin.create_subscription("order-events", "payment", Options::new(), vec![rule]).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    connection: Arc<Connection>,
}

impl Admin {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Admin { connection }
    }

    /// Creates a queue.
    pub async fn create_queue(&self, name: &str, options: Options) -> Result<(), Error> {
        self.create(name, EntityKind::Queue, options, Vec::new()).await
    }

    /// Creates a topic.
    pub async fn create_topic(&self, name: &str, options: Options) -> Result<(), Error> {
        self.create(name, EntityKind::Topic, options, Vec::new()).await
    }

    /// Creates a subscription of a topic. Without rules it gets the rule `$default`, which lets everything through.
    pub async fn create_subscription(
        &self,
        topic: &str,
        name: &str,
        options: Options,
        rules: Vec<Rule>,
    ) -> Result<(), Error> {
        self.create(&format!("{topic}/subscriptions/{name}"), EntityKind::Subscription, options, rules).await
    }

    /// Creates an entity; a subscription by its full name, `topic/subscriptions/name`.
    pub async fn create(
        &self,
        name: &str,
        kind: EntityKind,
        options: Options,
        rules: Vec<Rule>,
    ) -> Result<(), Error> {
        let request =
            Request::Create { stamp: Stamp::default(), name: name.to_owned(), kind, options, rules };
        self.done("create an entity", request).await
    }

    /// Changes the options that are set in `options`, brings back the default of those that are unset in it, and leaves
    /// the others.
    ///
    /// ```no_run
    /// use postrider_client::Options;
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let mut options = Options::new();
    /// options.set("lock_duration_ms", "60000")?;
    /// options.set("max_messages", "none")?;
    /// client.admin().update("orders", options).await
    /// # }
    /// ```
    pub async fn update(&self, name: &str, options: Options) -> Result<(), Error> {
        let request = Request::Update { stamp: Stamp::default(), name: name.to_owned(), options };
        self.done("update an entity", request).await
    }

    /// Deletes an entity with all its messages, a topic with its subscriptions.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let request = Request::Delete { stamp: Stamp::default(), name: name.to_owned() };
        self.done("delete an entity", request).await
    }

    /// One entity with its options, rules and counters.
    pub async fn get(&self, name: &str) -> Result<EntityInfo, Error> {
        let what = "get an entity";
        match self.connection.ask(what, Request::Get { name: name.to_owned() }).await? {
            Reply::Entity(info) => Ok(*info),
            other => Err(Error::unexpected(what, &other)),
        }
    }

    /// All entities of a kind, or of all kinds, whose names start with `prefix`, in the order of their names.
    pub async fn list(&self, kind: Option<EntityKind>, prefix: &str) -> Result<Vec<EntityInfo>, Error> {
        let mut all: Vec<EntityInfo> = Vec::new();
        loop {
            let after = all.last().map(|info| info.name.clone()).unwrap_or_default();
            let listing = Listing { kind, prefix: prefix.to_owned(), after, limit: 0 };
            let (entities, more) = self.list_page(listing).await?;
            let more = more && !entities.is_empty();
            all.extend(entities);
            if !more {
                return Ok(all);
            }
        }
    }

    async fn list_page(&self, listing: Listing) -> Result<(Vec<EntityInfo>, bool), Error> {
        let what = "list entities";
        match self.connection.ask(what, Request::List(listing)).await? {
            Reply::Entities { entities, more } => Ok((entities, more)),
            other => Err(Error::unexpected(what, &other)),
        }
    }

    /// How the broker is.
    pub async fn status(&self) -> Result<StatusInfo, Error> {
        let what = "ask for the status";
        match self.connection.ask(what, Request::Status).await? {
            Reply::Status(status) => Ok(status),
            other => Err(Error::unexpected(what, &other)),
        }
    }

    async fn done(&self, what: &str, request: Request) -> Result<(), Error> {
        match self.connection.ask(what, request).await? {
            Reply::Done => Ok(()),
            other => Err(Error::unexpected(what, &other)),
        }
    }
}
