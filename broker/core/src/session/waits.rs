//! Those who wait for a session.

use crate::command::{OpenReceiver, Owner, ReceiverKey};
use crate::key::QueueId;
use std::collections::BTreeMap;

/// Somebody who waits for a session.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub open: OpenReceiver,
    /// On the monotonic clock.
    pub deadline_ms: u64,
}

impl Waiting {
    /// The receiver that it is to be.
    pub fn key(&self) -> ReceiverKey {
        ReceiverKey { connection: self.open.ticket.connection, handle: self.open.owner.handle }
    }
}

/// Where those who wait do so: an owner and a connection's receiver wait once.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    pub by_owner: BTreeMap<Owner, (QueueId, u64)>,
    pub by_key: BTreeMap<ReceiverKey, (QueueId, u64)>,
}
