//! I8: what is counted is what is found.

use super::super::world::PLACES;
use super::Simulation;
use postrider::engine::Query;
use postrider_core::command::Question;
use postrider_protocol::entity::EntityInfo;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::reply::{PeekState, Reply};
use postrider_protocol::request::States;
use postrider_tests::checker::DEAD_LETTERS;
use postrider_tests::history::{Counts, Event};

impl Simulation {
    /// Counts and looks everywhere. Where time has passed meanwhile nothing can be said.
    pub fn count(&mut self) {
        for place in PLACES {
            let Some(before) = self.counted(place) else { continue };
            let (active, locked) = self.scanned(place);
            let (dead_letters, _) = self.scanned(&format!("{place}{DEAD_LETTERS}"));
            if self.counted(place) == Some(before) {
                let scanned = Counts { active, locked, dead_letters };
                self.events.push(Event::Counted { at: place.to_owned(), counted: before, scanned });
            }
        }
    }

    fn query(&mut self, query: Query) -> Option<Reply> {
        let reply = self.node.as_mut()?.query(query);
        self.let_out();
        match reply {
            Ok(reply) => {
                self.schedule_turn();
                Some(reply)
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn info(&mut self, place: &str) -> Option<EntityInfo> {
        match self.query(Query::Get(EntityName::new(place).expect("a name")))? {
            Reply::Entity(info) => Some(*info),
            _ => None,
        }
    }

    pub fn counted(&mut self, place: &str) -> Option<Counts> {
        let counters = self.info(place)?.counters;
        let (active, locked, dead_letters) = (counters.active, counters.locked, counters.dead_letters);
        Some(Counts { active, locked, dead_letters })
    }

    /// Messages that a look at all of an address finds, and how many of them are locked.
    fn scanned(&mut self, at: &str) -> (u64, u64) {
        let address = Address::parse(at).expect("an address");
        let (mut from, mut found, mut locked) = (0, 0, 0);
        loop {
            let question = Question::Peek { from, limit: 0, states: States::ALL, filter: String::new() };
            match self.query(Query::Queue(address.clone(), question)) {
                Some(Reply::Peeked { messages, next }) => {
                    found += messages.len() as u64;
                    let is_locked = messages.iter().filter(|message| message.state == PeekState::Locked);
                    locked += is_locked.count() as u64;
                    from = next;
                }
                _ => return (found, locked),
            }
            if from == 0 {
                return (found, locked);
            }
        }
    }
}
