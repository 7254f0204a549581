//! What happens in a history, made into commands.

use super::ops::{CLIENTS, Change as What, How, Item, Op, QUEUES, SUBSCRIPTIONS, Sent, Setup, TOPICS};
use super::queue::Queue;
use super::run::Run;
use super::support::world::incoming;
use postrider_core::command::{Change, Command, OpenReceiver, Owner, ReceiverKey, Ticket};
use postrider_protocol::error::Refusal;
use postrider_protocol::message::{Incoming, Message};
use postrider_protocol::name::{Address, EntityName, Lane};
use postrider_protocol::options::{
    BALANCE, CAPACITY_REFILL_PERCENT, CAPACITY_UNITS, DEAD_LETTER_ON_EXPIRATION, DEDUP_WINDOW_MS,
    DEFAULT_TTL_MS, EntityKind, FAIR_KEY, LOCK_DURATION_MS, MAX_BYTES, MAX_DELIVERY_COUNT, MAX_MESSAGES,
    ON_FULL, Options, PRIORITY_LEVELS, REQUIRES_SESSION, RETRY, STATUS,
};
use postrider_protocol::request::{Flow, ReceiveMode, SettleItem, Settlement, Stamp};
use postrider_protocol::rule::{Filter, Rule};
use postrider_protocol::value::{Id, Value};

/// The entities of a history by number; some may not be there.
pub fn entity(number: usize) -> EntityName {
    let name = match number % 11 {
        at @ 0..3 => QUEUES[at].to_owned(),
        at @ 3..5 => TOPICS[at - 3].to_owned(),
        at => return subscription(at - 5),
    };
    EntityName::new(&name).unwrap()
}

fn subscription(number: usize) -> EntityName {
    let (topic, name) = (TOPICS[number % 2], SUBSCRIPTIONS[number / 2 % 3]);
    EntityName::new(&format!("{topic}/subscriptions/{name}")).unwrap()
}

/// What an entity can be set to.
const STATUSES: [&str; 4] = ["active", "send-disabled", "receive-disabled", "disabled"];

const BALANCES: [&str; 5] = ["least-outstanding", "round-robin", "weighted", "least-latency", "key-hash"];

/// The options that can be changed.
fn changes(setup: &Setup) -> Options {
    let mut options = Options::new()
        .with_number(LOCK_DURATION_MS, setup.lock_s * 1_000)
        .with_number(MAX_DELIVERY_COUNT, setup.max)
        .with_flag(DEAD_LETTER_ON_EXPIRATION, setup.keeps_expired);
    if setup.ttl_s > 0 {
        options = options.with_number(DEFAULT_TTL_MS, setup.ttl_s * 1_000);
    }
    if setup.retry_s > 0 {
        options = options.with_text(RETRY, format!("list {}s", setup.retry_s));
    }
    options = changed_option(options, MAX_MESSAGES, setup.max_messages, 1);
    options = changed_option(options, MAX_BYTES, setup.max_bytes, 1);
    let on_full = if setup.drops { "drop-oldest" } else { "reject" };
    options = changed_option(options, CAPACITY_UNITS, setup.units, 1);
    options = match setup.fair {
        None => options,
        Some(false) => options.with_unset(FAIR_KEY),
        Some(true) => options.with_text(FAIR_KEY, "customer"),
    };
    options = options.with_number(CAPACITY_REFILL_PERCENT, 0).with_text(BALANCE, BALANCES[setup.balance]);
    options.with_text(ON_FULL, on_full).with_text(STATUS, STATUSES[setup.status])
}

fn changed_option(options: Options, code: u8, change: What, unit: u64) -> Options {
    match change {
        What::Leave => options,
        What::Unset => options.with_unset(code),
        What::Set(number) => options.with_number(code, number * unit),
    }
}

/// Only queues and topics look for duplicates.
fn with_window(options: Options, kind: EntityKind, window: What) -> Options {
    if kind == EntityKind::Subscription {
        options
    } else {
        changed_option(options, DEDUP_WINDOW_MS, window, 1_000)
    }
}

