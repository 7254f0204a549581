//! What consumers keep with a session, and what a listing says of sessions.

use super::locks::session_lost;
use crate::command::{ReceiverKey, Ticket};
use crate::context::{Context, Damage, Rows};
use crate::fact::Fact;
use crate::key::{Key, QueueId};
use crate::shard::Shard;
use bytes::Bytes;
use postrider_protocol::error::Refusal;
use postrider_protocol::limits::LISTING_ENTRIES;
use postrider_protocol::reply::{Reply, SessionInfo};
use std::ops::Bound;

impl Shard {
    pub(crate) fn get_session_state(
        &mut self,
        cx: &Context<'_>,
        ticket: Ticket,
        handle: u32,
    ) -> Result<(), Damage> {
        let key = ReceiverKey { connection: ticket.connection, handle };
        let Some((id, number, _)) = self.session_of_receiver(key) else {
            self.reply(ticket, Err(session_lost()));
            return Ok(());
        };
        let state = self.rows(cx).get(&Key::SessionState(self.id, id.entity, number))?;
        let session = self.sessions.get(&id).and_then(|sessions| sessions.all.get(&number));
        let changed_ms = session.map_or(0, |session| session.state_changed_ms);
        self.reply(ticket, Ok(Reply::SessionState { state, changed_ms }));
        Ok(())
    }

    pub(crate) fn set_session_state(
        &mut self,
        cx: &Context<'_>,
        receiver: ReceiverKey,
        state: Option<Bytes>,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let Some((id, number, _)) = self.session_of_receiver(receiver) else {
            return Ok(Err(session_lost()));
        };
        // A state without bytes is one, and is kept.
        let state_bytes = state.as_ref().map(|state| state.len() as u64);
        self.remember(match state {
            Some(state) => Fact::SessionState(id.entity, number, state),
            None => Fact::SessionStateGone(id.entity, number),
        });
        if let Some(sessions) = self.sessions.get_mut(&id) {
            sessions.update(number, |session| {
                session.state_bytes = state_bytes;
                session.state_changed_ms = cx.now.wall_ms;
            });
        }
        self.touched.insert(id);
        Ok(Ok(Reply::Done))
    }

    /// The sessions of a queue, in the order of their ids.
    pub(crate) fn list_sessions(&self, id: QueueId, after: &str, limit: u32) -> Reply {
        let limit = (if limit == 0 { LISTING_ENTRIES } else { limit.min(LISTING_ENTRIES) }) as usize;
        let Some(all) = self.sessions.get(&id) else {
            return Reply::Sessions { sessions: Vec::new(), more: false };
        };
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let mut found = all.by_id.range::<str, _>(behind).filter_map(|(_, number)| all.all.get(number));
        let sessions = found.by_ref().take(limit).map(|session| SessionInfo {
            id: session.id.to_string(),
            messages: session.messages,
            owner: session.lock.map_or(0, |lock| lock.owner.client),
            locked_until_ms: session.lock.map_or(0, |lock| lock.until_ms),
            oldest_ms: session.oldest.1,
            state_bytes: session.state_bytes.unwrap_or(0),
            state_changed_ms: session.state_changed_ms,
        });
        let sessions = sessions.collect();
        Reply::Sessions { sessions, more: found.next().is_some() }
    }
}
