//! Rules of a subscription: which messages of the topic it gets.

use crate::error::Refusal;
use crate::limits;
use crate::message::Message;
use crate::value::Value;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// The name of the rule that a new subscription has.
pub const DEFAULT_RULE: &str = "$default";

/// A named filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique within the subscription; 1 to 50 characters of `A-Z a-z 0-9 . _ - $`.
    pub name: String,
    /// What it lets through.
    pub filter: Filter,
}

/// What a rule lets through.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Everything.
    True,
    /// Nothing.
    False,
    /// Messages whose fields all have the given values.
    Correlation(Vec<Condition>),
    /// An SQL expression over the properties. Named for the wire; this version refuses it.
    Sql(String),
}

/// One field of a correlation filter and the value it must have.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// A system property (`subject`, `message_id`, ...) rather than an application property.
    pub system: bool,
    /// The property's name; case does not matter.
    pub name: String,
    /// The value; case matters.
    pub value: Value,
}

const SYSTEM_FIELDS: &[&str] = &[
    "message_id",
    "correlation_id",
    "subject",
    "label",
    "to",
    "reply_to",
    "reply_to_session_id",
    "session_id",
    "content_type",
];

impl Rule {
    /// The rule of a new subscription: everything.
    pub fn default_rule() -> Self {
        Rule { name: DEFAULT_RULE.to_owned(), filter: Filter::True }
    }

    /// Refuses a name or a filter that is not allowed, and what is not available yet.
    pub fn check(&self) -> Result<(), Refusal> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
        if self.name.is_empty() || self.name.len() > limits::RULE_NAME_CHARS || !self.name.chars().all(good) {
            let most = limits::RULE_NAME_CHARS;
            return Err(Refusal::invalid("rule.name", format!("must be 1 to {most} of A-Z a-z 0-9 . _ - $")));
        }
        match &self.filter {
            Filter::True | Filter::False => Ok(()),
            Filter::Sql(_) => Err(Refusal::invalid(
                "rule.filter",
                "SQL filters are not available in this version; use a correlation filter",
            )),
            Filter::Correlation(conditions) => check_conditions(conditions),
        }
    }

    /// Writes the rule: text name, filter.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.name);
        self.filter.put(out);
    }

    /// Reads a rule.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Rule { name: reader.text("rule.name")?, filter: Filter::read(reader)? })
    }
}

fn check_conditions(conditions: &[Condition]) -> Result<(), Refusal> {
    if conditions.is_empty() {
        return Err(Refusal::invalid("rule.filter", "a correlation filter needs at least one field"));
    }
    for condition in conditions {
        let known = SYSTEM_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(&condition.name));
        if condition.system && !known {
            return Err(Refusal::invalid(
                "rule.filter",
                format!("sys.{} is not a field; fields are {}", condition.name, SYSTEM_FIELDS.join(", ")),
            ));
        }
        let chars = condition.name.chars().count();
        if chars == 0 || chars > limits::PROPERTY_NAME_CHARS {
            let most = limits::PROPERTY_NAME_CHARS;
            return Err(Refusal::invalid(
                "rule.filter",
                format!("a property's name has 1 to {most} characters"),
            ));
        }
    }
    Ok(())
}

impl Filter {
    /// A correlation filter over application properties.
    pub fn properties<N: Into<String>, V: Into<Value>>(conditions: impl IntoIterator<Item = (N, V)>) -> Self {
        let condition =
            |(name, value): (N, V)| Condition { system: false, name: name.into(), value: value.into() };
        Filter::Correlation(conditions.into_iter().map(condition).collect())
    }

    /// Whether the filter lets `message` through.
    pub fn matches(&self, message: &Message) -> bool {
        match self {
            Filter::True => true,
            Filter::False | Filter::Sql(_) => false,
            Filter::Correlation(conditions) => conditions.iter().all(|condition| condition.holds(message)),
        }
    }

    /// Writes the filter: u8 kind (0 true, 1 false, 2 correlation, 3 SQL), then its content.
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            Filter::True => out.put_u8(0),
            Filter::False => out.put_u8(1),
            Filter::Correlation(conditions) => {
                out.put_u8(2);
                wire::put_list(out, conditions, |out, condition| {
                    out.put_u8(u8::from(condition.system));
                    wire::put_text(out, &condition.name);
                    condition.value.put(out);
                });
            }
            Filter::Sql(text) => {
                out.put_u8(3);
                wire::put_text(out, text);
            }
        }
    }

    /// Reads a filter.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("filter.kind")? {
            0 => Filter::True,
            1 => Filter::False,
            2 => Filter::Correlation(reader.list("filter.conditions", 4, 64, |reader| {
                Ok(Condition {
                    system: reader.bool("condition.system")?,
                    name: reader.text("condition.name")?,
                    value: Value::read(reader)?,
                })
            })?),
            3 => Filter::Sql(reader.text("filter.sql")?),
            other => return Err(Malformed::new("filter.kind", format!("found {other}, kinds are 0 to 3"))),
        })
    }
}

impl Condition {
    fn holds(&self, message: &Message) -> bool {
        if self.system {
            return message.system_property(&self.name).is_some_and(|found| found.matches(&self.value));
        }
        message.property(&self.name).is_some_and(|found| found.matches(&self.value))
    }
}

/// As the CLI shows it.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::True => f.write_str("true"),
            Filter::False => f.write_str("false"),
            Filter::Sql(text) => f.write_str(text),
            Filter::Correlation(conditions) => {
                for (at, condition) in conditions.iter().enumerate() {
                    let (and, scope) =
                        (if at > 0 { " AND " } else { "" }, if condition.system { "sys." } else { "" });
                    write!(f, "{and}{scope}{} = ", condition.name)?;
                    match &condition.value {
                        Value::Text(text) => write!(f, "'{}'", text.replace('\'', "''"))?,
                        other => other.fmt(f)?,
                    }
                }
                Ok(())
            }
        }
    }
}
