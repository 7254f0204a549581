//! Answers to questions, from the state after a turn, which is durable by then.

use super::mailbox::Query;
use super::placement::Placement;
use bytes::BytesMut;
use postrider_core::context::{Damage, Places, Rows};
use postrider_core::limits::EXAMINED_BYTES;
use postrider_core::shard::Shard;
use postrider_core::verbs::trace::TraceQuery;
use postrider_protocol::entity::EntityInfo;
use postrider_protocol::limits::{BATCH_BYTES, LISTING_ENTRIES};
use postrider_protocol::name::EntityName;
use postrider_protocol::reply::{Reply, StatusInfo};
use postrider_protocol::request::Listing;
use postrider_protocol::trace::TraceCursor;

/// Answers everything but `Status`, whose numbers are the engine's.
pub fn answer(
    shards: &[Shard],
    placement: &Placement,
    rows: &dyn Rows,
    query: &Query,
    status: impl FnOnce() -> StatusInfo,
) -> Result<Reply, Damage> {
    let home = |name: &EntityName| &shards[usize::from(placement.shard_of(name))];
    Ok(match query {
        Query::Get(name) => {
            let info = home(name).info(name);
            info.map_or_else(Reply::Refused, |info| Reply::Entity(Box::new(info)))
        }
        Query::List(listing) => list(shards, listing),
        Query::Queue(address, question) => home(&address.entity).answer(rows, address, question)?,
        Query::Trace(from, query) => trace(shards, placement, rows, *from, query)?,
        Query::Status => Reply::Status(status()),
    })
}

/// Goes through the shards from one on, or asks the entity's alone, until the answer is full or enough was read.
fn trace(
    shards: &[Shard],
    placement: &Placement,
    rows: &dyn Rows,
    from: u16,
    query: &TraceQuery,
) -> Result<Reply, Damage> {
    let last = shards.len() as u16 - 1;
    let home = query.entity.as_ref().map(|name| placement.shard_of(name));
    let (first, last) = home.map_or((from, last), |home| (home, home));
    let (mut steps, mut read, most) = (Vec::new(), 0, bounded(query.limit));
    for number in first..=last {
        let cursor = |(row, step)| TraceCursor { shard: number, row, step };
        if number > first && (steps.len() >= most || read >= EXAMINED_BYTES) {
            return Ok(Reply::Traced { steps, next: Some(cursor((0, 0))) });
        }
        let begin = if number == from { query.from } else { (0, 0) };
        let query = TraceQuery { from: begin, limit: (most - steps.len()) as u32, ..query.clone() };
        let part = shards[usize::from(number)].trace(rows, &query)?;
        read += part.bytes;
        steps.extend(part.steps);
        if let Some(next) = part.next {
            return Ok(Reply::Traced { steps, next: Some(cursor(next)) });
        }
    }
    Ok(Reply::Traced { steps, next: None })
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
