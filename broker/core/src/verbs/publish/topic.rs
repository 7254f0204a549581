//! Copying a topic's messages to its subscriptions, as their rules say.
//!
//! Rules without an action are ORed: together they make one copy. A rule with an action makes a copy of its own. A rule
//! that fails on a message leaves a dead letter in place of the copy that it might have made; so nothing is lost.

use crate::catalog::Entity;
use crate::context::{Context, Damage, Now};
use crate::key::QueueId;
use crate::keys;
use crate::page::NEVER_MS;
use crate::rules::{ParsedRule, RuleId};
use crate::shard::Shard;
use crate::verbs::publish::Coming;
use crate::verbs::settle::moves::Cause;
use postrider_protocol::error::Refusal;
use postrider_protocol::message::{Incoming, Message};
use postrider_protocol::name::EntityName;
use postrider_protocol::trace::StepKind;

/// A message on its way from a topic.
pub(super) struct FanOut<'a> {
    pub topic: u64,
    /// Its number there.
    pub sequence: u64,
    /// How long the topic lets it live.
    pub ttl_ms: u64,
    pub coming: Coming<'a>,
}

/// What a topic's rules say of a message.
#[derive(Default)]
pub(super) struct Verdict {
    /// In the order of the subscriptions.
    pub findings: Vec<(u64, Finding)>,
    /// The shadow rules that would let it through, or failed on it.
    shadows: Vec<(RuleId, bool)>,
}

/// What a subscription's rules came to.
pub(super) enum Finding {
    /// A copy as it came.
    Copy,
    /// A copy that this rule, named in lower case, changes.
    Changed(String),
    /// This rule, as it is called, failed.
    Failed { rule: String, error: String },
}

/// What becomes of a message in a subscription.
pub(super) enum Fate {
    /// A copy as it came.
    Copy,
    /// The copy that this rule has changed.
    Changed { copy: Box<Incoming>, rule: String },
    /// This rule failed; the subscription may keep the message as a dead letter.
    Failed { rule: String, error: String, is_kept: bool },
}

impl Fate {
    /// Whether the message is in the subscription or its dead letters then.
    pub fn is_taken(&self) -> bool {
        matches!(self, Fate::Copy | Fate::Changed { .. } | Fate::Failed { is_kept: true, .. })
    }
}

/// Why a rule's dead letter is there: reason and description.
pub(super) fn why_failed(rule: &str, error: &str) -> (&'static str, String) {
    ("FilterEvaluationFailed", format!("rule {rule}: {error}"))
}

impl Shard {
    /// Copies the message to every subscription whose rules let it through; returns the topic's number for it.
    pub(super) fn fan_out(
        &mut self,
        cx: &Context<'_>,
        topic: u64,
        coming: Coming<'_>,
    ) -> Result<u64, Damage> {
        let verdict = self.ask_rules(topic, &coming.incoming.message);
        let sequence = self.number_in(cx.now, topic);
        let ttl_ms = self.topic_ttl_ms(topic);
        let is_shared = self.keeps(topic) || verdict.copies() > 1;
        let stored = is_shared.then(|| self.store_body(cx.now, topic, sequence, coming));
        let fan_out = FanOut { topic, sequence, ttl_ms, coming: Coming { stored, ..coming } };
        let queue = QueueId::main(topic);
        self.journal.accepted(queue, sequence, &coming.incoming.message, coming.moved.is_some());
        self.journal.copying(queue, sequence);
        let mut is_taken = false;
        for (subscription, finding) in verdict.findings {
            let Some(fate) = self.fate(&fan_out, subscription, &finding, cx.entropy) else { continue };
            is_taken |= fate.is_taken();
            self.copy_to(cx, &fan_out, subscription, fate)?;
        }
        if !is_taken {
            self.fall_through(cx, &fan_out)?;
        }
        self.journal.copied();
        for (id, matched) in verdict.shadows {
            self.note_shadow(cx.now, &id, sequence, matched);
        }
        Ok(sequence)
    }

    /// How long a topic lets its messages live.
    pub(super) fn topic_ttl_ms(&self, topic: u64) -> u64 {
        self.catalog.get(topic).map_or(NEVER_MS, |entity| entity.settings.default_ttl_ms)
    }