/// What is changed of an entity; sometimes what a topic does not have. A window never gets longer: what is
/// still kept beyond the shorter one is the core's to choose.
fn update(at: usize, setup: &Setup) -> Options {
    let kind = [EntityKind::Queue, EntityKind::Topic, EntityKind::Subscription];
    let kind = kind[usize::from(at % 11 > 2) + usize::from(at % 11 > 4)];
    let window = match setup.window_s {
        What::Set(seconds) => What::Set(seconds / 2),
        other => other,
    };
    let options = match kind {
        EntityKind::Topic if setup.max > 1 => Options::new().with_text(STATUS, STATUSES[setup.status]),
        _ => changes(setup),
    };
    with_window(options, kind, window)
}

fn options(setup: &Setup) -> Options {
    let leave = |change| if matches!(change, What::Unset) { What::Leave } else { change };
    let (max_messages, max_bytes) = (leave(setup.max_messages), leave(setup.max_bytes));
    let (units, fair) = (leave(setup.units), setup.fair.filter(|fair| *fair));
    let setup = &Setup { max_messages, max_bytes, units, fair, ..*setup };
    let options = changes(setup).with_number(PRIORITY_LEVELS, setup.levels);
    if setup.by_session { options.with_flag(REQUIRES_SESSION, true) } else { options }
}

/// What consumers change where they change something.
fn changed(change: bool) -> Vec<(String, Value)> {
    if change {
        vec![("Seen".to_owned(), Value::Int(1)), ("priority".to_owned(), Value::Null)]
    } else {
        Vec::new()
    }
}

fn rule(number: usize, filter: usize) -> Rule {
    let high = || ("priority", "high");
    let filter = match filter {
        0 => Filter::True,
        1 => Filter::False,
        2 => Filter::properties([high()]),
        _ => Filter::properties([high(), ("region", "eu")]),
    };
    Rule::new(["$default", "one", "two"][number], filter)
}

impl Run {
    pub fn op(&mut self, op: &Op) {
        match op {
            Op::CreateQueue { name, setup } => {
                let name = EntityName::new(QUEUES[*name]).unwrap();
                let window = if matches!(setup.window_s, What::Unset) { What::Leave } else { setup.window_s };
                let options = with_window(options(setup), EntityKind::Queue, window);
                self.create(name, EntityKind::Queue, options, Vec::new());
            }
            Op::CreateTopic { name, window_s } => {
                let name = EntityName::new(TOPICS[*name]).unwrap();
                let window = if *window_s == 0 { What::Leave } else { What::Set(*window_s) };
                let options = with_window(Options::new(), EntityKind::Topic, window);
                self.create(name, EntityKind::Topic, options, Vec::new());
            }
            Op::CreateSubscription { topic, name, setup } => {
                let rules = if *name == 1 { vec![rule(1, 2)] } else { Vec::new() };
                let subscription = subscription(topic + 2 * name);
                self.create(subscription, EntityKind::Subscription, options(setup), rules);
            }
            Op::Update { entity: at, setup } => {
                let options = update(*at, setup);
                self.change(entity(*at), |name| Change::Update { name, options });
            }
            Op::Delete { entity: at } if *at < 11 => self.change(entity(*at), |name| Change::Delete { name }),
            Op::PutRule { subscription: at, rule: number, filter, replace } => {
                let (replace, rule) = (*replace, rule(*number, *filter));
                self.change(subscription(*at), |subscription| Change::PutRule {
                    subscription,
                    replace,
                    rule,
                });
            }
            Op::DeleteRule { subscription: at, rule: number } => {
                let rule = rule(*number, 0).name;
                self.change(subscription(*at), |subscription| Change::DeleteRule { subscription, rule });
            }
            Op::Publish { entity: at, messages, atomic } => {
                let messages = messages.iter().map(|sent| self.message(sent)).collect();
                self.change(entity(*at), |entity| Change::Publish { entity, atomic: *atomic, messages });
            }
            Op::Settle { items } => self.settle(items),
            Op::Again { request } => self.again(*request),
            Op::Gather { commands } => self.gather = *commands,
            Op::HoldReads { turns } => self.hold_reads = *turns,
            Op::Advance { ms } => self.advance(*ms),
            Op::Reload { shard } => {
                self.flush();
                let shard = (*shard % self.world.shards.len()) as u16;
                self.world.reload(shard);
                self.reloaded(shard);
            }
            Op::MoveClock { seconds } => {
                self.flush();
                if self.may_move_clock(*seconds) {
                    let wall_ms = self.world.now.wall_ms as i64 + seconds * 1_000;
                    self.world.now.wall_ms = wall_ms as u64;
                }
            }
            other => self.client_op(other),
        }
    }

