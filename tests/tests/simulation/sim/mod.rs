//! The simulation: what happens when, all of it drawn from one seed.

mod count;

use super::client::{Client, Moment, Out, Request, Said, Work};
use super::disk::{Disk, Fault, Time};
use super::node::Node;
use super::work::{Consumer, Producer};
use super::world::{self, PLACES};
use fastrand::Rng;
use postrider::store::StoreError;
use postrider_core::key::Key;
use postrider_tests::checker::Checker;
use postrider_tests::history::{Counts, Event};
use std::collections::BTreeMap;
use std::fmt::Write;

/// When the wall clock begins, UTC milliseconds.
const START_MS: u64 = 1_700_000_000_000;
/// How long faults happen and producers send, and how long everything may take to come to its end after that.
const LOAD_MS: u64 = 800;
const ENDING_MS: u64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const PRODUCERS: u64 = 3;

/// What happens at a moment.
#[derive(Debug)]
enum Happening {
    /// A client connects, or tries to.
    Connect(usize),
    /// The broker learns of a connection.
    Connected(u64),
    /// A request arrives at the broker.
    Asked(u64, Request),
    /// The broker notices that a connection has ended.
    Disconnected(u64),
    /// Something arrives at a client.
    Told(usize, u64, Said),
    /// A client wanted to be woken; an older wish does not count.
    Wake(usize, u64),
    /// The broker takes a turn; one that was put off does not count.
    Turn(u64),
    /// A client's connection breaks.
    Break(usize),
    /// The process is killed.
    Kill,
    /// The next batch meets this.
    Arm(Fault),
    /// A bit of a page is wrong from now on, and the process is killed, so that it has to read it.
    Flip,
    Restart,
    /// The wall clock is set.
    Jump(i64),
    /// Clients come to their end.
    End,
}

/// A connection.
struct Line {
    client: usize,
    /// What comes behind is not before.
    to_broker_ms: u64,
    to_client_ms: u64,
    /// It broke: nothing arrives after this.
    broken_ms: Option<u64>,
}

/// What came out.
pub struct Outcome {
    /// What is wrong.
    pub problems: Vec<String>,
    /// All that happened, and what was stored in the end.
    pub log: String,
    pub messages: usize,
    pub crashes: usize,
    /// Wrong bits that were noticed.
    pub flips: usize,
}

pub struct Simulation {
    random: Rng,
    time: Time,
    disk: Disk,
    node: Option<Node>,
    shards: u16,
    clients: Vec<Client>,
    /// The newest wish of each client to be woken.
    wakes: Vec<u64>,
    lines: BTreeMap<u64, Line>,
    agenda: BTreeMap<(u64, u64), Happening>,
    next: u64,
    events: Vec<Event>,
    log: String,
    crashes: usize,
    flips: usize,
    jumps: bool,
    repeats: bool,
    slow: bool,
}

/// Runs the simulation of a seed.
pub fn run(seed: u64) -> Outcome {
    let mut simulation = Simulation::new(seed);
    simulation.found();
    simulation.plan();
    let end = simulation.now() + LOAD_MS;
    simulation.until(end);
    simulation.end();
    simulation.outcome()
}

