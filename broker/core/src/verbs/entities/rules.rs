//! Rules of subscriptions: putting, removing, promoting, listing.

use crate::catalog::Entity;
use crate::context::Now;
use crate::fact::Fact;
use crate::rules::ParsedRule;
use crate::shard::Shard;
use bytes::BytesMut;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits::{self, BATCH_BYTES, LISTING_ENTRIES};
use postrider_protocol::name::EntityName;
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::Reply;
use postrider_protocol::rule::Rule;
use std::collections::BTreeSet;
use std::ops::Bound;

impl Shard {
    pub(crate) fn put_rule(
        &mut self,
        now: Now,
        subscription: &EntityName,
        replace: bool,
        rule: Rule,
    ) -> Result<Reply, Refusal> {
        let (id, entity) = self.require_subscription(subscription)?;
        let about = |refusal: Refusal| refusal.about(subscription.as_str());
        let rule = ParsedRule::parse(rule, now).map_err(about)?;
        let known = entity.rules.get(&rule.key());
        match (known, replace) {
            (Some(_), false) => {
                let text = format!("a rule {} exists; update it to replace it", rule.rule().name);
                return Err(about(Refusal::new(ErrorCode::AlreadyExists, text)));
            }
            (None, true) => return Err(no_rule(subscription, &rule.rule().name)),
            (Some(_), true) | (None, false) => {}
        }
        if let Some(topic) = self.catalog.topic_of(id).and_then(|topic| self.catalog.get(topic)) {
            check_room(topic, known, std::slice::from_ref(&rule))?;
        }
        self.store_rule(id, rule);
        Ok(Reply::Done)
    }

    pub(crate) fn store_rule(&mut self, subscription: u64, rule: ParsedRule) {
        self.turn.facts.push(Fact::RulePut(subscription, rule.rule().clone()));
        self.catalog.put_rule(subscription, rule);
    }

    pub(crate) fn delete_rule(&mut self, subscription: &EntityName, rule: &str) -> Result<Reply, Refusal> {
        let (id, _) = self.require_subscription(subscription)?;
        let removed = self.catalog.remove_rule(id, &rule.to_ascii_lowercase());
        let removed = removed.ok_or_else(|| no_rule(subscription, rule))?;
        self.turn.facts.push(Fact::RuleGone(id, removed.rule().name.clone()));
        Ok(Reply::Done)
    }

    pub(crate) fn promote_rule(&mut self, subscription: &EntityName, rule: &str) -> Result<Reply, Refusal> {
        let (id, entity) = self.require_subscription(subscription)?;
        let found =
            entity.rules.get(&rule.to_ascii_lowercase()).ok_or_else(|| no_rule(subscription, rule))?;
        if !found.rule().shadow {
            let text = format!("{} is no shadow rule; there is nothing to promote", found.rule().name);
            return Err(Refusal::invalid("rule", text).about(subscription.as_str()));
        }
        let promoted = found.promoted();
        self.store_rule(id, promoted);
        Ok(Reply::Done)
    }

    /// A page of the rules of a subscription.
    pub fn rules(&self, name: &EntityName, after: &str, limit: u32) -> Reply {
        let found = match self.require_subscription(name) {
            Ok((_, found)) => found,
            Err(refusal) => return Reply::Refused(refusal),
        };
        let most = if limit == 0 { LISTING_ENTRIES } else { limit.min(LISTING_ENTRIES) } as usize;
        let after = after.to_ascii_lowercase();
        let from = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after) };
        let mut rest = found.rules.range((from, Bound::Unbounded)).map(|(_, rule)| rule.info()).peekable();
        let (mut rules, mut laid_out) = (Vec::new(), BytesMut::new());
        while let Some(info) = rest.next_if(|_| rules.len() < most && laid_out.len() < BATCH_BYTES) {
            info.put(&mut laid_out);
            rules.push(info);
        }
        Reply::Rules { rules, more: rest.peek().is_some() }
    }

    /// Checks what must always be true between turns; says what is not.
    pub(crate) fn check_rules(&self) -> Result<(), String> {
        for (_, topic) in self.catalog.by_name("") {
            let subscriptions = topic.subscriptions.iter().filter_map(|id| self.catalog.get(*id));
            let rules: usize = subscriptions.map(|subscription| subscription.rules.len()).sum();
            let indexed = topic.index.sql_rules() + topic.index.other_rules();
            if rules != indexed {
                return Err(format!("{} has {rules} rules, {indexed} in its index", topic.row.name));
            }
        }
        Ok(())
    }

    fn require_subscription(&self, name: &EntityName) -> Result<(u64, &Entity), Refusal> {
        let (id, entity) = self.catalog.require(name)?;
        if entity.row.kind != EntityKind::Subscription {
            let text = format!("is a {}; only subscriptions have rules", entity.row.kind);
            return Err(Refusal::invalid("subscription", text).about(name.as_str()));
        }
        Ok((id, entity))
    }
}

/// Parses the rules of a new subscription of a topic; without any it has the default rule.
pub(super) fn parse_rules(
    now: Now,
    subscription: &EntityName,
    topic: &Entity,
    rules: Vec<Rule>,
) -> Result<Vec<ParsedRule>, Refusal> {
    let about = |refusal: Refusal| refusal.about(subscription.as_str());
    let rules = if rules.is_empty() { vec![Rule::default_rule()] } else { rules };
    let parsed = rules.into_iter().map(|rule| ParsedRule::parse(rule, now));
    let parsed = parsed.collect::<Result<Vec<_>, _>>().map_err(about)?;
    let mut names = BTreeSet::new();
    if let Some(twice) = parsed.iter().find(|rule| !names.insert(rule.key())) {
        return Err(about(Refusal::invalid("rules", format!("{} is given twice", twice.rule().name))));
    }
    check_room(topic, None, &parsed)?;
    Ok(parsed)
}

/// Refuses more rules on a topic than there can be, where one makes room for the others.
fn check_room(topic: &Entity, gone: Option<&ParsedRule>, more: &[ParsedRule]) -> Result<(), Refusal> {
    let is_sql = |rule: &&ParsedRule| rule.sql().is_some();
    let (sql_gone, sql_more) =
        (gone.iter().copied().filter(is_sql).count(), more.iter().filter(is_sql).count());
    let (others_gone, others_more) = (gone.iter().count() - sql_gone, more.len() - sql_more);
    let kinds = [
        ("SQL", topic.index.sql_rules(), sql_gone, sql_more, limits::SQL_RULES_PER_TOPIC),
        ("other", topic.index.other_rules(), others_gone, others_more, limits::RULES_PER_TOPIC),
    ];
    for (kind, there, gone, more, most) in kinds {
        if more > 0 && there - gone + more > most {
            let text = format!("the topic has {there} {kind} rules, at most {most} are allowed");
            return Err(Refusal::new(ErrorCode::QuotaExceeded, text).about(&topic.row.name));
        }
    }
    Ok(())
}

fn no_rule(subscription: &EntityName, rule: &str) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("has no rule {rule}")).about(subscription.as_str())
}
