//! What is in a broker's data directory.

use super::books::Found;
use super::load;
use bytes::Bytes;
use postrider::offline::verify;
use postrider::store::{DataDir, RocksStore, StoreError, open};
use postrider_client::EntityKind;
use postrider_core::context::{Damage, Rows};
use postrider_core::fact::EntityRow;
use postrider_core::key::{Key, KeyRange};
use postrider_core::page::{Page, PageState};
use postrider_protocol::message::{Message, Record};
use postrider_protocol::name::Lane;
use postrider_protocol::wire::Reader;
use std::collections::BTreeMap;
use std::path::Path;

/// The shards of a new store.
const SHARDS: u16 = 16;

/// Opens it as a start does, and looks for messages; then `verify` has to find it sound, counters included. What is wrong
/// is told in words.
pub fn look(dir: &Path) -> Result<Found, String> {
    let found = found(dir).map_err(|error| error.to_string())?;
    let verified = verify(dir, &mut |_| ()).map_err(|error| error.to_string())?;
    match verified.problems.as_slice() {
        [] => Ok(found),
        problems => Err(problems.join("; ")),
    }
}

fn found(dir: &Path) -> Result<Found, StoreError> {
    let (store, row) = open(&DataDir::claim(dir)?, SHARDS)?;
    let mut names = BTreeMap::new();
    for shard in 0..row.shards {
        names.append(&mut queues(&store, shard)?);
    }
    let (mut found, everything) = (Found::new(), KeyRange { from: vec![], to: vec![u8::MAX; 2] });
    store.scan(&everything, &mut |bytes, value| {
        if let Key::Page(shard, queue, first) = Key::decode(bytes)?
            && let Some(name) = names.get(&(shard, queue.entity))
        {
            let place = if queue.lane == Lane::Main { name.clone() } else { format!("{name}, {queue:?}") };
            let stored = store.get(&Key::PageState(shard, queue, first))?;
            let page = Page::resolve(&store, shard, Bytes::copy_from_slice(value))?;
            found.entry(place).or_default().extend(ids(&page, &PageState::of(&page, stored)?)?);
        }
        Ok(true)
    })?;
    Ok(found)
}

/// The names of a shard's queues and subscriptions, by their entities.
fn queues(store: &RocksStore, shard: u16) -> Result<BTreeMap<(u16, u64), String>, Damage> {
    let mut names = BTreeMap::new();
    store.scan(&KeyRange::entities(shard), &mut |bytes, value| {
        if let Key::Entity(shard, entity) = Key::decode(bytes)? {
            let row = EntityRow::read(&mut Reader::new(Bytes::copy_from_slice(value)));
            let row = row.map_err(|malformed| Damage::new(malformed.to_string()))?;
            if row.kind != EntityKind::Topic {
                names.insert((shard, entity), row.name);
            }
        }
        Ok(true)
    })?;
    Ok(names)
}

/// The ids of the messages that are in a page still.
fn ids(page: &Page, state: &PageState) -> Result<Vec<u64>, Damage> {
    let there = (0..page.len()).filter(|at| state.attempts[*at].is_some());
    there
        .map(|at| {
            let record = page.record(at).ok_or_else(|| Damage::new("a record is missing"))?;
            let message = Record::decode(record).and_then(|record| Message::decode(record.message));
            let message = message.map_err(|malformed| Damage::new(malformed.to_string()))?;
            load::read(&message).ok_or_else(|| Damage::new("I2 invented: a message is not as it was sent"))
        })
        .collect()
}
