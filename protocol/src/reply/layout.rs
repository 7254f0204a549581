//! How replies are laid out in bytes.

use super::{
    BackupInfo, CauseInfo, ConsumersInfo, Delivery, Peeked, Published, Reply, Runs, SessionInfo, Settled,
    StatusInfo, Welcome, opcode,
};
use crate::entity::EntityInfo;
use crate::error::Refusal;
use crate::explain::Explained;
use crate::frame::{Frame, put_frame};
use crate::limits;
use crate::rule::RuleInfo;
use crate::schedule::ScheduleInfo;
use crate::trace::{Step, TraceCursor};
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};

/// Entries of a page.
const PAGE: usize = limits::LISTING_ENTRIES as usize;

impl Reply {
    /// The reply's opcode.
    pub fn opcode(&self) -> u8 {
        match self {
            Reply::Welcome(_) => opcode::WELCOME,
            Reply::Pong => opcode::PONG,
            Reply::Goodbye(_) => opcode::GOODBYE,
            Reply::Done => opcode::DONE,
            Reply::Refused(_) => opcode::REFUSED,
            Reply::Opened { .. } => opcode::OPENED,
            Reply::Published(_) => opcode::PUBLISHED,
            Reply::Settled(_) => opcode::SETTLED,
            Reply::Drained { .. } => opcode::DRAINED,
            Reply::Delivery(_) => opcode::DELIVERY,
            Reply::ReceiverClosed { .. } => opcode::RECEIVER_CLOSED,
            Reply::SessionRenewed { .. } => opcode::SESSION_RENEWED,
            Reply::SessionState { .. } => opcode::SESSION_STATE,
            Reply::Entity(_) => opcode::ENTITY,
            Reply::Entities { .. } => opcode::ENTITIES,
            Reply::Peeked { .. } => opcode::PEEKED,
            Reply::Worked { .. } => opcode::WORKED,
            Reply::Causes { .. } => opcode::CAUSES,
            Reply::Sessions { .. } => opcode::SESSIONS,
            Reply::Schedules { .. } => opcode::SCHEDULES,
            Reply::Rules { .. } => opcode::RULES,
            Reply::Explained(_) => opcode::EXPLAINED,
            Reply::Replaying { .. } => opcode::REPLAYING,
            Reply::Consumers(_) => opcode::CONSUMERS,
            Reply::Traced { .. } => opcode::TRACED,
            Reply::Status(_) => opcode::STATUS,
            Reply::BackedUp { .. } => opcode::BACKED_UP,
            Reply::Backups(_) => opcode::BACKUPS,
        }
    }

    /// Writes the reply as one frame.
    pub fn put(&self, request: u32, out: &mut BytesMut) {
        put_frame(out, self.opcode(), 0, request, |out| self.put_fields(out));
    }

    /// Writes the reply's fields without a frame around them: how outcomes are recorded.
    pub fn put_fields(&self, out: &mut BytesMut) {
        match self {
            Reply::Welcome(welcome) => welcome.put(out),
            Reply::Pong | Reply::Done => {}
            Reply::Goodbye(refusal) | Reply::Refused(refusal) => refusal.put(out),
            Reply::Opened { max_message_bytes, lock_duration_ms, session_id, locked_until_ms } => {
                out.put_u64(*max_message_bytes);
                out.put_u64(*lock_duration_ms);
                wire::put_text(out, session_id);
                out.put_u64(*locked_until_ms);
            }
            Reply::Published(runs) => put_runs(out, runs, Published::put),
            Reply::Settled(runs) => put_runs(out, runs, Settled::put),
            Reply::Drained { handle, delivered } => {
                out.put_u32(*handle);
                out.put_u64(*delivered);
            }
            Reply::Delivery(delivery) => delivery.put(out),
            Reply::ReceiverClosed { handle, refusal } => {
                out.put_u32(*handle);
                refusal.put(out);
            }
            Reply::SessionRenewed { locked_until_ms } => out.put_u64(*locked_until_ms),
            Reply::SessionState { state, changed_ms } => {
                wire::put_optional_blob(out, state.as_ref());
                out.put_u64(*changed_ms);
            }
            Reply::Status(status) => status.put(out),
            Reply::BackedUp { backup, added_bytes, duration_ms } => {
                backup.put(out);
                out.put_u64(*added_bytes);
                out.put_u64(*duration_ms);
            }
            Reply::Backups(backups) => wire::put_list(out, backups, |out, backup| backup.put(out)),
            _ => self.put_entity_fields(out),
        }
    }