    fn client_op(&mut self, op: &Op) {
        match op {
            Op::Open { client, handle, entity: at, dead, delete, lock_s, let_go, hold, wish } => {
                let lane = if *dead { Lane::DeadLetter } else { Lane::Main };
                let address = Address { entity: entity(*at), lane };
                let shard = self.world.home(&address.entity);
                let owner = Owner { client: *client as u128, handle: *handle };
                self.close_elsewhere(shard, owner);
                let (session, wait_ms) = self.wish(&address, owner, wish);
                let open = OpenReceiver {
                    ticket: self.ticket(self.connections[*client]),
                    owner,
                    address,
                    mode: if *delete { ReceiveMode::ReceiveAndDelete } else { ReceiveMode::PeekLock },
                    lock_duration_ms: lock_s * 1_000,
                    release_on_disconnect: *let_go,
                    held: if *hold { self.held(shard, owner) } else { Vec::new() },
                    weight: 1 + handle,
                    session,
                    wait_ms,
                };
                self.send(shard, Command::OpenReceiver(open));
            }
            Op::Flow { client, handle, credit, behind, drain } => {
                let key = ReceiverKey { connection: self.connections[*client], handle: *handle };
                let open = self.model.receivers.get(&key);
                let (shard, delivered) = open.map_or((0, 0), |open| (open.shard, open.delivered));
                let delivered = delivered.saturating_sub(*behind);
                let flow = Flow { handle: *handle, delivered, credit: *credit, drain: *drain };
                let ticket = self.ticket(key.connection);
                self.send(shard, Command::Flow { ticket, flow });
            }
            Op::Close { client, handle } => {
                let key = ReceiverKey { connection: self.connections[*client], handle: *handle };
                let ticket = self.ticket(key.connection);
                self.send(self.shard_of(key), Command::CloseReceiver { ticket, handle: *handle });
            }
            Op::Disconnect { client } => {
                self.send_to_all(&Command::Disconnected { connection: self.connections[*client] });
                self.reconnect(*client);
            }
            Op::Reconnect { client } => self.reconnect(*client),
            Op::Confirm { client, keep } => {
                let floor = self.sequences[*client].saturating_sub(*keep);
                self.floors[*client] = self.floors[*client].max(floor);
            }
            Op::Farewell { client } if *client < CLIENTS => {
                self.send_to_all(&Command::Farewell { client: *client as u128 });
            }
            other => self.ask(other),
        }
    }

    pub fn reconnect(&mut self, client: usize) {
        self.connections[client] = self.next_connection;
        self.next_connection += 1;
    }

    pub fn send_to_all(&mut self, command: &Command) {
        (0..self.world.shards.len() as u16).for_each(|shard| self.send(shard, command.clone()));
    }

    fn create(&mut self, name: EntityName, kind: EntityKind, options: Options, rules: Vec<Rule>) {
        self.change(name, |name| Change::Create { name, kind, options, rules });
    }

    fn message(&mut self, sent: &Sent) -> Result<Incoming, Refusal> {
        if sent.refused {
            return Err(Refusal::invalid("subject", "is too long"));
        }
        self.bodies += 1;
        let own = format!("{}:{}", self.bodies, ".".repeat(sent.bytes));
        let mut message = Message::new(own);
        message.message_id = Some(match sent.id {
            0 => Id::Number(100 + self.bodies),
            // The same id in two ways.
            id if sent.bytes.is_multiple_of(2) => Id::Number(id),
            id => Id::Text(id.to_string()),
        });
        let due_ms = |seconds| self.world.now.wall_ms.saturating_add_signed(seconds * 1_000);
        message.session_id = (sent.session > 0).then(|| format!("s{}", sent.session));
        message.cost = (sent.cost > 0).then_some(sent.cost);
        if sent.key > 0 {
            // A session is a partition: where both are named, they are the same.
            message.partition_key = message.session_id.clone().or(Some(format!("k{}", sent.key)));
            message = message.with_property("customer", i64::from(sent.key));
        }
        message.scheduled_enqueue_time_ms = sent.due_s.map(due_ms);
        message.time_to_live_ms = (sent.ttl_s > 0).then_some(sent.ttl_s * 1_000);
        message.priority = (sent.priority > 0).then_some(sent.priority);
        Ok(incoming(&match sent.properties {
            0 => message,
            1 => message.with_property("Priority", "high"),
            _ => message.with_property("priority", "high").with_property("region", "eu"),
        }))
    }

