//! What the rules of a topic would do with a message: what publishing it decides, without doing it.

use super::Coming;
use super::topic::{self, FanOut, Finding, why_failed};
use crate::catalog::Entity;
use crate::context::Now;
use crate::key::QueueId;
use crate::shard::Shard;
use bytes::{Bytes, BytesMut};
use postrider_protocol::error::Refusal;
use postrider_protocol::explain::{After, Explained, ExplainedSubscription, Fate, Outcome};
use postrider_protocol::limits::{BATCH_BYTES, LISTING_ENTRIES};
use postrider_protocol::message::{Incoming, Message};
use postrider_protocol::name::EntityName;
use postrider_protocol::options::{self, EntityKind};
use postrider_protocol::reply::Reply;
use std::ops::Bound;

/// What is the same on all pages of an explanation.
struct Explaining<'a> {
    fan_out: FanOut<'a>,
    findings: Vec<(u64, Finding)>,
    /// No subscription gets a copy or a dead letter.
    is_unmatched: bool,
    /// The subscription that gets the message because no other wants it.
    fall_through: Option<u64>,
}

/// A page while it grows.
struct Page {
    explained: Explained,
    rules: usize,
    most: usize,
    bytes: usize,
}

impl Shard {
    /// A page of what the rules of a topic would do with a message. Refuses what the topic would refuse.
    pub(crate) fn explain(
        &self,
        topic: &EntityName,
        incoming: &Incoming,
        after: &After,
        limit: u32,
    ) -> Reply {
        match self.explaining(topic, incoming) {
            Ok(explaining) => Reply::Explained(self.explained(&explaining, after, limit)),
            Err(refusal) => Reply::Refused(refusal.about(topic.as_str())),
        }
    }

