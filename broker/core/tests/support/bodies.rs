//! What topics store once for all their subscriptions: counted anew, from all rows of a shard.

use super::rows::MemoryRows;
use postrider_core::fact::{QueueRow, ReferencesRow};
use postrider_core::key::{Key, KeyRange, QueueId, TopicPage};
use postrider_core::page::Page;
use postrider_protocol::wire::Reader;
use std::collections::BTreeMap;

/// Every reference leads to a message, every page of a topic knows how many pages refer to it and is needed, and the
/// topic's counter says what all of them take.
pub fn check(rows: &MemoryRows, shard: u16) {
    let mut pages = references(rows, shard);
    let mut bytes: BTreeMap<u64, u64> = BTreeMap::new();
    for (key, value) in rows.0.iter().map(|(key, value)| (Key::decode(key).unwrap(), value)) {
        let Key::References(of, page) = key else { continue };
        if of != shard {
            continue;
        }
        let row = ReferencesRow::read(&mut Reader::new(value.clone())).unwrap();
        let stored = rows.0.get(&page.key(shard).encode());
        let stored = stored.unwrap_or_else(|| panic!("{page:?} has references, but is not there"));
        assert_eq!(row.pages, pages.remove(&page).unwrap_or(0), "{page:?}: pages that refer to it");
        assert_eq!(row.bytes as usize, stored.len(), "{page:?}");
        let is_kept = topic(rows, shard, page.topic).is_some_and(|topic| topic.low <= page.first);
        assert!(row.pages > 0 || is_kept, "{page:?} is left over");
        *bytes.entry(page.topic).or_default() += stored.len() as u64;
    }
    assert!(pages.is_empty(), "what refers to these is not known: {pages:?}");
    for (topic, bytes) in bytes {
        assert_eq!(self::topic(rows, shard, topic).unwrap().bytes, bytes, "bytes of topic {topic}");
    }
}

/// How many pages refer to each page of topics that are there.
fn references(rows: &MemoryRows, shard: u16) -> BTreeMap<TopicPage, u32> {
    let mut pages: BTreeMap<_, u32> = BTreeMap::new();
    for (key, value) in rows.0.iter().map(|(key, value)| (Key::decode(key).unwrap(), value)) {
        let Key::Page(of, ..) = key else { continue };
        let refers = Page::open(value.clone()).unwrap().refers();
        let Some(page) = refers.filter(|page| of == shard && topic(rows, shard, page.topic).is_some()) else {
            continue;
        };
        Page::resolve(rows, shard, value.clone()).unwrap();
        *pages.entry(page).or_default() += 1;
    }
    pages
}

fn topic(rows: &MemoryRows, shard: u16, topic: u64) -> Option<QueueRow> {
    let row = rows.0.get(&Key::QueueState(shard, QueueId::main(topic)).encode())?;
    Some(QueueRow::read(&mut Reader::new(row.clone())).unwrap())
}

/// Whether a page is on its way out of its queue.
pub fn is_leaving(rows: &MemoryRows, shard: u16, queue: QueueId, first: u64) -> bool {
    rows.range(&KeyRange::leaving(shard)).any(|(key, to)| {
        let Key::Leaving(_, of, from) = key else { panic!("{key:?}") };
        of == queue && (from..Reader::new(to.clone()).u64("to").unwrap()).contains(&first)
    })
}
