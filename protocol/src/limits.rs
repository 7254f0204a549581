//! Every limit of the protocol in one place. What is larger is refused by name.

/// Bytes of a frame before the connection has authenticated, header included.
pub const UNAUTHENTICATED_FRAME_BYTES: usize = 4 * 1024;
/// Milliseconds a connection may take to authenticate.
pub const HANDSHAKE_DEADLINE_MS: u64 = 10_000;
/// Milliseconds of silence after which a side sends a ping; after twice as long the peer is taken for dead.
pub const HEARTBEAT_MS: u64 = 15_000;

/// Default bytes of one message (header and body) where the entity sets nothing else.
pub const MESSAGE_BYTES: usize = 1024 * 1024;
/// The most that `max_message_bytes` of an entity can be set to.
pub const MESSAGE_BYTES_CEILING: usize = 100 * 1024 * 1024;
/// Bytes of a frame after authentication, header included: one message of the largest kind and its envelope.
pub const FRAME_BYTES: usize = MESSAGE_BYTES_CEILING + 64 * 1024;
/// Bytes that a batch of messages aims to stay under in one frame; a single larger message travels alone.
pub const BATCH_BYTES: usize = 1024 * 1024;
/// Messages in one publish frame, and tokens settled by one settle frame.
pub const BATCH_MESSAGES: usize = 4096;
/// Messages that one transaction is about: sent, settled and removed ones together.
pub const OPERATIONS: usize = 100;
/// Messages of one delivery, which share one lease. A lock token holds the place in 16 bits.
pub const DELIVERY_MESSAGES: usize = 4096;

/// Characters of an entity's name.
pub const NAME_CHARS: usize = 260;
/// Characters of a rule's name.
pub const RULE_NAME_CHARS: usize = 50;
/// Characters of a `message_id` and of a `session_id`.
pub const ID_CHARS: usize = 128;
/// Bytes of any other text field of a message's header.
pub const TEXT_BYTES: usize = 4 * 1024;
/// Characters of a property's name.
pub const PROPERTY_NAME_CHARS: usize = 128;
/// Bytes of one property's value.
pub const PROPERTY_BYTES: usize = 32 * 1024;
/// Bytes of all properties of a message together.
pub const PROPERTIES_BYTES: usize = 64 * 1024;
/// The lowest and the highest priority of a message.
pub const PRIORITIES: std::ops::RangeInclusive<u8> = 1..=10;
/// Bytes of a dead-letter reason and of its description.
pub const REASON_BYTES: usize = 4 * 1024;
/// Characters of the SQL text of a filter.
pub const FILTER_CHARS: usize = 1_024;
/// Characters of a retry policy's text.
pub const RETRY_CHARS: usize = 1_024;
/// The longest delay that a retry policy can name, in milliseconds: 30 days.
pub const RETRY_DELAY_MS: u64 = 30 * 86_400_000;
/// Characters of a schedule's cron expression, and of its time zone.
pub const SCHEDULE_CHARS: usize = 256;
/// Bytes of the message that a schedule publishes.
pub const SCHEDULE_MESSAGE_BYTES: usize = 64 * 1024;
/// Schedules of one queue or topic.
pub const SCHEDULES_PER_ENTITY: usize = 100;
/// Bytes of a session's state.
pub const SESSION_STATE_BYTES: usize = MESSAGE_BYTES;
/// Sequence numbers in one request.
pub const SEQUENCES: usize = 4_096;
/// Consumers in one answer about a queue's consumers.
pub const CONSUMERS: usize = 10_000;

/// Subscriptions of one topic.
pub const SUBSCRIPTIONS_PER_TOPIC: usize = 2_000;
/// Rules of one topic that are not SQL, over all its subscriptions.
pub const RULES_PER_TOPIC: usize = 100_000;
/// SQL rules of one topic, over all its subscriptions.
pub const SQL_RULES_PER_TOPIC: usize = 2_000;
/// Bytes of a rule as it is laid out.
pub const RULE_BYTES: usize = 16 * 1024;
/// Parameters of a rule.
pub const RULE_PARAMETERS: usize = 64;
/// Bytes of a message that is explained, header and body.
pub const EXPLAINED_MESSAGE_BYTES: usize = 1024 * 1024;
/// Messages that a shadow rule keeps as samples.
pub const SHADOW_SAMPLES: usize = 10;

/// Links (senders and receivers) of one connection.
pub const LINKS_PER_CONNECTION: usize = 1_000;
/// Requests of one connection that may wait for their answer; the broker stops reading beyond.
pub const REQUESTS_IN_FLIGHT: usize = 4_096;
/// Credit that one receiver can hold.
pub const CREDIT: u32 = 100_000;
/// Recorded outcomes that one client may keep unconfirmed in one shard.
pub const OUTCOMES_PER_CLIENT: usize = 16_384;
/// Entries in one page of a listing or a peek.
pub const LISTING_ENTRIES: u32 = 1_000;

/// A lock's shortest and longest duration in milliseconds.
pub const LOCK_DURATION_MS: std::ops::RangeInclusive<u64> = 1_000..=12 * 3_600 * 1_000;

/// Bytes of memory that reading may take for list elements, for each byte that a peer sent...
pub const MEMORY_PER_BYTE: usize = 12;
/// ...and on top of that. With the texts inside, and what checking needs, this stays under 16 times the input and
/// 64 KiB, whatever the bytes claim.
pub const MEMORY_SLACK_BYTES: usize = 32 * 1024;

// A delivery's place must fit into the 16 bits a token has for it.
const _: () = assert!(DELIVERY_MESSAGES <= u16::MAX as usize + 1);
// A frame must be able to carry the largest message there can be.
const _: () = assert!(FRAME_BYTES > MESSAGE_BYTES_CEILING && FRAME_BYTES <= u32::MAX as usize);
// A batch must be able to carry a message of the default size limit.
const _: () = assert!(BATCH_BYTES >= MESSAGE_BYTES);
// Property lengths travel in 16 bits. A text that is cut to fit (`wire::put_text`) is still over its limit and refused.
const _: () = assert!(PROPERTY_BYTES < u16::MAX as usize);
const _: () = assert!(TEXT_BYTES < u16::MAX as usize);
const _: () = assert!(4 * FILTER_CHARS < u16::MAX as usize);
const _: () = assert!(4 * RETRY_CHARS < u16::MAX as usize);
