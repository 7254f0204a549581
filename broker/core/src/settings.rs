//! What an entity's options come to: read once when they change, looked at with every message.

use crate::breaker::Policy;
use crate::context::Now;
use crate::keys;
use crate::page::{Mark, NEVER_MS};
use postrider_protocol::limits;
use postrider_protocol::message::Message;
use postrider_protocol::name::Lane;
use postrider_protocol::options::{self, Options};
use postrider_protocol::retry::RetryPolicy;

/// Where an option is not set.
pub const LOCK_DURATION_MS: u64 = 60_000;
/// Where an option is not set.
pub const MAX_DELIVERY_COUNT: u64 = 10;
/// Where an option is not set.
pub const CAPACITY_REFILL_PERCENT: u64 = 10;
/// Where an option is not set, but the breaker has a latency.
pub const BREAKER_FAILURE_PERCENT: u64 = 50;
/// Where an option is not set.
pub const BREAKER_WINDOW: u64 = 20;
/// Where an option is not set.
pub const BREAKER_PAUSE_MS: u64 = 30_000;

/// How consumers share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// To whom holds least.
    #[default]
    LeastOutstanding,
    /// To one after the other.
    RoundRobin,
    /// By the weights of the receivers.
    Weighted,
    /// To whom settles fastest.
    LeastLatency,
    /// The same key to the same consumer.
    KeyHash,
}

/// What an entity does with its messages.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long its locks hold, in milliseconds.
    pub lock_duration_ms: u64,
    /// Failed deliveries after which a message is dead-lettered.
    pub max_delivery_count: u64,
    /// Bytes of the largest message it takes.
    pub max_message_bytes: u64,
    /// The longest a message lives, in milliseconds; [`NEVER_MS`] where it lives on.
    pub default_ttl_ms: u64,
    /// Whether messages whose time is up go to the dead letters.
    pub dead_letter_on_expiration: bool,
    /// Whether every message belongs to a session.
    pub requires_session: bool,
    /// How long a `message_id` is remembered, in milliseconds; 0 for not at all.
    pub dedup_window_ms: u64,
    /// Bytes that it may hold.
    pub max_bytes: u64,
    /// Messages that it may hold.
    pub max_messages: u64,
    /// Whether the oldest make room when it is full.
    pub drop_oldest: bool,
    /// Milliseconds without use after which it is deleted; 0 for never.
    pub auto_delete_on_idle_ms: u64,
    /// When a failed message comes again.
    pub retry: RetryPolicy,
    /// Levels of priority.
    pub levels: usize,
    /// Sum of the costs that may be in flight.
    pub capacity_units: u64,
    /// The share of the units that the clock gives back each second.
    pub capacity_refill_percent: u64,
    /// How consumers share the work.
    pub balance: Balance,
    /// The property over whose values messages are shared out fairly.
    pub fair_key: Option<String>,
    /// The queue or topic that messages are passed on to.
    pub forward_to: Option<String>,
    /// The queue or topic that dead letters are passed on to.
    pub forward_dead_letters_to: Option<String>,
    /// When delivery pauses because consumers fail, where it does.
    pub breaker: Option<Policy>,
    /// Whether messages that a rule failed on go to the dead letters.
    pub dead_letter_on_filter_error: bool,
    /// The topic's subscription that gets what no other wanted.
    pub fall_through: Option<String>,
    /// How long a topic keeps messages for replays, in milliseconds; 0 for not at all.
    pub retain_ms: u64,
    /// Whether messages are taken in.
    pub may_send: bool,
    /// Whether messages are given out.
    pub may_receive: bool,
}

impl Settings {
    /// What options come to. They were checked when they were set.
    pub fn of(set: &Options) -> Self {
        let status = set.text(options::STATUS).unwrap_or("active");
        let retry = set.text(options::RETRY).map(RetryPolicy::parse);
        Settings {
            lock_duration_ms: set.number(options::LOCK_DURATION_MS, LOCK_DURATION_MS),
            max_delivery_count: set.number(options::MAX_DELIVERY_COUNT, MAX_DELIVERY_COUNT),
            max_message_bytes: set.number(options::MAX_MESSAGE_BYTES, limits::MESSAGE_BYTES as u64),
            default_ttl_ms: set.number(options::DEFAULT_TTL_MS, NEVER_MS),
            dead_letter_on_expiration: set.flag(options::DEAD_LETTER_ON_EXPIRATION, false),
            requires_session: set.flag(options::REQUIRES_SESSION, false),
            dedup_window_ms: set.number(options::DEDUP_WINDOW_MS, 0),
            max_bytes: set.number(options::MAX_BYTES, u64::MAX),
            max_messages: set.number(options::MAX_MESSAGES, u64::MAX),
            drop_oldest: set.text(options::ON_FULL) == Some("drop-oldest"),
            auto_delete_on_idle_ms: set.number(options::AUTO_DELETE_ON_IDLE_MS, 0),
            retry: retry.and_then(Result::ok).unwrap_or_default(),
            levels: set.number(options::PRIORITY_LEVELS, 1) as usize,
            capacity_units: set.number(options::CAPACITY_UNITS, u64::MAX),
            capacity_refill_percent: set.number(options::CAPACITY_REFILL_PERCENT, CAPACITY_REFILL_PERCENT),
            balance: balance(set.text(options::BALANCE).unwrap_or_default()),
            fair_key: set.text(options::FAIR_KEY).map(str::to_owned),
            forward_to: set.text(options::FORWARD_TO).map(str::to_owned),
            forward_dead_letters_to: set.text(options::FORWARD_DEAD_LETTERS_TO).map(str::to_owned),
            breaker: breaker(set),
            dead_letter_on_filter_error: set.flag(options::DEAD_LETTER_ON_FILTER_ERROR, true),
            fall_through: set.text(options::FALL_THROUGH).map(str::to_owned),
            retain_ms: set.number(options::RETAIN_MS, 0),
            may_send: !matches!(status, "send-disabled" | "disabled"),
            may_receive: !matches!(status, "receive-disabled" | "disabled"),
        }
    }

