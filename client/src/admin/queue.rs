//! What there is to say about a queue: causes of dead letters, sessions, consumers; and its scheduled messages.

use super::Admin;
use crate::error::Error;
use crate::scheduled::scheduled;
use postrider_protocol::reply::{CauseInfo, ConsumersInfo, Reply, SessionInfo};
use postrider_protocol::request::{Cause, Request, ScheduledAction};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

impl Admin {
    /// Why dead letters are there, with how many are there for each cause; the most frequent one first.
    ///
    /// ```no_run
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// for info in client.admin().causes("orders/$dead-letter").await? {
    ///     println!("{} times {}: {}", info.messages, info.cause.reason, info.cause.description);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn causes(&self, address: &str) -> Result<Vec<CauseInfo>, Error> {
        let mut causes: Vec<_> = self.causes_from(address, 0).await?.into_values().collect();
        causes.sort_by_key(|info| Reverse(info.messages));
        Ok(causes)
    }

    /// The same of the dead letters with the number `from` and higher ones.
    pub(super) async fn causes_from(
        &self,
        address: &str,
        mut from: u64,
    ) -> Result<BTreeMap<Cause, CauseInfo>, Error> {
        let (what, mut merged) = ("ask for causes", BTreeMap::new());
        loop {
            let request = Request::Causes { address: address.to_owned(), from, limit: 0 };
            let (causes, next) = match self.connection.ask(what, request).await? {
                Reply::Causes { causes, next } => (causes, next),
                other => return Err(Error::unexpected(what, &other)),
            };
            causes.into_iter().for_each(|info| merge(&mut merged, info));
            if next == 0 {
                return Ok(merged);
            }
            from = next;
        }
    }

    /// The sessions of a queue or subscription, in the order of their ids.
    pub async fn sessions(&self, address: &str) -> Result<Vec<SessionInfo>, Error> {
        let (what, mut all) = ("list sessions", Vec::<SessionInfo>::new());
        loop {
            let after = all.last().map(|info| info.id.clone()).unwrap_or_default();
            let request = Request::ListSessions { address: address.to_owned(), after, limit: 0 };
            let (sessions, more) = match self.connection.ask(what, request).await? {
                Reply::Sessions { sessions, more } => (sessions, more),
                other => return Err(Error::unexpected(what, &other)),
            };
            let more = more && !sessions.is_empty();
            all.extend(sessions);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Who receives from a queue, subscription or dead-letter queue, and how its capacity is used.
    pub async fn consumers(&self, address: &str) -> Result<ConsumersInfo, Error> {
        let what = "list consumers";
        match self.connection.ask(what, Request::Consumers { address: address.to_owned() }).await? {
            Reply::Consumers(info) => Ok(info),
            other => Err(Error::unexpected(what, &other)),
        }
    }

    /// Removes scheduled messages of a queue or topic by their numbers, each for itself and in the order given.
    pub async fn cancel_scheduled(
        &self,
        address: &str,
        sequences: &[u64],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        scheduled(&self.connection, address, ScheduledAction::Cancel, sequences).await
    }

    /// Has scheduled messages delivered now, each for itself and in the order given.
    pub async fn deliver_scheduled_now(
        &self,
        address: &str,
        sequences: &[u64],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        scheduled(&self.connection, address, ScheduledAction::DeliverNow, sequences).await
    }
}

/// Adds what one page says of a cause to what the pages before said.
fn merge(causes: &mut BTreeMap<Cause, CauseInfo>, info: CauseInfo) {
    match causes.entry(info.cause.clone()) {
        Entry::Vacant(place) => drop(place.insert(info)),
        Entry::Occupied(mut place) => {
            let known = place.get_mut();
            known.messages += info.messages;
            known.redriven += info.redriven;
            known.first_ms = known.first_ms.min(info.first_ms);
            known.last_ms = known.last_ms.max(info.last_ms);
            known.sample = known.sample.max(info.sample);
        }
    }
}
