//! A rule that is ready to judge messages.

use crate::context::Now;
use crate::filter::{self, Action, EvaluationError, Truth};
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::SHADOW_SAMPLES;
use postrider_protocol::message::Message;
use postrider_protocol::rule::{Filter, Rule, RuleInfo, Sample, ShadowInfo};

/// A rule as it was put, and what it was parsed to.
#[derive(Debug, Clone)]
pub struct ParsedRule {
    rule: Rule,
    /// The SQL filter, where it has one.
    sql: Option<filter::Filter>,
    action: Option<Action>,
    /// What it has seen while it was a shadow, since it was put or loaded.
    seen: ShadowInfo,
}

impl ParsedRule {
    /// Checks and parses a rule. Refuses what is beyond its limits, and SQL that means nothing.
    pub fn parse(rule: Rule, now: Now) -> Result<Self, Refusal> {
        rule.check()?;
        let sql = match &rule.filter {
            Filter::Sql(text) => {
                Some(filter::Filter::parse(text, &rule.parameters).map_err(of("rule.filter"))?)
            }
            Filter::True | Filter::False | Filter::Correlation(_) => None,
        };
        let action = rule.action.as_ref().map(|text| Action::parse(text, &rule.parameters)).transpose();
        let action = action.map_err(of("rule.action"))?;
        let seen = ShadowInfo { since_ms: now.wall_ms, ..ShadowInfo::default() };
        Ok(ParsedRule { rule, sql, action, seen })
    }

    /// The rule as it was put.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What finds it among the rules of its subscription: its name without case.
    pub fn key(&self) -> String {
        self.rule.name.to_ascii_lowercase()
    }

    /// Its SQL filter, where it has one.
    pub fn sql(&self) -> Option<&filter::Filter> {
        self.sql.as_ref()
    }

    /// The rule, a real one from now on.
    pub fn promoted(&self) -> ParsedRule {
        let rule = Rule { shadow: false, ..self.rule.clone() };
        ParsedRule { rule, ..self.clone() }
    }

    /// Whether it lets a message through.
    pub(crate) fn judge(&self, message: &Message) -> Result<bool, EvaluationError> {
        Ok(self.truth(message)? == Truth::True)
    }

    /// What its filter says of a message.
    pub(super) fn truth(&self, message: &Message) -> Result<Truth, EvaluationError> {
        match &self.sql {
            Some(sql) => sql.matches(message),
            None => Ok(Truth::from(self.rule.filter.matches(message))),
        }
    }

    /// Changes a copy of a message as the rule's action says. `bits` are random, and the copy's alone.
    pub(crate) fn act(&self, message: &mut Message, bits: u128) -> Result<(), EvaluationError> {
        self.action.as_ref().map_or(Ok(()), |action| action.apply(message, bits))
    }

    /// Counts a message that it would have let through, under the topic's number, or failed on.
    pub(crate) fn saw(&mut self, now: Now, sequence: u64, matched: bool) {
        let seen = &mut self.seen;
        if !matched {
            seen.failed += 1;
            return;
        }
        seen.matched += 1;
        if seen.samples.len() == SHADOW_SAMPLES {
            seen.samples.remove(0);
        }
        seen.samples.push(Sample { sequence, time_ms: now.wall_ms });
    }

    /// The rule as listings have it.
    pub fn info(&self) -> RuleInfo {
        RuleInfo { rule: self.rule.clone(), shadow: self.rule.shadow.then(|| self.seen.clone()) }
    }
}

/// Names the field that a refusal is about, as requests have it.
fn of(field: &'static str) -> impl Fn(Refusal) -> Refusal {
    move |refusal| Refusal { field: field.to_owned(), ..refusal }
}
