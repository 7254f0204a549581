//! Bounds of what the core keeps in memory and does in one go.

/// Bytes after which a page is closed and the next one begun.
pub const PAGE_BYTES: usize = 256 * 1024;
/// Messages after which a page is closed.
pub const PAGE_MESSAGES: usize = 1024;
/// A message of so many bytes gets a page of its own.
pub const LARGE_MESSAGE_BYTES: usize = 64 * 1024;

/// Messages that a queue's window holds; what is behind them is cold.
pub const WINDOW_MESSAGES: usize = 8 * 1024;
/// Bytes of messages that a queue's window stands for.
pub const WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// How many times as many messages the window of a queue holds that shares them out by keys.
pub const KEYED_WINDOW: u64 = 4;
/// Ready messages, or keys, that are looked at for one that can go, where the first one cannot.
pub const LOOK_AHEAD: usize = 1024;
/// Milliseconds after which it is not known any more how fast an idle receiver settles.
pub const LATENCY_STALE_MS: u64 = 10_000;
/// How much of a queue is kept message by message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Messages; what is behind them is cold.
    pub messages: u64,
    /// Bytes of messages that the window stands for.
    pub bytes: u64,
}

impl Default for Window {
    fn default() -> Self {
        Window { messages: WINDOW_MESSAGES as u64, bytes: WINDOW_BYTES }
    }
}

/// Bytes that may be on their way to a receiver and not yet taken by its connection.
pub const RECEIVER_ROOM_BYTES: u64 = 4 * 1024 * 1024;

/// Milliseconds of waiting that are worth as much as one level of priority.
pub const PRIORITY_AGING_MS: u64 = 60_000;
/// Steps of work for which one tick answers alarms; the rest follows in the next turn. A scheduled message is a step.
pub const ALARM_STEPS_PER_TICK: usize = 1_024;
/// Steps that a look at a page, which may have as many messages as there are steps, counts as.
pub const STEPS_OF_A_PAGE: usize = 16;
/// Bytes of scheduled messages, with their copies, that one tick enqueues: the message that passes it is the last.
pub const DUE_BYTES_PER_TICK: usize = 8 * 1024 * 1024;

/// Entities that one tick looks at because nobody has used them; the rest follows in the next turn.
pub const IDLE_PER_TICK: usize = 64;

/// Index rows that giving out a session's messages reads in one go.
pub const SESSION_SCAN: usize = 256;
/// Receivers that may wait for sessions of one queue.
pub const SESSION_WAITERS: usize = 10_000;

/// Pages that leave, of which one tick removes so many; the rest follows in the next turn.
pub const LEAVING_PAGES_PER_TICK: usize = 256;
/// Bytes of such pages that one tick reads; the page that passes them is the last.
pub const LEAVING_BYTES_PER_TICK: usize = 4 * 1024 * 1024;

/// Pages of a topic that one tick keeps no longer; the rest follows in the next turn.
pub const KEPT_PAGES_PER_TICK: usize = 1_024;
/// Messages that one tick looks at for a replay; the page that passes them is the last, and the rest follows.
pub const REPLAYED_PER_TICK: usize = 1_024;
/// Bytes of pages that one tick reads for it.
pub const REPLAYED_BYTES_PER_TICK: usize = 1024 * 1024;

/// Locks that one tick lets run out; the rest follows in the next turn.
pub const EXPIRED_PER_TICK: usize = 4_096;
/// Messages that one request about many of them looks at; it says where to go on.
pub const EXAMINED_MESSAGES: u64 = 10_000;
/// Bytes of pages that one such request reads; the page that passes them is the last.
pub const EXAMINED_BYTES: u64 = 16 * 1024 * 1024;
/// Messages that one trace follows at once; others of the same id it shows, but not what became of them.
pub const TRACED_MESSAGES: usize = 10_000;
/// Leases of a shard of which it is remembered how their locks ended.
pub const ENDED_LEASES: usize = 4_096;
/// Runs of places, with an end each, that are remembered for all of these leases together.
pub const ENDED_RUNS: usize = 65_536;
/// Clients whose outcomes one shard remembers; beyond, the one unheard of for longest is forgotten.
pub const CLIENTS: usize = 100_000;
/// Milliseconds without a request after which a client's outcomes are forgotten.
pub const CLIENT_IDLE_MS: u64 = 3_600_000;

/// How often a message is passed on from entity to entity.
pub const HOPS: u8 = 4;
/// Parcels on the road to a shard at which queues that pass messages on have to wait.
pub const PARCELS_ON_ROAD: u64 = 64;
/// Parcels on the road to a shard at which a request for one more is refused.
pub const MOST_PARCELS_ON_ROAD: u64 = 4_096;
/// Milliseconds without a receipt after which parcels leave again.
pub const PARCELS_AGAIN_MS: u64 = 5_000;
/// Bytes of parcels that are on their way to a shard at once; the parcel that passes them is the last.
pub const BYTES_ON_THEIR_WAY: usize = 4 * 1024 * 1024;

// A page must be able to hold a message that is not large, and a window several pages.
const _: () = assert!(LARGE_MESSAGE_BYTES < PAGE_BYTES && PAGE_BYTES as u64 * 4 <= WINDOW_BYTES);
const _: () = assert!(PAGE_MESSAGES * 4 <= WINDOW_MESSAGES);