    /// A handle belongs to one receiver: its door closes the one before it in another shard.
    fn close_elsewhere(&mut self, shard: u16, owner: Owner) {
        if self.gathered.keys().any(|other| *other != shard) {
            self.flush();
        }
        let elsewhere =
            self.model.receivers.iter().filter(|(_, open)| open.owner == owner && open.shard != shard);
        let waits = self.model.waiting.iter().filter(|it| it.open.owner == owner && it.shard != shard);
        let waits = waits.map(|waiting| (waiting.key(), waiting.shard));
        let elsewhere: Vec<_> = elsewhere.map(|(key, open)| (*key, open.shard)).chain(waits).collect();
        for (key, shard) in elsewhere {
            let ticket = self.ticket(key.connection);
            self.send(shard, Command::CloseReceiver { ticket, handle: key.handle });
            self.flush();
        }
    }

    fn held(&self, shard: u16, owner: Owner) -> Vec<u64> {
        let queues = self.model.entities.values().flat_map(|entity| [&entity.main, &entity.dead]);
        let locks = queues.flat_map(Queue::locks);
        let own = locks.filter(|lock| lock.owner == owner && lock.token.shard == shard);
        // Every other one, and one that never was.
        own.map(|lock| lock.token.lease).filter(|lease| lease % 2 == 0).chain([1_000_000]).collect()
    }

    pub fn ticket(&mut self, connection: u64) -> Ticket {
        self.next_request += 1;
        Ticket { connection, request: self.next_request }
    }

    pub fn change(&mut self, name: EntityName, change: impl FnOnce(EntityName) -> Change) {
        let shard = self.world.home(&name);
        self.stamped(shard, change(name));
    }

    fn stamped(&mut self, shard: u16, change: Change) {
        self.stamped_by(shard, self.next_request as usize % CLIENTS, change);
    }

    pub fn stamped_by(&mut self, shard: u16, client: usize, change: Change) {
        let sequence = self.sequences[client];
        self.sequences[client] += 1;
        self.requests.push((shard, client, sequence, change.clone()));
        self.once(shard, client, sequence, change);
    }

    fn once(&mut self, shard: u16, client: usize, sequence: u64, change: Change) {
        let ticket = self.ticket(self.connections[client]);
        let stamp = Stamp { sequence, floor: self.floors[client].min(sequence) };
        self.send(shard, Command::Once { ticket, client: client as u128, stamp, change });
    }

    fn again(&mut self, back: usize) {
        let Some(at) = self.requests.len().checked_sub(back + 1) else { return };
        let (shard, client, sequence, change) = self.requests[at].clone();
        self.once(shard, client, sequence, change);
    }

    fn settle(&mut self, items: &[Item]) {
        let found: Vec<_> = items.iter().filter_map(|item| self.settle_item(item)).collect();
        let Some(shard) = found.first().map(|item| item.token.shard) else { return };
        self.stamped(
            shard,
            Change::Settle(found.into_iter().filter(|item| item.token.shard == shard).collect()),
        );
    }

    fn settle_item(&self, item: &Item) -> Option<SettleItem> {
        let (mut token, count) = *self.deliveries.iter().rev().nth(item.delivery)?;
        token.place = item.place % (count as u16 + 1);
        token.salt ^= u32::from(item.guessed);
        let settlement = match item.how {
            How::Complete => Settlement::Complete,
            How::Abandon { delay_s, change } => {
                Settlement::Abandon { delay_ms: delay_s * 1_000, properties: changed(change) }
            }
            How::DeadLetter { change } => Settlement::DeadLetter {
                reason: "Broken".to_owned(),
                description: String::new(),
                properties: changed(change),
            },
            How::Defer { change } => Settlement::Defer { properties: changed(change) },
            How::Release => Settlement::Release,
            How::Renew(duration_ms) => Settlement::Renew { duration_ms },
        };
        Some(SettleItem { token, run: item.run, settlement })
    }
}