    fn put_entity_fields(&self, out: &mut BytesMut) {
        match self {
            Reply::Entity(info) => info.put(out),
            Reply::Entities { entities, more } => {
                out.put_u8(u8::from(*more));
                wire::put_list(out, entities, |out, info| info.put(out));
            }
            Reply::Peeked { messages, next } => {
                out.put_u64(*next);
                wire::put_list(out, messages, |out, peeked| peeked.put(out));
            }
            Reply::Worked { done, examined, next } => {
                out.put_u64(*done);
                out.put_u64(*examined);
                out.put_u64(*next);
            }
            Reply::Causes { causes, next } => {
                out.put_u64(*next);
                wire::put_list(out, causes, |out, cause| cause.put(out));
            }
            Reply::Sessions { sessions, more } => {
                out.put_u8(u8::from(*more));
                wire::put_list(out, sessions, |out, session| session.put(out));
            }
            Reply::Schedules { schedules, more } => {
                out.put_u8(u8::from(*more));
                wire::put_list(out, schedules, |out, schedule| schedule.put(out));
            }
            Reply::Rules { rules, more } => {
                out.put_u8(u8::from(*more));
                wire::put_list(out, rules, |out, rule| rule.put(out));
            }
            Reply::Explained(explained) => explained.put(out),
            Reply::Replaying { from, to } => {
                out.put_u64(*from);
                out.put_u64(*to);
            }
            Reply::Consumers(info) => info.put(out),
            Reply::Traced { steps, next } => {
                out.put_u8(u8::from(next.is_some()));
                next.unwrap_or_default().put(out);
                wire::put_list(out, steps, |out, step| step.put(out));
            }
            _ => {}
        }
    }

    /// Reads the reply in `frame`.
    pub fn decode(frame: &Frame) -> Read<Self> {
        if frame.flags != 0 {
            return Err(Malformed::new("frame.flags", format!("has unknown bits {:#x}", frame.flags)));
        }
        let mut reader = frame.reader();
        let reply = Self::read_fields(frame.opcode, &mut reader)?;
        reader.finish()?;
        Ok(reply)
    }

    /// Reads the fields of the reply with this opcode.
    pub fn read_fields(code: u8, reader: &mut Reader) -> Read<Self> {
        Ok(match code {
            opcode::WELCOME => Reply::Welcome(Welcome::read(reader)?),
            opcode::PONG => Reply::Pong,
            opcode::GOODBYE => Reply::Goodbye(Refusal::read(reader)?),
            opcode::DONE => Reply::Done,
            opcode::REFUSED => Reply::Refused(Refusal::read(reader)?),
            opcode::OPENED => Reply::Opened {
                max_message_bytes: reader.u64("max_message_bytes")?,
                lock_duration_ms: reader.u64("lock_duration_ms")?,
                session_id: reader.text("session_id")?,
                locked_until_ms: reader.u64("locked_until_ms")?,
            },
            opcode::PUBLISHED => Reply::Published(read_runs(reader, Published::read, Published::at)?),
            opcode::SETTLED => {
                Reply::Settled(read_runs(reader, Settled::read, |settled, _| settled.clone())?)
            }
            opcode::DRAINED => {
                Reply::Drained { handle: reader.u32("handle")?, delivered: reader.u64("delivered")? }
            }
            opcode::DELIVERY => Reply::Delivery(Delivery::read(reader)?),
            opcode::RECEIVER_CLOSED => {
                Reply::ReceiverClosed { handle: reader.u32("handle")?, refusal: Refusal::read(reader)? }
            }
            opcode::SESSION_RENEWED => {
                Reply::SessionRenewed { locked_until_ms: reader.u64("locked_until_ms")? }
            }
            opcode::SESSION_STATE => Reply::SessionState {
                state: reader.optional_blob("state")?,
                changed_ms: reader.u64("changed_ms")?,
            },
            opcode::STATUS => Reply::Status(StatusInfo::read(reader)?),
            opcode::BACKED_UP => Reply::BackedUp {
                backup: BackupInfo::read(reader)?,
                added_bytes: reader.u64("added_bytes")?,
                duration_ms: reader.u64("duration_ms")?,
            },
            opcode::BACKUPS => {
                Reply::Backups(reader.list("backups", BackupInfo::LEAST_BYTES, PAGE, BackupInfo::read)?)
            }
            _ => return Self::read_entity_fields(code, reader),
        })
    }

