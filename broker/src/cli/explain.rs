//! `postrider topic explain`: what the rules of a topic would do with a message.

use super::connect::Global;
use super::failure::Failure;
use super::output::{Row, harmless};
use super::send::Fields;
use super::{line, message};
use clap::{ArgGroup, Args};
use postrider_client::{
    ExplainedFate, ExplainedOutcome, ExplainedPart, ExplainedRule, ExplainedSubscription, Explanation,
};
use postrider_protocol::message::Message;
use postrider_protocol::options::EntityKind;
use serde_json::{Value, json};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::slice;
use tokio::io::AsyncReadExt;

/// Show what the rules of a topic would do with a message, which is not sent
///
/// Each rule of each subscription with TRUE, FALSE, UNKNOWN or its error, the values that it saw, and the copies and dead
/// letters that would come of it. Nothing is stored, delivered or counted. The message is a JSON document as `send` reads
/// them and `peek` shows them; flags add to it, or are all of it.
#[derive(Args)]
#[command(
    group(ArgGroup::new("one").multiple(true).required(true).args(GIVEN)),
    after_help = examples!(
        "postrider topic explain order-events --message order.json",
        "postrider topic explain order-events --property region=eu --property total:int=120 --subject New",
        "postrider peek orders --limit 1 --output jsonl | postrider topic explain order-events --message -",
    )
)]
pub struct Explain {
    /// The topic
    topic: String,
    /// A file with the message as JSON; - for standard input
    #[arg(long, value_name = "PATH")]
    message: Option<PathBuf>,
    #[command(flatten)]
    fields: Fields,
}

/// What says something about the message: one of them is enough.
const GIVEN: [&str; 13] = [
    "message",
    "message_id",
    "correlation_id",
    "subject",
    "reply_to",
    "content_type",
    "properties",
    "session",
    "ttl",
    "at",
    "delay",
    "priority",
    "cost",
];

impl Explain {
    /// Asks, and shows the answer.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let message = match &self.message {
            Some(path) => line::parse(&read(path).await?).map_err(Failure::usage)?,
            None => Message::default(),
        };
        let message = self.fields.upon(message)?;
        let client = global.connect().await?;
        let explained = client.admin().explain(&self.topic, message.clone()).await;
        let explanation = explained.map_err(Failure::about(EntityKind::Topic))?;
        let row = row(&self.topic, &explanation);
        Ok(global.printer().told(&text(&self.topic, &explanation, &message), &row)?)
    }
}

async fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => tokio::io::stdin().read_to_string(&mut text).await.map(|_| text),
        false => tokio::fs::read_to_string(path).await,
    };
    read.map_err(|error| Failure::file(&path.to_string_lossy(), &error))
}

/// A line of the text: how deep it is, what it is about, and what that came to.
type Line = (usize, String, String);

/// The widest text that values of other lines stand behind.
const WIDEST: usize = 60;

/// A tree: subscriptions, in them rules with the parts of their filters, and what comes of them.
fn text(topic: &str, explanation: &Explanation, sent: &Message) -> String {
    let lines: Vec<_> = explanation.subscriptions.iter().flat_map(|of| lines(of, sent)).collect();
    let width = |(depth, text, value): &Line| (!value.is_empty()).then(|| 2 * depth + text.chars().count());
    let widest = lines.iter().filter_map(width).filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let mut shown = String::new();
    for (depth, text, value) in &lines {
        let line = format!("{:indent$}{}", "", harmless(text), indent = 2 * depth);
        let line = if value.is_empty() { line } else { format!("{line:widest$}  {}", harmless(value)) };
        shown += &(line + "\n");
    }
    shown + &verdict(topic, explanation) + "\n"
}

fn lines(subscription: &ExplainedSubscription, sent: &Message) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![(0, own_name(&subscription.name).to_owned(), String::new())];
    subscription.rules.iter().for_each(|rule| rule_lines(rule, &mut lines));
    subscription.outcomes.iter().for_each(|outcome| outcome_lines(outcome, sent, &mut lines));
    if let Some(status) = &subscription.disabled {
        lines.push((
            1,
            "=> nothing".to_owned(),
            format!("the subscription is {status} and takes nothing in"),
        ));
    } else if subscription.outcomes.is_empty() {
        lines.push((1, "=> nothing".to_owned(), String::new()));
    }
    lines
}

/// The rule with its whole filter, the parts of that, and the action.
fn rule_lines(rule: &ExplainedRule, lines: &mut Vec<Line>) {
    let shadow = if rule.shadow { " (shadow)" } else { "" };
    for part in &rule.filter {
        let text = match part.depth {
            0 => format!("{}{shadow}: {}", rule.name, part.text),
            _ => part.text.clone(),
        };
        lines.push((1 + usize::from(part.depth), text, part.value.clone()));
    }
    if !rule.action.is_empty() {
        lines.push((2, format!("action: {}", rule.action), String::new()));
    }
}

