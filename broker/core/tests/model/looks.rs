//! Looking at everything: page by page, the core shows what the model has.

use super::bulk::Seen;
use super::run::Run;
use postrider_core::command::Question;
use postrider_protocol::message::Record;
use postrider_protocol::name::{Address, Lane};
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::{Peeked, Reply};
use postrider_protocol::request::States;

/// Messages of one answer.
const PAGE: u32 = 3;

impl Run {
    /// Every queue of a shard, and every topic.
    pub fn look_at_all(&self, shard: u16) {
        for (key, lane) in self.model.queues(&|name| self.world.home(name) == shard) {
            let entity = &self.model.entities[&key];
            if entity.kind != EntityKind::Topic || lane == Lane::Main {
                let address = Address { entity: entity.name.clone(), lane };
                if self.model.is_by_session(&(key.clone(), lane)) {
                    assert_eq!(self.list_sessions(shard, &address), entity.list_sessions(), "{address}");
                }
                assert_eq!(self.peek(shard, &address), self.model.look(&(key, lane)), "{address}");
            }
        }
    }

    fn peek(&self, shard: u16, address: &Address) -> Vec<Seen> {
        let (mut seen, mut from) = (Vec::new(), 0);
        loop {
            let question = Question::Peek { from, limit: PAGE, states: States::ALL, filter: String::new() };
            let machine = &self.world.shards[usize::from(shard)];
            let reply = machine.answer(&self.world.rows, address, &question).unwrap();
            let Reply::Peeked { messages, next } = reply else { panic!("{reply:?} for {address}") };
            seen.extend(messages.iter().map(of_peeked));
            assert!(next == 0 || next > from, "a look from {from} goes on at {next}");
            from = next;
            if next == 0 {
                return seen;
            }
        }
    }
}

fn of_peeked(peeked: &Peeked) -> Seen {
    let record = Record::decode(peeked.message.record.clone()).unwrap();
    Seen {
        number: peeked.message.sequence,
        state: peeked.state,
        attempts: peeked.message.attempts,
        until_ms: peeked.until_ms,
        bytes: record.message,
        enqueued_ms: Some(record.enqueued_time_ms).filter(|when_ms| *when_ms > 0),
    }
}
