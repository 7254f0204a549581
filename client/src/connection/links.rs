//! The senders and receivers of a connection, as the connection sees them.

use crate::error::Error;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::reply::{Delivered, Delivery};
use postrider_protocol::request::{Flow, OpenReceiver, SessionWish};
use postrider_protocol::token::LockToken;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What a handle tells its connection without waiting: credit, and that it is gone.
///
/// Plain atomics beside the channel of operations, because dropping a handle and taking a message must neither wait
/// nor fail when that channel is full. After a change the handle rings the connection's bell.
#[derive(Debug, Default)]
pub(crate) struct LinkCell {
    /// Credit granted since the connection last looked.
    pub more: AtomicU32,
    /// Take the rest of the credit back. Written after `more`, read before it.
    pub drain: AtomicBool,
    /// The handle is gone.
    pub dropped: AtomicBool,
    /// Until when the receiver's session is locked, UTC milliseconds; told by the connection, moved by renewals.
    pub session_until_ms: AtomicU64,
}

/// What a receiver hears from its connection.
pub(crate) enum Event {
    Messages(Parcel),
    /// Deferred messages that were asked for by their numbers.
    Deferred(Parcel),
    /// All credit granted so far was used or taken back.
    Drained,
    Closed(Error),
}

/// One delivery: messages under one lease.
pub(crate) struct Parcel {
    pub lease: Arc<Lease>,
    pub messages: Vec<Delivered>,
}

/// The lease of a delivery, shared by its messages. Alive as long as the application holds one of them.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The first message's token.
    pub token: LockToken,
    pub locked_until_ms: u64,
    /// When it arrived, on this machine's clock: what renewing goes by, since the wall clocks may differ.
    pub received: Instant,
    /// Messages neither settled nor dropped. Zero means that nobody needs the lease after a reconnect.
    pub open: AtomicU32,
}

pub(crate) struct SenderLink {
    pub address: String,
    pub cell: Arc<LinkCell>,
    /// Why it could not be opened again after a reconnect.
    pub refused: Option<Refusal>,
    /// Its opener has its answer. Until then the opening request is re-sent like any other.
    pub opened_once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReceiverState {
    /// Being opened, on this connection.
    Opening,
    Open,
    /// The broker refused for the moment; try again then.
    Waiting {
        until: Instant,
    },
}

pub(crate) struct ReceiverLink {
    pub open: OpenReceiver,
    pub cell: Arc<LinkCell>,
    pub events: mpsc::Sender<Event>,
    pub state: ReceiverState,
    /// Its opener has its answer. Until then the opening request is re-sent like any other.
    pub opened_once: bool,
    /// Times in a row that it could not be opened again.
    pub failures: u32,
    /// Messages that arrived since it was opened on this connection.
    pub delivered: u64,
    /// Messages it can still take: granted and not yet arrived. Survives reconnects.
    pub outstanding: u32,
    pub draining: bool,
    /// Numbers of deferred messages that were asked for and not answered yet.
    pub claimed: BTreeSet<u64>,
    leases: Vec<Weak<Lease>>,
    prune_at: usize,
}

const FEW_LEASES: usize = 64;

impl ReceiverLink {
    pub fn new(open: OpenReceiver, cell: Arc<LinkCell>, events: mpsc::Sender<Event>) -> Self {
        ReceiverLink {
            open,
            cell,
            events,
            state: ReceiverState::Opening,
            opened_once: false,
            failures: 0,
            delivered: 0,
            outstanding: 0,
            draining: false,
            claimed: BTreeSet::new(),
            leases: Vec::new(),
            prune_at: FEW_LEASES,
        }
    }

    /// The credit to state on the wire.
    pub fn flow(&self) -> Flow {
        Flow {
            handle: self.open.handle,
            delivered: self.delivered,
            credit: self.outstanding,
            drain: self.draining,
        }
    }

    /// Counts a delivery in and hands it over. `false`: the broker sent more than the receiver has room for.
    pub fn deliver(&mut self, delivery: Delivery, now: Instant) -> bool {
        let count = u32::try_from(delivery.messages.len()).unwrap_or(u32::MAX);
        self.delivered += u64::from(count);
        // Only who names a deferred message gets it, so that these numbers come for no other reason.
        let deferred = delivery.messages.iter().all(|message| self.claimed.contains(&message.sequence));
        if !deferred {
            self.outstanding = self.outstanding.saturating_sub(count);
        }
        let lease = Arc::new(Lease {
            token: delivery.token,
            locked_until_ms: delivery.locked_until_ms,
            received: now,
            open: AtomicU32::new(count),
        });
        self.remember(&lease);
        let parcel = Parcel { lease, messages: delivery.messages };
        let event = if deferred { Event::Deferred(parcel) } else { Event::Messages(parcel) };
        let sent = self.events.try_send(event);
        // A receiver that is gone is no overflow: its link is about to be closed.
        !matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
    }

