//! The store alone: each turn commits a page and its lease, and lets go of those of an earlier turn.

use super::{Rounds, repeat};
use crate::args::Args;
use crate::bodies::Bodies;
use crate::figures::Micro;
use anyhow::Result;
use bytes::Bytes;
use postrider::store::{LocalLog, RocksStore, ShardLog};
use postrider_core::command::Owner;
use postrider_core::fact::{Fact, QueueRow, ShardRow};
use postrider_core::key::QueueId;
use postrider_core::lease::{Hold, LeaseRow};
use postrider_core::page::{Body, Mark, PageBuilder};
use postrider_protocol::message::Message;

/// Turns between a page's coming and going.
const BEHIND: u64 = 4;

/// Measures turns of so many messages, each with its sync.
pub fn measure(args: &Args, size: usize, messages: usize) -> Result<Micro> {
    let dir = tempfile::Builder::new().prefix("postrider-bench-").tempdir_in(args.dir())?;
    let mut log = LocalLog::new(RocksStore::open(dir.path())?);
    let (bodies, mut rounds, mut turn) = (Bodies::new(size), Rounds::default(), 0);
    repeat(|| {
        turn += 1;
        let facts = facts(&bodies, messages, turn);
        rounds.time(|| log.append(&[(0, facts)]))?;
        Ok(())
    })?;
    Ok(rounds.mean("store: synced commit of a turn", size, messages))
}

fn facts(bodies: &Bodies, messages: usize, turn: u64) -> Vec<Fact> {
    let (queue, count) = (QueueId::main(1), messages as u64);
    let first = |turn: u64| turn * count + 1;
    let page = page(first(turn), bodies, messages);
    let mut facts = vec![
        Fact::PageWritten(queue, first(turn), page),
        Fact::Leased(turn, lease(queue, first(turn), messages)),
    ];
    if let Some(earlier) = turn.checked_sub(BEHIND).filter(|turn| *turn > 0) {
        facts.push(Fact::PageGone(queue, first(earlier)));
        facts.push(Fact::LeaseGone(earlier));
    }
    facts.push(Fact::QueueState(queue, QueueRow { next: first(turn + 1), ..QueueRow::default() }));
    facts.push(Fact::ShardState(ShardRow {
        position: turn,
        last_lease: turn,
        last_entity: 1,
        last_parcel: 0,
    }));
    facts
}

/// The messages of a turn.
fn page(first: u64, bodies: &Bodies, messages: usize) -> Bytes {
    let mut builder = PageBuilder::default();
    for sequence in first..first + messages as u64 {
        let message = Message::new(bodies.next()).with_id("0123456789abcdef0123456789abcdef-12345");
        builder.push(1, sequence, Mark::default(), Body::own(&message.encode()));
    }
    builder.build()
}

fn lease(queue: QueueId, page: u64, messages: usize) -> LeaseRow {
    let hold = Hold { page, index: 0, count: messages as u32, attempts: 0, until_ms: 1, held: true };
    LeaseRow {
        queue,
        owner: Owner { client: 7, handle: 1 },
        salt: 3,
        duration_ms: 30_000,
        longest_ms: 30_000,
        holds: vec![hold],
    }
}
