//! The options of entities: one table that names, bounds, reads, writes and explains each of them.

use crate::error::Refusal;
use crate::limits;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};
use std::collections::BTreeMap;
use std::fmt;

/// What kind of thing an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// Messages wait for competing consumers.
    Queue,
    /// Messages are copied to subscriptions.
    Topic,
    /// A queue fed by a topic through rules.
    Subscription,
}

impl EntityKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [EntityKind; 3] = [EntityKind::Queue, EntityKind::Topic, EntityKind::Subscription];

    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            EntityKind::Queue => "queue",
            EntityKind::Topic => "topic",
            EntityKind::Subscription => "subscription",
        }
    }

    /// The kind's code in bytes.
    pub fn code(self) -> u8 {
        match self {
            EntityKind::Queue => 0,
            EntityKind::Topic => 1,
            EntityKind::Subscription => 2,
        }
    }

    /// Reads a code.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let code = reader.u8("kind")?;
        Self::ALL.into_iter().find(|kind| kind.code() == code).ok_or_else(|| {
            Malformed::new("kind", format!("found {code}, kinds are 0 queue, 1 topic, 2 subscription"))
        })
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// A count, or milliseconds, or bytes: the option's name says which.
    Number(u64),
    /// On or off.
    Flag(bool),
    /// A name, an address, or one of a list of words.
    Text(String),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Number(number) => number.fmt(f),
            OptionValue::Flag(flag) => flag.fmt(f),
            OptionValue::Text(text) => f.write_str(text),
        }
    }
}

/// What an option's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// A number between two bounds, both included.
    Number(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Number(low, u64::MAX) => write!(f, "a number from {low}"),
            Allowed::Number(low, high) => write!(f, "a number from {low} to {high}"),
            Allowed::Flag => f.write_str("true or false"),
            Allowed::Word(words) => write!(f, "one of {}", words.join(", ")),
            Allowed::Text => f.write_str("a text"),
        }
    }
}

/// One row of the table of options.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// The option's code in bytes.
    pub code: u8,
    /// Its name, unit last.
    pub name: &'static str,
    /// What it may be set to.
    pub allowed: Allowed,
    /// The kinds of entities that have it.
    pub kinds: &'static [EntityKind],
    /// Whether this version honours it; what it does not honour is refused by name.
    pub available: bool,
    /// What it does, for `--help`.
    pub help: &'static str,
}

const QUEUES: &[EntityKind] = &[EntityKind::Queue, EntityKind::Subscription];
const ALL: &[EntityKind] = &[EntityKind::Queue, EntityKind::Topic, EntityKind::Subscription];
const HOLDS: &[EntityKind] = &[EntityKind::Queue, EntityKind::Topic];
const NUMBER: Allowed = Allowed::Number(1, u64::MAX);

const fn row(
    code: u8,
    name: &'static str,
    allowed: Allowed,
    kinds: &'static [EntityKind],
    available: bool,
    help: &'static str,
) -> OptionSpec {
    OptionSpec { code, name, allowed, kinds, available, help }
}

/// `lock_duration_ms`.
pub const LOCK_DURATION_MS: u8 = 1;
/// `max_delivery_count`.
pub const MAX_DELIVERY_COUNT: u8 = 2;
/// `max_message_bytes`.
pub const MAX_MESSAGE_BYTES: u8 = 3;

