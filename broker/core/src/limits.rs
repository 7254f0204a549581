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
/// Alarms that one tick answers; the rest follows in the next turn.
pub const ALARMS_PER_TICK: usize = 64;

/// Index rows that giving out a session's messages reads in one go.
pub const SESSION_SCAN: usize = 256;
/// Receivers that may wait for sessions of one queue.
pub const SESSION_WAITERS: usize = 10_000;

/// Locks that one tick lets run out; the rest follows in the next turn.
pub const EXPIRED_PER_TICK: usize = 4_096;
/// Clients whose outcomes one shard remembers; beyond, the one unheard of for longest is forgotten.
pub const CLIENTS: usize = 100_000;
/// Milliseconds without a request after which a client's outcomes are forgotten.
pub const CLIENT_IDLE_MS: u64 = 3_600_000;

// A page must be able to hold a message that is not large, and a window several pages.
const _: () = assert!(LARGE_MESSAGE_BYTES < PAGE_BYTES && PAGE_BYTES as u64 * 4 <= WINDOW_BYTES);
const _: () = assert!(PAGE_MESSAGES * 4 <= WINDOW_MESSAGES);
