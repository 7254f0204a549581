//! What clients were answered, so that a request that comes again gets the same answer and changes nothing.
//!
//! The answers that one client got in one turn are one row. A row goes when the client has confirmed all of them (its
//! floor has passed), when it says goodbye, or when it was not heard of for an hour.

pub use crate::recorded::{OutcomesRow, Recorded};

use crate::context::Damage;
use crate::fact::Fact;
use crate::limits;
use bytes::Bytes;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits::OUTCOMES_PER_CLIENT;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Stamp;
use postrider_protocol::wire::Reader;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one client.
#[derive(Debug, Default)]
struct Client {
    floor: u64,
    answers: BTreeMap<u64, Recorded>,
    /// First sequence of each stored row, and its highest one.
    rows: BTreeMap<u64, u64>,
    /// Answers of this turn, not stored yet.
    fresh: Vec<Recorded>,
    heard_ms: Option<u64>,
}

/// The recorded answers of a shard's clients.
#[derive(Debug, Default)]
pub struct Outcomes {
    clients: BTreeMap<u128, Client>,
    /// Clients by when they were last heard of.
    heard: BTreeSet<(u64, u128)>,
    /// Clients with answers of this turn.
    fresh: BTreeSet<u128>,
    facts: Vec<Fact>,
}

impl Outcomes {
    /// Looks up whether the request was answered before. `Some` is the answer to give again.
    pub fn find(&mut self, client: u128, stamp: Stamp, mono_ms: u64) -> Result<Option<Reply>, Damage> {
        self.hear(client, mono_ms);
        let Some(known) = self.clients.get_mut(&client) else { return Ok(None) };
        // First, since a stored row can hold answers from below the floor beside others that are still needed.
        if stamp.sequence < known.floor {
            let text = format!(
                "request {} is below the floor {} that the client confirmed; its outcome is not kept any more",
                stamp.sequence, known.floor
            );
            return Ok(Some(Reply::Refused(Refusal::new(ErrorCode::UnknownOutcome, text))));
        }
        if let Some(recorded) = known.answers.get(&stamp.sequence) {
            return recorded.reply().map(Some);
        }
        known.raise(client, stamp.floor, &mut self.facts);
        Ok(None)
    }

    /// Whether an answer is recorded.
    pub fn has(&self, client: u128, sequence: u64) -> bool {
        self.clients.get(&client).is_some_and(|known| known.answers.contains_key(&sequence))
    }

    /// Records an answer.
    pub fn record(&mut self, client: u128, sequence: u64, reply: &Reply) {
        let known = self.clients.entry(client).or_default();
        let recorded = Recorded::new(sequence, reply);
        known.answers.insert(sequence, recorded.clone());
        known.fresh.push(recorded);
        self.fresh.insert(client);
    }

    /// Forgets a client.
    pub fn forget(&mut self, client: u128) {
        if let Some(known) = self.clients.remove(&client) {
            self.heard.remove(&(known.heard_ms.unwrap_or(0), client));
            self.fresh.remove(&client);
            self.facts.extend(known.rows.keys().map(|first| Fact::OutcomesGone(client, *first)));
        }
    }

    /// Forgets clients that were not heard of for long.
    pub fn tick(&mut self, mono_ms: u64) {
        while let Some((heard, client)) = self.heard.first().copied() {
            if heard.saturating_add(limits::CLIENT_IDLE_MS) > mono_ms {
                break;
            }
            self.forget(client);
        }
    }

    /// When [`Outcomes::tick`] has something to do.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.heard.first().map(|(heard, _)| heard.saturating_add(limits::CLIENT_IDLE_MS))
    }

    /// Ends the turn: what must be remembered of it.
    pub fn seal(&mut self, facts: &mut Vec<Fact>) {
        facts.append(&mut self.facts);
        for client in std::mem::take(&mut self.fresh) {
            let Some(known) = self.clients.get_mut(&client) else { continue };
            let fresh = std::mem::take(&mut known.fresh);
            let sequences = || fresh.iter().map(|recorded| recorded.sequence);
            if let (Some(first), Some(last)) = (sequences().min(), sequences().max()) {
                known.rows.insert(first, last);
                facts.push(Fact::Outcomes(
                    client,
                    first,
                    OutcomesRow { floor: known.floor, recorded: fresh },
                ));
            }
        }
    }

    /// Takes over a stored row.
    pub fn load(&mut self, client: u128, first: u64, value: Bytes, mono_ms: u64) -> Result<(), Damage> {
        let row = OutcomesRow::read(&mut Reader::new(value));
        let row = row.map_err(|malformed| Damage::new(format!("outcomes of a client: {malformed}")))?;
        self.hear(client, mono_ms);
        let known = self.clients.entry(client).or_default();
        known.floor = known.floor.max(row.floor);
        known
            .rows
            .insert(first, row.recorded.iter().map(|recorded| recorded.sequence).max().unwrap_or(first));
        known.answers.extend(row.recorded.into_iter().map(|recorded| (recorded.sequence, recorded)));
        Ok(())
    }

    fn hear(&mut self, client: u128, mono_ms: u64) {
        let known = self.clients.entry(client).or_default();
        match known.heard_ms.replace(mono_ms) {
            Some(heard) if heard == mono_ms => return,
            Some(heard) => _ = self.heard.remove(&(heard, client)),
            None => {}
        }
        self.heard.insert((mono_ms, client));
        if self.clients.len() > limits::CLIENTS
            && let Some((_, oldest)) = self.heard.first().copied()
        {
            self.forget(oldest);
        }
    }
}

impl Client {
    /// Forgets what is below `floor`, and the oldest where too much is kept.
    fn raise(&mut self, client: u128, floor: u64, facts: &mut Vec<Fact>) {
        self.floor = self.floor.max(floor);
        if self.answers.len() >= OUTCOMES_PER_CLIENT
            && let Some((oldest, _)) = self.answers.first_key_value()
        {
            self.floor = self.floor.max(oldest + 1);
        }
        while self.answers.first_key_value().is_some_and(|(oldest, _)| *oldest < self.floor) {
            self.answers.pop_first();
        }
        // A row behind one that is still needed waits for it: looking at the lowest is enough.
        while let Some(row) = self.rows.first_entry().filter(|row| *row.get() < self.floor) {
            facts.push(Fact::OutcomesGone(client, row.remove_entry().0));
        }
    }
}
