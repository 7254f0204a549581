//! What happened to a message.

use super::Admin;
use crate::error::Error;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Request;
use postrider_protocol::trace::{Step, TraceCursor};

/// Steps of a trace; whoever gives many messages one id gets those that the broker finds first.
const STEPS: usize = 10_000;

/// What happened to the messages of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// In the order of time.
    pub steps: Vec<Step>,
    /// Whether there is more than that.
    pub more: bool,
}

impl Admin {
    /// What happened to the messages of an id, as far as the broker's journal goes back: in one entity, a topic with its
    /// subscriptions, or everywhere. Ids that are no texts are named by the text that stands for them.
    ///
    /// ```no_run
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// for step in client.admin().trace("order-17", None).await?.steps {
    ///     println!("{} {} {} {}", step.when_ms, step.kind, step.address, step.sequence);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn trace(&self, message_id: &str, entity: Option<&str>) -> Result<Trace, Error> {
        let (mut steps, mut from) = (Vec::new(), TraceCursor::default());
        let more = loop {
            let (part, next) = self.trace_part(message_id, entity.unwrap_or_default(), from).await?;
            steps.extend(part);
            match next {
                None => break false,
                Some(_) if steps.len() >= STEPS => break true,
                Some(next) => from = next,
            }
        };
        // Shards answer one after the other.
        steps.sort_by_key(|step| step.when_ms);
        Ok(Trace { steps, more })
    }

    async fn trace_part(
        &self,
        message_id: &str,
        entity: &str,
        from: TraceCursor,
    ) -> Result<(Vec<Step>, Option<TraceCursor>), Error> {
        let what = "trace a message";
        let (message_id, entity) = (message_id.to_owned(), entity.to_owned());
        match self.connection.ask(what, Request::Trace { message_id, entity, from, limit: 0 }).await? {
            // A cursor that does not move would never end.
            Reply::Traced { steps, next } => Ok((steps, next.filter(|next| *next > from))),
            other => Err(Error::unexpected(what, &other)),
        }
    }
}