    fn read_entity_fields(code: u8, reader: &mut Reader) -> Read<Self> {
        Ok(match code {
            opcode::ENTITY => Reply::Entity(Box::new(EntityInfo::read(reader)?)),
            opcode::ENTITIES => Reply::Entities {
                more: reader.bool("more")?,
                entities: reader.list("entities", 23, PAGE, EntityInfo::read)?,
            },
            opcode::RULES => Reply::Rules {
                more: reader.bool("more")?,
                rules: reader.list("rules", RuleInfo::LEAST_BYTES, PAGE, RuleInfo::read)?,
            },
            opcode::REPLAYING => Reply::Replaying { from: reader.u64("from")?, to: reader.u64("to")? },
            opcode::EXPLAINED => Reply::Explained(Explained::read(reader)?),
            opcode::PEEKED => Reply::Peeked {
                next: reader.u64("next")?,
                messages: reader.list("messages", Peeked::LEAST_BYTES, PAGE, Peeked::read)?,
            },
            opcode::WORKED => Reply::Worked {
                done: reader.u64("done")?,
                examined: reader.u64("examined")?,
                next: reader.u64("next")?,
            },
            opcode::CAUSES => Reply::Causes {
                next: reader.u64("next")?,
                causes: reader.list("causes", CauseInfo::LEAST_BYTES, PAGE, CauseInfo::read)?,
            },
            opcode::SESSIONS => Reply::Sessions {
                more: reader.bool("more")?,
                sessions: reader.list("sessions", SessionInfo::LEAST_BYTES, PAGE, SessionInfo::read)?,
            },
            opcode::SCHEDULES => Reply::Schedules {
                more: reader.bool("more")?,
                schedules: reader.list("schedules", ScheduleInfo::LEAST_BYTES, PAGE, ScheduleInfo::read)?,
            },
            opcode::CONSUMERS => Reply::Consumers(ConsumersInfo::read(reader)?),
            opcode::TRACED => {
                let more = reader.bool("more")?;
                let next = TraceCursor::read(reader)?;
                let steps = reader.list("steps", Step::LEAST_BYTES, PAGE, Step::read)?;
                Reply::Traced { steps, next: more.then_some(next) }
            }
            other => return Err(Malformed::new("frame.opcode", format!("{other:#04x} is not a reply"))),
        })
    }
}

impl Welcome {
    fn put(&self, out: &mut BytesMut) {
        out.put_u16(self.version);
        out.put_u64(self.features);
        out.put_u128(self.cluster);
        out.put_u64(self.node);
        out.put_u32(self.feature_level);
        out.put_u64(self.heartbeat_ms);
        out.put_u32(self.frame_bytes);
        out.put_u32(self.requests_in_flight);
        out.put_u32(self.links);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Welcome {
            version: reader.u16("welcome.version")?,
            features: reader.u64("welcome.features")?,
            cluster: reader.u128("welcome.cluster")?,
            node: reader.u64("welcome.node")?,
            feature_level: reader.u32("welcome.feature_level")?,
            heartbeat_ms: reader.u64("welcome.heartbeat_ms")?,
            frame_bytes: reader.u32("welcome.frame_bytes")?,
            requests_in_flight: reader.u32("welcome.requests_in_flight")?,
            links: reader.u32("welcome.links")?,
        })
    }
}

