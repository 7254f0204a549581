//! The table of options: the code, the name, the bounds and the meaning of each.

use super::EntityKind;
use crate::error::Refusal;
use crate::limits;
use crate::retry::RetryPolicy;
use std::fmt;

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// A count, or milliseconds, or bytes: the option's name says which.
    Number(u64),
    /// On or off.
    Flag(bool),
    /// A name, an address, a policy, or one of a list of words.
    Text(String),
    /// Not set any more. Only in an update, where it brings the default back.
    Unset,
}

/// How [`OptionValue::Unset`] is written.
pub const UNSET: &str = "none";

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Number(number) => number.fmt(f),
            OptionValue::Flag(flag) => flag.fmt(f),
            OptionValue::Text(text) => f.write_str(text),
            OptionValue::Unset => f.write_str(UNSET),
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
    /// A text of 1 to so many characters.
    Text(usize),
    /// A retry policy, in the grammar of [`crate::retry`].
    Retry,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Number(low, u64::MAX) => write!(f, "a number from {low}"),
            Allowed::Number(low, high) => write!(f, "a number from {low} to {high}"),
            Allowed::Flag => f.write_str("true or false"),
            Allowed::Word(words) => write!(f, "one of {}", words.join(", ")),
            Allowed::Text(most) => write!(f, "a text of 1 to {most} characters"),
            Allowed::Retry => f.write_str("a retry policy"),
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
    /// Whether it can only be set when the entity is created.
    pub fixed: bool,
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
    help: &'static str,
) -> OptionSpec {
    OptionSpec { code, name, allowed, kinds, fixed: false, help }
}

const fn fixed(row: OptionSpec) -> OptionSpec {
    OptionSpec { fixed: true, ..row }
}

/// `lock_duration_ms`.
pub const LOCK_DURATION_MS: u8 = 1;
/// `max_delivery_count`.
pub const MAX_DELIVERY_COUNT: u8 = 2;
/// `max_message_bytes`.
pub const MAX_MESSAGE_BYTES: u8 = 3;
/// `default_ttl_ms`.
pub const DEFAULT_TTL_MS: u8 = 4;
/// `dead_letter_on_expiration`.
pub const DEAD_LETTER_ON_EXPIRATION: u8 = 5;
/// `dead_letter_on_filter_error`.
pub const DEAD_LETTER_ON_FILTER_ERROR: u8 = 6;
/// `requires_session`.
pub const REQUIRES_SESSION: u8 = 7;
/// `dedup_window_ms`.
pub const DEDUP_WINDOW_MS: u8 = 8;
/// `max_bytes`.
pub const MAX_BYTES: u8 = 9;
/// `max_messages`.
pub const MAX_MESSAGES: u8 = 10;
/// `on_full`.
pub const ON_FULL: u8 = 11;
/// `auto_delete_on_idle_ms`.
pub const AUTO_DELETE_ON_IDLE_MS: u8 = 12;
/// `forward_to`.
pub const FORWARD_TO: u8 = 13;
/// `forward_dead_letters_to`.
pub const FORWARD_DEAD_LETTERS_TO: u8 = 14;
/// `retry`.
pub const RETRY: u8 = 15;
/// `priority_levels`.
pub const PRIORITY_LEVELS: u8 = 16;
/// `capacity_units`.
pub const CAPACITY_UNITS: u8 = 17;
/// `balance`.
pub const BALANCE: u8 = 18;
/// `group`.
pub const GROUP: u8 = 19;
/// `status`.
pub const STATUS: u8 = 20;
/// `fair_key`.
pub const FAIR_KEY: u8 = 21;
/// `capacity_refill_percent`.
pub const CAPACITY_REFILL_PERCENT: u8 = 22;
/// `breaker_failure_percent`.
pub const BREAKER_FAILURE_PERCENT: u8 = 23;
/// `breaker_latency_ms`.
pub const BREAKER_LATENCY_MS: u8 = 24;
/// `breaker_window`.
pub const BREAKER_WINDOW: u8 = 25;
/// `breaker_pause_ms`.
pub const BREAKER_PAUSE_MS: u8 = 26;
/// `fall_through`.
pub const FALL_THROUGH: u8 = 27;
/// `retain_ms`.
pub const RETAIN_MS: u8 = 28;
/// `replay_from_sequence`.
pub const REPLAY_FROM_SEQUENCE: u8 = 29;
/// `replay_from_ms`.
pub const REPLAY_FROM_MS: u8 = 30;

