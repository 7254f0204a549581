//! Passing messages on to other entities.
//!
//! A message leaves its queue and becomes part of a parcel in one batch, enters its new queue and makes the parcel
//! known as taken in another, and the parcel goes when its receipt comes: so it is never in no place, and never in two.
//! Where both entities are in one shard it is the same road.

mod arrive;

use crate::context::{Context, Damage, Rows};
use crate::effect::Effect;
use crate::fact::Fact;
use crate::key::{Key, KeyRange, QueueId};
use crate::limits::{BYTES_ON_THEIR_WAY, HOPS, PAGE_MESSAGES, PARCELS_AGAIN_MS, PARCELS_ON_ROAD};
use crate::outbox::{Parcel, Returned, Road, Taken};
use crate::queue::{Acquired, Most, Queue};
use crate::shard::Shard;
use crate::verbs::recover::{each_row, read_row};
use crate::verbs::settle::moves::{At, Cause, changed_record};
use bytes::{Bytes, BytesMut};
use postrider_protocol::limits::BATCH_BYTES;
use postrider_protocol::message::Record;
use postrider_protocol::name::{EntityName, Lane};

impl Shard {
    /// Where the messages of a queue are passed on to.
    pub(crate) fn forwards(&self, id: QueueId) -> Option<EntityName> {
        let to = self.catalog.get(id.entity)?.settings.forwards(id.lane)?;
        EntityName::new(to).ok()
    }

    /// Passes on what the queue has ready, as long as there is room on the road.
    pub(crate) fn forward(&mut self, cx: &Context<'_>, id: QueueId, to: &EntityName) -> Result<(), Damage> {
        let gives = self.catalog.get(id.entity).is_some_and(|entity| entity.settings.may_receive);
        if !gives {
            return Ok(());
        }
        self.show_pending(cx.now, id);
        while self.queues.get(&id).is_some_and(Queue::has_next) {
            let road = self.outbox.entry(cx.places.shard_of(to)).or_default();
            if road.parcels >= PARCELS_ON_ROAD {
                road.stopped.insert(id);
                break;
            }
            let most = Most { messages: PAGE_MESSAGES as u64, bytes: BATCH_BYTES as u64, units: u64::MAX };
            let acquired = self.queues.get_mut(&id).map(|queue| queue.acquire(most, None, cx.now.wall_ms));
            let Some(acquired) = acquired.filter(|acquired| acquired.messages > 0) else { break };
            self.touched.insert(id);
            self.journal.forwarded(id, to, &acquired.runs);
            let records = self.pass_on(cx, id, to, &acquired)?;
            self.post(cx, id, to, records);
        }
        if let Some(queue) = self.queues.get_mut(&id) {
            self.turn.effects.extend(queue.wants_load(true).into_iter().map(Effect::Load));
        }
        Ok(())
    }

    /// The records of messages that are passed on. Those that were so too often stay with the entity.
    fn pass_on(
        &mut self,
        cx: &Context<'_>,
        id: QueueId,
        to: &EntityName,
        acquired: &Acquired,
    ) -> Result<Vec<Bytes>, Damage> {
        let mut records = Vec::new();
        for run in &acquired.runs {
            for index in run.index..run.index + run.count {
                let stored = self.stored_record(cx, At { queue: id, page: run.page, index })?;
                let mut record = changed_record(stored, run.changes.as_ref())?;
                record.hops += 1;
                if record.hops > HOPS {
                    let text = format!("was passed on {HOPS} times; do entities forward in a circle?");
                    let cause = Cause { reason: "MaxTransferHopCountExceeded", description: &text };
                    self.keep_untransferred(cx, id, to.as_str(), record, cause);
                } else {
                    records.push(laid_out(&record));
                }
            }
        }
        Ok(records)
    }

    /// Sends records of a queue on their way to an entity.
    pub(crate) fn post(&mut self, cx: &Context<'_>, from: QueueId, to: &EntityName, records: Vec<Bytes>) {
        if records.is_empty() {
            return;
        }
        let shard = cx.places.shard_of(to);
        self.row.last_parcel += 1;
        self.outbox.entry(shard).or_default().book(self.row.last_parcel);
        let parcel = Parcel { from, to: to.as_str().to_owned(), records };
        self.remember(Fact::Parcel(shard, self.row.last_parcel, parcel));
    }

    /// Lets parcels leave on every road on which none is on its way, or its receipt does not come.
    pub(crate) fn send_parcels(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        let now_ms = self.mono_ms;
        let leaves = |road: &Road| road.leaves_ms().is_some_and(|leaves_ms| leaves_ms <= now_ms);
        let leaving = self.outbox.iter().filter(|(_, road)| leaves(road));
        for to in leaving.map(|(to, _)| *to).collect::<Vec<_>>() {
            let parcels = self.next_parcels(cx, to)?;
            if let Some(road) = self.outbox.get_mut(&to) {
                road.sent = parcels.last().map(|(number, _)| *number);
                road.again_ms = now_ms.saturating_add(PARCELS_AGAIN_MS);
            }
            self.turn.effects.push(Effect::Send { to, parcels });
        }
        Ok(())
    }

