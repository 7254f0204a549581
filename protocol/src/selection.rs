//! Which messages of a queue a request is about, and the states and causes that tell them apart.

use crate::error::Refusal;
use crate::limits;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// The state of a message that was peeked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeekState {
    /// Waits to be delivered.
    Ready,
    /// A consumer holds it.
    Locked,
    /// Waits for its time to be enqueued.
    Scheduled,
    /// Was set aside, to be received by its number.
    Deferred,
    /// Waits for its next attempt.
    Delayed,
}

impl PeekState {
    /// All states, in the order of their codes.
    pub const ALL: [PeekState; 5] =
        [PeekState::Ready, PeekState::Locked, PeekState::Scheduled, PeekState::Deferred, PeekState::Delayed];

    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            PeekState::Ready => "ready",
            PeekState::Locked => "locked",
            PeekState::Scheduled => "scheduled",
            PeekState::Deferred => "deferred",
            PeekState::Delayed => "delayed",
        }
    }

    /// The state's code in bytes.
    pub fn code(self) -> u8 {
        match self {
            PeekState::Ready => 0,
            PeekState::Locked => 1,
            PeekState::Scheduled => 2,
            PeekState::Deferred => 3,
            PeekState::Delayed => 4,
        }
    }

    /// The state of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    pub(crate) fn read(reader: &mut Reader) -> Read<Self> {
        let code = reader.u8("state")?;
        Self::ALL
            .into_iter()
            .find(|state| state.code() == code)
            .ok_or_else(|| Malformed::new("state", format!("found {code}, states are 0 to 4")))
    }
}

impl fmt::Display for PeekState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of states that messages can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct States(u8);

impl States {
    /// Every state.
    pub const ALL: States = States((1 << PeekState::ALL.len()) - 1);

    /// These states; none of them is every state.
    pub fn of(states: &[PeekState]) -> Self {
        match states.iter().fold(0, |bits, state| bits | 1 << state.code()) {
            0 => States::ALL,
            bits => States(bits),
        }
    }

    /// Whether `state` is one of them.
    pub fn contains(self, state: PeekState) -> bool {
        self.0 & 1 << state.code() != 0
    }

    /// Whether they are all there are.
    pub fn is_all(self) -> bool {
        self == States::ALL
    }

    /// Writes the set: u8, a bit for each state by its code.
    pub fn put(self, out: &mut BytesMut) {
        out.put_u8(self.0);
    }

    /// Reads a set; no bit at all is every state.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        match reader.u8("states")? {
            0 => Ok(States::ALL),
            bits if bits & !States::ALL.0 == 0 => Ok(States(bits)),
            bits => Err(Malformed::new("states", format!("has unknown bits {:#x}", bits & !States::ALL.0))),
        }
    }
}

impl Default for States {
    fn default() -> Self {
        States::ALL
    }
}

/// Why messages were dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cause {
    /// The reason, as it was given.
    pub reason: String,
    /// What the descriptions of these dead letters have in common: the normalised one.
    pub description: String,
}

impl Cause {
    /// Writes the cause: text reason, text description.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.reason);
        wire::put_text(out, &self.description);
    }

    /// Reads a cause.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Cause { reason: reader.text("cause.reason")?, description: reader.text("cause.description")? })
    }
}

/// Which messages of a queue a bulk request is about: those that all of this is true of. The default is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Only messages in these states.
    pub states: States,
    /// Only messages that this SQL filter lets through; empty for none.
    pub filter: String,
    /// Only messages enqueued before, UTC milliseconds; 0 for all.
    pub before_ms: u64,
    /// Only dead letters of this cause.
    pub cause: Option<Cause>,
    /// Only messages with these numbers; empty for all.
    pub sequences: Vec<u64>,
}

impl Selection {
    /// Whether it leaves no message out.
    pub fn is_all(&self) -> bool {
        *self == Selection::default()
    }

    /// Refuses a filter that is too long.
    pub fn check(&self) -> Result<(), Refusal> {
        check_filter(&self.filter)
    }

    /// Writes the selection.
    pub fn put(&self, out: &mut BytesMut) {
        self.states.put(out);
        wire::put_text(out, &self.filter);
        out.put_u64(self.before_ms);
        out.put_u8(u8::from(self.cause.is_some()));
        if let Some(cause) = &self.cause {
            cause.put(out);
        }
        put_sequences(out, &self.sequences);
    }

    /// Reads a selection.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Selection {
            states: States::read(reader)?,
            filter: reader.text("filter")?,
            before_ms: reader.u64("before_ms")?,
            cause: if reader.bool("cause")? { Some(Cause::read(reader)?) } else { None },
            sequences: read_sequences(reader)?,
        })
    }
}

/// Refuses the SQL text of a filter that is longer than [`limits::FILTER_CHARS`].
pub(crate) fn check_filter(filter: &str) -> Result<(), Refusal> {
    let (chars, most) = (filter.chars().count(), limits::FILTER_CHARS);
    if chars <= most {
        return Ok(());
    }
    Err(Refusal::invalid("filter", format!("has {chars} characters, at most {most} are allowed")))
}

/// Writes sequence numbers: a list of u64.
pub(crate) fn put_sequences(out: &mut BytesMut, sequences: &[u64]) {
    wire::put_list(out, sequences, |out, sequence| out.put_u64(*sequence));
}

/// Reads sequence numbers, at most [`limits::SEQUENCES`].
pub(crate) fn read_sequences(reader: &mut Reader) -> Read<Vec<u64>> {
    reader.list("sequences", 8, limits::SEQUENCES, |reader| reader.u64("sequence"))
}
