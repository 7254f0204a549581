//! The turn: drain, decide, commit, release.

use super::bodies::Bodies;
use super::calendar::Cron;
use super::entrance;
use super::mailbox::{Job, Mailbox, Query};
use super::outbox::{Outbox, Outgoing};
use super::placement::Placement;
use super::{Clock, Entropy, Identity, OnFailure, Parts};
use crate::sabotage::{self, Switch};
use crate::store::{Disk, ShardLog, StoreError};
use postrider_core::command::{Command, Ticket};
use postrider_core::context::{Context, Damage, Now, Rows};
use postrider_core::effect::Load;
use postrider_core::fact::Fact;
use postrider_core::page::Page;
use postrider_core::shard::Shard;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::reply::Reply;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Jobs that one turn takes at most; their bytes are bounded by the mailbox.
const JOBS_PER_TURN: usize = 4096;

/// A wait for a deadline is looked at again after so long.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The engine's state, owned by its thread.
pub struct Turns {
    pub(super) shards: Vec<Shard>,
    log: Box<dyn ShardLog>,
    pub(super) bodies: Bodies,
    pub(super) rows: Arc<dyn Rows + Send + Sync>,
    pub(super) disk: Arc<Disk>,
    clock: Box<dyn Clock>,
    entropy: Entropy,
    journal_bytes: u64,
    pub(super) identity: Identity,
    pub(super) started: Now,
    pub(super) outboxes: HashMap<u64, Arc<Outbox>>,
    pub(super) placement: Arc<Placement>,
    /// Commands that the engine gives itself for the next turn: cold pages that were asked for, and what one shard has
    /// for another.
    pub(super) own: Vec<(u16, Command)>,
    pub(super) stats: Stats,
    on_failure: Option<OnFailure>,
}

/// What was done since the start, for status.
#[derive(Default)]
pub(super) struct Stats {
    pub published: u64,
    pub delivered: u64,
    pub settled: u64,
    pub commits: u64,
}

/// What one turn decides with, and what it has to let out once it is durable.
pub(super) struct Current {
    pub now: Now,
    entropy: u64,
    /// Shards that this turn has touched.
    active: BTreeSet<u16>,
    /// Bytes of the commands that were decided.
    bytes: usize,
    pub outgoing: HashMap<u64, Vec<Outgoing>>,
    pub queries: Vec<(Ticket, Query)>,
    pub loads: Vec<(u16, Load)>,
    /// What shards have for each other.
    pub between: Vec<(u16, Command)>,
    stop: Option<oneshot::Sender<()>>,
}

impl Turns {
    /// Loads all shards.
    pub fn load(parts: Parts) -> Result<Self, StoreError> {
        let started = parts.clock.now();
        let load = |shard| lead(shard, &*parts.rows, started, parts.journal_bytes);
        let shards = (0..parts.shards).map(load).collect::<Result<Vec<_>, _>>()?;
        Ok(Turns {
            placement: Arc::new(Placement::of(&shards)),
            shards,
            log: parts.log,
            bodies: Bodies::new(parts.rows.clone()),
            rows: parts.rows,
            disk: parts.disk,
            clock: parts.clock,
            entropy: parts.entropy,
            journal_bytes: parts.journal_bytes,
            identity: parts.identity,
            started,
            outboxes: HashMap::new(),
            own: Vec::new(),
            stats: Stats::default(),
            on_failure: Some(parts.on_failure),
        })
    }

