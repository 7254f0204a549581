//! Sessions: messages of one id, in order, for one receiver at a time.

use crate::command::{ReceiverKey, Ticket};
use crate::context::{Context, Damage};
use crate::shard::{Shard, not_available};
use bytes::Bytes;
use postrider_protocol::error::Refusal;
use postrider_protocol::reply::Reply;

impl Shard {
    pub(crate) fn renew_session(&mut self, _cx: &Context<'_>, ticket: Ticket, _handle: u32) {
        self.reply(ticket, Err(not_available("session")));
    }

    pub(crate) fn get_session_state(
        &mut self,
        _cx: &Context<'_>,
        ticket: Ticket,
        _handle: u32,
    ) -> Result<(), Damage> {
        self.reply(ticket, Err(not_available("session")));
        Ok(())
    }

    pub(crate) fn set_session_state(
        &mut self,
        _cx: &Context<'_>,
        _receiver: ReceiverKey,
        _state: Option<Bytes>,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        Ok(Err(not_available("session")))
    }
}
