//! The journal keeps its bound, is found again where it is after a restart, and reads what it has written.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod support;

use bytes::Bytes;
use postrider_core::command::{Change, Command, Ticket};
use postrider_core::context::Rows;
use postrider_core::journal;
use postrider_core::key::{Key, KeyRange};
use postrider_core::verbs::trace::TraceQuery;
use postrider_protocol::message::Message;
use postrider_protocol::name::EntityName;
use postrider_protocol::options::{EntityKind, Options};
use postrider_protocol::request::Stamp;
use proptest::collection::vec;
use proptest::prelude::*;
use support::world::{World, incoming};

const LIMIT: u64 = 2_000;

struct Journaled {
    world: World,
    sequence: u64,
}

impl Journaled {
    fn new() -> Self {
        let mut world = World::new(1);
        world.keep_journal(LIMIT);
        let mut made = Journaled { world, sequence: 0 };
        let (name, kind) = (EntityName::new("q").unwrap(), EntityKind::Queue);
        made.turn(Change::Create { name, kind, options: Options::new(), rules: Vec::new() });
        made
    }

    fn turn(&mut self, change: Change) {
        self.sequence += 1;
        let stamp = Stamp { sequence: self.sequence, floor: self.sequence };
        let ticket = Ticket { connection: 1, request: 1 };
        self.world.turn(0, vec![Command::Once { ticket, client: 7, stamp, change }]);
    }

    /// Publishes messages with these ids in one turn.
    fn publish(&mut self, ids: &[String]) {
        let entity = EntityName::new("q").unwrap();
        let messages = ids.iter().map(|id| Ok(incoming(&Message::new("x").with_id(id.as_str())))).collect();
        self.turn(Change::Publish { entity, atomic: false, messages });
    }

    /// Where each row begins, and the bytes of it with its key.
    fn rows(&self) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            let Key::Journal(0, at) = Key::decode(key)? else { panic!("not of the journal") };
            assert!(!journal::read_row(Bytes::copy_from_slice(value))?.1.is_empty());
            found.push((at, (key.len() + value.len()) as u64));
            Ok(true)
        };
        self.world.rows.scan(&KeyRange::journal(0, 0), &mut visit).unwrap();
        found
    }

    fn knows(&self, id: &str) -> bool {
        let query = TraceQuery { message_id: id.to_owned(), entity: None, from: (0, 0), limit: 0 };
        !self.world.shards[0].trace(&self.world.rows, &query).unwrap().steps.is_empty()
    }
}

proptest! {
    /// Rows stand end to end, over restarts; they are never more than the limit and the last one; the last is there.
    #[test]
    fn rows_stand_end_to_end_within_the_limit(turns in vec((1..60usize, any::<bool>()), 1..60)) {
        let mut it = Journaled::new();
        for (turn, (messages, restart)) in turns.into_iter().enumerate() {
            if restart {
                it.world.reload(0);
            }
            let ids: Vec<_> = (0..messages).map(|at| format!("{turn}-{at}")).collect();
            it.publish(&ids);
            let rows = it.rows();
            for pair in rows.windows(2) {
                prop_assert_eq!(pair[0].0 + pair[0].1, pair[1].0);
            }
            let (all, last) = (rows.iter().map(|row| row.1).sum::<u64>(), rows.last().unwrap().1);
            prop_assert!(all <= LIMIT + last, "{} bytes, {} of them in the last row", all, last);
            prop_assert!(rows.len() < 3 || all > LIMIT / 2 || rows[0].0 == 0, "too much has gone");
            prop_assert!(ids.iter().all(|id| it.knows(id)));
            prop_assert!(!it.knows("nobody"));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..80)) {
        let row = [&[1, 0, 0, 0, 0, 0, 0, 0, 0][..], &bytes].concat();
        let _ = journal::read_row(Bytes::from(row));
    }
}
