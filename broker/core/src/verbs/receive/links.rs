//! Senders and receivers: opening, credit, closing.

use crate::command::{Loaded, OpenReceiver, Owner, ReceiverKey, Ticket};
use crate::context::{Context, Damage};
use crate::effect::Effect;
use crate::key::QueueId;
use crate::limits;
use crate::receiver::Receiver;
use crate::shard::Shard;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits::LOCK_DURATION_MS;
use postrider_protocol::name::EntityName;
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Flow, SessionWish};
use std::collections::BTreeSet;

impl Shard {
    pub(crate) fn open_sender(&mut self, ticket: Ticket, name: &EntityName) {
        let opened = self.catalog.require(name).and_then(|(_, entity)| match entity.row.kind {
            EntityKind::Subscription => {
                Err(Refusal::invalid("address", "is a subscription; send to its topic").about(name.as_str()))
            }
            EntityKind::Queue | EntityKind::Topic => Ok(Reply::Opened {
                max_message_bytes: entity.settings.max_message_bytes,
                lock_duration_ms: 0,
                session_id: String::new(),
                locked_until_ms: 0,
            }),
        });
        self.reply(ticket, opened);
    }

    pub(crate) fn open_receiver(&mut self, cx: &Context<'_>, open: &OpenReceiver) -> Result<(), Damage> {
        let ticket = open.ticket;
        self.replace_waiting(open.owner);
        let opened = match self.check_receiver(open) {
            Ok((queue, _)) if self.sessions.contains_key(&queue) => {
                return self.open_session(cx, queue, open);
            }
            Ok((queue, opened)) => {
                self.resume(cx, open)?;
                self.insert_receiver(open, queue);
                Ok(opened)
            }
            Err(refusal) => Err(refusal),
        };
        self.reply(ticket, opened);
        Ok(())
    }

    fn check_receiver(&self, open: &OpenReceiver) -> Result<(QueueId, Reply), Refusal> {
        let asked = open.lock_duration_ms;
        if asked != 0 && !LOCK_DURATION_MS.contains(&asked) {
            let (low, high) = (LOCK_DURATION_MS.start(), LOCK_DURATION_MS.end());
            return Err(Refusal::invalid(
                "lock_duration_ms",
                format!("found {asked}, allowed is {low} to {high}"),
            ));
        }
        let queue = self.queue_at(&open.address)?;
        self.check_not_forwarding(queue)?;
        match (&open.session, self.sessions.contains_key(&queue)) {
            (SessionWish::None, true) => {
                let text = "is missing; the queue requires sessions: name one or ask for the next";
                return Err(Refusal::invalid("session", text).about(open.address.to_string()));
            }
            (SessionWish::Named(_) | SessionWish::Next, false) => {
                let text = "is given, but the queue has no sessions; leave it out";
                return Err(Refusal::invalid("session", text).about(open.address.to_string()));
            }
            _ => {}
        }
        let entity =
            self.catalog.get(queue.entity).ok_or_else(|| Refusal::not_found(open.address.to_string()))?;
        let lock_duration_ms = if asked == 0 { entity.settings.lock_duration_ms } else { asked };
        let (session_id, locked_until_ms) = (String::new(), 0);
        Ok((queue, Reply::Opened { max_message_bytes: 0, lock_duration_ms, session_id, locked_until_ms }))
    }

    /// Takes the place of an earlier receiver of the same owner: its leases that the client does not hold go back,
    /// because their deliveries never arrived.
    pub(crate) fn resume(&mut self, cx: &Context<'_>, open: &OpenReceiver) -> Result<(), Damage> {
        if let Some(earlier) = self.by_owner.get(&open.owner).copied() {
            self.replace_receiver(earlier, open.ticket.connection);
        }
        let held: BTreeSet<_> = open.held.iter().copied().collect();
        for lease in self.leases_of(open.owner).into_iter().filter(|lease| !held.contains(lease)) {
            self.release_lease(cx, lease)?;
        }
        Ok(())
    }

    /// Removes a receiver whose owner opens it again. Its connection may live on without knowing: it is told.
    fn replace_receiver(&mut self, key: ReceiverKey, connection: u64) {
        let Some(receiver) = self.remove_receiver(key) else { return };
        let refusal = Refusal::new(ErrorCode::Unavailable, "the same client opened the receiver again");
        self.refuse_drains(receiver.draining, &refusal);
        if key.connection != connection {
            self.turn.effects.push(Effect::Closed(key, refusal));
        }
    }

