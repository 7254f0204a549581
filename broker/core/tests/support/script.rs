//! Runs a golden script: lines of input, `---`, and what came out; steps are parted by an empty line.

use super::line::{Line, ms};
use super::show::{self, Names, reply_text};
use super::trace;
use super::world::{START_MS, World, incoming};
use postrider_core::command::{
    Change, Command, OpenReceiver, Operation, Owner, Question, ReceiverKey, Ticket,
};
use postrider_core::limits::Window;
use postrider_core::shard::Turn;
use postrider_protocol::error::Refusal;
use postrider_protocol::explain::After;
use postrider_protocol::options::EntityKind;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{
    Flow, ReceiveMode, ScheduledAction, SessionWish, SettleItem, Settlement, Stamp, Start,
};
use postrider_protocol::schedule::Schedule;
use postrider_protocol::token::LockToken;
use std::collections::BTreeMap;

/// Receivers have this number on their connection.
const HANDLE: u32 = 1;

/// A script while it runs.
pub struct Script {
    world: World,
    names: Names,
    /// The connection of each receiver.
    connections: BTreeMap<String, u64>,
    next_connection: u64,
    next_request: u32,
    sequences: BTreeMap<u128, u64>,
    /// What was sent under a stamp, to be sent again.
    stamped: BTreeMap<(u128, u64), (u16, Change)>,
    /// Commands of a turn that was not taken yet.
    waiting: BTreeMap<u16, Vec<Command>>,
    /// Whether what is on its way, from the store or another shard, stays there.
    held: bool,
    out: Vec<String>,
}

/// Runs a script in a world of so many shards; returns it with what came out now.
pub fn run(text: &str, shards: u16) -> String {
    let mut script = Script {
        world: World::new(shards),
        names: Names::default(),
        connections: BTreeMap::new(),
        next_connection: 10,
        next_request: 1,
        sequences: BTreeMap::new(),
        stamped: BTreeMap::new(),
        waiting: BTreeMap::new(),
        held: false,
        out: Vec::new(),
    };
    let mut steps = Vec::new();
    for step in text.split("\n\n").map(str::trim).filter(|step| !step.is_empty()) {
        let input: Vec<&str> = step.lines().take_while(|line| *line != "---").collect();
        steps.push(script.step(&input));
    }
    script.world.finish();
    steps.join("\n\n") + "\n"
}

/// The client of a name.
pub fn client(name: &str) -> u128 {
    name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte))
}

impl Script {
    fn step(&mut self, input: &[&str]) -> String {
        self.out.clear();
        for text in input.iter().filter(|line| !line.starts_with('#')) {
            self.line(&Line::parse(text));
        }
        self.flush();
        if input.iter().all(|line| line.starts_with('#')) {
            return input.join("\n");
        }
        if self.out.is_empty() {
            self.out.push("nothing".to_owned());
        }
        format!("{}\n---\n{}", input.join("\n"), self.out.join("\n"))
    }

