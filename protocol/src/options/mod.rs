//! The options of entities: one table that names, bounds, reads, writes and explains each of them.

mod table;

pub use table::*;

use crate::error::Refusal;
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
            let names: Vec<_> = TABLE.iter().map(|spec| spec.name).collect();
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

    /// The same options with the flag `value` under `code`.
    pub fn with_flag(mut self, code: u8, value: bool) -> Self {
        self.0.insert(code, OptionValue::Flag(value));
        self
    }

    /// The same options with the text `value` under `code`.
    pub fn with_text(mut self, code: u8, value: impl Into<String>) -> Self {
        self.0.insert(code, OptionValue::Text(value.into()));
        self
    }

    /// The same options, which as an update bring the default of `code` back.
    pub fn with_unset(mut self, code: u8) -> Self {
        self.0.insert(code, OptionValue::Unset);
        self
    }

    /// The number under `code`, or `default` where it is not set.
    pub fn number(&self, code: u8, default: u64) -> u64 {
        match self.0.get(&code) {
            Some(OptionValue::Number(number)) => *number,
            _ => default,
        }
    }

    /// Whether `code` is on, or `default` where it is not set.
    pub fn flag(&self, code: u8, default: bool) -> bool {
        match self.0.get(&code) {
            Some(OptionValue::Flag(flag)) => *flag,
            _ => default,
        }
    }

    /// The text under `code`, if it is set.
    pub fn text(&self, code: u8) -> Option<&str> {
        match self.0.get(&code) {
            Some(OptionValue::Text(text)) => Some(text),
            _ => None,
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

    /// Takes over what `changes` sets, and lets go of what they unset.
    pub fn update(&mut self, changes: &Options) {
        for (code, value) in &changes.0 {
            match value {
                OptionValue::Unset => self.0.remove(code),
                value => self.0.insert(*code, value.clone()),
            };
        }
    }

    /// Refuses, of the options of a new entity of `kind`, what it cannot have and what is out of bounds.
    pub fn check(&self, kind: EntityKind) -> Result<(), Refusal> {
        for (code, value) in &self.0 {
            let spec = spec_for(*code, kind)?;
            if *value == OptionValue::Unset {
                return Err(Refusal::invalid(
                    spec.name,
                    "is not set yet; only an update can unset an option",
                ));
            }
            spec.check(value)?;
        }
        Ok(())
    }

    /// Refuses the same of an update, and what can only be set at creation.
    pub fn check_update(&self, kind: EntityKind) -> Result<(), Refusal> {
        for (code, value) in &self.0 {
            let spec = spec_for(*code, kind)?;
            if spec.fixed {
                return Err(Refusal::invalid(spec.name, "can only be set when the entity is created"));
            }
            if *value != OptionValue::Unset {
                spec.check(value)?;
            }
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
                OptionValue::Unset => out.put_u8(3),
            }
        }
    }

    /// Reads options. Codes and values are judged later, by [`Options::check`].
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let list = reader.list("options", 2, u8::MAX as usize, |reader| {
            let code = reader.u8("option.code")?;
            let value = match reader.u8("option.kind")? {
                0 => OptionValue::Number(reader.u64("option.value")?),
                1 => OptionValue::Flag(reader.bool("option.value")?),
                2 => OptionValue::Text(reader.text("option.value")?),
                3 => OptionValue::Unset,
                other => {
                    return Err(Malformed::new("option.kind", format!("found {other}, kinds are 0 to 3")));
                }
            };
            Ok((code, value))
        })?;
        Ok(Options(list.into_iter().collect()))
    }
}

/// The row of an option that an entity of `kind` can have.
fn spec_for(code: u8, kind: EntityKind) -> Result<&'static OptionSpec, Refusal> {
    let spec = OptionSpec::by_code(code)
        .ok_or_else(|| Refusal::invalid("options", format!("there is no option with code {code}")))?;
    if !spec.kinds.contains(&kind) {
        return Err(Refusal::invalid(spec.name, format!("is not an option of a {kind}")));
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use EntityKind::{Queue, Topic};

    #[test]
    fn codes_and_names_are_unique() {
        for (at, spec) in TABLE.iter().enumerate() {
            assert_eq!(spec.code as usize, at + 1);
            assert_eq!(TABLE.iter().filter(|other| other.name == spec.name).count(), 1);
        }
    }

    fn set(name: &str, text: &str) -> Result<Options, String> {
        let mut options = Options::new();
        options.set(name, text).map_err(|refusal| refusal.to_string())?;
        Ok(options)
    }

    #[test]
    fn refusals_name_the_option_and_what_is_allowed() {
        let invalid = |text: &str| Err(format!("InvalidArgument: {text}"));
        assert_eq!(
            set("lock_duration_ms", "5"),
            invalid("lock_duration_ms: found 5, allowed is a number from 1000 to 43200000")
        );
        assert_eq!(
            set("fair-key", ""),
            invalid("fair_key: found , allowed is a text of 1 to 128 characters")
        );
        assert!(set("fair-key", &"é".repeat(128)).is_ok());
        assert!(set("fair-key", &"é".repeat(129)).is_err());
        assert!(
            set("retry", "now").is_err_and(|text| text.starts_with("InvalidArgument: retry: found \"now\""))
        );
        assert!(set("retry", "list 1s; on LockExpired: dead-letter").is_ok());
        let refused = |options: Options| options.check(Queue).unwrap_err().to_string();
        assert_eq!(
            refused(Options::new().with_number(RETRY, 1)),
            "InvalidArgument: retry: found 1, allowed is a retry policy"
        );
        assert!(Options::new().with_number(LOCK_DURATION_MS, 60_000).check(Topic).is_err());
    }

    #[test]
    fn what_is_fixed_is_set_at_creation_only() {
        let sessions = Options::new().with_flag(REQUIRES_SESSION, true);
        sessions.check(Queue).unwrap();
        for change in [sessions, Options::new().with_unset(REQUIRES_SESSION)] {
            let refusal = change.check_update(Queue).unwrap_err();
            assert_eq!(refusal.field, "requires_session");
            assert_eq!(refusal.message, "can only be set when the entity is created");
        }
    }

    #[test]
    fn an_update_can_unset_what_was_set() {
        let mut options =
            Options::new().with_text(FAIR_KEY, "tenant").with_flag(DEAD_LETTER_ON_EXPIRATION, true);
        let change = set("fair_key", "none").unwrap();
        assert_eq!(change, Options::new().with_unset(FAIR_KEY));
        assert_eq!(change.iter().next().unwrap().1.to_string(), "none");
        assert_eq!(change.check(Queue).unwrap_err().field, "fair_key");
        change.check_update(Queue).unwrap();
        assert_eq!(change.check_update(Topic).unwrap_err().field, "fair_key");
        options.update(&change);
        assert_eq!(options.text(FAIR_KEY), None);
        assert!(options.flag(DEAD_LETTER_ON_EXPIRATION, false));
        assert_eq!(options.iter().count(), 1);
    }
}
