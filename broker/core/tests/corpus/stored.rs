//! What holds for all bytes that a store gives back, damaged or not. `fuzz/` looks for bytes that it does not hold for.

use bytes::Bytes;
use postrider_core::apply::{self, Write};
use postrider_core::fact;
use postrider_core::journal;
use postrider_core::key::Key;
use postrider_core::lease::LeaseRow;
use postrider_core::page::{Page, PageState};
use postrider_core::session::SessionRow;
use postrider_protocol::message::Record;
use postrider_protocol::wire::Reader;

/// The first byte says what the others are.
pub fn stored(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    match kind % 7 {
        0 => facts(bytes),
        1 => key(&bytes),
        2 => page(bytes),
        3 => page_state(bytes),
        4 => page_with_state(bytes),
        5 => _ = journal::read_row(bytes),
        _ => rows(bytes),
    }
}

/// Facts that can be read are the same when they are written, and become changes of keys that can be read.
fn facts(bytes: Bytes) {
    let Ok((shard, facts)) = fact::decode(bytes) else { return };
    let written = fact::encode(shard, &facts);
    let (_, again) = fact::decode(written.clone()).expect("what was written can be read");
    assert_eq!(fact::encode(shard, &again), written);
    apply::apply(shard, &facts, &mut |write| {
        if let Write::Put(key, _) | Write::Delete(key) | Write::SingleDelete(key) = write {
            assert_eq!(Key::decode(&key.encode()).expect("a key of ours"), key);
        }
    });
}

/// There is one way to write a key, or ranges would miss some.
fn key(bytes: &[u8]) {
    if let Ok(key) = Key::decode(bytes) {
        assert_eq!(key.encode(), bytes);
    }
}

/// Records are looked at once the page is whole; here one refers into itself.
fn page(bytes: Bytes) {
    let Ok(page) = Page::open(bytes) else { return };
    let _ = (page.refers(), page.written_ms());
    let topic = page.clone();
    let Ok(page) = page.with_topic(topic) else { return };
    for at in 0..page.len() {
        let _ = page.mark(at);
        if let Some(record) = page.record(at) {
            assert_eq!(page.size(at) as usize, record.len());
            let _ = Record::decode(record);
        }
    }
    let _ = page.bytes_in_all();
}

fn page_state(bytes: Bytes) {
    let Ok(state) = PageState::decode(bytes) else { return };
    let again = PageState::decode(state.encode()).expect("what was written can be read");
    assert_eq!(again, state);
}

/// The length of the page, the page, and its state.
fn page_with_state(mut bytes: Bytes) {
    if bytes.len() < 2 {
        return;
    }
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let rest = bytes.split_off(2);
    let (page, state) = (rest.slice(..length.min(rest.len())), rest.slice(length.min(rest.len())..));
    let Ok(page) = Page::open(page).and_then(|page| page.clone().with_topic(page)) else { return };
    if let Ok(state) = PageState::of(&page, Some(state)) {
        assert_eq!(state.attempts.len(), page.len());
        assert!((0..page.len()).all(|at| page.size(at) > 0 || state.attempts[at].is_none()));
    }
}

/// Rows that are not read as part of a fact.
fn rows(bytes: Bytes) {
    let _ = LeaseRow::read(&mut Reader::new(bytes.clone()));
    let _ = SessionRow::read(&mut Reader::new(bytes));
}