    fn remember(&mut self, lease: &Arc<Lease>) {
        if lease.token.lease == 0 {
            return;
        }
        if self.leases.len() >= self.prune_at {
            self.leases.retain(|lease| lease.strong_count() > 0);
            self.prune_at = (self.leases.len() * 2).max(FEW_LEASES);
        }
        self.leases.push(Arc::downgrade(lease));
    }

    /// Leases of which the application still holds something unsettled.
    pub fn held(&self) -> Vec<u64> {
        let live = self.leases.iter().filter_map(Weak::upgrade);
        live.filter(|lease| lease.open.load(Ordering::Acquire) > 0).map(|lease| lease.token.lease).collect()
    }

    /// It is open, on the session that it wished for where it wished for one: that one it keeps.
    pub fn opened(&mut self, session_id: String, locked_until_ms: u64) {
        self.state = ReceiverState::Open;
        self.cell.session_until_ms.store(locked_until_ms, Ordering::Release);
        if self.open.session != SessionWish::None {
            self.open.session = SessionWish::Named(session_id);
            self.open.wait_ms = 0;
        }
    }

    /// Why it could not be opened again. A session that somebody else has locked meanwhile is lost.
    pub fn reopen_refusal(&self, refusal: Refusal) -> Refusal {
        match (&self.open.session, refusal.code) {
            (SessionWish::Named(id), ErrorCode::SessionCannotBeLocked) => {
                let text = format!("session {id:?} was lost with the connection: {}", refusal.message);
                Refusal { code: ErrorCode::SessionLockLost, message: text, ..refusal }
            }
            _ => refusal,
        }
    }

    /// All credit was used or taken back.
    pub fn drained(&mut self) {
        self.outstanding = 0;
        self.draining = false;
        self.tell(Event::Drained);
    }

    /// Never more events than credit and the few that are not deliveries, so there is room for them.
    pub fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            tracing::trace!(handle = self.open.handle, "the receiver is gone");
        }
    }

    /// Takes what the handle wrote into its cell. `true`: the broker should hear of it.
    pub fn look(&mut self) -> bool {
        let drain = self.cell.drain.swap(false, Ordering::AcqRel);
        let more = self.cell.more.swap(0, Ordering::AcqRel);
        self.outstanding = self.outstanding.saturating_add(more);
        self.draining |= drain;
        if self.draining && (self.outstanding == 0 || self.state != ReceiverState::Open) {
            // Nothing can be on its way: either no credit is out, or there is nobody who could use it.
            self.drained();
            return false;
        }
        self.state == ReceiverState::Open && (more > 0 || drain)
    }

    /// The connection is gone: what was on its way never arrives.
    pub fn lost(&mut self) {
        self.delivered = 0;
        self.claimed.clear();
        if self.opened_once {
            self.state = ReceiverState::Opening;
        }
        if self.draining {
            self.drained();
        }
    }
}

/// All links, by handle. Ordered, so that they are opened again in the order they were opened in.
#[derive(Default)]
pub(crate) struct Links {
    pub senders: BTreeMap<u32, SenderLink>,
    pub receivers: BTreeMap<u32, ReceiverLink>,
}

impl Links {
    /// Handles of links whose owner has dropped them.
    pub fn dropped(&self) -> Vec<u32> {
        let gone = |cell: &LinkCell| cell.dropped.swap(false, Ordering::AcqRel);
        let senders = self.senders.iter().filter(|(_, link)| gone(&link.cell)).map(|(handle, _)| *handle);
        let receivers = self.receivers.iter().filter(|(_, link)| gone(&link.cell)).map(|(handle, _)| *handle);
        senders.chain(receivers).collect()
    }

    /// The next moment at which a receiver wants to be opened again.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.receivers.values().filter_map(|link| match link.state {
            ReceiverState::Waiting { until } => Some(until),
            _ => None,
        });
        waiting.min()
    }
}