    /// What becomes of the message in a subscription, after what its rules came to.
    pub(super) fn fate(
        &self,
        fan_out: &FanOut<'_>,
        subscription: u64,
        finding: &Finding,
        entropy: u64,
    ) -> Option<Fate> {
        let entity = self.catalog.get(subscription)?;
        let failed = |rule: &str, error: String| Fate::Failed {
            rule: rule.to_owned(),
            error,
            is_kept: entity.settings.dead_letter_on_filter_error,
        };
        Some(match finding {
            Finding::Copy => Fate::Copy,
            Finding::Failed { rule, error } => failed(rule, error.clone()),
            Finding::Changed(key) => {
                let rule = entity.rules.get(key)?;
                let bits = self.bits_for(entropy, subscription, fan_out.sequence, key);
                let name = &rule.rule().name;
                match self.changed(fan_out, subscription, rule, bits) {
                    Ok(copy) => Fate::Changed { copy: Box::new(copy), rule: name.clone() },
                    Err(error) => failed(name, error),
                }
            }
        })
    }

    /// Lets the subscription have what becomes of the message there.
    pub(super) fn copy_to(
        &mut self,
        cx: &Context<'_>,
        fan_out: &FanOut<'_>,
        subscription: u64,
        fate: Fate,
    ) -> Result<(), Damage> {
        let (id, coming) = (QueueId::main(subscription), fan_out.coming);
        match fate {
            Fate::Copy => {
                self.enqueue(cx, id, fan_out.ttl_ms, coming)?;
            }
            Fate::Changed { copy, rule } => {
                self.enqueue(cx, id, fan_out.ttl_ms, coming.changed(&copy, &rule))?;
            }
            Fate::Failed { rule, error, is_kept } => self.fail_rule(cx, id, &rule, &error, coming, is_kept),
        }
        Ok(())
    }

    /// Random bits for the copy that a rule makes of a message: no other copy has them.
    fn bits_for(&self, entropy: u64, subscription: u64, sequence: u64, rule: &str) -> u128 {
        let [shard, subscription, sequence] =
            [u64::from(self.id), subscription, sequence].map(u64::to_be_bytes);
        let seed = keys::fnv(keys::mix(entropy), &[shard, subscription, sequence].concat());
        let low = keys::mix(keys::fnv(seed, rule.as_bytes()));
        u128::from(keys::mix(low ^ entropy)) << 64 | u128::from(low)
    }

    /// The message as a rule's action makes it; says why it cannot be.
    fn changed(
        &self,
        fan_out: &FanOut<'_>,
        subscription: u64,
        rule: &ParsedRule,
        bits: u128,
    ) -> Result<Incoming, String> {
        let mut message = fan_out.coming.incoming.message.clone();
        rule.act(&mut message, bits).map_err(|error| error.to_string())?;
        let changed = Incoming { bytes: message.encode(), message };
        let size = self
            .catalog
            .get(fan_out.topic)
            .map_or(Ok(()), |it| changed.check_size(it.settings.max_message_bytes));
        let cost = self.catalog.get(subscription).map_or(Ok(()), |it| check_cost(it, &changed.message));
        size.and(cost).map_err(|refusal| refusal.to_string())?;
        Ok(changed)
    }

    /// A rule failed on a message: counts it, and keeps it as a dead letter where it is to be kept.
    fn fail_rule(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        rule: &str,
        error: &str,
        coming: Coming<'_>,
        is_kept: bool,
    ) {
        if let Some(queue) = self.queues.get_mut(&id) {
            queue.row_mut().filter_errors += 1;
        }
        self.touched.insert(id);
        if is_kept {
            let (reason, description) = why_failed(rule, error);
            let cause = Cause { reason, description: &description };
            self.shut_out_of(cx, QueueId::dead_letter(id.entity), coming.record(cx.now), cause);
        }
    }

    /// No subscription wanted the message: counts it, and copies it where the topic lets such messages go.
    fn fall_through(&mut self, cx: &Context<'_>, fan_out: &FanOut<'_>) -> Result<(), Damage> {
        if let Some(entity) = self.catalog.get_mut(fan_out.topic) {
            entity.topic.unmatched += 1;
        }
        self.journal.plain(StepKind::Unmatched, QueueId::main(fan_out.topic), fan_out.sequence, 0);
        if let Some(subscription) = self.fall_through_of(fan_out.topic) {
            self.enqueue(cx, QueueId::main(subscription), fan_out.ttl_ms, fan_out.coming)?;
        }
        Ok(())
    }

