//! The whole life of a message as a table: every state and every event. After a change that is meant to alter it, run
//! with `UPDATE_GOLDEN=1` and review the difference.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "golden texts are files, and a switch writes them again")]

use postrider_core::queue::{Event, Slot};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/transitions.txt");

fn states() -> [Slot; 6] {
    [
        Slot::Ready { attempts: 0 },
        Slot::Ready { attempts: 2 },
        Slot::Locked { lease: 7, attempts: 0 },
        Slot::Locked { lease: 7, attempts: 2 },
        Slot::Locked { lease: 7, attempts: u32::MAX },
        Slot::Gone,
    ]
}

fn events() -> [Event; 7] {
    let all = [
        Event::Lock { lease: 8 },
        Event::Take,
        Event::Purge,
        Event::Complete,
        Event::Move,
        Event::Fail,
        Event::Release,
    ];
    // A new event does not compile before it has a row.
    all.map(|event| match event {
        Event::Lock { .. } | Event::Take | Event::Purge | Event::Complete => event,
        Event::Move | Event::Fail | Event::Release => event,
    })
}

fn state(slot: Slot) -> String {
    match slot {
        Slot::Ready { attempts } => format!("ready, {attempts} attempts"),
        Slot::Locked { lease, attempts } => format!("locked by {lease}, {attempts} attempts"),
        Slot::Gone => "gone".to_owned(),
    }
}

fn table() -> String {
    let mut table = String::new();
    for slot in states() {
        for event in events() {
            let after = slot.on(event).map_or_else(|| "cannot happen".to_owned(), state);
            table += &format!("{:<32} {:<18} {after}\n", state(slot), format!("{event:?}"));
        }
        table += "\n";
    }
    table
}

#[test]
fn a_message_lives_as_it_did() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PATH, table()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(PATH).unwrap(), table(), "the life of a message has changed");
}

#[test]
fn only_its_lease_holds_a_message() {
    for slot in states() {
        assert_eq!(slot.is_locked_by(7), matches!(slot, Slot::Locked { .. }));
        assert!(!slot.is_locked_by(8));
        assert_eq!(slot.attempts().is_none(), slot == Slot::Gone);
    }
}