    /// Takes turns until it is told to stop or the store fails.
    pub(super) fn run(mut self, mut mailbox: Mailbox) {
        // Waiting for jobs with a deadline is all that the runtime is for.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let ended = match runtime {
            Ok(runtime) => self.take_turns(&runtime, &mut mailbox),
            Err(error) => Err(StoreError::new(format!("the engine cannot wait for jobs: {error}"))),
        };
        if let (Err(error), Some(on_failure)) = (&ended, self.on_failure.take()) {
            on_failure(error);
        }
    }

    fn take_turns(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        mailbox: &mut Mailbox,
    ) -> Result<(), StoreError> {
        let mut jobs = Vec::with_capacity(JOBS_PER_TURN);
        loop {
            let wait = self.wait();
            runtime.block_on(mailbox.take(&mut jobs, JOBS_PER_TURN, wait));
            let mut turn = self.turn(&mut jobs)?;
            mailbox.give_back(turn.bytes);
            if let Some(done) = turn.stop.take() {
                self.log.close()?;
                // Nobody may be waiting for the end any more.
                let _ = done.send(());
                return Ok(());
            }
        }
    }

    /// Takes one turn, for who has a thread and a time of its own. After an error nothing of it may go on.
    pub fn step(&mut self, mut jobs: Vec<Job>) -> Result<(), StoreError> {
        self.turn(&mut jobs).map(drop)
    }

    /// Where entities are.
    pub fn placement(&self) -> Arc<Placement> {
        self.placement.clone()
    }

    /// How long there is nothing to do, unless jobs come.
    pub fn wait(&self) -> Option<Duration> {
        if !self.own.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let deadline = self.shards.iter().filter_map(|shard| shard.next_deadline_ms(now)).min()?;
        let wait = Duration::from_millis(deadline.saturating_sub(now.mono_ms));
        // The wall clock, which alarms go by, may be set meanwhile.
        Some(wait.min(LONGEST_WAIT))
    }

    fn turn(&mut self, jobs: &mut Vec<Job>) -> Result<Current, StoreError> {
        let mut turn = Current::new(self.clock.now(), (self.entropy)()?);
        self.tick(&mut turn)?;
        for (shard, command) in std::mem::take(&mut self.own) {
            self.decide(&mut turn, shard, command)?;
        }
        for job in jobs.drain(..) {
            self.job(&mut turn, job)?;
        }
        self.commit(&mut turn)?;
        #[cfg(feature = "failpoints")]
        fail::fail_point!("before-release", |_| std::process::abort());
        self.release(&mut turn)?;
        self.bodies.trim();
        Ok(turn)
    }

    fn tick(&mut self, turn: &mut Current) -> Result<(), Damage> {
        let cx = turn.context(&self.bodies, &self.placement);
        for (id, shard) in (0..).zip(&mut self.shards) {
            if shard.next_deadline_ms(cx.now).is_some_and(|deadline| deadline <= cx.now.mono_ms) {
                shard.tick(&cx)?;
                turn.active.insert(id);
            }
        }
        Ok(())
    }

    fn decide(&mut self, turn: &mut Current, shard: u16, command: Command) -> Result<(), Damage> {
        turn.active.insert(shard);
        match self.shards.get_mut(usize::from(shard)) {
            Some(state) => state.decide(&turn.context(&self.bodies, &self.placement), command),
            None => Err(Damage::new(format!("there is no shard {shard}"))),
        }
    }

    fn job(&mut self, turn: &mut Current, job: Job) -> Result<(), StoreError> {
        match job {
            Job::Command(shard, command, bytes) => {
                turn.bytes += bytes;
                self.submitted(turn, shard, command)?;
            }
            Job::Connect(connection, outbox) => _ = self.outboxes.insert(connection, outbox),
            Job::Disconnect(connection, client) => self.disconnect(turn, connection, client)?,
            Job::Query(ticket, query) => turn.queries.push((ticket, query)),
            Job::StepDown(shard) => self.step_down(turn, shard)?,
            Job::Stop(done) => turn.stop = Some(done),
        }
        Ok(())
    }

    /// A command that came through a door.
    fn submitted(&mut self, turn: &mut Current, shard: u16, command: Command) -> Result<(), Damage> {
        let checked = self.placement.check(&self.shards, &command);
        let checked = checked.and_then(|()| entrance::check_room(&self.disk, &self.shards, &command));
        if let (Err(refusal), Command::Once { ticket, .. }) = (checked, &command) {
            turn.send(ticket.connection, Outgoing::Reply(ticket.request, Reply::Refused(refusal)));
            return Ok(());
        }
        let shard = self.placement.route(&self.shards, shard, &command);
        self.decide(turn, shard, command)
    }

    fn disconnect(
        &mut self,
        turn: &mut Current,
        connection: u64,
        client: Option<u128>,
    ) -> Result<(), Damage> {
        self.outboxes.remove(&connection);
        for shard in (0..).take(self.shards.len()) {
            self.decide(turn, shard, Command::Disconnected { connection })?;
            if let Some(client) = client {
                self.decide(turn, shard, Command::Farewell { client })?;
            }
        }
        Ok(())
    }

    /// Commits what was decided so far, then drops the shard's state and builds it again. Its receivers are closed; a
    /// client opens them again.
    fn step_down(&mut self, turn: &mut Current, shard: u16) -> Result<(), StoreError> {
        self.commit(turn)?;
        self.bodies.clear();
        let Some(state) = self.shards.get_mut(usize::from(shard)) else { return Ok(()) };
        let receivers: Vec<_> = state.receivers().collect();
        *state = lead(shard, &*self.rows, turn.now, self.journal_bytes)?;
        for key in receivers {
            let text = "the shard changed its leader; open the receiver again";
            turn.send(
                key.connection,
                Outgoing::Closed(key.handle, Refusal::new(ErrorCode::Unavailable, text)),
            );
        }
        Ok(())
    }

    /// Ends the shards' turns and makes all their facts durable with one sync.
    fn commit(&mut self, turn: &mut Current) -> Result<(), StoreError> {
        let mut facts = Vec::new();
        for id in std::mem::take(&mut turn.active) {
            let Some(shard) = self.shards.get_mut(usize::from(id)) else { continue };
            let sealed = shard.seal(&turn.context(&self.bodies, &self.placement))?;
            self.keep_pages(id, &sealed.facts)?;
            self.placement.note(id, &sealed.facts, &self.shards);
            for effect in sealed.effects {
                self.prepare(turn, id, effect)?;
            }
            self.forget_pages(id, &sealed.facts);
            if !sealed.facts.is_empty() {
                facts.push((id, sealed.facts));
            }
        }
        if !facts.is_empty() {
            if sabotage::is(Switch::AckBeforeFsync) {
                self.let_out(turn);
            }
            self.log.append(&facts)?;
            self.stats.commits += 1;
        }
        Ok(())
    }

    fn keep_pages(&mut self, shard: u16, facts: &[Fact]) -> Result<(), Damage> {
        for fact in facts {
            if let Fact::PageWritten(queue, first, page) = fact {
                self.bodies.keep(shard, *queue, *first, Page::fresh(page.clone())?);
            }
        }
        Ok(())
    }

    /// Pages that go in this turn; its deliveries have them already.
    fn forget_pages(&mut self, shard: u16, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::PageGone(queue, first) => self.bodies.forget(shard, *queue, *first),
                Fact::PagesGone(queue, from, to) => self.bodies.forget_range(shard, *queue, *from, *to),
                _ => {}
            }
        }
    }
}

/// A shard as its rows have it, which keeps so many bytes of a journal from now on.
fn lead(shard: u16, rows: &dyn Rows, now: Now, journal_bytes: u64) -> Result<Shard, Damage> {
    let mut shard = Shard::load(shard, rows, now)?;
    shard.set_journal(journal_bytes);
    Ok(shard)
}

impl Current {
    fn new(now: Now, entropy: u64) -> Self {
        Current {
            now,
            entropy,
            active: BTreeSet::new(),
            bytes: 0,
            outgoing: HashMap::new(),
            queries: Vec::new(),
            loads: Vec::new(),
            between: Vec::new(),
            stop: None,
        }
    }

    fn context<'a>(&self, rows: &'a Bodies, places: &'a Placement) -> Context<'a> {
        Context { now: self.now, entropy: self.entropy, rows, calendar: &Cron, places }
    }

    /// Puts something into a connection's outbox at the end of the turn.
    pub fn send(&mut self, connection: u64, outgoing: Outgoing) {
        self.outgoing.entry(connection).or_default().push(outgoing);
    }
}
