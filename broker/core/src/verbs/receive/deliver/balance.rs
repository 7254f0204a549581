//! Which receiver gets the next message.

use crate::command::ReceiverKey;
use crate::keys;
use crate::limits::LATENCY_STALE_MS;
use crate::receiver::Receiver;
use crate::settings::Balance;
use std::collections::BTreeSet;

/// What a turn of weight 1 is worth.
const TURN: u64 = 1 << 20;

/// The receivers that can take something, the next one first.
#[derive(Debug)]
pub(super) struct Order {
    balance: Balance,
    mono_ms: u64,
    /// The turn of the receiver that got the last message: who comes later has missed the turns before.
    pub turn: u64,
    line: BTreeSet<(u64, u64, ReceiverKey)>,
}

impl Order {
    pub fn new(balance: Balance, turn: u64, mono_ms: u64) -> Self {
        Order { balance, mono_ms, turn, line: BTreeSet::new() }
    }

    /// Whether nobody can take anything.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Whether a receiver is in the line.
    pub fn has(&self, receiver: &Receiver) -> bool {
        self.line.contains(&self.rank(receiver))
    }

    /// The receivers, the next one first.
    pub fn iter(&self) -> impl Iterator<Item = ReceiverKey> + '_ {
        self.line.iter().map(|(.., key)| *key)
    }

    /// Lets a receiver stand in line, if it can take something.
    pub fn join(&mut self, receiver: &mut Receiver) {
        receiver.turn = receiver.turn.max(self.turn);
        if receiver.is_open() {
            self.line.insert(self.rank(receiver));
        }
    }

    /// Lets nobody take anything any more.
    pub fn close(&mut self) {
        self.line.clear();
    }

    /// Takes a receiver out of the line, because it gets a message.
    pub fn leave(&mut self, receiver: &mut Receiver) {
        self.line.remove(&self.rank(receiver));
        self.turn = receiver.turn;
        receiver.turn += match self.balance {
            Balance::Weighted => (TURN / u64::from(receiver.weight)).max(1),
            _ => TURN,
        };
        receiver.served_ms = self.mono_ms;
    }

    fn rank(&self, receiver: &Receiver) -> (u64, u64, ReceiverKey) {
        let (first, then) = match self.balance {
            Balance::LeastOutstanding | Balance::KeyHash => (receiver.outstanding, receiver.delivered),
            Balance::RoundRobin | Balance::Weighted => (receiver.turn, 0),
            Balance::LeastLatency => (self.latency(receiver), receiver.outstanding),
        };
        (first, then, receiver.key)
    }

    /// How fast a receiver settles. One of which that is not known, or not any more, gets one message to show it.
    fn latency(&self, receiver: &Receiver) -> u64 {
        let idle_ms = self.mono_ms.saturating_sub(receiver.served_ms);
        match receiver.latency_8ms {
            None if receiver.outstanding > 0 => u64::MAX,
            Some(latency) if receiver.outstanding > 0 || idle_ms < LATENCY_STALE_MS => latency,
            _ => 0,
        }
    }
}

/// The receiver that a key belongs to, whether or not it can take something.
pub(super) fn home<'a>(key: u32, receivers: impl Iterator<Item = &'a Receiver>) -> Option<&'a Receiver> {
    receivers.max_by_key(|receiver| (keys::affinity(key, receiver.owner), receiver.owner))
}
