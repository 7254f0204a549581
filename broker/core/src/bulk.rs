//! Work on many messages: purging and redriving, a portion at a time.

use crate::command::Portion;
use crate::context::{Context, Damage};
use crate::shard::{Shard, not_available};
use postrider_protocol::error::Refusal;
use postrider_protocol::name::Address;
use postrider_protocol::reply::Reply;

impl Shard {
    pub(crate) fn purge(
        &mut self,
        cx: &Context<'_>,
        address: &Address,
        portion: &Portion,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        if *portion != Portion::default() {
            return Ok(Err(not_available("selection")));
        }
        let id = match self.queue_at(address) {
            Ok(id) => id,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.settle_sessions(cx, id)?;
        let purged = self.purge_all(address);
        self.purge_sessions(cx, id)?;
        Ok(purged)
    }

    /// Removes every message that nobody holds, however many there are.
    fn purge_all(&mut self, address: &Address) -> Result<Reply, Refusal> {
        let id = self.queue_at(address)?;
        let queue = self.queues.get_mut(&id).ok_or_else(|| Refusal::not_found(address.to_string()))?;
        let purged = queue.purge(&mut self.turn.facts);
        self.touched.insert(id);
        // Whoever waits for the queue to be drained need not wait any more.
        self.hungry.insert(id);
        Ok(Reply::Worked { done: purged, examined: purged, next: 0 })
    }

    pub(crate) fn redrive(
        &mut self,
        _cx: &Context<'_>,
        _address: &Address,
        _portion: &Portion,
        _dry_run: bool,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        Ok(Err(not_available("redrive")))
    }
}