/// All options there are.
#[rustfmt::skip]
pub const TABLE: &[OptionSpec] = &[
    row(LOCK_DURATION_MS, "lock_duration_ms", Allowed::Number(*limits::LOCK_DURATION_MS.start(), *limits::LOCK_DURATION_MS.end()), QUEUES,
        "how long a delivered message stays locked (default 60000)"),
    row(MAX_DELIVERY_COUNT, "max_delivery_count", Allowed::Number(1, 1 << 31), QUEUES,
        "failed deliveries after which a message is dead-lettered (default 10)"),
    row(MAX_MESSAGE_BYTES, "max_message_bytes", Allowed::Number(1, limits::MESSAGE_BYTES_CEILING as u64), HOLDS,
        "the largest message taken, header and body (default 1048576)"),
    row(DEFAULT_TTL_MS, "default_ttl_ms", NUMBER, ALL,
        "the longest a message lives, and its life where it sets none (default none)"),
    row(DEAD_LETTER_ON_EXPIRATION, "dead_letter_on_expiration", Allowed::Flag, QUEUES,
        "whether expired messages go to the dead-letter queue (default false)"),
    row(DEAD_LETTER_ON_FILTER_ERROR, "dead_letter_on_filter_error", Allowed::Flag, &[EntityKind::Subscription],
        "whether messages that a rule fails on go to the dead-letter queue (default true)"),
    fixed(row(REQUIRES_SESSION, "requires_session", Allowed::Flag, QUEUES,
        "whether messages belong to sessions, delivered in order (default false; fixed at creation)")),
    row(DEDUP_WINDOW_MS, "dedup_window_ms", Allowed::Number(1_000, 7 * 86_400_000), HOLDS,
        "how long a message_id is remembered (default none: not at all)"),
    row(MAX_BYTES, "max_bytes", NUMBER, QUEUES,
        "bytes of messages that the queue may hold (default none)"),
    row(MAX_MESSAGES, "max_messages", NUMBER, QUEUES,
        "messages that the queue may hold (default none)"),
    row(ON_FULL, "on_full", Allowed::Word(&["reject", "drop-oldest"]), QUEUES,
        "what a full queue does with one message more (default reject)"),
    row(AUTO_DELETE_ON_IDLE_MS, "auto_delete_on_idle_ms", Allowed::Number(300_000, u64::MAX), ALL,
        "deletes the entity after so long without use (default none)"),
    row(FORWARD_TO, "forward_to", Allowed::Text(limits::NAME_CHARS), QUEUES,
        "where messages are passed on to (default none)"),
    row(FORWARD_DEAD_LETTERS_TO, "forward_dead_letters_to", Allowed::Text(limits::NAME_CHARS), QUEUES,
        "where dead letters are passed on to (default none)"),
    row(RETRY, "retry", Allowed::Retry, QUEUES,
        "delays between delivery attempts (default immediate)"),
    fixed(row(PRIORITY_LEVELS, "priority_levels", Allowed::Number(1, 10), QUEUES,
        "levels of priority inside the queue (default 1; fixed at creation)")),
    row(CAPACITY_UNITS, "capacity_units", NUMBER, QUEUES,
        "the most that the costs of the messages in flight add up to, over all consumers (default none)"),
    row(BALANCE, "balance", Allowed::Word(&["least-outstanding", "round-robin", "weighted", "least-latency", "key-hash"]), QUEUES,
        "how consumers share the work (default least-outstanding)"),
    fixed(row(GROUP, "group", Allowed::Text(limits::NAME_CHARS), HOLDS,
        "entities of one group can be in one transaction (default none; fixed at creation)")),
    row(STATUS, "status", Allowed::Word(&["active", "send-disabled", "receive-disabled", "disabled"]), ALL,
        "what is allowed at the moment (default active)"),
    row(FAIR_KEY, "fair_key", Allowed::Text(limits::PROPERTY_NAME_CHARS), QUEUES,
        "the application property over whose values ready messages are shared out fairly (default none)"),
    row(CAPACITY_REFILL_PERCENT, "capacity_refill_percent", Allowed::Number(0, 100), QUEUES,
        "the share of capacity_units that the clock gives back to work that does not settle (default 10)"),
    row(BREAKER_FAILURE_PERCENT, "breaker_failure_percent", Allowed::Number(1, 100), QUEUES,
        "the share of failed deliveries at which delivery pauses (default none, 50 with breaker_latency_ms)"),
    row(BREAKER_LATENCY_MS, "breaker_latency_ms", Allowed::Number(1, *limits::LOCK_DURATION_MS.end()), QUEUES,
        "how long after its delivery a settlement counts as a failure (default none)"),
    row(BREAKER_WINDOW, "breaker_window", Allowed::Number(5, 1_000), QUEUES,
        "how many of the last deliveries the circuit breaker looks at (default 20)"),
    row(BREAKER_PAUSE_MS, "breaker_pause_ms", Allowed::Number(100, 3_600_000), QUEUES,
        "how long delivery pauses before one message is tried (default 30000)"),
    row(FALL_THROUGH, "fall_through", Allowed::Text(limits::NAME_CHARS), &[EntityKind::Topic],
        "the subscription that gets what no other one wanted, by its own name (default none)"),
    row(RETAIN_MS, "retain_ms", NUMBER, &[EntityKind::Topic],
        "how long messages are kept for replays, whoever has settled them (default none: not at all)"),
    fixed(row(REPLAY_FROM_SEQUENCE, "replay_from_sequence", NUMBER, &[EntityKind::Subscription],
        "the topic's message to begin with, of those that it keeps (default none: those to come; fixed at creation)")),
    fixed(row(REPLAY_FROM_MS, "replay_from_ms", NUMBER, &[EntityKind::Subscription],
        "the same by when messages came, in UTC milliseconds (default none; fixed at creation)")),
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

    /// Reads a value from its text; `none` is [`OptionValue::Unset`]. Refuses with what is allowed.
    pub fn parse(&self, text: &str) -> Result<OptionValue, Refusal> {
        if text == UNSET {
            return Ok(OptionValue::Unset);
        }
        let value = match self.allowed {
            Allowed::Number(..) => text.parse().ok().map(OptionValue::Number),
            Allowed::Flag => text.parse().ok().map(OptionValue::Flag),
            Allowed::Word(_) | Allowed::Text(_) | Allowed::Retry => Some(OptionValue::Text(text.to_owned())),
        };
        let value = value.ok_or_else(|| self.not_allowed(&text))?;
        self.check(&value)?;
        Ok(value)
    }

    /// Checks a value against what is allowed. [`OptionValue::Unset`] is none.
    pub fn check(&self, value: &OptionValue) -> Result<(), Refusal> {
        if let (Allowed::Retry, OptionValue::Text(policy)) = (self.allowed, value) {
            return RetryPolicy::parse(policy).map(drop);
        }
        let fits = match (self.allowed, value) {
            (Allowed::Number(low, high), OptionValue::Number(number)) => (low..=high).contains(number),
            (Allowed::Flag, OptionValue::Flag(_)) => true,
            (Allowed::Text(most), OptionValue::Text(text)) => (1..=most).contains(&text.chars().count()),
            (Allowed::Word(words), OptionValue::Text(text)) => words.contains(&text.as_str()),
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.not_allowed(value)) }
    }

    fn not_allowed(&self, found: &dyn fmt::Display) -> Refusal {
        let found: String = found.to_string().chars().take(64).collect();
        Refusal::invalid(self.name, format!("found {found}, allowed is {}", self.allowed))
    }
}
