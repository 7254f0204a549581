//! What listings say about an entity.

use crate::limits;
use crate::options::{EntityKind, Options};
use crate::rule::Rule;
use crate::wire::{self, Read, Reader};
use bytes::{BufMut, BytesMut};

/// Rules that a subscription can have.
const RULES: usize = limits::RULES_PER_TOPIC + limits::SQL_RULES_PER_TOPIC;

/// An entity with its options, rules and counters.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityInfo {
    /// The name as it was created.
    pub name: String,
    /// Queue, topic or subscription.
    pub kind: EntityKind,
    /// When it was created, UTC milliseconds.
    pub created_ms: u64,
    /// The options in force, defaults included.
    pub options: Options,
    /// The rules of a subscription.
    pub rules: Vec<Rule>,
    /// The counters, all of the same moment.
    pub counters: Counters,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What an entity holds and has done. On the wire a list of u64; a reader takes the ones it knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// Names and values, in the wire's order.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            fn from_list(values: &[u64]) -> Self {
                let mut values = values.iter().copied();
                Counters { $($name: values.next().unwrap_or(0),)* }
            }
        }
    };
}

counters! {
    /// Messages in the queue, locked ones included.
    active,
    /// Of these, messages that a consumer holds.
    locked,
    /// Messages in the dead-letter queue.
    dead_letters,
    /// Bytes of the active messages; of a topic, bytes of what it stores for its subscriptions and for replays.
    bytes,
    /// Receivers that are open on the queue or its dead letters.
    receivers,
    /// Subscriptions of a topic.
    subscriptions,
    /// The last sequence number given.
    last_sequence,
    /// Messages that a topic accepted and no subscription wanted.
    unmatched,
    /// Messages that wait for their time to be enqueued.
    scheduled,
    /// Messages that were set aside, to be received by their number.
    deferred,
    /// Messages that wait for their next attempt.
    delayed,
    /// Messages that expired.
    expired,
    /// Messages that were not stored because their id was seen within the window.
    duplicates,
    /// Messages that made room in a full queue, or found no place in one.
    dropped,
    /// Sessions of the queue.
    sessions,
    /// Messages that could not be passed on to another entity.
    transfer_dead_letters,
    /// The circuit breaker of the queue, see [`Counters::breaker_state`]: 0 none, 1 closed, 2 open, 3 half-open.
    breaker,
    /// How often it has opened since the broker started.
    breaker_opened,
    /// When the pause of an open one is over, UTC milliseconds; 0 where none is open.
    breaker_until_ms,
    /// Messages that a rule of the subscription failed on.
    filter_errors,
    /// Numbers of a topic whose messages it keeps for replays.
    retained,
    /// Numbers of its topic that are still to be looked at in a subscription's replay.
    replaying,
}

/// What the circuit breaker of a queue or subscription does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Messages are given out.
    Closed,
    /// Consumers failed: nothing is given out for a while.
    Open,
    /// One message is given out, to see how consumers are.
    HalfOpen,
}

impl BreakerState {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }

    /// The state's number among the counters.
    pub fn code(self) -> u64 {
        match self {
            BreakerState::Closed => 1,
            BreakerState::Open => 2,
            BreakerState::HalfOpen => 3,
        }
    }
}

impl Counters {
    /// The state of the circuit breaker; none where there is none, or one that this version does not know.
    pub fn breaker_state(&self) -> Option<BreakerState> {
        let all = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];
        all.into_iter().find(|state| state.code() == self.breaker)
    }
}

impl EntityInfo {
    /// Writes the info.
    pub fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.name);
        out.put_u8(self.kind.code());
        out.put_u64(self.created_ms);
        self.options.put(out);
        wire::put_list(out, &self.rules, |out, rule| rule.put(out));
        wire::put_list(out, &self.counters.list(), |out, (_, value)| out.put_u64(*value));
    }

    /// Reads the info.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(EntityInfo {
            name: reader.text("entity.name")?,
            kind: EntityKind::read(reader)?,
            created_ms: reader.u64("entity.created_ms")?,
            options: Options::read(reader)?,
            rules: reader.list("entity.rules", Rule::LEAST_BYTES, RULES, Rule::read)?,
            counters: Counters::from_list(
                &reader.list("entity.counters", 8, 255, |reader| reader.u64("counter"))?,
            ),
        })
    }
}