    /// Whether there is a limit to what it may hold.
    pub fn is_limited(&self) -> bool {
        self.max_messages != u64::MAX || self.max_bytes != u64::MAX
    }

    /// What deciding looks at in a message that comes now, where its topic lets it live for so long.
    pub fn mark(&self, now: Now, message: &Message, topic_ttl_ms: u64) -> Mark {
        let own_ms = message.time_to_live_ms.unwrap_or(NEVER_MS);
        let ttl_ms = own_ms.min(self.default_ttl_ms).min(topic_ttl_ms);
        Mark {
            expires_ms: now.wall_ms.saturating_add(ttl_ms),
            cost: message.cost.unwrap_or(1),
            key: self.key(message),
        }
    }

    /// The key that a message shares with others: a hash of its fair property, or of what says where it belongs; 0 where
    /// it has none or nobody asks. Never 0 otherwise.
    fn key(&self, message: &Message) -> u32 {
        if let Some(name) = &self.fair_key {
            let found = message.properties.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
            return found.map_or(0, |(_, value)| keys::of(&value.to_string()));
        }
        if self.balance != Balance::KeyHash {
            return 0;
        }
        let named = message.partition_key.as_deref().or(message.session_id.as_deref());
        match (named, &message.message_id) {
            (Some(key), _) => keys::of(key),
            (None, Some(id)) => keys::of(&id.to_string()),
            (None, None) => 0,
        }
    }

    /// Where the messages of a lane are passed on to.
    pub fn forwards(&self, lane: Lane) -> Option<&str> {
        match lane {
            Lane::Main => self.forward_to.as_deref(),
            Lane::DeadLetter => self.forward_dead_letters_to.as_deref(),
            Lane::Transfer => None,
        }
    }

    /// Whether ready messages are kept by their keys.
    pub fn is_keyed(&self) -> bool {
        !self.requires_session && (self.fair_key.is_some() || self.balance == Balance::KeyHash)
    }

    /// Whether messages are given out in runs, to those who hold least, or by sessions, which nobody shares.
    pub fn shares_plainly(&self) -> bool {
        let plain = self.balance == Balance::LeastOutstanding && !self.is_keyed();
        (plain || self.requires_session) && self.capacity_units == u64::MAX
    }

    /// The rank of the strand for a message of this priority: 1, the lowest, where it has none, and at most the highest
    /// there is.
    pub fn rank(&self, priority: Option<u8>) -> usize {
        self.levels - usize::from(priority.unwrap_or(1)).clamp(1, self.levels)
    }
}

/// The breaker of an entity: it has one where a share of failures or a latency is set.
fn breaker(set: &Options) -> Option<Policy> {
    let is_set = |code| set.iter().any(|(spec, _)| spec.code == code);
    if !is_set(options::BREAKER_FAILURE_PERCENT) && !is_set(options::BREAKER_LATENCY_MS) {
        return None;
    }
    Some(Policy {
        failure_percent: set.number(options::BREAKER_FAILURE_PERCENT, BREAKER_FAILURE_PERCENT),
        latency_ms: set.number(options::BREAKER_LATENCY_MS, u64::MAX),
        window: set.number(options::BREAKER_WINDOW, BREAKER_WINDOW) as usize,
        pause_ms: set.number(options::BREAKER_PAUSE_MS, BREAKER_PAUSE_MS),
    })
}

fn balance(word: &str) -> Balance {
    match word {
        "round-robin" => Balance::RoundRobin,
        "weighted" => Balance::Weighted,
        "least-latency" => Balance::LeastLatency,
        "key-hash" => Balance::KeyHash,
        _ => Balance::LeastOutstanding,
    }
}
