//! What the rules of a topic would do with a message.

use super::Admin;
use crate::error::Error;
use postrider_protocol::explain::{After, ExplainedRule, Fate, Outcome};
use postrider_protocol::explain::{Explained, ExplainedSubscription as Part};
use postrider_protocol::message::Message;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Request;

/// What the rules of a topic would do with a message.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether no subscription gets a copy or a dead letter by its own rules.
    pub unmatched: bool,
    /// The full name of the subscription that gets an unmatched message.
    pub fall_through: Option<String>,
    /// All of the topic's, in the order of their names.
    pub subscriptions: Vec<ExplainedSubscription>,
}

/// What a subscription would do with a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExplainedSubscription {
    /// Its full name, `topic/subscriptions/name`.
    pub name: String,
    /// Its status, where it takes nothing in: then it wants nothing, whatever its rules say.
    pub disabled: Option<String>,
    /// In the order of their names.
    pub rules: Vec<ExplainedRule>,
    /// The one of the rules without an action first, then those of the others in the order of their names.
    pub outcomes: Vec<ExplainedOutcome>,
}

/// What comes of a rule with an action, or of all rules without one together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExplainedOutcome {
    /// The rule whose own copy it is, or that failed; `None` for the copy of the rules without an action.
    pub rule_name: Option<String>,
    /// What becomes of the message.
    pub fate: ExplainedFate,
}

/// What becomes of a message in a subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum ExplainedFate {
    /// The subscription gets this copy, which an action may have changed.
    Copy(Box<Message>),
    /// Its dead letters get one.
    DeadLetter {
        /// The reason.
        reason: String,
        /// The description.
        description: String,
    },
    /// The rule failed, and the subscription does not keep what rules fail on.
    Dropped {
        /// Why it failed.
        error: String,
    },
}

impl Explanation {
    /// The copies that would be made: each with the full name of its subscription and, where it is a rule's own, the
    /// name of the rule.
    pub fn copies(&self) -> impl Iterator<Item = (&str, Option<&str>, &Message)> {
        let all = self.subscriptions.iter().flat_map(|of| of.outcomes.iter().map(move |it| (of, it)));
        all.filter_map(|(of, outcome)| match &outcome.fate {
            ExplainedFate::Copy(copy) => {
                Some((of.name.as_str(), outcome.rule_name.as_deref(), copy.as_ref()))
            }
            ExplainedFate::DeadLetter { .. } | ExplainedFate::Dropped { .. } => None,
        })
    }

    /// Adds the next page.
    fn add(&mut self, page: Explained, sent: &Message) -> Result<(), Error> {
        self.unmatched = page.unmatched;
        self.fall_through = Some(page.fall_through).filter(|name| !name.is_empty());
        page.subscriptions.into_iter().try_for_each(|part| self.add_part(part, sent))
    }

    fn add_part(&mut self, part: Part, sent: &Message) -> Result<(), Error> {
        let outcomes = part.outcomes.into_iter().map(|outcome| read(outcome, sent));
        let outcomes: Vec<_> = outcomes.collect::<Result<_, _>>()?;
        if let Some(last) = self.subscriptions.last_mut().filter(|last| last.name == part.name) {
            last.rules.extend(part.rules);
            last.outcomes.extend(outcomes);
            return Ok(());
        }
        self.subscriptions.push(ExplainedSubscription {
            name: part.name,
            disabled: Some(part.disabled).filter(|status| !status.is_empty()),
            rules: part.rules,
            outcomes,
        });
        Ok(())
    }
}

/// A copy that an action has changed comes without the body, which no action changes.
fn read(outcome: Outcome, sent: &Message) -> Result<ExplainedOutcome, Error> {
    let fate = match outcome.fate {
        Fate::Copy(None) => ExplainedFate::Copy(Box::new(sent.clone())),
        Fate::Copy(Some(changed)) => {
            let changed = Message::decode(changed)?;
            ExplainedFate::Copy(Box::new(Message { body: sent.body.clone(), ..changed }))
        }
        Fate::DeadLetter { reason, description } => ExplainedFate::DeadLetter { reason, description },
        Fate::Dropped(error) => ExplainedFate::Dropped { error },
    };
    Ok(ExplainedOutcome { rule_name: Some(outcome.rule).filter(|rule| !rule.is_empty()), fate })
}

impl Admin {
    /// Says what the rules of a topic would do with a message if it was published now: what each rule says of it and
    /// why, and which copies and dead letters it would become. Nothing is stored, delivered or counted. A message that
    /// the topic would refuse is refused. Senders give an id to a message without one; here it stays without.
    ///
    /// ```no_run
    /// use postrider_client::Message;
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let order = Message::new("{}").with_subject("OrderCreated").with_property("total", 120i64);
    /// let explanation = client.admin().explain("order-events", order).await?;
    /// for (subscription, rule_name, copy) in explanation.copies() {
    ///     println!("{subscription} {rule_name:?} {:?}", copy.properties);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn explain(&self, topic: &str, message: Message) -> Result<Explanation, Error> {
        let what = "explain a message";
        let (bytes, mut after) = (message.encode(), After::default());
        let mut all = Explanation::default();
        loop {
            let request =
                Request::Explain { topic: topic.to_owned(), message: bytes.clone(), after, limit: 0 };
            let page = match self.connection.ask(what, request).await? {
                Reply::Explained(page) => page,
                other => return Err(Error::unexpected(what, &other)),
            };
            let more = page.more && !page.subscriptions.is_empty();
            after = page.end();
            all.add(page, &message)?;
            if !more {
                return Ok(all);
            }
        }
    }
}