    fn line(&mut self, line: &Line) {
        match line.verb.as_str() {
            "advance" => {
                self.flush();
                self.world.advance(ms(&line.args[0]));
                (0..self.world.shards.len() as u16).for_each(|shard| self.turn(shard, Vec::new()));
                self.follow_up();
            }
            "clock" => self.set_clock(&line.args[0]),
            "restart" => {
                self.flush();
                (0..self.world.shards.len() as u16).for_each(|shard| self.world.reload(shard));
            }
            "show" => {
                self.flush();
                let info =
                    self.world.shards[usize::from(self.world.home(&line.entity()))].info(&line.entity());
                self.out.push(Names::info(&info));
            }
            "wakes" => {
                self.flush();
                let shard = &self.world.shards[usize::from(self.world.home(&line.entity()))];
                let at_ms = shard.next_deadline_ms(self.world.now).unwrap();
                self.out.push(format!("wakes in {}ms", at_ms - self.world.now.mono_ms));
            }
            "window" => {
                let messages = line.args[0].parse().unwrap();
                self.world =
                    World::within(self.world.shards.len() as u16, Window { messages, bytes: 1_000_000 });
                self.out.push("small windows".to_owned());
            }
            "journal" => {
                self.flush();
                self.world.keep_journal(trace::journal_bytes(line));
                self.out.push(format!("journal {}", line.args[0]));
            }
            "trace" => {
                self.flush();
                self.out.extend(trace::trace(&self.world, line));
            }
            "peek" | "causes" => self.ask(line),
            "deferred" => self.receive_deferred(line),
            "schedules" => {
                self.flush();
                let shard = &self.world.shards[usize::from(self.world.home(&line.entity()))];
                let after = line.option("after").unwrap_or("");
                let limit = line.number("limit").unwrap_or(0) as u32;
                self.out.push(reply_text(&shard.schedules(&line.entity(), after, limit)));
            }
            "rules" => {
                self.flush();
                let shard = &self.world.shards[usize::from(self.world.home(&line.entity()))];
                let after = line.option("after").unwrap_or("");
                let limit = line.number("limit").unwrap_or(0) as u32;
                self.out.push(reply_text(&shard.rules(&line.entity(), after, limit)));
            }
            "explain" => self.explain(line),
            "sessions" => {
                self.flush();
                let shard = &self.world.shards[usize::from(self.world.home(&line.entity()))];
                let after = line.option("after").unwrap_or("").to_owned();
                let limit = line.number("limit").unwrap_or(0) as u32;
                let question = Question::Sessions { after, limit };
                let answer = shard.answer(&self.world.rows, &line.address(0), &question);
                self.out.push(reply_text(&answer.unwrap()));
            }
            "set-state" => self.set_state(line),
            "consumers" => {
                self.flush();
                let shard = self.world.home(&line.entity());
                let shard = &self.world.shards[usize::from(shard)];
                let answer = shard.answer(&self.world.rows, &line.address(0), &Question::Consumers);
                self.out.extend(show::consumers(&answer.unwrap()));
            }
            "turn" => self.flush(),
            "arrive" => self.arrive(),
            "hold" | "unhold" => {
                self.flush();
                self.held = line.verb == "hold";
            }
            "receiver" => self.open(line),
            "sender" => {
                let ticket = self.ticket(1, "sender");
                let command = Command::OpenSender { ticket, entity: line.entity() };
                self.send(self.world.home(&line.entity()), command);
            }
            "flow" | "taken" | "close" | "disconnect" | "renew-session" | "state" => self.receiver_line(line),
            "farewell" => {
                let farewell = Command::Farewell { client: client(&line.args[0]) };
                (0..self.world.shards.len() as u16).for_each(|shard| self.send(shard, farewell.clone()));
            }
            "again" => self.again(line),
            _ => self.change(line),
        }
    }

    /// Moves the wall clock alone, as an operator does.
    fn set_clock(&mut self, by: &str) {
        self.flush();
        let wall_ms = &mut self.world.now.wall_ms;
        *wall_ms = match by.split_at(1) {
            ("-", by) => *wall_ms - ms(by),
            (_, by) => *wall_ms + ms(by),
        };
    }

    fn send(&mut self, shard: u16, command: Command) {
        self.waiting.entry(shard).or_default().push(command);
    }

    fn ticket(&mut self, connection: u64, verb: &str) -> Ticket {
        let request = self.next_request;
        self.next_request += 1;
        self.names.requests.insert(request, verb.to_owned());
        Ticket { connection, request }
    }

    fn flush(&mut self) {
        for (shard, commands) in std::mem::take(&mut self.waiting) {
            self.turn(shard, commands);
        }
        self.follow_up();
        self.go_on();
    }

    /// Lets everything arrive that is on its way, and what comes of it.
    fn follow_up(&mut self) {
        while let Some(shard) = self.world.has_read_any().filter(|_| !self.held) {
            let turn = self.world.turn(shard, Vec::new());
            self.show(shard, &turn);
        }
    }

    /// Lets every shard do what it does not wait with.
    fn go_on(&mut self) {
        while let Some(shard) = self.world.is_busy() {
            self.turn(shard, Vec::new());
        }
    }

    /// Lets what is on its way arrive, but not what comes of it.
    fn arrive(&mut self) {
        self.flush();
        let shards = (0..self.world.shards.len() as u16).filter(|shard| self.world.has_read(*shard));
        for shard in shards.collect::<Vec<_>>() {
            let turn = self.world.turn(shard, Vec::new());
            self.show(shard, &turn);
        }
    }

