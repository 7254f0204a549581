//! Replaying what a topic keeps to one of its subscriptions.
//!
//! A replay is a row: the topic's numbers that are still to be looked at. Ticks carry it on, as much as one turn should,
//! and the copies of a turn are committed with how far it has come: each message comes once, whatever is killed. It waits
//! while the subscription is full.

use crate::context::{Context, Damage, Now, Rows};
use crate::fact::Fact;
use crate::key::{Key, KeyRange, QueueId, TopicPage};
use crate::limits::{PAGE_MESSAGES, REPLAYED_BYTES_PER_TICK, REPLAYED_PER_TICK};
use crate::page::{Page, Reference};
use crate::replay::{Replay, ReplayRow};
use crate::shard::Shard;
use crate::verbs::publish::Coming;
use crate::verbs::publish::room::Needs;
use crate::verbs::publish::topic::FanOut;
use crate::verbs::recover::{each_row, read_row};
use bytes::Bytes;
use postrider_protocol::error::Refusal;
use postrider_protocol::message::{Incoming, Record};
use postrider_protocol::name::EntityName;
use postrider_protocol::options::{self, EntityKind};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Start;

/// A message that a topic keeps.
struct Kept {
    sequence: u64,
    reference: Reference,
    record: Bytes,
}

impl Shard {
    /// Begins a replay of what the topic of a subscription keeps, in place of one that is under way.
    pub(crate) fn replay(
        &mut self,
        cx: &Context<'_>,
        name: &EntityName,
        start: Start,
        filter: &str,
    ) -> Result<Result<Reply, Refusal>, Damage> {
        let (subscription, topic) = match self.replayable(name) {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.show_bodies(cx.now, topic);
        let (from, to) = self.kept_since(cx, topic, start)?;
        let row = ReplayRow { next: from, to, filter: filter.to_owned() };
        match Replay::new(row) {
            Ok(replay) => self.put_replay(subscription, replay),
            Err(refusal) => return Ok(Err(refusal.about(name.as_str()))),
        }
        Ok(Ok(Reply::Replaying { from, to }))
    }

    /// A subscription and its topic, where that keeps messages.
    fn replayable(&self, name: &EntityName) -> Result<(u64, u64), Refusal> {
        let (subscription, found) = self.catalog.require(name)?;
        let topic = self.catalog.topic_of(subscription);
        let Some((topic, of)) = topic.and_then(|topic| Some((topic, self.catalog.get(topic)?))) else {
            let text = format!("is a {}; messages are replayed to subscriptions", found.row.kind);
            return Err(Refusal::invalid("subscription", text).about(name.as_str()));
        };
        if of.settings.retain_ms == 0 && of.topic.low == of.topic.next {
            let text = format!("{} keeps no messages; set its retain_ms", of.row.name);
            return Err(Refusal::invalid("subscription", text).about(name.as_str()));
        }
        Ok((subscription, topic))
    }

    /// Begins the replay that a new subscription was created with.
    pub(crate) fn replay_at_birth(&mut self, cx: &Context<'_>, name: &EntityName) -> Result<(), Damage> {
        let created = self.catalog.find(name).and_then(|id| self.catalog.get(id));
        let Some(start) = created.and_then(|entity| start_of(&entity.row.options)) else { return Ok(()) };
        // Whether it can be was checked before the subscription was created.
        self.replay(cx, name, start, "").map(|_| ())
    }

    /// Refuses to create what is to begin with a replay that cannot be.
    pub(crate) fn check_birth(&self, topic: u64, options: &options::Options) -> Result<(), Refusal> {
        let Some(entity) = self.catalog.get(topic).filter(|_| start_of(options).is_some()) else {
            return Ok(());
        };
        let is_set = |code| options.number(code, u64::MAX) != u64::MAX;
        if is_set(options::REPLAY_FROM_SEQUENCE) && is_set(options::REPLAY_FROM_MS) {
            let text = "does not go with replay_from_sequence: a replay begins at one place";
            return Err(Refusal::invalid("replay_from_ms", text));
        }
        if entity.settings.retain_ms == 0 && entity.topic.low == entity.topic.next {
            let text = format!("{} keeps no messages; set its retain_ms", entity.row.name);
            return Err(Refusal::invalid("name", text));
        }
        Ok(())
    }

    fn put_replay(&mut self, subscription: u64, replay: Replay) {
        if replay.row.next >= replay.row.to {
            if self.replays.remove(&subscription).is_some() {
                self.turn.facts.push(Fact::ReplayGone(subscription));
            }
            return;
        }
        self.turn.facts.push(Fact::Replay(subscription, replay.row.clone()));
        self.replays.insert(subscription, replay);
    }

    /// The numbers that a topic keeps from a start on, and the one behind the last.
    fn kept_since(&self, cx: &Context<'_>, topic: u64, start: Start) -> Result<(u64, u64), Damage> {
        let row = self.catalog.get(topic).map(|entity| entity.topic).unwrap_or_default();
        let from = match start {
            Start::Sequence(sequence) => sequence,
            Start::Time(ms) => self.first_since(cx, topic, (row.low, row.next), ms)?,
        };
        Ok((from.clamp(row.low, row.next), row.next))
    }

    /// The first number between two of a topic whose message came at a moment or behind it: halves what is between.
    fn first_since(
        &self,
        cx: &Context<'_>,
        topic: u64,
        (mut low, mut high): (u64, u64),
        ms: u64,
    ) -> Result<u64, Damage> {
        let end = high;
        while low < high {
            let middle = low + (high - low) / 2;
            let mut found = None;
            self.each_references(cx, topic, middle, high, &mut |page, row| {
                found = Some((page.first, row.written_ms));
                Ok(false)
            })?;
            match found {
                Some((first, written_ms)) if written_ms < ms => low = first + 1,
                _ => high = middle,
            }
        }
        let mut first = end;
        self.each_references(cx, topic, low, end, &mut |page, _| {
            first = page.first;
            Ok(false)
        })?;
        Ok(first)
    }

    /// Replays go on, one of them by as much as one turn should.
    pub(crate) fn replay_on(&mut self, cx: &Context<'_>) -> Result<(), Damage> {
        let ready = |(_, replay): &(&u64, &Replay)| !replay.waits;
        let behind = self.replays.range(self.replayed_last + 1..).find(ready);
        let Some((&subscription, _)) = behind.or_else(|| self.replays.iter().find(ready)) else {
            return Ok(());
        };
        self.replayed_last = subscription;
        let Some(mut replay) = self.replays.remove(&subscription) else { return Ok(()) };
        let before = replay.row.next;
        self.replay_part(cx, subscription, &mut replay)?;
        self.use_entity(subscription);
        if replay.row.next >= replay.row.to {
            self.turn.facts.push(Fact::ReplayGone(subscription));
            return Ok(());
        }
        if replay.row.next > before {
            self.turn.facts.push(Fact::Replay(subscription, replay.row.clone()));
        }
        self.replays.insert(subscription, replay);
        Ok(())
    }

    /// Copies a part of what is to be replayed, and says in the replay how far it came.
    fn replay_part(
        &mut self,
        cx: &Context<'_>,
        subscription: u64,
        replay: &mut Replay,
    ) -> Result<(), Damage> {
        let Some(topic) = self.catalog.topic_of(subscription) else { return Ok(()) };
        let row = self.catalog.get(topic).map(|entity| entity.topic).unwrap_or_default();
        replay.row.next = replay.row.next.max(row.low);
        let (kept, next) = self.read_kept(cx, topic, replay.row.next, replay.row.to)?;
        for message in kept {
            if !self.replay_one(cx, subscription, topic, replay, &message)? {
                (replay.waits, replay.row.next) = (true, message.sequence);
                return Ok(());
            }
        }
        replay.row.next = next;
        Ok(())
    }

    /// Copies a message where filter and rules let it through; says whether the subscription could take it.
    fn replay_one(
        &mut self,
        cx: &Context<'_>,
        subscription: u64,
        topic: u64,
        replay: &Replay,
        kept: &Kept,
    ) -> Result<bool, Damage> {
        let damaged = |what: &dyn std::fmt::Display| {
            Damage::new(format!("message {} of topic {topic}: {what}", kept.sequence))
        };
        let mut record = Record::decode(kept.record.clone()).map_err(|malformed| damaged(&malformed))?;
        record.replayed = true;
        let incoming = Incoming::parse(record.message.clone()).map_err(|refusal| damaged(&refusal))?;
        if !replay.takes(&incoming.message) {
            return Ok(true);
        }
        let verdict = self.ask_rules_of(subscription, &incoming.message);
        let bytes = kept.record.len() as u64;
        if !verdict.findings.is_empty() && !self.may_take(subscription, bytes) {
            return Ok(false);
        }
        let ttl_ms = self.topic_ttl_ms(topic);
        let coming = Coming { stored: Some(kept.reference), ..Coming::moved(&incoming, &record) };
        let fan_out = FanOut { topic, sequence: kept.sequence, ttl_ms, coming };
        self.journal.copying(QueueId::main(topic), kept.sequence);
        for (_, finding) in verdict.findings {
            let Some(fate) = self.fate(&fan_out, subscription, &finding, cx.entropy) else { continue };
            self.copy_to(cx, &fan_out, subscription, fate)?;
        }
        self.journal.copied();
        Ok(true)
    }

    /// Whether a subscription takes a record of so many bytes in now. One that it never has room for goes its way to the
    /// dead letters.
    fn may_take(&self, subscription: u64, bytes: u64) -> bool {
        let Some(entity) = self.catalog.get(subscription) else { return true };
        let needs = Needs { messages: 1, bytes };
        let has_room = self.check_room(QueueId::main(subscription), needs).is_ok();
        entity.settings.may_send && (has_room || bytes > entity.settings.max_bytes)
    }

    /// Messages that a topic keeps from a number on, as many as one turn should look at, and the number to go on from.
    fn read_kept(
        &self,
        cx: &Context<'_>,
        topic: u64,
        from: u64,
        to: u64,
    ) -> Result<(Vec<Kept>, u64), Damage> {
        let (mut kept, mut bytes, mut next) = (Vec::new(), 0, to);
        let begin = self.page_with(cx, topic, from)?;
        let pages = KeyRange::pages(self.id, QueueId::main(topic), begin, to);
        self.rows(cx).scan(&pages, &mut |key, value| {
            let Key::Page(_, _, first) = Key::decode(key)? else { return Ok(false) };
            if kept.len() >= REPLAYED_PER_TICK || bytes >= REPLAYED_BYTES_PER_TICK {
                next = first;
                return Ok(false);
            }
            bytes += value.len();
            let page = Page::open(Bytes::copy_from_slice(value))?;
            let numbers = (first..to.min(first + page.len() as u64)).filter(|number| *number >= from);
            kept.extend(numbers.filter_map(|sequence| {
                let index = (sequence - first) as u32;
                let reference = Reference { page: TopicPage { topic, first }, index };
                Some(Kept { sequence, reference, record: page.record(index as usize)? })
            }));
            Ok(true)
        })?;
        Ok((kept, next))
    }

    /// Where the page of a topic begins that has a number in it, or the number itself.
    fn page_with(&self, cx: &Context<'_>, topic: u64, number: u64) -> Result<u64, Damage> {
        if self.rows(cx).get(&Key::References(self.id, TopicPage { topic, first: number }))?.is_some() {
            return Ok(number);
        }
        let mut first = number;
        let least = (number + 1).saturating_sub(PAGE_MESSAGES as u64);
        self.each_references(cx, topic, least, number, &mut |page, _| {
            first = page.first;
            Ok(true)
        })?;
        Ok(first)
    }

    /// Lets replays go on that have waited for what has changed in their subscriptions.
    pub(crate) fn wake_replay(&mut self, subscription: u64) {
        if let Some(replay) = self.replays.get_mut(&subscription) {
            replay.waits = false;
        }
    }

    /// When there is something to replay.
    pub(crate) fn next_replay_ms(&self, now: Now) -> Option<u64> {
        self.replays.values().any(|replay| !replay.waits).then_some(now.mono_ms)
    }

    /// How many of the topic's numbers are still to be looked at for a subscription.
    pub(crate) fn replaying(&self, subscription: u64) -> u64 {
        self.replays.get(&subscription).map_or(0, |replay| replay.row.to - replay.row.next)
    }

    /// In recovery: replays go on where they were.
    pub(crate) fn load_replays(&mut self, rows: &dyn Rows) -> Result<(), Damage> {
        each_row(rows, &KeyRange::replays(self.id), |key, value| {
            if let Key::Replay(_, subscription) = key {
                if self.catalog.get(subscription).is_none_or(|it| it.row.kind != EntityKind::Subscription) {
                    return Err(Damage::new("a replay has no subscription"));
                }
                let row = read_row("a replay", value, ReplayRow::read)?;
                let replay =
                    Replay::new(row).map_err(|refusal| Damage::new(format!("a replay: {refusal}")))?;
                self.replays.insert(subscription, replay);
            }
            Ok(())
        })
    }
}

/// Where the options of a new subscription say that a replay is to begin.
fn start_of(options: &options::Options) -> Option<Start> {
    let sequence = options.number(options::REPLAY_FROM_SEQUENCE, u64::MAX);
    let ms = options.number(options::REPLAY_FROM_MS, u64::MAX);
    match (sequence, ms) {
        (u64::MAX, u64::MAX) => None,
        (u64::MAX, ms) => Some(Start::Time(ms)),
        (sequence, _) => Some(Start::Sequence(sequence)),
    }
}
