//! The whole life of a message as a table: every state and every event. After a change that is meant to alter it, run
//! with `UPDATE_GOLDEN=1` and review the difference.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "golden texts are files, and a switch writes them again")]

use postrider_core::queue::{Event, Slot};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/transitions.txt");

fn states() -> [Slot; 10] {
    let states = [
        Slot::Ready { attempts: 0 },
        Slot::Ready { attempts: 2 },
        Slot::Locked { lease: 7, attempts: 0 },
        Slot::Locked { lease: 7, attempts: 2 },
        Slot::Locked { lease: 7, attempts: u32::MAX },
        Slot::Delayed { attempts: 1, until_ms: 5_000 },
        Slot::Delayed { attempts: 2, until_ms: 5_000 },
        Slot::Deferred { attempts: 0 },
        Slot::Deferred { attempts: 2 },
        Slot::Gone,
    ];
    // A new state does not compile before it has a row.
    states.map(|slot| match slot {
        Slot::Ready { .. } | Slot::Locked { .. } | Slot::Delayed { .. } => slot,
        Slot::Deferred { .. } | Slot::Gone => slot,
    })
}

fn events() -> [Event; 9] {
    let all = [
        Event::Lock { lease: 8 },
        Event::Drop,
        Event::Complete,
        Event::Move,
        Event::Fail { until_ms: 0 },
        Event::Fail { until_ms: 9_000 },
        Event::Due,
        Event::Defer,
        Event::Release,
    ];
    all.map(|event| match event {
        Event::Lock { .. } | Event::Drop | Event::Complete | Event::Move => event,
        Event::Fail { .. } | Event::Due | Event::Defer | Event::Release => event,
    })
}

fn state(slot: Slot) -> String {
    match slot {
        Slot::Ready { attempts } => format!("ready, {attempts} attempts"),
        Slot::Locked { lease, attempts } => format!("locked by {lease}, {attempts} attempts"),
        Slot::Delayed { attempts, until_ms } => format!("delayed until {until_ms}, {attempts} attempts"),
        Slot::Deferred { attempts } => format!("deferred, {attempts} attempts"),
        Slot::Gone => "gone".to_owned(),
    }
}

fn table() -> String {
    let mut table = String::new();
    for slot in states() {
        for event in events() {
            let after = slot.on(event).map_or_else(|| "cannot happen".to_owned(), state);
            table += &format!("{:<33} {:<23} {after}\n", state(slot), format!("{event:?}"));
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