/// What has happened until a panic, where one seed runs alone.
impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("POSTRIDER_SEED").is_some() {
            eprintln!("{}", self.log);
            let keys: Vec<_> = self.disk.content().keys().map(|key| Key::decode(key)).collect();
            eprintln!("stored is {keys:#?}");
        }
    }
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut random = Rng::with_seed(seed);
        let (disk, time) = (Disk::default(), Time::starting_at(START_MS));
        let shards = random.choice([1, 3, 16]).expect("there are some");
        let mut simulation = Simulation {
            time,
            disk,
            node: None,
            shards,
            clients: Vec::new(),
            wakes: Vec::new(),
            lines: BTreeMap::new(),
            agenda: BTreeMap::new(),
            next: 0,
            events: Vec::new(),
            log: String::new(),
            crashes: 0,
            flips: 0,
            jumps: random.u8(..3) == 0,
            repeats: random.bool(),
            slow: random.u8(..3) == 0,
            random,
        };
        simulation.restart();
        simulation
    }

    fn now(&self) -> u64 {
        self.time.get().mono_ms
    }

    fn moment(&self) -> Moment {
        Moment { wall_ms: self.time.get().wall_ms, wall_is_steady: !self.jumps }
    }

    /// Everything is created, without faults; then the other clients come.
    fn found(&mut self) {
        self.join(Work::Founder);
        while !self.clients[0].is_at_rest() || self.clients[0].connection.is_none() {
            assert!(self.step(), "everything is created");
        }
        (0..PRODUCERS).for_each(|number| self.join(Work::Producer(Producer { number, sent: 0, once: None })));
        let places = PLACES.into_iter().chain([world::PLAIN, world::SESSIONS]).chain(world::DEAD_LETTERS);
        for (number, at) in (PRODUCERS..).zip(places) {
            let (is_open, in_hand) = (false, Vec::new());
            self.join(Work::Consumer(Consumer { at, number, sent: 0, is_open, delivered: 0, in_hand }));
        }
    }

    fn join(&mut self, work: Work) {
        let number = self.clients.len();
        self.clients.push(Client::new(number, work, self.random.fork()));
        self.wakes.push(0);
        self.at(1, Happening::Connect(number));
    }

    /// Draws the faults: some seeds have many of a kind, some none.
    fn plan(&mut self) {
        for _ in 0..self.random.usize(..4) {
            let after = self.random.u64(50..LOAD_MS);
            let fault = self.random.choice(Fault::ALL).filter(|_| self.random.bool());
            self.at(after, fault.map_or(Happening::Kill, Happening::Arm));
        }
        if self.random.u8(..4) == 0 {
            let after = self.random.u64(50..LOAD_MS);
            self.at(after, Happening::Flip);
        }
        for _ in 0..self.random.choice([0, 2, 15]).unwrap_or_default() {
            let (after, client) = (self.random.u64(10..LOAD_MS), self.random.usize(1..self.clients.len()));
            self.at(after, Happening::Break(client));
        }
        for _ in 0..if self.jumps { 4 } else { 0 } {
            let after = self.random.u64(10..LOAD_MS);
            let by_ms = self.random.i64(-HOUR_MS..HOUR_MS);
            self.at(after, Happening::Jump(by_ms));
        }
        self.at(LOAD_MS, Happening::End);
    }

    fn at(&mut self, after_ms: u64, happening: Happening) {
        self.next += 1;
        self.agenda.insert((self.now() + after_ms, self.next), happening);
    }

    fn until(&mut self, end_ms: u64) {
        while self.agenda.first_key_value().is_some_and(|((when, _), _)| *when <= end_ms) {
            self.step();
        }
        self.time.pass_until(end_ms.max(self.now()));
    }

    /// Does what is next; false where there is nothing.
    fn step(&mut self) -> bool {
        let Some(((when, _), happening)) = self.agenda.pop_first() else { return false };
        self.time.pass_until(when);
        if !matches!(happening, Happening::Wake(..) | Happening::Turn(_)) {
            self.note(format_args!("{happening:?}"));
        }
        match happening {
            Happening::Connect(client) => self.connect(client),
            Happening::Connected(connection) => {
                if self.arrives(connection)
                    && let Some(node) = &mut self.node
                {
                    node.connect(connection);
                }
            }
            Happening::Asked(connection, request) => self.asked(connection, &request),
            Happening::Disconnected(connection) => {
                if let Some(node) = &mut self.node {
                    node.disconnect(connection);
                    self.schedule_turn();
                }
            }
            Happening::Told(client, connection, said) => self.told(client, connection, said),
            Happening::Wake(client, wish) if self.wakes[client] == wish => {
                let now = self.moment();
                self.client(client, |it, out| it.woken(now, out));
                if self.repeats && self.random.u8(..20) == 0 && self.clients[client].connection.is_some() {
                    self.client(client, Client::repeat);
                }
            }
            Happening::Turn(when) if self.node.as_ref().is_some_and(|it| it.turn_ms == Some(when)) => {
                self.turn()
            }
            Happening::Wake(..) | Happening::Turn(_) => {}
            Happening::Break(client) => self.break_line(client),
            Happening::Kill => self.crash(),
            Happening::Arm(fault) => self.disk.arm(fault),
            Happening::Flip => {
                self.disk.flip(&mut self.random);
                self.crash();
            }
            Happening::Restart => self.restart(),
            Happening::Jump(by_ms) => {
                self.time.jump(by_ms);
                self.schedule_turn();
            }
            Happening::End => self.clients.iter_mut().for_each(|client| client.ending = true),
        }
        true
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        writeln!(self.log, "{} {what}", self.time.get().mono_ms).expect("text can be written");
    }

    /// Lets a client do something, and carries what it asks for.
    fn client(&mut self, number: usize, act: impl FnOnce(&mut Client, &mut Out)) {
        let mut out = Out::default();
        act(&mut self.clients[number], &mut out);
        for event in out.events {
            self.note(format_args!("{number} {event:?}"));
            self.events.push(event);
        }
        if let Some(connection) = self.clients[number].connection {
            for request in out.requests {
                let when = self.delay();
                if let Some(line) = self.lines.get_mut(&connection) {
                    line.to_broker_ms = line.to_broker_ms.max(self.time.get().mono_ms + when);
                    let after = line.to_broker_ms - self.time.get().mono_ms;
                    self.at(after, Happening::Asked(connection, request));
                }
            }
        }
        if let Some(after) = out.wake_ms {
            self.wakes[number] += 1;
            self.at(after.max(1), Happening::Wake(number, self.wakes[number]));
        }
    }

    fn delay(&mut self) -> u64 {
        if self.slow && self.random.u8(..10) == 0 { self.random.u64(..120) } else { self.random.u64(..4) }
    }

    fn connect(&mut self, client: usize) {
        if self.node.is_none() {
            let after = self.random.u64(5..40);
            return self.at(after, Happening::Connect(client));
        }
        self.next += 1;
        let (connection, now) = (self.next, self.now());
        let line = Line { client, to_broker_ms: now, to_client_ms: now, broken_ms: None };
        self.lines.insert(connection, line);
        self.at(0, Happening::Connected(connection));
        self.client(client, |it, out| it.connected(connection, out));
    }

    /// Whether what was sent on a connection is not lost by now.
    fn arrives(&self, connection: u64) -> bool {
        let now = self.now();
        self.lines.get(&connection).is_some_and(|line| line.broken_ms.is_none_or(|broken| now <= broken))
    }

    fn asked(&mut self, connection: u64, request: &Request) {
        let Some(line) = self.lines.get(&connection) else { return };
        // What is opened on a connection that is gone would take the place of what was opened after it.
        let is_late = line.broken_ms.is_some() && !request.is_stamped();
        let id = self.clients[line.client].id;
        if !self.arrives(connection) || is_late {
            return;
        }
        if let Some(node) = self.node.as_mut().filter(|node| node.knows(connection)) {
            node.ask(connection, id, request);
            self.schedule_turn();
        }
    }

    fn told(&mut self, client: usize, connection: u64, said: Said) {
        if self.clients[client].connection == Some(connection) {
            let now = self.moment();
            self.client(client, |it, out| it.told(said, now, out));
        }
    }

    /// Plans the next turn, for what has arrived or what is due.
    fn schedule_turn(&mut self) {
        let soon = self.random.u64(..3);
        let Some(node) = &mut self.node else { return };
        let wait = if node.has_jobs() { Some(soon) } else { node.wait_ms() };
        let when = wait.map(|wait| self.time.get().mono_ms + wait);
        if node.has_jobs() && node.turn_ms.is_some_and(|planned| Some(planned) <= when) {
            return;
        }
        node.turn_ms = when;
        if let (Some(when), Some(wait)) = (when, wait) {
            self.at(wait, Happening::Turn(when));
        }
    }

    fn turn(&mut self) {
        let Some(node) = &mut self.node else { return };
        node.turn_ms = None;
        let taken = node.turn();
        self.let_out();
        match taken {
            Ok(()) => self.schedule_turn(),
            Err(error) => self.fail(&error),
        }
    }

    /// The store has failed, which ends the node. A bit that is wrong is put right: a backup has the row.
    fn fail(&mut self, error: &StoreError) {
        self.flips += usize::from(self.disk.put_right());
        assert!(self.disk.has_failed(), "the store fails by itself: {error}");
        self.crash();
    }

    /// What the node has let out is on its way, whatever becomes of the node.
    fn let_out(&mut self) {
        let said = self.node.as_ref().map(Node::said).unwrap_or_default();
        for (connection, said) in said {
            let (delay, now) = (self.delay(), self.now());
            let Some(line) = self.lines.get_mut(&connection) else { continue };
            line.to_client_ms = line.to_client_ms.max(now + delay);
            let (after, client) = (line.to_client_ms - now, line.client);
            self.at(after, Happening::Told(client, connection, said));
        }
    }

    /// What is on its way to the broker arrives for a while, or not; what is on its way to the client is lost.
    fn break_line(&mut self, client: usize) {
        let Some(connection) = self.clients[client].connection.take() else { return };
        let until = self.now() + self.random.u64(..20);
        if let Some(line) = self.lines.get_mut(&connection) {
            line.broken_ms = Some(until);
        }
        let (noticed, again) = (self.random.u64(1..300), self.random.u64(1..60));
        self.at(noticed, Happening::Disconnected(connection));
        self.at(again, Happening::Connect(client));
    }

    /// The process is gone, and so is what it had in memory. What it had said still arrives, some of it.
    fn crash(&mut self) {
        if self.node.take().is_none() {
            return;
        }
        self.crashes += 1;
        let now = self.now();
        for client in 0..self.clients.len() {
            let Some(connection) = self.clients[client].connection else { continue };
            if let Some(line) = self.lines.get_mut(&connection) {
                line.broken_ms = Some(now);
            }
            let noticed = self.random.u64(..30);
            self.at(noticed, Happening::Break(client));
        }
        let after = self.random.u64(5..150);
        self.at(after, Happening::Restart);
    }

    fn restart(&mut self) {
        self.disk.repair();
        let random = self.random.fork();
        match Node::start(&self.disk, &self.time, self.shards, random) {
            Ok(node) => self.node = Some(node),
            Err(error) => {
                let was_flipped = self.disk.put_right();
                assert!(was_flipped, "the broker does not start again: {error}");
                self.flips += 1;
                return self.restart();
            }
        }
        self.count();
        self.schedule_turn();
    }

    /// I11: without faults everything comes to its end.
    fn end(&mut self) {
        let end = self.now() + ENDING_MS;
        while !self.is_over() {
            assert!(self.now() < end, "not at its end after {ENDING_MS} ms: {}", self.left());
            let next = self.now() + 50;
            self.until(next);
        }
        self.count();
        // Once more from the disk alone.
        self.crash();
        self.restart();
    }

    fn is_over(&mut self) -> bool {
        self.node.is_some()
            && self.clients.iter().all(|client| client.connection.is_some() && client.is_at_rest())
            && PLACES.iter().all(|place| self.counted(place) == Some(Counts::default()))
    }

    fn left(&mut self) -> String {
        let counts: Vec<_> = PLACES.iter().map(|place| (*place, self.counted(place))).collect();
        let at_rest: Vec<_> = self.clients.iter().map(Client::is_at_rest).collect();
        format!("{counts:?}; at rest: {at_rest:?}")
    }

    fn outcome(&mut self) -> Outcome {
        for (key, value) in self.disk.content() {
            writeln!(self.log, "{key:02x?} {value:02x?}").expect("text can be written");
        }
        let checker = Checker {
            places: &world::places_of,
            rules: &world::rules,
            locks_may_expire: self.jumps,
            may_be_overtaken: false,
        };
        let messages = self.events.iter().filter(|event| matches!(event, Event::Stored { .. })).count();
        Outcome {
            problems: checker.check(&self.events),
            log: std::mem::take(&mut self.log),
            messages,
            crashes: self.crashes,
            flips: self.flips,
        }
    }
}
