//! The entities, and the messages that go to them. Everything about a message follows from its id.

use postrider_client::{Client, Filter, Id, Message, Options, Rule};
use postrider_protocol::options::{
    DEAD_LETTER_ON_EXPIRATION, DEDUP_WINDOW_MS, LOCK_DURATION_MS, MAX_DELIVERY_COUNT, REQUIRES_SESSION,
};
use postrider_tests::checker::{Checker, Rules};
use postrider_tests::history::{self, PER_PRODUCER, Sending, now_ms};

pub const PLAIN: &str = "orders";
/// What expires here goes to the dead letters.
pub const EXPIRING: &str = "offers";
/// What expires here is gone.
pub const FLEETING: &str = "prices";
/// A window of duplicates.
pub const ONCE: &str = "payments";
pub const SESSIONS: &str = "baskets";
pub const TOPIC: &str = "events";

/// Where messages are sent, in turn.
pub const TARGETS: [&str; 6] = [PLAIN, EXPIRING, FLEETING, ONCE, SESSIONS, TOPIC];

/// Everything that holds messages, dead letters aside.
pub const PLACES: [&str; 8] = [
    PLAIN,
    EXPIRING,
    FLEETING,
    ONCE,
    SESSIONS,
    "events/subscriptions/all",
    "events/subscriptions/also",
    "events/subscriptions/high",
];

const LIMIT: u32 = 4;

/// Creates all of it.
pub async fn create(client: &Client) {
    let admin = client.admin();
    let options = || Options::new().with_number(MAX_DELIVERY_COUNT, LIMIT.into());
    let queues = [
        (PLAIN, options()),
        (EXPIRING, options().with_flag(DEAD_LETTER_ON_EXPIRATION, true)),
        (FLEETING, options()),
        (ONCE, options().with_number(DEDUP_WINDOW_MS, 86_400_000)),
        (SESSIONS, options().with_flag(REQUIRES_SESSION, true).with_number(LOCK_DURATION_MS, 10_000)),
    ];
    for (queue, options) in queues {
        admin.create_queue(queue, options).await.expect("a queue");
    }
    admin.create_topic(TOPIC, Options::new()).await.expect("a topic");
    let high = Rule::new("high", Filter::properties([("priority", "high")]));
    for (name, rules) in [("all", vec![]), ("also", vec![]), ("high", vec![high])] {
        admin.create_subscription(TOPIC, name, options(), rules).await.expect("a subscription");
    }
}

/// Where a message goes.
pub fn target(id: u64) -> &'static str {
    TARGETS[(id % PER_PRODUCER % TARGETS.len() as u64) as usize]
}

fn ttl_ms(id: u64) -> Option<u64> {
    let short = [EXPIRING, FLEETING].contains(&target(id)) && id % 5 < 2;
    short.then(|| fastrand::Rng::with_seed(id).u64(50..3_000))
}

fn session(id: u64) -> Option<u64> {
    (target(id) == SESSIONS).then(|| fastrand::Rng::with_seed(id).u64(..12))
}

/// Whether consumers let it fail until it is a dead letter.
pub fn is_poison(id: u64) -> bool {
    fastrand::Rng::with_seed(id).u8(..100) == 0
}

/// The message of an id.
pub fn message(id: u64) -> Message {
    let message = history::message(id);
    Message {
        time_to_live_ms: ttl_ms(id),
        session_id: session(id).map(|session| session.to_string()),
        ..message
    }
}

/// The id of a message that is just as it was sent.
pub fn read(message: &Message) -> Option<u64> {
    match &message.message_id {
        Some(Id::Number(id)) if self::message(*id) == *message => Some(*id),
        _ => None,
    }
}

/// What the checker is told before a message is sent.
pub fn sending(id: u64) -> Sending {
    let expires_ms = ttl_ms(id).map(|ttl| now_ms() + ttl);
    Sending { id, to: target(id).to_owned(), expires_ms, session: session(id) }
}

fn places_of(to: &str, id: u64) -> Vec<String> {
    let wanted = |place: &&str| !place.ends_with("/high") || history::has_priority(id, "high");
    let copies = PLACES.into_iter().filter(|place| place.starts_with(to));
    copies.filter(wanted).map(str::to_owned).collect()
}

fn rules(place: &str) -> Rules {
    Rules { max_delivery_count: LIMIT, keeps_expired: place == EXPIRING, locks_may_expire: false }
}

/// The checker of this load.
pub fn checker() -> Checker<'static> {
    Checker { places: &places_of, rules: &rules, locks_may_expire: false, may_be_overtaken: false }
}
