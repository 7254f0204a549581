//! Receivers: who may get how much.

use crate::command::{Owner, ReceiverKey, Ticket};
use crate::key::QueueId;
use crate::limits;
use postrider_protocol::limits::CREDIT;
use postrider_protocol::request::{Flow, ReceiveMode};

/// An open receiver.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Its connection and number.
    pub key: ReceiverKey,
    /// Whose locks it takes.
    pub owner: Owner,
    /// What it receives from.
    pub queue: QueueId,
    /// Peek-lock or receive-and-delete.
    pub mode: ReceiveMode,
    /// How long its locks hold, in milliseconds; 0 for the entity's own.
    pub lock_duration_ms: u64,
    /// Whether its locks are let go when the connection dies.
    pub release_on_disconnect: bool,
    /// Messages delivered since it was opened.
    pub delivered: u64,
    /// Messages it may still get.
    pub credit: u32,
    /// Bytes that may still go into its outbox. A delivery may overdraw it once.
    pub room: i64,
    /// Messages it holds locks of.
    pub outstanding: u64,
    /// Its share of the work, from 1, where the queue shares it by weight.
    pub weight: u32,
    /// When it is its turn, where the queue goes by turns.
    pub turn: u64,
    /// Milliseconds from delivery to settlement, times eight: a moving average over some eight messages.
    pub latency_8ms: Option<u64>,
    /// When it got something last, on the monotonic clock.
    pub served_ms: u64,
    /// Who waits to hear that nothing more is ready.
    pub draining: Vec<Ticket>,
}

impl Receiver {
    /// Takes over a grant: `credit` messages beyond the `delivered` that the client knows of. Returns who waits for a
    /// drain that this grant, being none, puts an end to.
    pub fn grant(&mut self, ticket: Ticket, flow: &Flow) -> Vec<Ticket> {
        let end = flow.delivered.saturating_add(u64::from(flow.credit));
        let left = end.saturating_sub(self.delivered).min(u64::from(CREDIT));
        self.credit = u32::try_from(left).unwrap_or(CREDIT);
        if flow.drain {
            self.draining.push(ticket);
            return Vec::new();
        }
        std::mem::take(&mut self.draining)
    }

    /// Whether a message can go to it now.
    pub fn is_open(&self) -> bool {
        self.credit > 0 && self.room > 0
    }

    /// Books what a delivery takes of its credit.
    pub fn spend(&mut self, messages: u64) {
        self.credit = self.credit.saturating_sub(messages as u32);
    }

    /// Books a delivery.
    pub fn deliver(&mut self, messages: u64, bytes: u64) {
        self.delivered += messages;
        self.room -= bytes as i64;
        if self.mode == ReceiveMode::PeekLock {
            self.outstanding += messages;
        }
    }

    /// Books a settlement so long after its delivery.
    pub fn settle_after(&mut self, latency_ms: u64) {
        let before = self.latency_8ms.unwrap_or(latency_ms.saturating_mul(8));
        self.latency_8ms = Some((before - before / 8).saturating_add(latency_ms));
    }

    /// Books bytes that the connection took.
    pub fn take(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.room = self.room.saturating_add(bytes).min(limits::RECEIVER_ROOM_BYTES as i64);
    }
}
