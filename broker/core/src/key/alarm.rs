//! Alarms: what is to happen by itself, and when.

use super::{QueueId, read_queue};
use bytes::{Buf, BufMut};

/// Something that is to happen by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// When, UTC milliseconds.
    pub when_ms: u64,
    /// In which queue.
    pub queue: QueueId,
    /// To what.
    pub what: Wake,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A page: one of its messages expires, or has waited long enough.
    Page(u64),
    /// A scheduled message: it is due.
    Scheduled(u64),
    /// The ids of the entity: those of a generation are older than its window.
    Window,
    /// The schedules of a queue or topic: one is due.
    Occurrence,
    /// What a topic keeps for replays: the oldest of it has been kept for long enough.
    Kept,
}

impl Alarm {
    /// Bytes of an alarm.
    pub const BYTES: usize = 26;

    /// The alarm of a page.
    pub fn page(when_ms: u64, queue: QueueId, first: u64) -> Self {
        Alarm { when_ms, queue, what: Wake::Page(first) }
    }

    /// The alarm of a scheduled message.
    pub fn scheduled(when_ms: u64, queue: QueueId, number: u64) -> Self {
        Alarm { when_ms, queue, what: Wake::Scheduled(number) }
    }

    /// The alarm of an entity's window of duplicates.
    pub fn window(when_ms: u64, entity: u64) -> Self {
        Alarm { when_ms, queue: QueueId::main(entity), what: Wake::Window }
    }

    /// The alarm of a schedule.
    pub fn occurrence(when_ms: u64, queue: QueueId) -> Self {
        Alarm { when_ms, queue, what: Wake::Occurrence }
    }

    /// The alarm of what a topic keeps.
    pub fn kept(when_ms: u64, topic: u64) -> Self {
        Alarm { when_ms, queue: QueueId::main(topic), what: Wake::Kept }
    }

    /// Writes the alarm.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u64(self.when_ms);
        out.put_u64(self.queue.entity);
        out.put_u8(self.queue.lane.code());
        let (kind, number) = match self.what {
            Wake::Page(first) => (0, first),
            Wake::Scheduled(number) => (1, number),
            Wake::Window => (2, 0),
            Wake::Occurrence => (3, 0),
            Wake::Kept => (4, 0),
        };
        out.put_u8(kind);
        out.put_u64(number);
    }

    /// Reads an alarm's bytes; `None` where they are not one's.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let when_ms = bytes.try_get_u64().ok()?;
        let queue = read_queue(bytes)?;
        let what = match (bytes.try_get_u8().ok()?, bytes.try_get_u64().ok()?) {
            (0, first) => Wake::Page(first),
            (1, number) => Wake::Scheduled(number),
            (2, 0) => Wake::Window,
            (3, 0) => Wake::Occurrence,
            (4, 0) => Wake::Kept,
            _ => return None,
        };
        Some(Alarm { when_ms, queue, what })
    }
}