    fn turn(&mut self, shard: u16, commands: Vec<Command>) {
        let turn = self.world.turn_without_reads(shard, commands);
        self.show(shard, &turn);
    }

    fn show(&mut self, shard: u16, turn: &Turn) {
        let facts = turn.facts.iter().filter_map(|fact| self.names.fact(shard, fact)).collect::<Vec<_>>();
        let effects = turn
            .effects
            .iter()
            .filter_map(|effect| self.names.effect(&self.world, shard, effect))
            .collect::<Vec<_>>();
        self.out.extend(facts.into_iter().chain(effects));
    }

    fn open(&mut self, line: &Line) {
        let name = line.args[0].clone();
        let connection = self.next_connection;
        self.next_connection += 1;
        if let Some(before) = self.connections.insert(name.clone(), connection) {
            self.names.receivers.insert(before, format!("{name} (before)"));
        }
        self.names.receivers.insert(connection, name.clone());
        let ticket = self.ticket(connection, &name);
        let address = line.address(1);
        let shard = self.world.home(&address.entity);
        let held = line.option("held").unwrap_or("").split(',').filter(|label| !label.is_empty());
        let open = OpenReceiver {
            ticket,
            owner: Owner { client: client(&name), handle: HANDLE },
            address,
            mode: if line.has("delete") { ReceiveMode::ReceiveAndDelete } else { ReceiveMode::PeekLock },
            lock_duration_ms: line.ms("lock").unwrap_or(0),
            release_on_disconnect: line.has("release_on_disconnect"),
            held: held.map(|label| self.names.token(label).lease).collect(),
            weight: line.number("weight").unwrap_or(1) as u32,
            session: match line.option("session") {
                None => SessionWish::None,
                Some("next") => SessionWish::Next,
                Some(id) => SessionWish::Named(id.to_owned()),
            },
            wait_ms: line.ms("wait").unwrap_or(0),
        };
        self.send(shard, Command::OpenReceiver(open));
        if let Some(credit) = line.number("credit") {
            let flow = Flow { handle: HANDLE, delivered: 0, credit: credit as u32, drain: false };
            let ticket = self.ticket(connection, "flow");
            self.send(shard, Command::Flow { ticket, flow });
        }
        self.names.homes.insert(name, shard);
    }

    fn receiver_line(&mut self, line: &Line) {
        let name = &line.args[0];
        let (connection, shard) = (self.connections[name], self.names.homes[name]);
        let ticket = self.ticket(connection, &format!("{} {name}", line.verb));
        let command = match line.verb.as_str() {
            "flow" => {
                let credit = line.number("credit").unwrap() as u32;
                let delivered = line.number("delivered").unwrap_or(0);
                Command::Flow {
                    ticket,
                    flow: Flow { handle: HANDLE, delivered, credit, drain: line.has("drain") },
                }
            }
            "taken" => {
                let receiver = ReceiverKey { connection, handle: HANDLE };
                Command::Taken { receiver, bytes: line.number("bytes").unwrap() }
            }
            "renew-session" => Command::RenewSession { ticket, handle: HANDLE },
            "state" => Command::GetSessionState { ticket, handle: HANDLE },
            "close" => Command::CloseReceiver { ticket, handle: HANDLE },
            _ => Command::Disconnected { connection },
        };
        self.send(shard, command);
    }

    fn ask(&mut self, line: &Line) {
        self.flush();
        let address = line.address(0);
        let (from, limit) = (line.number("from").unwrap_or(0), line.number("limit").unwrap_or(0) as u32);
        let question = match line.verb.as_str() {
            "causes" => Question::Causes { from, limit },
            _ => Question::Peek { from, limit, states: line.states(), filter: line.filter() },
        };
        let shard = &self.world.shards[usize::from(self.world.home(&address.entity))];
        let reply = shard.answer(&self.world.rows, &address, &question).unwrap();
        self.out.push(format!("reply {}: {}", line.verb, reply_text(&reply)));
    }

