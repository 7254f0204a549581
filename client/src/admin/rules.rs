//! Rules of subscriptions, which are named in full: `topic/subscriptions/name`.

use super::Admin;
use crate::error::Error;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Request, Stamp};
use postrider_protocol::rule::{Rule, RuleInfo};

impl Admin {
    /// Adds a rule to a subscription.
    ///
    /// ```no_run
    /// use postrider_client::Rule;
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let large = Rule::sql("large", "total >= @least AND region LIKE 'eu-%'")
    ///     .with_parameter("least", 1_000i64)
    ///     .with_action("SET size = 'large'; REMOVE trace");
    /// client.admin().add_rule("orders/subscriptions/billing", large).await
    /// # }
    /// ```
    pub async fn add_rule(&self, subscription: &str, rule: Rule) -> Result<(), Error> {
        self.put_rule(subscription, rule, false).await
    }

    /// Replaces the rule of that name, in one step.
    pub async fn replace_rule(&self, subscription: &str, rule: Rule) -> Result<(), Error> {
        self.put_rule(subscription, rule, true).await
    }

    async fn put_rule(&self, subscription: &str, rule: Rule, replace: bool) -> Result<(), Error> {
        let subscription = subscription.to_owned();
        let request = Request::PutRule { stamp: Stamp::default(), subscription, replace, rule };
        self.done("put a rule", request).await
    }

    /// Removes a rule from a subscription.
    pub async fn delete_rule(&self, subscription: &str, rule: &str) -> Result<(), Error> {
        let (subscription, rule) = (subscription.to_owned(), rule.to_owned());
        self.done("delete a rule", Request::DeleteRule { stamp: Stamp::default(), subscription, rule }).await
    }

    /// Makes a shadow rule a real one, in one step: from the next message on it lets through what it has counted.
    pub async fn promote_rule(&self, subscription: &str, rule: &str) -> Result<(), Error> {
        let (subscription, rule) = (subscription.to_owned(), rule.to_owned());
        let request = Request::PromoteRule { stamp: Stamp::default(), subscription, rule };
        self.done("promote a rule", request).await
    }

    /// The rules of a subscription, in the order of their names, with what its shadow rules have counted.
    pub async fn rules(&self, subscription: &str) -> Result<Vec<RuleInfo>, Error> {
        let (what, mut all) = ("list rules", Vec::<RuleInfo>::new());
        loop {
            let after = all.last().map(|info| info.rule.name.clone()).unwrap_or_default();
            let request = Request::ListRules { subscription: subscription.to_owned(), after, limit: 0 };
            let (rules, more) = match self.connection.ask(what, request).await? {
                Reply::Rules { rules, more } => (rules, more),
                other => return Err(Error::unexpected(what, &other)),
            };
            let more = more && !rules.is_empty();
            all.extend(rules);
            if !more {
                return Ok(all);
            }
        }
    }
}