    /// The subscription that gets what no other wanted, if it takes messages in.
    pub(super) fn fall_through_of(&self, topic: u64) -> Option<u64> {
        let found = self.catalog.get(topic)?;
        let name = found.settings.fall_through.as_deref()?;
        let name = EntityName::new(&format!("{}/subscriptions/{name}", found.row.name)).ok()?;
        let subscription = self.catalog.find(&name)?;
        self.catalog.get(subscription).filter(|it| it.settings.may_send).map(|_| subscription)
    }

    fn note_shadow(&mut self, now: Now, id: &RuleId, sequence: u64, matched: bool) {
        let entity = self.catalog.get_mut(id.subscription);
        if let Some(rule) = entity.and_then(|entity| entity.rules.get_mut(&id.name)) {
            rule.saw(now, sequence, matched);
        }
    }

    /// The subscriptions that get a message as it came.
    pub(super) fn takers(&self, topic: u64, message: &Message) -> Vec<u64> {
        let findings = self.ask_rules(topic, message).findings;
        if findings.is_empty() {
            return self.fall_through_of(topic).into_iter().collect();
        }
        let as_it_came = findings.into_iter().filter(|(_, finding)| matches!(finding, Finding::Copy));
        as_it_came.map(|(subscription, _)| subscription).collect()
    }

    /// What the rules of one subscription say of a message.
    pub(super) fn ask_rules_of(&self, subscription: u64, message: &Message) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some(entity) = self.catalog.get(subscription) {
            let ids = entity.rules.keys().map(|name| RuleId { subscription, name: name.clone() });
            let ids: Vec<_> = ids.collect();
            verdict.add(entity, &ids.iter().collect::<Vec<_>>(), message);
        }
        verdict
    }

    pub(super) fn ask_rules(&self, topic: u64, message: &Message) -> Verdict {
        let mut verdict = Verdict::default();
        let Some(topic) = self.catalog.get(topic) else { return verdict };
        let candidates = topic.index.candidates(message);
        for of_one in candidates.chunk_by(|a, b| a.subscription == b.subscription) {
            let subscription = of_one.first().and_then(|id| self.catalog.get(id.subscription));
            if let Some(entity) = subscription.filter(|entity| entity.settings.may_send) {
                verdict.add(entity, of_one, message);
            }
        }
        verdict
    }
}

impl Verdict {
    /// How many subscriptions get a copy of the message as it came.
    fn copies(&self) -> usize {
        self.findings.iter().filter(|(_, finding)| matches!(finding, Finding::Copy)).count()
    }

    /// Asks the rules of a subscription that may let the message through.
    fn add(&mut self, entity: &Entity, candidates: &[&RuleId], message: &Message) {
        let begin = self.findings.len();
        let mut plain = None;
        for id in candidates {
            let Some(rule) = entity.rules.get(&id.name) else { continue };
            let makes_own = rule.rule().action.is_some();
            if !rule.rule().shadow && !makes_own && matches!(plain, Some(Finding::Copy)) {
                continue;
            }
            let judged = rule.judge(message);
            if rule.rule().shadow {
                let seen = (judged != Ok(false)).then(|| ((*id).clone(), judged.is_ok()));
                self.shadows.extend(seen);
                continue;
            }
            let found = match judged {
                Ok(false) => continue,
                Ok(true) if makes_own => Finding::Changed(id.name.clone()),
                Ok(true) => Finding::Copy,
                Err(error) => Finding::Failed { rule: rule.rule().name.clone(), error: error.to_string() },
            };
            if makes_own {
                self.findings.push((id.subscription, found));
            } else if plain.is_none() || matches!(found, Finding::Copy) {
                plain = Some(found);
            }
        }
        if let (Some(found), Some(id)) = (plain, candidates.first()) {
            self.findings.insert(begin, (id.subscription, found));
        }
    }
}

/// Refuses a message that costs more than a queue has units in all.
pub(super) fn check_cost(taker: &Entity, message: &Message) -> Result<(), Refusal> {
    let (name, units) = (&taker.row.name, taker.settings.capacity_units);
    match message.cost {
        Some(cost) if u64::from(cost) > units => {
            let text = format!("is {cost}, but {name} has {units} units in all (capacity_units)");
            Err(Refusal::invalid("cost", text))
        }
        _ => Ok(()),
    }
}