    fn explaining<'a>(&self, name: &EntityName, incoming: &'a Incoming) -> Result<Explaining<'a>, Refusal> {
        let topic = self.target(name)?;
        let (_, found) = self.catalog.require(name)?;
        if found.row.kind != EntityKind::Topic {
            let text = format!("is a {}; only the rules of topics can be explained", found.row.kind);
            return Err(Refusal::invalid("topic", text));
        }
        self.check_incoming(topic, incoming)?;
        let (sequence, ttl_ms) = (found.topic.next, found.settings.default_ttl_ms);
        let fan_out = FanOut { topic, sequence, ttl_ms, coming: Coming::sent(incoming) };
        let findings = self.ask_rules(topic, &incoming.message).findings;
        let fate = |(id, finding): &(u64, Finding)| self.fate(&fan_out, *id, finding, 0);
        let is_unmatched = !findings.iter().filter_map(fate).any(|fate| fate.is_taken());
        let fall_through = is_unmatched.then(|| self.fall_through_of(topic)).flatten();
        Ok(Explaining { fan_out, findings, is_unmatched, fall_through })
    }

    fn explained(&self, explaining: &Explaining<'_>, after: &After, limit: u32) -> Explained {
        let name = |id: u64| self.catalog.get(id).map(|found| found.row.name.clone());
        let explained = Explained {
            unmatched: explaining.is_unmatched,
            fall_through: explaining.fall_through.and_then(name).unwrap_or_default(),
            ..Explained::default()
        };
        let most = if limit == 0 { LISTING_ENTRIES } else { limit.min(LISTING_ENTRIES) } as usize;
        let mut page = Page { explained, rules: 0, most, bytes: 0 };
        let begin = after.subscription.to_ascii_lowercase();
        for (name, id) in self.subscriptions_by_name(explaining.fan_out.topic) {
            let last = Some(after.rule.to_ascii_lowercase()).filter(|_| name == begin);
            if name < begin || last.as_ref().is_some_and(String::is_empty) {
                continue;
            }
            page.explained.more = page.is_full() || !self.explain_part(explaining, id, last, &mut page);
            if page.explained.more {
                break;
            }
        }
        page.explained
    }

    /// In lower case, in order.
    fn subscriptions_by_name(&self, topic: u64) -> Vec<(String, u64)> {
        let ids = self.catalog.get(topic).map(|topic| topic.subscriptions.as_slice()).unwrap_or_default();
        let name = |id: &u64| self.catalog.get(*id).map(|found| (found.row.name.to_ascii_lowercase(), *id));
        let mut all: Vec<_> = ids.iter().filter_map(name).collect();
        all.sort_unstable();
        all
    }

    /// Adds what is behind the last known rule of a subscription; says whether that is all of it.
    fn explain_part(
        &self,
        explaining: &Explaining<'_>,
        id: u64,
        last: Option<String>,
        page: &mut Page,
    ) -> bool {
        let Some(found) = self.catalog.get(id) else { return true };
        let mut part = ExplainedSubscription {
            name: found.row.name.clone(),
            disabled: disabled(found),
            ..ExplainedSubscription::default()
        };
        let is_first = last.is_none();
        if is_first {
            part.outcomes.extend(self.shared_outcomes(explaining, id));
        }
        page.bytes += size_of(|out| part.put(out));
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = found.rules.range((from, Bound::Unbounded)).peekable();
        // At least one rule, so that whoever goes on comes to the end.
        while let Some((key, rule)) = rest.next_if(|_| part.rules.is_empty() || !page.is_full()) {
            let explained = rule.explain(&explaining.fan_out.coming.incoming.message);
            let own = explaining.of(id).filter(|finding| finding.own_rule(found).as_ref() == Some(key));
            let outcomes: Vec<_> = own.filter_map(|finding| self.outcome(explaining, id, finding)).collect();
            page.rules += 1;
            page.bytes += size_of(|out| {
                explained.put(out);
                outcomes.iter().for_each(|outcome| outcome.put(out));
            });
            part.rules.push(explained);
            part.outcomes.extend(outcomes);
        }
        if is_first || !part.rules.is_empty() {
            page.explained.subscriptions.push(part);
        }
        rest.peek().is_none()
    }

    /// What comes of the rules without an action, or of there being no other subscription for the message.
    fn shared_outcomes(&self, explaining: &Explaining<'_>, id: u64) -> Vec<Outcome> {
        let Some(found) = self.catalog.get(id) else { return Vec::new() };
        let shared = explaining.of(id).filter(|finding| finding.own_rule(found).is_none());
        let fallen = Some(&Finding::Copy).filter(|_| explaining.fall_through == Some(id));
        shared.chain(fallen).filter_map(|finding| self.outcome(explaining, id, finding)).collect()
    }

    fn outcome(&self, explaining: &Explaining<'_>, id: u64, finding: &Finding) -> Option<Outcome> {
        let fan_out = &explaining.fan_out;
        Some(match self.fate(fan_out, id, finding, 0)? {
            topic::Fate::Copy => {
                Outcome { rule: String::new(), fate: self.entering(fan_out, id, fan_out.coming) }
            }
            topic::Fate::Changed { copy, rule } => {
                let coming = fan_out.coming.changed(&copy, &rule);
                let fate = self.entering(fan_out, id, coming);
                Outcome { rule, fate }
            }
            topic::Fate::Failed { rule, error, is_kept: false } => {
                Outcome { rule, fate: Fate::Dropped(error) }
            }
            topic::Fate::Failed { rule, error, is_kept: true } => {
                let (reason, description) = why_failed(&rule, &error);
                Outcome { rule, fate: Fate::DeadLetter { reason: reason.to_owned(), description } }
            }
        })
    }

    /// What becomes of a copy at the door of its subscription, as if there were no other copy of the message.
    fn entering(&self, fan_out: &FanOut<'_>, id: u64, coming: Coming<'_>) -> Fate {
        // What a message needs is the same at every moment.
        match self.entry(Now::default(), QueueId::main(id), fan_out.ttl_ms, coming) {
            Ok(_) => Fate::Copy(coming.rule.map(|_| without_body(&coming.incoming.message).encode())),
            Err(shut) => {
                let cause = shut.cause();
                let (reason, description) = (cause.reason.to_owned(), cause.description.to_owned());
                Fate::DeadLetter { reason, description }
            }
        }
    }
}

impl Explaining<'_> {
    /// What the rules of a subscription came to.
    fn of(&self, subscription: u64) -> impl Iterator<Item = &Finding> {
        let begin = self.findings.partition_point(|(id, _)| *id < subscription);
        let rest = self.findings.get(begin..).unwrap_or_default();
        rest.iter().take_while(move |(id, _)| *id == subscription).map(|(_, finding)| finding)
    }
}

impl Finding {
    /// The rule with an action that came to it, in lower case.
    fn own_rule(&self, subscription: &Entity) -> Option<String> {
        let key = match self {
            Finding::Copy => return None,
            Finding::Changed(key) => key.clone(),
            Finding::Failed { rule, .. } => rule.to_ascii_lowercase(),
        };
        subscription.rules.get(&key).filter(|rule| rule.rule().action.is_some()).map(|_| key)
    }
}

impl Page {
    fn is_full(&self) -> bool {
        self.rules >= self.most || self.bytes >= BATCH_BYTES
    }
}

fn size_of(put: impl FnOnce(&mut BytesMut)) -> usize {
    let mut laid_out = BytesMut::new();
    put(&mut laid_out);
    laid_out.len()
}

/// The status of a subscription that takes nothing in; else empty.
fn disabled(subscription: &Entity) -> String {
    if subscription.settings.may_send {
        return String::new();
    }
    subscription.row.options.text(options::STATUS).unwrap_or_default().to_owned()
}

fn without_body(message: &Message) -> Message {
    Message { body: Bytes::new(), ..message.clone() }
}