    /// What the rules of a topic would do with a message, page by page where a page has a limit.
    fn explain(&mut self, line: &Line) {
        self.flush();
        let limit = line.number("limit").unwrap_or(0) as u32;
        let shard = &self.world.shards[usize::from(self.world.home(&line.entity()))];
        for message in line.messages() {
            let mut after = After::default();
            loop {
                let message = Box::new(incoming(&message));
                let question = Question::Explain { message, after, limit };
                let reply = shard.answer(&self.world.rows, &line.address(0), &question).unwrap();
                self.out.extend(show::explained(&reply));
                match reply {
                    Reply::Explained(page) if page.more => after = page.end(),
                    _ => break,
                }
            }
        }
    }

    fn receive_deferred(&mut self, line: &Line) {
        let change = Change::ReceiveDeferred { handle: HANDLE, sequences: line.sequences() };
        self.change_by_receiver(line, change);
    }

    /// Sets what is kept with the session of a receiver: the second word, `empty`, or nothing.
    fn set_state(&mut self, line: &Line) {
        let state = line.args.get(1).map(|state| if state == "empty" { "" } else { state });
        let state = state.map(|state| state.to_owned().into());
        self.change_by_receiver(line, Change::SetSessionState { handle: HANDLE, state });
    }

    fn change_by_receiver(&mut self, line: &Line, change: Change) {
        let name = &line.args[0];
        let (connection, shard) = (self.connections[name], self.names.homes[name]);
        let sequence = self.sequences.entry(client(name)).or_insert(1);
        let stamp = Stamp { sequence: *sequence, floor: 0 };
        *sequence += 1;
        let ticket = self.ticket(connection, &line.verb);
        self.send(shard, Command::Once { ticket, client: client(name), stamp, change });
    }

    fn change(&mut self, line: &Line) {
        let (shard, change) = self.change_of(line);
        let by = client(line.option("by").unwrap_or("main"));
        let next = self.sequences.entry(by).or_insert(1);
        let sequence = line.number("stamp").unwrap_or(*next);
        *next = (*next).max(sequence + 1);
        self.stamped.insert((by, sequence), (shard, change));
        self.send_stamped(line, by, sequence);
    }

    fn again(&mut self, line: &Line) {
        let by = client(line.option("by").unwrap_or("main"));
        self.send_stamped(line, by, line.args[0].parse().unwrap());
    }

    fn send_stamped(&mut self, line: &Line, client: u128, sequence: u64) {
        let (shard, change) = self.stamped[&(client, sequence)].clone();
        let ticket = self.ticket(1, &line.verb);
        let stamp = Stamp { sequence, floor: line.number("floor").unwrap_or(0) };
        self.send(shard, Command::Once { ticket, client, stamp, change });
    }

    fn change_of(&self, line: &Line) -> (u16, Change) {
        if let Some(item) = self.settle_item(line) {
            return (item.token.shard, Change::Settle(vec![item]));
        }
        if line.verb == "transact" {
            return self.transaction(line);
        }
        let create = |kind| Change::Create {
            name: line.entity(),
            kind,
            options: line.entity_options(),
            rules: line.rules(),
        };
        let change = match line.verb.as_str() {
            "queue" => create(EntityKind::Queue),
            "topic" => create(EntityKind::Topic),
            "subscription" => create(EntityKind::Subscription),
            "update" => Change::Update { name: line.entity(), options: line.entity_options() },
            "delete" => Change::Delete { name: line.entity() },
            "rule" | "replace" => Change::PutRule {
                subscription: line.entity(),
                replace: line.verb == "replace",
                rule: line.rules().remove(0),
            },
            "unrule" => Change::DeleteRule { subscription: line.entity(), rule: line.args[1].clone() },
            "promote" => Change::PromoteRule { subscription: line.entity(), rule: line.args[1].clone() },
            "replay" => Change::Replay {
                subscription: line.entity(),
                start: match line.ms("at") {
                    Some(ms) => Start::Time(START_MS + ms),
                    None => Start::Sequence(line.number("from").unwrap_or(0)),
                },
                filter: line.filter(),
            },
            "purge" => Change::Purge { address: line.address(0), portion: line.portion() },
            "redrive" => Change::Redrive {
                address: line.address(0),
                portion: line.portion(),
                dry_run: line.has("dry"),
            },
            "schedule" => Change::PutSchedule {
                entity: line.entity(),
                schedule: Schedule {
                    name: line.args[1].clone(),
                    cron: line.option("every").unwrap_or("").to_owned(),
                    zone: line.option("zone").unwrap_or("UTC").to_owned(),
                    message: line.messages()[1].encode(),
                },
            },
            "unschedule" => Change::DeleteSchedule { entity: line.entity(), schedule: line.args[1].clone() },
            "cancel" | "deliver-now" => Change::Scheduled {
                entity: line.entity(),
                action: if line.verb == "cancel" {
                    ScheduledAction::Cancel
                } else {
                    ScheduledAction::DeliverNow
                },
                sequences: line.sequences(),
            },
            "publish" => {
                let message = |message: &_| match incoming_or_refused(message) {
                    Some(refusal) => Err(refusal),
                    None => Ok(incoming(message)),
                };
                let messages = line.messages().iter().map(message).collect();
                Change::Publish { entity: line.entity(), atomic: line.has("atomic"), messages }
            }
            other => panic!("{other} is no verb"),
        };
        let home = line.args[0].split("/$").next().unwrap();
        (self.world.home(&postrider_protocol::name::EntityName::new(home).unwrap()), change)
    }