    fn next_parcels(&self, cx: &Context<'_>, to: u16) -> Result<Vec<(u64, Parcel)>, Damage> {
        let (mut parcels, mut bytes) = (Vec::new(), 0);
        let low = self.outbox.get(&to).map_or(0, |road| road.low);
        self.rows(cx).scan(&KeyRange::parcels(self.id, to, low, u64::MAX), &mut |key, value| {
            let Key::Parcel(_, _, number) = Key::decode(key)? else { return Ok(false) };
            let parcel = read_row("a parcel", Bytes::copy_from_slice(value), Parcel::read)?;
            bytes += parcel.bytes();
            parcels.push((number, parcel));
            Ok(bytes < BYTES_ON_THEIR_WAY)
        })?;
        Ok(parcels)
    }

    /// Another shard says what it has taken: those parcels are gone, and what it gave back stays here.
    pub(crate) fn receipt(&mut self, cx: &Context<'_>, from: u16, taken: &Taken) -> Result<(), Damage> {
        let mut numbers = Vec::new();
        // A receipt may come again.
        let low = self.outbox.get(&from).map_or(0, |road| road.low).min(taken.last);
        self.rows(cx).scan(&KeyRange::parcels(self.id, from, low, taken.last), &mut |key, _| {
            if let Key::Parcel(_, _, number) = Key::decode(key)? {
                numbers.push(number);
            }
            Ok(true)
        })?;
        for number in &numbers {
            for returned in taken.returned.iter().filter(|returned| returned.parcel == *number) {
                self.take_back(cx, from, returned)?;
            }
            self.remember(Fact::ParcelGone(from, *number));
        }
        let Some(road) = self.outbox.get_mut(&from) else { return Ok(()) };
        road.parcels -= numbers.len() as u64;
        road.low = road.low.max(taken.last + 1);
        if road.sent.is_some_and(|sent| sent <= taken.last) {
            road.sent = None;
            self.hungry.extend(std::mem::take(&mut road.stopped));
        }
        Ok(())
    }

    fn take_back(&mut self, cx: &Context<'_>, from: u16, returned: &Returned) -> Result<(), Damage> {
        let key = Key::Parcel(self.id, from, returned.parcel);
        let Some(row) = self.rows(cx).get(&key)? else { return Ok(()) };
        let parcel = read_row("a parcel", row, Parcel::read)?;
        let records = parcel.records.into_iter().skip(returned.index as usize);
        for record in records.take(returned.count as usize) {
            let record = Record::decode(record)
                .map_err(|malformed| Damage::new(format!("a record of {key:?}: {malformed}")))?;
            let cause = Cause { reason: &returned.reason, description: &returned.description };
            self.keep_untransferred(cx, parcel.from, &parcel.to, record, cause);
        }
        Ok(())
    }

    /// Puts a message that cannot be passed on among the transfer dead letters of its entity, if that still exists.
    fn keep_untransferred(
        &mut self,
        cx: &Context<'_>,
        from: QueueId,
        to: &str,
        mut record: Record,
        cause: Cause<'_>,
    ) {
        record.destination = Some(to.to_owned());
        let earlier = record.dead_letter.take();
        let because =
            earlier.map(|info| format!("; it is a dead letter: {} {}", info.reason, info.description));
        let description =
            format!("{}{}", cause.description, because.as_deref().unwrap_or_default().trim_end());
        let cause = Cause { description: &description, ..cause };
        if self.catalog.get(from.entity).is_some() {
            self.shut_out_of(cx, QueueId { lane: Lane::Transfer, ..from }, record, cause);
        }
    }

    /// In recovery: what is on its way, what came, and what there is to be passed on.
    pub(crate) fn load_outbox(&mut self, rows: &dyn Rows) -> Result<(), Damage> {
        rows.scan(&KeyRange::all_parcels(self.id), &mut |key, _| {
            if let Key::Parcel(_, to, number) = Key::decode(key)? {
                self.outbox.entry(to).or_default().book(number);
            }
            Ok(true)
        })?;
        each_row(rows, &KeyRange::taken(self.id), |key, value| {
            if let Key::Taken(_, from) = key {
                self.taken.insert(from, read_row("what was taken", value, Taken::read)?);
            }
            Ok(())
        })?;
        let forwarding = self.queues.keys().filter(|id| self.forwards(**id).is_some());
        self.hungry = forwarding.copied().collect();
        Ok(())
    }

    /// When something is to be passed on that no command will bring up, on the monotonic clock; 0 for at once.
    pub(crate) fn next_send_ms(&self) -> Option<u64> {
        let queues = (!self.hungry.is_empty()).then_some(0);
        queues.into_iter().chain(self.outbox.values().filter_map(Road::leaves_ms)).min()
    }
}

/// A record as bytes.
pub(crate) fn laid_out(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    record.put(&mut out);
    out.freeze()
}