impl Published {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Published::Accepted(sequence) => {
                out.put_u8(0);
                out.put_u64(*sequence);
            }
            Published::Duplicate(sequence) => {
                out.put_u8(1);
                out.put_u64(*sequence);
            }
            Published::Refused(refusal) => {
                out.put_u8(2);
                refusal.put(out);
            }
            Published::Underway => out.put_u8(3),
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("published")? {
            0 => Published::Accepted(reader.u64("sequence")?),
            1 => Published::Duplicate(reader.u64("sequence")?),
            2 => Published::Refused(Refusal::read(reader)?),
            3 => Published::Underway,
            other => return Err(Malformed::new("published", format!("found {other}, outcomes are 0 to 3"))),
        })
    }

    /// The outcome of the item `places` behind the first of its run.
    pub fn at(&self, places: u32) -> Published {
        match self {
            Published::Accepted(first) => Published::Accepted(first.saturating_add(u64::from(places))),
            other => other.clone(),
        }
    }
}

impl Settled {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Settled::Done => out.put_u8(0),
            Settled::Renewed(until) => {
                out.put_u8(1);
                out.put_u64(*until);
            }
            Settled::Refused(refusal) => {
                out.put_u8(2);
                refusal.put(out);
            }
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(match reader.u8("settled")? {
            0 => Settled::Done,
            1 => Settled::Renewed(reader.u64("locked_until_ms")?),
            2 => Settled::Refused(Refusal::read(reader)?),
            other => return Err(Malformed::new("settled", format!("found {other}, outcomes are 0 to 2"))),
        })
    }
}

/// Writes runs: a list of (u32 items, outcome).
fn put_runs<T>(out: &mut BytesMut, runs: &Runs<T>, put: impl Fn(&T, &mut BytesMut)) {
    wire::put_list(out, runs, |out, (items, outcome)| {
        out.put_u32(*items);
        put(outcome, out);
    });
}

/// Bytes that joined runs take on average at least: a bare `Done` takes 5, and its neighbours 13 or more.
const JOINED_RUN_BYTES: usize = 9;

/// Reads runs, joining neighbours that could have been one. `at` is the outcome so many places behind another.
///
/// An outcome can be twenty times larger in memory than on the wire; joined ones stay within the share of
/// [`limits::MEMORY_PER_BYTE`].
fn read_runs<T: PartialEq>(
    reader: &mut Reader,
    read: impl Fn(&mut Reader) -> Read<T>,
    at: impl Fn(&T, u32) -> T,
) -> Read<Runs<T>> {
    const FIELD: &str = "runs";
    let count = reader.count(FIELD, 5, limits::BATCH_MESSAGES)?;
    let joined = count.min(reader.remaining() / JOINED_RUN_BYTES + 1);
    let (mut runs, mut total): (Runs<T>, u64) = (Vec::with_capacity(joined), 0);
    for _ in 0..count {
        let items = reader.u32("run.items")?;
        total += u64::from(items);
        if items == 0 || total > limits::BATCH_MESSAGES as u64 {
            let most = limits::BATCH_MESSAGES;
            return Err(Malformed::new(
                "run.items",
                format!("is {items}, allowed is 1 to {most} in all runs together"),
            ));
        }
        let outcome = read(reader)?;
        match runs.last_mut() {
            Some((length, first)) if at(first, *length) == outcome => *length += items,
            _ => runs.push((items, outcome)),
        }
    }
    Ok(runs)
}

impl StatusInfo {
    fn put(&self, out: &mut BytesMut) {
        wire::put_text(out, &self.version);
        out.put_u128(self.cluster);
        out.put_u64(self.node);
        let numbers = [
            self.uptime_ms,
            self.connections,
            self.entities,
            self.messages,
            self.bytes,
            self.published,
            self.delivered,
            self.settled,
            self.commits,
            self.breakers_open,
            self.storage_full,
            self.disk_free,
            self.disk_reserve,
        ];
        wire::put_list(out, &numbers, |out, number| out.put_u64(*number));
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let (version, cluster, node) =
            (reader.text("status.version")?, reader.u128("status.cluster")?, reader.u64("status.node")?);
        let numbers = reader.list("status.numbers", 8, 255, |reader| reader.u64("status.number"))?;
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().unwrap_or(0);
        Ok(StatusInfo {
            version,
            cluster,
            node,
            uptime_ms: next(),
            connections: next(),
            entities: next(),
            messages: next(),
            bytes: next(),
            published: next(),
            delivered: next(),
            settled: next(),
            commits: next(),
            breakers_open: next(),
            storage_full: next(),
            disk_free: next(),
            disk_reserve: next(),
        })
    }
}
