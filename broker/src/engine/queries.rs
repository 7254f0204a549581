//! Answers to questions, from the state after a turn, which is durable by then.

use super::mailbox::Query;
use super::placement::home_shard;
use bytes::{Bytes, BytesMut};
use postrider_core::context::{Damage, Rows};
use postrider_core::key::{Key, KeyRange, QueueId};
use postrider_core::limits::PAGE_MESSAGES;
use postrider_core::page::{Page, PageState};
use postrider_core::queue::Slot;
use postrider_core::shard::Shard;
use postrider_protocol::entity::EntityInfo;
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::{BATCH_BYTES, LISTING_ENTRIES};
use postrider_protocol::reply::{Delivered, PeekState, Peeked, Reply, StatusInfo};
use postrider_protocol::request::Listing;

/// Answers everything but `Status`, whose numbers are the engine's.
pub fn answer(
    shards: &[Shard],
    rows: &dyn Rows,
    query: &Query,
    status: impl FnOnce() -> StatusInfo,
) -> Result<Reply, Damage> {
    let count = shards.len() as u16;
    Ok(match query {
        Query::Get(name) => {
            let info = shards[usize::from(home_shard(name, count))].info(name);
            info.map_or_else(Reply::Refused, |info| Reply::Entity(Box::new(info)))
        }
        Query::List(listing) => list(shards, listing),
        Query::Peek(address, from, limit) => {
            let shard = home_shard(&address.entity, count);
            match shards[usize::from(shard)].queue_at(address) {
                Ok(queue) => peek(&shards[usize::from(shard)], shard, queue, rows, *from, *limit)?,
                Err(refusal) => Reply::Refused(refusal),
            }
        }
        Query::Status => Reply::Status(status()),
    })
}

fn list(shards: &[Shard], listing: &Listing) -> Reply {
    let limit = bounded(listing.limit);
    let of_shard = |shard: &Shard| shard.list(listing.kind, &listing.prefix, &listing.after, limit + 1);
    let mut entities: Vec<_> = shards.iter().flat_map(of_shard).collect();
    entities.sort_by_cached_key(|info| info.name.to_ascii_lowercase());
    let fits = entities.len().min(limit).min(first_that_fit(&entities));
    let more = entities.len() > fits;
    entities.truncate(fits);
    Reply::Entities { entities, more }
}

/// How many of the entities a page of a listing has room for: at least one.
fn first_that_fit(entities: &[EntityInfo]) -> usize {
    let mut laid_out = BytesMut::new();
    let fits = entities.iter().take_while(|info| {
        info.put(&mut laid_out);
        laid_out.len() <= BATCH_BYTES
    });
    fits.count().max(1)
}

fn bounded(limit: u32) -> usize {
    (if limit == 0 { LISTING_ENTRIES } else { limit.min(LISTING_ENTRIES) }) as usize
}

/// Walks the pages from the one that may hold `from`, and stops when the answer is full.
fn peek(
    shard: &Shard,
    id: u16,
    queue: QueueId,
    rows: &dyn Rows,
    from: u64,
    limit: u32,
) -> Result<Reply, Damage> {
    let Some(state) = shard.queue(queue) else {
        return Ok(Reply::Refused(Refusal::not_found("the queue")));
    };
    let limit = bounded(limit);
    let start = from.saturating_sub(PAGE_MESSAGES as u64).max(state.low());
    let mut found = Vec::new();
    let mut bytes = 0;
    rows.scan(&KeyRange::pages(id, queue, start, u64::MAX), &mut |key, value| {
        let Key::Page(_, _, first) = Key::decode(key)? else { return Ok(false) };
        let page = Page::open(Bytes::copy_from_slice(value))?;
        let states = rows.get(&Key::PageState(id, queue, first))?.map(PageState::decode).transpose()?;
        let attempts = states.unwrap_or_else(|| PageState::fresh(page.len())).attempts;
        for (index, attempts) in attempts.into_iter().enumerate() {
            let sequence = first + index as u64;
            let (Some(attempts), Some(record)) = (attempts, page.record(index)) else { continue };
            if sequence < from || found.len() >= limit || bytes >= BATCH_BYTES {
                continue;
            }
            bytes += record.len();
            let locked = matches!(state.slot(first, index as u32), Some(Slot::Locked { .. }));
            let state = if locked { PeekState::Locked } else { PeekState::Ready };
            found.push(Peeked { state, message: Delivered { sequence, attempts, record } });
        }
        Ok(found.len() < limit && bytes < BATCH_BYTES)
    })?;
    Ok(Reply::Peeked(found))
}
