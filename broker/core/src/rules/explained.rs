//! What a rule says of a message, part by part.

use super::ParsedRule;
use crate::filter::{Explanation, Truth, shown};
use postrider_protocol::explain::{ExplainedRule, Part, Verdict};
use postrider_protocol::message::Message;
use postrider_protocol::rule::{Condition, Filter};
use postrider_protocol::value::Value;

impl ParsedRule {
    /// Judges a message as [`ParsedRule::judge`] does, and says what each part of the filter came to.
    pub(crate) fn explain(&self, message: &Message) -> ExplainedRule {
        let rule = self.rule();
        let verdict = match self.truth(message) {
            Ok(Truth::True) => Verdict::True,
            Ok(Truth::False) => Verdict::False,
            Ok(Truth::Unknown) => Verdict::Unknown,
            Err(_) => Verdict::Failed,
        };
        let filter = match (self.sql(), &rule.filter) {
            (Some(sql), _) => sql.explain(message),
            (None, Filter::Correlation(conditions)) => correlation(conditions, verdict, message),
            (None, other) => part(other.to_string(), verdict.to_string(), Vec::new()),
        };
        let mut parts = Vec::new();
        flatten(filter, 0, &mut parts);
        ExplainedRule {
            name: rule.name.clone(),
            shadow: rule.shadow,
            action: rule.action.clone().unwrap_or_default(),
            verdict,
            filter: parts,
        }
    }
}

/// One part for each condition, under one for all of them where they are several.
fn correlation(conditions: &[Condition], verdict: Verdict, message: &Message) -> Explanation {
    let mut parts: Vec<_> = conditions.iter().map(|condition| explain(condition, message)).collect();
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let texts: Vec<_> = parts.iter().map(|part| part.text.as_str()).collect();
    part(texts.join(" AND "), verdict.to_string(), parts)
}

/// Whether the condition holds, and the value that it looked at.
fn explain(condition: &Condition, message: &Message) -> Explanation {
    let name = format!("{}{}", if condition.system { "sys." } else { "" }, condition.name);
    let found = match condition.system {
        true => message.system_property(&condition.name).filter(|value| *value != Value::Null),
        false => message.property(&condition.name).cloned(),
    };
    let found = found.map_or_else(|| "missing".to_owned(), |value| shown(&value));
    let verdict = if condition.holds(message) { Verdict::True } else { Verdict::False };
    let text = format!("{name} = {}", shown(&condition.value));
    part(text, verdict.to_string(), vec![part(name, found, Vec::new())])
}

fn part(text: String, value: String, children: Vec<Explanation>) -> Explanation {
    Explanation { text, value, children }
}

fn flatten(part: Explanation, depth: u16, parts: &mut Vec<Part>) {
    parts.push(Part { depth, text: part.text, value: part.value });
    part.children.into_iter().for_each(|child| flatten(child, depth + 1, parts));
}
