//! Names of entities and addresses of the queues inside them.

use crate::error::Refusal;
use crate::limits;
use std::fmt;

/// The validated name of a queue or topic, or `<topic>/subscriptions/<name>` of a subscription.
///
/// 1 to 260 characters of `A-Z a-z 0-9 . _ - /`, no leading, trailing or double `/`. Kept as it was written; unique
/// and found without regard to case, through [`EntityName::key`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityName(String);

const SUBSCRIPTIONS: &str = "/subscriptions/";

impl EntityName {
    /// Checks `text` and makes it a name. Refuses with `InvalidArgument`, naming what is allowed.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let problem = if text.is_empty() {
            Some("is empty".to_owned())
        } else if text.len() > limits::NAME_CHARS {
            Some(format!("has {} characters", text.len()))
        } else if let Some(bad) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-/".contains(*c)) {
            Some(format!("contains {bad:?}"))
        } else if text.starts_with('/') || text.ends_with('/') || text.contains("//") {
            Some("has an empty part before, after or between slashes".to_owned())
        } else {
            None
        };
        match problem {
            None => Ok(EntityName(text.to_owned())),
            Some(problem) => Err(Refusal::invalid(
                "name",
                format!(
                    "{:?} {problem}; a name is 1 to {} of A-Z a-z 0-9 . _ - /, without an empty part",
                    shorten(text),
                    limits::NAME_CHARS
                ),
            )),
        }
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which the name is unique: lower case.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// For a subscription's name, its topic's name and its own.
    pub fn subscription(&self) -> Option<(&str, &str)> {
        let at = self.0.to_ascii_lowercase().find(SUBSCRIPTIONS)?;
        Some((&self.0[..at], &self.0[at + SUBSCRIPTIONS.len()..]))
    }

    /// The name whose hash chooses the shard: the topic's for a subscription, so that both share one; in lower case.
    pub fn home(&self) -> String {
        self.subscription().map_or(self.0.as_str(), |(topic, _)| topic).to_ascii_lowercase()
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of an entity's queues is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The queue itself.
    Main,
    /// Its dead-letter queue.
    DeadLetter,
    /// What could not be passed on to another entity.
    Transfer,
}

impl Lane {
    /// All lanes, in the order of their codes.
    pub const ALL: [Lane; 3] = [Lane::Main, Lane::DeadLetter, Lane::Transfer];

    /// Whether it keeps what has failed: nobody sends to it, and nothing in it expires or fails again.
    pub fn keeps_failed(self) -> bool {
        self != Lane::Main
    }

    /// The lane's code in bytes.
    pub fn code(self) -> u8 {
        match self {
            Lane::Main => 0,
            Lane::DeadLetter => 1,
            Lane::Transfer => 2,
        }
    }

    /// The lane of a code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.code() == code)
    }
}

/// An entity and one of its lanes: what senders and receivers are opened on. Written `<entity>`,
/// `<entity>/$dead-letter` or `<entity>/$transfer-dead-letter`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The entity.
    pub entity: EntityName,
    /// The queue inside it.
    pub lane: Lane,
}

const DEAD_LETTER: &str = "/$dead-letter";
const TRANSFER: &str = "/$transfer-dead-letter";

impl Address {
    /// Reads an address from its text. Refuses with `InvalidArgument`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let failed = [(TRANSFER, Lane::Transfer), (DEAD_LETTER, Lane::DeadLetter)];
        let found = failed.iter().find_map(|(suffix, lane)| Some((text.strip_suffix(suffix)?, *lane)));
        let (entity, lane) = found.unwrap_or((text, Lane::Main));
        Ok(Address { entity: EntityName::new(entity)?, lane })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lane {
            Lane::Main => self.entity.fmt(f),
            Lane::DeadLetter => write!(f, "{}{DEAD_LETTER}", self.entity),
            Lane::Transfer => write!(f, "{}{TRANSFER}", self.entity),
        }
    }
}

/// Cuts what a user sent to a length that fits into an error text.
fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_documented_alphabet() {
        for good in ["a", "order-events", "A.b_c-9", "eu/orders", "t/subscriptions/s", &"x".repeat(260)] {
            assert_eq!(EntityName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_everything_else_and_says_why() {
        for bad in ["", "/a", "a/", "a//b", "a b", "ü", "a$b", "a\n", &"x".repeat(261)] {
            let refusal = EntityName::new(bad).unwrap_err();
            assert_eq!(refusal.field, "name");
            assert!(refusal.message.contains("A-Z a-z 0-9"), "{}", refusal.message);
        }
    }

    #[test]
    fn finds_topic_and_lane() {
        let name = EntityName::new("Orders/Subscriptions/Pay").unwrap();
        assert_eq!(name.subscription(), Some(("Orders", "Pay")));
        assert_eq!(name.home(), "orders");
        let address = Address::parse("Orders/Subscriptions/Pay/$dead-letter").unwrap();
        assert_eq!((address.entity, address.lane), (name, Lane::DeadLetter));
        for text in ["q", "q/$dead-letter", "q/$transfer-dead-letter"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }
}