    pub(crate) fn insert_receiver(&mut self, open: &OpenReceiver, queue: QueueId) {
        let key = ReceiverKey { connection: open.ticket.connection, handle: open.owner.handle };
        let mut outstanding = 0;
        for lease in self.leases_of(open.owner) {
            if let Some(lease) = self.leases.get_mut(&lease) {
                lease.receiver = Some(key);
                outstanding += lease.live;
            }
        }
        let receiver = Receiver {
            key,
            owner: open.owner,
            queue,
            mode: open.mode,
            lock_duration_ms: open.lock_duration_ms,
            release_on_disconnect: open.release_on_disconnect,
            delivered: 0,
            credit: 0,
            room: limits::RECEIVER_ROOM_BYTES as i64,
            outstanding,
            weight: open.weight.max(1),
            turn: 0,
            latency_8ms: None,
            served_ms: 0,
            draining: Vec::new(),
        };
        self.by_owner.insert(open.owner, key);
        self.receivers.insert(key, receiver);
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.receivers.push(key);
        }
    }

    pub(crate) fn leases_of(&self, owner: Owner) -> Vec<u64> {
        self.leases_by_owner.range((owner, 0)..=(owner, u64::MAX)).map(|(_, lease)| *lease).collect()
    }

    pub(crate) fn flow(&mut self, ticket: Ticket, flow: &Flow) {
        let key = ReceiverKey { connection: ticket.connection, handle: flow.handle };
        match self.receivers.get_mut(&key) {
            Some(receiver) => {
                self.hungry.insert(receiver.queue);
                let ended = receiver.grant(ticket, flow);
                self.refuse_drains(ended, &Refusal::invalid("drain", "was ended by a later grant"));
                self.stir_receiver(key);
            }
            None if flow.drain => {
                let text = format!("receiver {} is not open on this connection", flow.handle);
                self.reply(ticket, Err(Refusal::invalid("handle", text)));
            }
            // The receiver was closed while the grant was on its way: there is nothing to grant.
            None => {}
        }
    }

    /// Answers those who wait for a drain that will not come to its end.
    pub(crate) fn refuse_drains(&mut self, tickets: Vec<Ticket>, refusal: &Refusal) {
        tickets.into_iter().for_each(|ticket| self.reply(ticket, Err(refusal.clone())));
    }

    pub(crate) fn taken(&mut self, key: ReceiverKey, bytes: u64) {
        if let Some(receiver) = self.receivers.get_mut(&key) {
            receiver.take(bytes);
            self.hungry.insert(receiver.queue);
            self.stir_receiver(key);
        }
    }

    pub(crate) fn close_receiver(
        &mut self,
        cx: &Context<'_>,
        ticket: Ticket,
        handle: u32,
    ) -> Result<(), Damage> {
        let key = ReceiverKey { connection: ticket.connection, handle };
        if let Some(receiver) = self.remove_receiver(key) {
            self.refuse_drains(
                receiver.draining,
                &Refusal::invalid("drain", "was ended by closing the receiver"),
            );
            self.release_all(cx, receiver.owner)?;
            self.unlock_session(receiver.queue, receiver.owner);
        }
        self.close_waiting(key);
        self.reply(ticket, Ok(Reply::Done));
        Ok(())
    }

    pub(crate) fn disconnected(&mut self, cx: &Context<'_>, connection: u64) -> Result<(), Damage> {
        let (first, last) =
            (ReceiverKey { connection, handle: 0 }, ReceiverKey { connection, handle: u32::MAX });
        let keys: Vec<_> = self.receivers.range(first..=last).map(|(key, _)| *key).collect();
        for receiver in keys.into_iter().filter_map(|key| self.remove_receiver(key)).collect::<Vec<_>>() {
            if receiver.release_on_disconnect {
                self.release_all(cx, receiver.owner)?;
                self.unlock_session(receiver.queue, receiver.owner);
            }
        }
        self.drop_waiting(connection);
        Ok(())
    }

    fn release_all(&mut self, cx: &Context<'_>, owner: Owner) -> Result<(), Damage> {
        self.leases_of(owner).into_iter().try_for_each(|lease| self.release_lease(cx, lease))
    }

    pub(crate) fn remove_receiver(&mut self, key: ReceiverKey) -> Option<Receiver> {
        let receiver = self.receivers.remove(&key)?;
        self.by_owner.remove(&receiver.owner);
        self.use_entity(receiver.queue.entity);
        if let Some(queue) = self.queues.get_mut(&receiver.queue) {
            queue.receivers.retain(|other| *other != key);
            self.hungry.insert(receiver.queue);
        }
        for lease in self.leases_of(receiver.owner) {
            if let Some(lease) = self.leases.get_mut(&lease) {
                lease.receiver = None;
            }
        }
        Some(receiver)
    }

    pub(crate) fn loaded(&mut self, loaded: &Loaded) -> Result<(), Damage> {
        if let Some(queue) = self.queues.get_mut(&loaded.queue) {
            queue.loaded(loaded)?;
            self.hungry.insert(loaded.queue);
        }
        Ok(())
    }
}
