//! Messages that are to be enqueued at a moment.

use crate::context::{Context, Damage};
use crate::shard::{Shard, not_available};
use postrider_protocol::error::Refusal;
use postrider_protocol::name::EntityName;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::ScheduledAction;

impl Shard {
    pub(crate) fn scheduled(
        &mut self,
        _cx: &Context<'_>,
        _entity: &EntityName,
        _action: ScheduledAction,
        _sequences: &[u64],
    ) -> Result<Result<Reply, Refusal>, Damage> {
        Ok(Err(not_available("scheduled")))
    }
}
