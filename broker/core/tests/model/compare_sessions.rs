//! What the core and the model have to agree on about sessions.

use super::run::Run;
use super::support::world::World;
use postrider_core::command::{Command, OpenReceiver, Owner, Question};
use postrider_core::context::Rows;
use postrider_core::key::{Key, KeyRange};
use postrider_core::session::SessionRow;
use postrider_protocol::name::{Address, EntityName, Lane};
use postrider_protocol::reply::{Reply, SessionInfo};
use postrider_protocol::request::{Flow, ReceiveMode, SessionWish};
use postrider_protocol::wire::Reader;

/// Sessions of one answer.
const PAGE: u32 = 2;

impl Run {
    /// A shard has begun again: who holds a session holds it for as long as the wall clock says, and its messages too.
    pub fn sessions_reloaded(&mut self, shard: u16) {
        let Run { model, world, .. } = self;
        let now = world.now;
        for entity in model.entities.values_mut().filter(|entity| world.home(&entity.name) == shard) {
            for (id, session) in &mut entity.sessions {
                let Some(hold) = &mut session.hold else { continue };
                let left_ms = hold.until_ms.saturating_sub(now.wall_ms).min(hold.duration_ms);
                hold.deadline_ms = now.mono_ms + left_ms;
                let messages = entity.main.messages.values_mut();
                let locks = messages.filter(|message| message.session.as_ref() == Some(id));
                let locks = locks.filter_map(|message| message.lock.as_mut());
                locks.for_each(|lock| lock.deadline_ms = hold.deadline_ms);
            }
        }
    }

    /// When sessions are free again, and when those who wait for one have waited long enough.
    pub fn session_deadlines(&self, shard: u16) -> Vec<u64> {
        let entities = self.model.entities.values().filter(|entity| self.world.home(&entity.name) == shard);
        let sessions = entities.flat_map(|entity| entity.sessions.values());
        let holds = sessions.filter_map(|session| session.hold).map(|hold| hold.deadline_ms);
        let waits = self.model.waiting.iter().filter(|waiting| waiting.shard == shard);
        holds.chain(waits.map(|waiting| waiting.deadline_ms)).collect()
    }

    /// The rows of a shard have each session, each of its messages and its state, and nothing else.
    pub fn scan_sessions(&self, shard: u16) {
        let (mut sessions, mut messages, mut states) = (0, 0, 0);
        for (key, value) in self.world.rows.range(&KeyRange::sessions(shard)) {
            let Key::Session(_, id, name) = key else { panic!("{key:?}") };
            let row = SessionRow::read(&mut Reader::new(value.clone())).unwrap();
            let entity = &self.model.entities[&self.ids[&(shard, id)]];
            let numbers: Vec<_> = entity.in_session(&name).map(|(number, _)| number).collect();
            assert_eq!(index(&self.world, shard, id, row.session), numbers, "{name}");
            let session = entity.sessions.get(&name).cloned().unwrap_or_default();
            assert_eq!(row.until_ms, session.hold.map_or(0, |hold| hold.until_ms), "{name}");
            let state = self.world.rows.get(&Key::SessionState(shard, id, row.session)).unwrap();
            assert_eq!(state, session.state, "{name}");
            sessions += 1;
            messages += numbers.len();
            states += usize::from(state.is_some());
        }
        let here = self.model.entities.values().filter(|entity| self.world.home(&entity.name) == shard);
        let known: usize = here.map(|entity| entity.session_ids().len()).sum();
        assert_eq!(sessions, known, "sessions of shard {shard}");
        let keys = self.world.rows.0.keys().map(|key| Key::decode(key).unwrap());
        let left = keys.fold((0, 0), |(messages, states), key| match key {
            Key::SessionMessage(of, ..) if of == shard => (messages + 1, states),
            Key::SessionState(of, ..) if of == shard => (messages, states + 1),
            _ => (messages, states),
        });
        assert_eq!((messages, states), left, "rows of sessions that are gone");
    }

    /// The sessions of a queue as they are listed, page by page.
    pub fn list_sessions(&self, shard: u16, address: &Address) -> Vec<SessionInfo> {
        let mut found: Vec<SessionInfo> = Vec::new();
        loop {
            let after = found.last().map_or(String::new(), |session| session.id.clone());
            let question = Question::Sessions { after, limit: PAGE };
            let machine = &self.world.shards[usize::from(shard)];
            let reply = machine.answer(&self.world.rows, address, &question).unwrap();
            let Reply::Sessions { sessions, more } = reply else { panic!("{reply:?} for {address}") };
            found.extend(sessions);
            if !more {
                return found;
            }
        }
    }

    /// Receives one session after the other, as long as one has something to give out.
    pub fn empty_sessions(&mut self, name: &EntityName) {
        let shard = self.world.home(name);
        while self.model.entities[&name.key()].next_free().is_some() {
            let owner = Owner { client: 99, handle: self.next_request };
            let ticket = self.ticket(self.next_connection);
            let open = OpenReceiver {
                ticket,
                owner,
                address: Address { entity: name.clone(), lane: Lane::Main },
                mode: ReceiveMode::ReceiveAndDelete,
                lock_duration_ms: 0,
                release_on_disconnect: false,
                held: Vec::new(),
                weight: 1,
                session: SessionWish::Next,
                wait_ms: 0,
            };
            self.send(shard, Command::OpenReceiver(open));
            let flow = Flow { handle: owner.handle, delivered: 0, credit: 10_000, drain: true };
            let ticket = self.ticket(self.next_connection);
            self.send(shard, Command::Flow { ticket, flow });
            let ticket = self.ticket(self.next_connection);
            self.send(shard, Command::CloseReceiver { ticket, handle: owner.handle });
        }
    }
}

/// Numbers that the index has of a session.
fn index(world: &World, shard: u16, entity: u64, session: u64) -> Vec<u64> {
    let range = KeyRange::session_messages(shard, entity, session, 0);
    let rows = world.rows.range(&range);
    rows.map(|(key, _)| match key {
        Key::SessionMessage(.., number) => number,
        other => panic!("{other:?}"),
    })
    .collect()
}
