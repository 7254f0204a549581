//! Who receives from a queue, and how its capacity is used.

use crate::key::QueueId;
use crate::receiver::Receiver;
use crate::shard::Shard;
use postrider_protocol::limits;
use postrider_protocol::reply::{ConsumerInfo, ConsumersInfo};

impl Shard {
    /// The receivers of a queue, in the order they came, and the queue's units.
    pub(crate) fn consumers(&self, id: QueueId) -> ConsumersInfo {
        let Some(queue) = self.queues.get(&id) else { return ConsumersInfo::default() };
        let units = self.catalog.get(id.entity).map_or(u64::MAX, |entity| entity.settings.capacity_units);
        let share = self.shares.get(&id);
        let receivers = queue.receivers.iter().filter_map(|key| self.receivers.get(key));
        ConsumersInfo {
            capacity_units: if units == u64::MAX || id.lane.keeps_failed() { 0 } else { units },
            in_use: queue.units(),
            waiting: queue.waiting_units(),
            refilled: share.map_or(0, |share| share.refilled),
            consumers: receivers.take(limits::CONSUMERS).map(|receiver| self.consumer(receiver)).collect(),
        }
    }

    fn consumer(&self, receiver: &Receiver) -> ConsumerInfo {
        ConsumerInfo {
            client: receiver.owner.client,
            handle: receiver.owner.handle,
            weight: receiver.weight,
            credit: receiver.credit,
            messages: receiver.outstanding,
            units: self.units_of(receiver),
            delivered: receiver.delivered,
            latency_ms: receiver.latency_8ms.unwrap_or(0) / 8,
        }
    }

    fn units_of(&self, receiver: &Receiver) -> u64 {
        let Some(queue) = self.queues.get(&receiver.queue) else { return 0 };
        let leases = self.leases_of(receiver.owner).into_iter().filter_map(|lease| self.leases.get(&lease));
        let of_queue = leases.filter(|lease| lease.queue == receiver.queue);
        let held = of_queue.flat_map(|lease| lease.places.iter().filter(|place| place.held));
        held.map(|place| u64::from(queue.mark(place.page, place.index).cost)).sum()
    }
}