/// All options there are.
#[rustfmt::skip]
pub const TABLE: &[OptionSpec] = &[
    row(LOCK_DURATION_MS, "lock_duration_ms", Allowed::Number(*limits::LOCK_DURATION_MS.start(), *limits::LOCK_DURATION_MS.end()), QUEUES, true,
        "how long a delivered message stays locked (default 60000)"),
    row(MAX_DELIVERY_COUNT, "max_delivery_count", Allowed::Number(1, 1 << 31), QUEUES, true,
        "failed deliveries after which a message is dead-lettered (default 10)"),
    row(MAX_MESSAGE_BYTES, "max_message_bytes", Allowed::Number(1, limits::MESSAGE_BYTES_CEILING as u64), HOLDS, true,
        "the largest message taken, header and body (default 1048576)"),
    row(4, "default_ttl_ms", NUMBER, ALL, false, "time to live of messages that set none"),
    row(5, "dead_letter_on_expiration", Allowed::Flag, QUEUES, false, "expired messages go to the dead-letter queue"),
    row(6, "dead_letter_on_filter_error", Allowed::Flag, &[EntityKind::Subscription], false, "messages whose filter fails go to the dead-letter queue"),
    row(7, "requires_session", Allowed::Flag, QUEUES, false, "messages belong to sessions, delivered in order"),
    row(8, "dedup_window_ms", Allowed::Number(1_000, 7 * 86_400_000), HOLDS, false, "how long a message_id is remembered"),
    row(9, "max_bytes", NUMBER, QUEUES, false, "bytes the queue may hold"),
    row(10, "max_messages", NUMBER, QUEUES, false, "messages the queue may hold"),
    row(11, "on_full", Allowed::Word(&["reject", "drop-oldest"]), QUEUES, false, "what a full queue does"),
    row(12, "auto_delete_on_idle_ms", Allowed::Number(300_000, u64::MAX), ALL, false, "deletes the entity after so long without use"),
    row(13, "forward_to", Allowed::Text, QUEUES, false, "where messages are passed on to"),
    row(14, "forward_dead_letters_to", Allowed::Text, QUEUES, false, "where dead letters are passed on to"),
    row(15, "retry", Allowed::Text, QUEUES, false, "delays between delivery attempts"),
    row(16, "priority_levels", Allowed::Number(1, 10), QUEUES, false, "levels of priority inside the queue"),
    row(17, "capacity_units", NUMBER, QUEUES, false, "sum of the costs in flight over all consumers"),
    row(18, "balance", Allowed::Word(&["least-outstanding", "round-robin", "weighted", "least-latency", "key-hash"]), QUEUES, false,
        "how consumers share the work (least-outstanding in this version)"),
    row(19, "group", Allowed::Text, HOLDS, false, "entities of one group share transactions"),
    row(20, "status", Allowed::Word(&["active", "send-disabled", "receive-disabled", "disabled"]), ALL, false, "what is allowed at the moment"),
];

impl OptionSpec {
    /// The row of a code.
    pub fn by_code(code: u8) -> Option<&'static OptionSpec> {
        TABLE.iter().find(|spec| spec.code == code)
    }

    /// The row of a name; `-` and `_` are the same.
    pub fn by_name(name: &str) -> Option<&'static OptionSpec> {
        let name = name.replace('-', "_");
        TABLE.iter().find(|spec| spec.name == name)
    }

    /// Reads a value from its text. Refuses with what is allowed.
    pub fn parse(&self, text: &str) -> Result<OptionValue, Refusal> {
        let value = match self.allowed {
            Allowed::Number(..) => text.parse().ok().map(OptionValue::Number),
            Allowed::Flag => text.parse().ok().map(OptionValue::Flag),
            Allowed::Word(_) | Allowed::Text => Some(OptionValue::Text(text.to_owned())),
        };
        let value = value.ok_or_else(|| self.not_allowed(&text))?;
        self.check(&value)?;
        Ok(value)
    }

    /// Checks a value against what is allowed.
    pub fn check(&self, value: &OptionValue) -> Result<(), Refusal> {
        let fits = match (self.allowed, value) {
            (Allowed::Number(low, high), OptionValue::Number(number)) => (low..=high).contains(number),
            (Allowed::Flag, OptionValue::Flag(_)) | (Allowed::Text, OptionValue::Text(_)) => true,
            (Allowed::Word(words), OptionValue::Text(text)) => words.contains(&text.as_str()),
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.not_allowed(value)) }
    }

    fn not_allowed(&self, found: &dyn fmt::Display) -> Refusal {
        Refusal::invalid(self.name, format!("found {found}, allowed is {}", self.allowed))
    }
}

/// Options of one entity: those that are set, by code.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options(BTreeMap<u8, OptionValue>);