    fn settle_item(&self, line: &Line) -> Option<SettleItem> {
        let settlement = settlement_of(line)?;
        let (token, run) = self.token(line);
        Some(SettleItem { token, run, settlement })
    }

    /// Operations, parted by `;`, for the shard of what is settled or removed, or else of the first entity.
    fn transaction(&self, line: &Line) -> (u16, Change) {
        let mut homes = Vec::new();
        let mut operation = |part: &&str| {
            let line = Line::parse(part.trim());
            if let Some(item) = self.settle_item(&line) {
                homes.insert(0, item.token.shard);
                return Operation::Settle(item);
            }
            let address = line.address(0);
            homes.push(self.world.home(&address.entity));
            match line.verb.as_str() {
                "send" => Operation::Send {
                    entity: address.entity,
                    messages: line.messages().iter().map(incoming).collect(),
                },
                _ => Operation::Remove { address, sequence: line.args[1].parse().unwrap() },
            }
        };
        let parts: Vec<_> = line.text.trim_start_matches("transact").split(';').collect();
        let operations = parts.iter().map(&mut operation).collect();
        (homes[0], Change::Transact(operations))
    }

    /// The token and run of `L1` (the first place), `L1[3]` or `L1[0..5]`.
    fn token(&self, line: &Line) -> (LockToken, u16) {
        let (label, places) = line.args[0].split_once('[').unwrap_or((&line.args[0], "0]"));
        let places = places.trim_end_matches(']');
        let (from, to) = places.split_once("..").map_or_else(
            || (places.parse::<u16>().unwrap(), None),
            |(from, to)| (from.parse().unwrap(), Some(to.parse::<u16>().unwrap())),
        );
        let mut token = self.names.token(label);
        token.place = from;
        token.salt ^= u32::from(line.has("guessed"));
        (token, to.map_or(1, |to| to - from))
    }
}

/// What a door would refuse; in scripts, a message of this id.
fn incoming_or_refused(message: &postrider_protocol::message::Message) -> Option<Refusal> {
    let bad = message.message_id.as_ref().is_some_and(|id| id.to_string() == "bad");
    bad.then(|| Refusal::invalid("subject", "has 5000 bytes, at most 4096 are allowed"))
}

fn settlement_of(line: &Line) -> Option<Settlement> {
    let text = |name| line.option(name).unwrap_or("").to_owned();
    Some(match line.verb.as_str() {
        "complete" => Settlement::Complete,
        "abandon" => {
            Settlement::Abandon { delay_ms: line.ms("delay").unwrap_or(0), properties: line.properties() }
        }
        "dead-letter" => Settlement::DeadLetter {
            reason: text("reason"),
            description: text("description"),
            properties: line.properties(),
        },
        "defer" => Settlement::Defer { properties: line.properties() },
        "release" => Settlement::Release,
        "renew" => Settlement::Renew { duration_ms: line.ms("for").unwrap_or(0) },
        _ => return None,
    })
}
