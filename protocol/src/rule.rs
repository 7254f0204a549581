//! Rules of a subscription: which messages of the topic it gets.

use crate::error::Refusal;
use crate::limits;
use crate::message::Message;
use crate::value::{Value, put_properties};
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// The name of the rule that a new subscription has.
pub const DEFAULT_RULE: &str = "$default";

/// A named filter, and what becomes of the messages that it lets through.
///
/// ```
/// use postrider_protocol::rule::{Filter, Rule};
/// let high = Rule::new("high", Filter::properties([("priority", "high")]));
/// let large = Rule::sql("large", "total >= @least").with_parameter("least", 1_000i64);
/// let marked = Rule::sql("eu", "region LIKE 'eu-%'").with_action("SET zone = 'eu'").as_shadow();
/// # for rule in [high, large, marked] { rule.check().unwrap(); }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique within the subscription; 1 to 50 characters of `A-Z a-z 0-9 . _ - $`.
    pub name: String,
    /// What it lets through.
    pub filter: Filter,
    /// What is done to the copy of a message that it lets through, as SQL: the copy is the rule's own then.
    pub action: Option<String>,
    /// The values of the parameters that filter and action name: each name with or without its `@`.
    pub parameters: Vec<(String, Value)>,
    /// Whether it only counts what it would let through.
    pub shadow: bool,
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
    /// An SQL expression over the properties. Whether it is one, the broker says.
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
    /// Bytes of the shortest one.
    pub const LEAST_BYTES: usize = 10;

    /// A rule that lets through what the filter does.
    pub fn new(name: impl Into<String>, filter: Filter) -> Self {
        Rule { name: name.into(), filter, action: None, parameters: Vec::new(), shadow: false }
    }

    /// A rule that lets through what an SQL filter does.
    pub fn sql(name: impl Into<String>, text: impl Into<String>) -> Self {
        Rule::new(name, Filter::Sql(text.into()))
    }

    /// The rule of a new subscription: everything.
    pub fn default_rule() -> Self {
        Rule::new(DEFAULT_RULE, Filter::True)
    }

    /// The same rule with a value for `@name` in its filter and its action.
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// The same rule, which makes a copy of its own of each message it lets through, and changes it: such as
    /// `SET priority = 'high'; REMOVE trace`.
    pub fn with_action(self, text: impl Into<String>) -> Self {
        Rule { action: Some(text.into()), ..self }
    }

    /// The same rule, which only counts what it would let through.
    pub fn as_shadow(self) -> Self {
        Rule { shadow: true, ..self }
    }

    /// Refuses what is beyond its limits. Whether SQL says something is the broker's.
    pub fn check(&self) -> Result<(), Refusal> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
        if self.name.is_empty() || self.name.len() > limits::RULE_NAME_CHARS || !self.name.chars().all(good) {
            let most = limits::RULE_NAME_CHARS;
            return Err(Refusal::invalid("rule.name", format!("must be 1 to {most} of A-Z a-z 0-9 . _ - $")));
        }
        self.check_parameters()?;
        if let Filter::Correlation(conditions) = &self.filter {
            check_conditions(conditions)?;
        }
        let mut laid_out = BytesMut::new();
        self.put(&mut laid_out);
        let (size, most) = (laid_out.len(), limits::RULE_BYTES);
        if size <= most {
            return Ok(());
        }
        Err(Refusal::invalid("rule", format!("has {size} bytes, at most {most} are allowed")))
    }

    fn check_parameters(&self) -> Result<(), Refusal> {
        let (count, most) = (self.parameters.len(), limits::RULE_PARAMETERS);
        if count > most {
            let text = format!("are {count}, at most {most} are allowed");
            return Err(Refusal::invalid("rule.parameters", text));
        }
        let folded = |name: &str| -> String {
            name.strip_prefix('@').unwrap_or(name).chars().flat_map(char::to_lowercase).collect()
        };
        let mut names: Vec<_> = self.parameters.iter().map(|(name, _)| folded(name)).collect();
        names.sort_unstable();
        if names.first().is_some_and(String::is_empty) {
            return Err(Refusal::invalid("rule.parameters", "have one without a name"));
        }
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(Refusal::invalid("rule.parameters", format!("have @{} twice", pair[0]))),
        }
    }

    /// Writes the rule: text name, filter, text action (empty: none), list of (text name, value), bool shadow.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.name);
        self.filter.put(out);
        wire::put_text(out, self.action.as_deref().unwrap_or_default());
        put_properties(out, &self.parameters);
        out.put_u8(u8::from(self.shadow));
    }

    /// Reads a rule.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Rule {
            name: reader.text("rule.name")?,
            filter: Filter::read(reader)?,
            action: Some(reader.text("rule.action")?).filter(|action| !action.is_empty()),
            parameters: reader.list("rule.parameters", 3, limits::RULE_PARAMETERS, |reader| {
                Ok((reader.text("parameter.name")?, Value::read(reader)?))
            })?,
            shadow: reader.bool("rule.shadow")?,
        })
    }
}

/// A rule as a listing has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleInfo {
    /// The rule.
    pub rule: Rule,
    /// What it has seen, where it is a shadow rule.
    pub shadow: Option<ShadowInfo>,
}

/// What a shadow rule has seen since it was put, or since the broker started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShadowInfo {
    /// Since when it counts, UTC milliseconds.
    pub since_ms: u64,
    /// Messages that it would have let through.
    pub matched: u64,
    /// Messages that its filter failed on.
    pub failed: u64,
    /// The last messages that it would have let through, the latest last; at most [`limits::SHADOW_SAMPLES`].
    pub samples: Vec<Sample>,
}

/// A message that a shadow rule would have let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// The topic's number for it.
    pub sequence: u64,
    /// When it was, UTC milliseconds.
    pub time_ms: u64,
}

impl RuleInfo {
    /// Bytes of the shortest one.
    pub const LEAST_BYTES: usize = Rule::LEAST_BYTES;

    /// Writes the entry of a listing: rule, and for a shadow rule u64 since_ms, u64 matched, u64 failed, list of
    /// (u64 sequence, u64 time_ms).
    pub fn put(&self, out: &mut BytesMut) {
        self.rule.put(out);
        if self.rule.shadow {
            self.shadow.clone().unwrap_or_default().put(out);
        }
    }

    /// Reads it.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let rule = Rule::read(reader)?;
        let shadow = if rule.shadow { Some(ShadowInfo::read(reader)?) } else { None };
        Ok(RuleInfo { rule, shadow })
    }
}

impl ShadowInfo {
    fn put(&self, out: &mut BytesMut) {
        [self.since_ms, self.matched, self.failed].into_iter().for_each(|number| out.put_u64(number));
        wire::put_list(out, &self.samples, |out, sample| {
            out.put_u64(sample.sequence);
            out.put_u64(sample.time_ms);
        });
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ShadowInfo {
            since_ms: reader.u64("rule.since_ms")?,
            matched: reader.u64("rule.matched")?,
            failed: reader.u64("rule.failed")?,
            samples: reader.list("rule.samples", 16, limits::SHADOW_SAMPLES, |reader| {
                Ok(Sample {
                    sequence: reader.u64("sample.sequence")?,
                    time_ms: reader.u64("sample.time_ms")?,
                })
            })?,
        })
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

    /// Whether the filter lets `message` through; what an SQL filter lets through is the broker's to say.
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
    /// Whether a message has the value.
    pub fn holds(&self, message: &Message) -> bool {
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