impl Options {
    /// No option set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option by name. Refuses an unknown name, a value that is not allowed.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), Refusal> {
        let spec = OptionSpec::by_name(name).ok_or_else(|| {
            let names: Vec<_> = TABLE.iter().filter(|spec| spec.available).map(|spec| spec.name).collect();
            Refusal::invalid("option", format!("{name:?} is not an option; options are {}", names.join(", ")))
        })?;
        self.0.insert(spec.code, spec.parse(text)?);
        Ok(())
    }

    /// The same options with the number `value` under `code`.
    pub fn with_number(mut self, code: u8, value: u64) -> Self {
        self.0.insert(code, OptionValue::Number(value));
        self
    }

    /// The number under `code`, or `default` where it is not set.
    pub fn number(&self, code: u8, default: u64) -> u64 {
        match self.0.get(&code) {
            Some(OptionValue::Number(number)) => *number,
            _ => default,
        }
    }

    /// The options that are set, with their rows.
    pub fn iter(&self) -> impl Iterator<Item = (&'static OptionSpec, &OptionValue)> {
        self.0.iter().filter_map(|(code, value)| Some((OptionSpec::by_code(*code)?, value)))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over what `changes` sets.
    pub fn update(&mut self, changes: &Options) {
        self.0.extend(changes.0.iter().map(|(code, value)| (*code, value.clone())));
    }

    /// Refuses what an entity of `kind` cannot have, what is out of bounds, and what is not available yet.
    pub fn check(&self, kind: EntityKind) -> Result<(), Refusal> {
        for (code, value) in &self.0 {
            let spec = OptionSpec::by_code(*code)
                .ok_or_else(|| Refusal::invalid("options", format!("there is no option with code {code}")))?;
            if !spec.kinds.contains(&kind) {
                return Err(Refusal::invalid(spec.name, format!("is not an option of a {kind}")));
            }
            if !spec.available {
                return Err(Refusal::invalid(spec.name, "is not available in this version; leave it out"));
            }
            spec.check(value)?;
        }
        Ok(())
    }

    /// Writes the options: a list of (u8 code, u8 kind, value).
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_count(out, self.0.len());
        for (code, value) in &self.0 {
            out.put_u8(*code);
            match value {
                OptionValue::Number(number) => {
                    out.put_u8(0);
                    out.put_u64(*number);
                }
                OptionValue::Flag(flag) => {
                    out.put_u8(1);
                    out.put_u8(u8::from(*flag));
                }
                OptionValue::Text(text) => {
                    out.put_u8(2);
                    wire::put_text(out, text);
                }
            }
        }
    }

    /// Reads options. Codes and values are judged later, by [`Options::check`].
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let list = reader.list("options", 3, u8::MAX as usize, |reader| {
            let code = reader.u8("option.code")?;
            let value = match reader.u8("option.kind")? {
                0 => OptionValue::Number(reader.u64("option.value")?),
                1 => OptionValue::Flag(reader.bool("option.value")?),
                2 => OptionValue::Text(reader.text("option.value")?),
                other => {
                    return Err(Malformed::new("option.kind", format!("found {other}, kinds are 0 to 2")));
                }
            };
            Ok((code, value))
        })?;
        Ok(Options(list.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique() {
        for (at, spec) in TABLE.iter().enumerate() {
            assert_eq!(spec.code as usize, at + 1);
            assert_eq!(TABLE.iter().filter(|other| other.name == spec.name).count(), 1);
        }
    }

    #[test]
    fn refusals_name_the_option_and_what_is_allowed() {
        let mut options = Options::new();
        let refusal = options.set("lock_duration_ms", "5").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "InvalidArgument: lock_duration_ms: found 5, allowed is a number from 1000 to 43200000"
        );
        options.set("dedup-window-ms", "5000").unwrap();
        let refusal = options.check(EntityKind::Queue).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "InvalidArgument: dedup_window_ms: is not available in this version; leave it out"
        );
        assert!(Options::new().with_number(LOCK_DURATION_MS, 60_000).check(EntityKind::Topic).is_err());
    }
}
