//! Receiving messages that were set aside, by their numbers.

use crate::command::ReceiverKey;
use crate::context::{Context, Damage};
use crate::shard::{Shard, not_available};
use postrider_protocol::error::Refusal;
use postrider_protocol::reply::Reply;

impl Shard {
    pub(crate) fn receive_deferred(
        &mut self,
        _cx: &Context<'_>,
        _receiver: ReceiverKey,
        _sequences: &[u64],
    ) -> Result<Result<Reply, Refusal>, Damage> {
        Ok(Err(not_available("deferred")))
    }
}
