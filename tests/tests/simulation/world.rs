//! The entities, and the messages that go to them. Everything about a message follows from its id.

use postrider_client::{EntityKind, Filter, Id, Message, Options, Rule};
use postrider_core::command::Change;
use postrider_protocol::name::EntityName;
use postrider_protocol::options::{
    DEAD_LETTER_ON_EXPIRATION, DEDUP_WINDOW_MS, GROUP, LOCK_DURATION_MS, MAX_DELIVERY_COUNT, REQUIRES_SESSION,
};
use postrider_tests::checker::Rules;
use postrider_tests::history;

pub const PLAIN: &str = "orders";
/// Where transactions send to that complete an order.
pub const RECEIPTS: &str = "receipts";
/// What expires here goes to the dead letters.
pub const EXPIRING: &str = "offers";
/// A window of duplicates.
pub const ONCE: &str = "payments";
pub const SESSIONS: &str = "baskets";
/// Locks are short here, and consumers slow.
pub const SLOW: &str = "returns";
pub const TOPIC: &str = "events";

/// Where producers send.
pub const TARGETS: [&str; 6] = [PLAIN, EXPIRING, ONCE, SESSIONS, SLOW, TOPIC];

/// Everything that holds messages, dead letters aside.
pub const PLACES: [&str; 9] = [
    PLAIN,
    RECEIPTS,
    EXPIRING,
    ONCE,
    SESSIONS,
    SLOW,
    "events/subscriptions/all",
    "events/subscriptions/also",
    "events/subscriptions/high",
];

/// The dead letters of each of them.
pub const DEAD_LETTERS: [&str; 9] = [
    "orders/$dead-letter",
    "receipts/$dead-letter",
    "offers/$dead-letter",
    "payments/$dead-letter",
    "baskets/$dead-letter",
    "returns/$dead-letter",
    "events/subscriptions/all/$dead-letter",
    "events/subscriptions/also/$dead-letter",
    "events/subscriptions/high/$dead-letter",
];

const LIMIT: u32 = 4;
const DAY_MS: u64 = 86_400_000;

/// What creates all of it, in order.
pub fn changes() -> Vec<Change> {
    let limited = || Options::new().with_number(MAX_DELIVERY_COUNT, LIMIT.into());
    let grouped = || limited().with_text(GROUP, "books");
    let create = |name: &str, kind, options, rules| Change::Create {
        name: EntityName::new(name).expect("a name"),
        kind,
        options,
        rules,
    };
    let queue = |name, options| create(name, EntityKind::Queue, options, vec![]);
    let subscription = |name, rules| create(name, EntityKind::Subscription, limited(), rules);
    let high = Rule::new("high", Filter::properties([("priority", "high")]));
    vec![
        queue(PLAIN, grouped()),
        queue(RECEIPTS, grouped()),
        queue(EXPIRING, limited().with_flag(DEAD_LETTER_ON_EXPIRATION, true)),
        queue(ONCE, limited().with_number(DEDUP_WINDOW_MS, DAY_MS)),
        queue(SESSIONS, limited().with_flag(REQUIRES_SESSION, true)),
        queue(SLOW, limited().with_number(LOCK_DURATION_MS, 1_000)),
        create(TOPIC, EntityKind::Topic, Options::new(), vec![]),
        subscription("events/subscriptions/all", vec![]),
        subscription("events/subscriptions/also", vec![]),
        subscription("events/subscriptions/high", vec![high]),
    ]
}

/// How long a message lives.
pub fn ttl_ms(id: u64, to: &str) -> Option<u64> {
    (to == EXPIRING && id % 2 == 0).then(|| fastrand::Rng::with_seed(id).u64(20..1_000))
}

/// The session of a message.
pub fn session(id: u64, to: &str) -> Option<u64> {
    (to == SESSIONS).then(|| fastrand::Rng::with_seed(id).u64(..4))
}

/// Whether consumers let it fail until it is a dead letter.
pub fn is_poison(id: u64) -> bool {
    fastrand::Rng::with_seed(id).u8(..100) < 3
}

/// The message of an id.
pub fn message(id: u64, to: &str) -> Message {
    Message {
        time_to_live_ms: ttl_ms(id, to),
        session_id: session(id, to).map(|session| session.to_string()),
        ..history::message(id)
    }
}

/// The id of a message that is just as it was sent to where this place gets its messages from.
pub fn read(message: &Message, place: &str) -> Option<u64> {
    let to = place.split('/').next().unwrap_or(place);
    match &message.message_id {
        Some(Id::Number(id)) if self::message(*id, to) == *message => Some(*id),
        _ => None,
    }
}

/// Where a message must come to.
pub fn places_of(to: &str, id: u64) -> Vec<String> {
    let wanted = |place: &&str| !place.ends_with("/high") || history::has_priority(id, "high");
    let copies = PLACES.into_iter().filter(|place| place.split('/').next() == Some(to));
    copies.filter(wanted).map(str::to_owned).collect()
}

/// What the places were told.
pub fn rules(place: &str) -> Rules {
    let locks_may_expire = [SLOW, SESSIONS].contains(&place);
    Rules { max_delivery_count: LIMIT, keeps_expired: place == EXPIRING, locks_may_expire }
}