fn outcome_lines(outcome: &ExplainedOutcome, sent: &Message, lines: &mut Vec<Line>) {
    let of = outcome.rule_name.as_ref().map(|rule| format!(" of rule {rule}")).unwrap_or_default();
    match &outcome.fate {
        ExplainedFate::Copy(_) if of.is_empty() => {
            lines.push((1, "=> copy".to_owned(), "as sent".to_owned()));
        }
        ExplainedFate::Copy(copy) => {
            lines.push((1, format!("=> copy{of}"), String::new()));
            let (before, after) = (message::header(sent), message::header(copy));
            let changed = after.into_iter().zip(before).filter(|(after, before)| after != before);
            let changed = changed.map(|((name, value), _)| (2, format!("sys.{name}"), value.to_string()));
            lines.extend(changed);
            let property =
                |(name, value): &(String, _)| (2, name.clone(), super::value::to_json(value).to_string());
            lines.extend(copy.properties.iter().map(property));
        }
        ExplainedFate::DeadLetter { reason, description } => {
            lines.push((1, "=> dead letter".to_owned(), format!("{reason}: {description}")));
        }
        ExplainedFate::Dropped { error } => {
            let why = format!("{error}; dead_letter_on_filter_error is off");
            lines.push((1, format!("=> nothing{of}"), why));
        }
    }
}

/// What it comes to in all.
fn verdict(topic: &str, explanation: &Explanation) -> String {
    let (copies, dead_letters) = (explanation.copies().count(), dead_letters(explanation));
    let count = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let mut text = format!("{topic}: {}", count(copies, "copy", "copies"));
    if dead_letters > 0 {
        text += &format!(", {}", count(dead_letters, "dead letter", "dead letters"));
    }
    match &explanation.fall_through {
        Some(name) => {
            text += &format!("; no other subscription wants it, so it falls through to {}", own_name(name));
        }
        None if explanation.unmatched => {
            text += "; no subscription wants it, it would be counted as unmatched and gone";
        }
        None => {}
    }
    harmless(&text)
}

fn dead_letters(explanation: &Explanation) -> usize {
    let outcomes = explanation.subscriptions.iter().flat_map(|of| &of.outcomes);
    outcomes.filter(|outcome| matches!(outcome.fate, ExplainedFate::DeadLetter { .. })).count()
}

fn own_name(subscription: &str) -> &str {
    subscription.rsplit('/').next().unwrap_or(subscription)
}

fn row(topic: &str, explanation: &Explanation) -> Row {
    let subscriptions: Vec<_> = explanation.subscriptions.iter().map(subscription).collect();
    let row = Row::new().data("topic", topic).data("copies", explanation.copies().count());
    let row = row.data("dead_letters", dead_letters(explanation)).data("unmatched", explanation.unmatched);
    row.data("fall_through", explanation.fall_through.clone()).data("subscriptions", subscriptions)
}

fn subscription(of: &ExplainedSubscription) -> Value {
    json!({
        "name": of.name,
        "disabled": of.disabled,
        "rules": of.rules.iter().map(rule).collect::<Vec<_>>(),
        "outcomes": of.outcomes.iter().map(outcome).collect::<Vec<_>>(),
    })
}

fn rule(rule: &ExplainedRule) -> Value {
    let filter = tree(&mut rule.filter.iter().peekable(), 0).into_iter().next();
    json!({
        "name": rule.name,
        "result": rule.verdict.to_string(),
        "shadow": rule.shadow,
        "action": (!rule.action.is_empty()).then_some(&rule.action),
        "filter": filter,
    })
}

/// The next parts that are so deep, each with its own ones in it.
fn tree(parts: &mut Peekable<slice::Iter<'_, ExplainedPart>>, depth: u16) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(part) = parts.next_if(|part| part.depth >= depth) {
        let inner = tree(parts, part.depth.saturating_add(1));
        all.push(json!({ "text": part.text, "value": part.value, "parts": inner }));
    }
    all
}

fn outcome(outcome: &ExplainedOutcome) -> Value {
    let rule_name = &outcome.rule_name;
    match &outcome.fate {
        ExplainedFate::Copy(copy) => {
            json!({ "kind": "copy", "rule_name": rule_name, "message": message::sent(copy).json() })
        }
        ExplainedFate::DeadLetter { reason, description } => json!({
            "kind": "dead-letter",
            "rule_name": rule_name,
            "dead_letter_reason": reason,
            "dead_letter_description": description,
        }),
        ExplainedFate::Dropped { error } => {
            json!({ "kind": "nothing", "rule_name": rule_name, "error": error })
        }
    }
}
