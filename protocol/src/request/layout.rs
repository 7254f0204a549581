//! How requests are laid out in bytes.

use super::settle::read_settle_items;
use super::{
    Flow, Hello, Listing, OpenReceiver, Operation, Request, ScheduledAction, Selection, Stamp, Start, States,
    opcode,
};
use crate::explain::After;
use crate::frame::{Frame, put_frame};
use crate::limits;
use crate::options::{EntityKind, Options};
use crate::rule::Rule;
use crate::schedule::Schedule;
use crate::selection::{put_sequences, read_sequences};
use crate::trace::TraceCursor;
use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};

/// The magic in front of a hello: what does not start with it is not our protocol.
const MAGIC: u32 = 0x504f_5354; // "POST"

/// Flag of a publish: all or nothing.
const ATOMIC: u8 = 1;

impl Stamp {
    fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.sequence);
        out.put_u64(self.floor);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let stamp = Stamp { sequence: reader.u64("stamp.sequence")?, floor: reader.u64("stamp.floor")? };
        if stamp.sequence == 0 || stamp.floor > stamp.sequence {
            let Stamp { sequence, floor } = stamp;
            let problem = format!(
                "is sequence {sequence}, floor {floor}; the sequence is at least 1 and not below the floor"
            );
            return Err(Malformed::new("stamp", problem));
        }
        Ok(stamp)
    }
}

impl Start {
    fn put(self, out: &mut BytesMut) {
        let (kind, number) = match self {
            Start::Sequence(sequence) => (0, sequence),
            Start::Time(ms) => (1, ms),
        };
        out.put_u8(kind);
        out.put_u64(number);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        match (reader.u8("start")?, reader.u64("start")?) {
            (0, sequence) => Ok(Start::Sequence(sequence)),
            (1, ms) => Ok(Start::Time(ms)),
            (kind, _) => Err(Malformed::new("start", format!("found {kind}, starts are 0 sequence, 1 time"))),
        }
    }
}

impl Request {
    /// The request's opcode.
    pub fn opcode(&self) -> u8 {
        match self {
            Request::Hello(_) => opcode::HELLO,
            Request::Ping => opcode::PING,
            Request::Goodbye => opcode::GOODBYE,
            Request::OpenSender { .. } => opcode::OPEN_SENDER,
            Request::CloseSender { .. } => opcode::CLOSE_SENDER,
            Request::Publish { .. } => opcode::PUBLISH,
            Request::Scheduled { .. } => opcode::SCHEDULED,
            Request::PutSchedule { .. } => opcode::PUT_SCHEDULE,
            Request::DeleteSchedule { .. } => opcode::DELETE_SCHEDULE,
            Request::ListSchedules { .. } => opcode::LIST_SCHEDULES,
            Request::OpenReceiver(_) => opcode::OPEN_RECEIVER,
            Request::Flow(_) => opcode::FLOW,
            Request::Settle { .. } => opcode::SETTLE,
            Request::CloseReceiver { .. } => opcode::CLOSE_RECEIVER,
            Request::RenewSession { .. } => opcode::RENEW_SESSION,
            Request::GetSessionState { .. } => opcode::GET_SESSION_STATE,
            Request::SetSessionState { .. } => opcode::SET_SESSION_STATE,
            Request::ReceiveDeferred { .. } => opcode::RECEIVE_DEFERRED,
            Request::Transact { .. } => opcode::TRANSACT,
            Request::Create { .. } => opcode::CREATE,
            Request::Update { .. } => opcode::UPDATE,
            Request::Delete { .. } => opcode::DELETE,
            Request::Get { .. } => opcode::GET,
            Request::List(_) => opcode::LIST,
            Request::PutRule { .. } => opcode::PUT_RULE,
            Request::DeleteRule { .. } => opcode::DELETE_RULE,
            Request::PromoteRule { .. } => opcode::PROMOTE_RULE,
            Request::Replay { .. } => opcode::REPLAY,
            Request::ListRules { .. } => opcode::LIST_RULES,
            Request::Explain { .. } => opcode::EXPLAIN,
            Request::Peek { .. } => opcode::PEEK,
            Request::Purge { .. } => opcode::PURGE,
            Request::Redrive { .. } => opcode::REDRIVE,
            Request::Causes { .. } => opcode::CAUSES,
            Request::ListSessions { .. } => opcode::LIST_SESSIONS,
            Request::Consumers { .. } => opcode::CONSUMERS,
            Request::Trace { .. } => opcode::TRACE,
            Request::Status => opcode::STATUS,
            Request::Backup { .. } => opcode::BACKUP,
            Request::ListBackups => opcode::LIST_BACKUPS,
        }
    }

    /// Writes the request as one frame.
    pub fn put(&self, request: u32, out: &mut BytesMut) {
        let atomic = matches!(self, Request::Publish { atomic: true, .. });
        let flags = if atomic { ATOMIC } else { 0 };
        put_frame(out, self.opcode(), flags, request, |out| self.put_fields(out));
    }

    fn put_fields(&self, out: &mut BytesMut) {
        match self {
            Request::Hello(hello) => hello.put(out),
            Request::Ping | Request::Goodbye | Request::Status | Request::ListBackups => {}
            Request::Backup { keep } => out.put_u32(*keep),
            Request::CloseSender { handle }
            | Request::CloseReceiver { handle }
            | Request::RenewSession { handle }
            | Request::GetSessionState { handle } => out.put_u32(*handle),
            Request::OpenSender { handle, address } => {
                out.put_u32(*handle);
                wire::put_text(out, address);
            }
            Request::Publish { handle, stamp, messages, .. } => {
                out.put_u32(*handle);
                stamp.put(out);
                wire::put_list(out, messages, |out, message| wire::put_blob(out, message));
            }
            Request::OpenReceiver(open) => open.put(out),
            Request::Flow(flow) => flow.put(out),
            Request::Settle { stamp, items } => {
                stamp.put(out);
                wire::put_list(out, items, |out, item| item.put(out));
            }
            Request::Transact { stamp, operations } => {
                stamp.put(out);
                wire::put_list(out, operations, |out, operation| operation.put(out));
            }
            Request::SetSessionState { stamp, handle, state } => {
                stamp.put(out);
                out.put_u32(*handle);
                wire::put_optional_blob(out, state.as_ref());
            }
            Request::ReceiveDeferred { handle, stamp, sequences } => {
                out.put_u32(*handle);
                stamp.put(out);
                put_sequences(out, sequences);
            }
            Request::Scheduled { stamp, address, action, sequences } => {
                stamp.put(out);
                wire::put_text(out, address);
                action.put(out);
                put_sequences(out, sequences);
            }
            Request::PutSchedule { stamp, address, schedule } => {
                stamp.put(out);
                wire::put_text(out, address);
                schedule.put(out);
            }
            Request::DeleteSchedule { stamp, address, schedule } => {
                stamp.put(out);
                wire::put_text(out, address);
                wire::put_text(out, schedule);
            }
            _ => self.put_entity_fields(out),
        }
    }

    fn put_entity_fields(&self, out: &mut BytesMut) {
        match self {
            Request::Create { stamp, name, kind, options, rules } => {
                stamp.put(out);
                wire::put_text(out, name);
                out.put_u8(kind.code());
                options.put(out);
                wire::put_list(out, rules, |out, rule| rule.put(out));
            }
            Request::Update { stamp, name, options } => {
                stamp.put(out);
                wire::put_text(out, name);
                options.put(out);
            }
            Request::Delete { stamp, name } => {
                stamp.put(out);
                wire::put_text(out, name);
            }
            Request::Get { name } => wire::put_text(out, name),
            Request::PutRule { stamp, subscription, replace, rule } => {
                stamp.put(out);
                wire::put_text(out, subscription);
                out.put_u8(u8::from(*replace));
                rule.put(out);
            }
            Request::DeleteRule { stamp, subscription, rule }
            | Request::PromoteRule { stamp, subscription, rule } => {
                stamp.put(out);
                wire::put_text(out, subscription);
                wire::put_text(out, rule);
            }
            Request::Replay { stamp, subscription, start, filter } => {
                stamp.put(out);
                wire::put_text(out, subscription);
                start.put(out);
                wire::put_text(out, filter);
            }
            Request::List(listing) => listing.put(out),
            Request::Explain { topic, message, after, limit } => {
                wire::put_text(out, topic);
                after.put(out);
                out.put_u32(*limit);
                wire::put_blob(out, message);
            }
            _ => self.put_content_fields(out),
        }
    }

    fn put_content_fields(&self, out: &mut BytesMut) {
        match self {
            Request::Peek { address, from, limit, states, filter } => {
                put_page(out, address, *from, *limit);
                states.put(out);
                wire::put_text(out, filter);
            }
            Request::Purge { stamp, address, selection, from, to, limit } => {
                stamp.put(out);
                put_bulk(out, address, selection, (*from, *to), *limit);
            }
            Request::Redrive { stamp, address, selection, from, to, limit, dry_run } => {
                stamp.put(out);
                put_bulk(out, address, selection, (*from, *to), *limit);
                out.put_u8(u8::from(*dry_run));
            }
            Request::Causes { address, from, limit } => put_page(out, address, *from, *limit),
            Request::ListSessions { address, after, limit }
            | Request::ListSchedules { address, after, limit }
            | Request::ListRules { subscription: address, after, limit } => {
                wire::put_text(out, address);
                wire::put_text(out, after);
                out.put_u32(*limit);
            }
            Request::Consumers { address } => wire::put_text(out, address),
            Request::Trace { message_id, entity, from, limit } => {
                wire::put_text(out, message_id);
                wire::put_text(out, entity);
                from.put(out);
                out.put_u32(*limit);
            }
            _ => {}
        }
    }

    /// Reads the request in `frame`. What is malformed is fatal to the connection.
    pub fn decode(frame: &Frame) -> Read<Self> {
        let known_flags = if frame.opcode == opcode::PUBLISH { ATOMIC } else { 0 };
        if frame.flags & !known_flags != 0 {
            return Err(Malformed::new("frame.flags", format!("has unknown bits {:#x}", frame.flags)));
        }
        if frame.request == 0 {
            return Err(Malformed::new("frame.request", "is 0, a client's request has a number from 1"));
        }
        let mut reader = frame.reader();
        let request = Self::read_fields(frame, &mut reader)?;
        reader.finish()?;
        Ok(request)
    }

    fn read_fields(frame: &Frame, reader: &mut Reader) -> Read<Self> {
        Ok(match frame.opcode {
            opcode::HELLO => Request::Hello(Hello::read(reader)?),
            opcode::PING => Request::Ping,
            opcode::GOODBYE => Request::Goodbye,
            opcode::STATUS => Request::Status,
            opcode::BACKUP => Request::Backup { keep: reader.u32("keep")? },
            opcode::LIST_BACKUPS => Request::ListBackups,
            opcode::OPEN_SENDER => {
                Request::OpenSender { handle: reader.u32("handle")?, address: reader.text("address")? }
            }
            opcode::CLOSE_SENDER => Request::CloseSender { handle: reader.u32("handle")? },
            opcode::PUBLISH => Request::Publish {
                handle: reader.u32("handle")?,
                stamp: Stamp::read(reader)?,
                atomic: frame.flags & ATOMIC != 0,
                messages: reader
                    .list("messages", 4, limits::BATCH_MESSAGES, |reader| reader.blob("message"))?,
            },
            opcode::OPEN_RECEIVER => Request::OpenReceiver(OpenReceiver::read(reader)?),
            opcode::FLOW => Request::Flow(Flow::read(reader)?),
            opcode::SETTLE => {
                Request::Settle { stamp: Stamp::read(reader)?, items: read_settle_items(reader)? }
            }
            opcode::TRANSACT => Request::Transact {
                stamp: Stamp::read(reader)?,
                operations: reader.list("operations", 7, limits::OPERATIONS, Operation::read)?,
            },
            opcode::CLOSE_RECEIVER => Request::CloseReceiver { handle: reader.u32("handle")? },
            opcode::RENEW_SESSION => Request::RenewSession { handle: reader.u32("handle")? },
            opcode::GET_SESSION_STATE => Request::GetSessionState { handle: reader.u32("handle")? },
            opcode::SET_SESSION_STATE => Request::SetSessionState {
                stamp: Stamp::read(reader)?,
                handle: reader.u32("handle")?,
                state: reader.optional_blob("state")?,
            },
            opcode::RECEIVE_DEFERRED => Request::ReceiveDeferred {
                handle: reader.u32("handle")?,
                stamp: Stamp::read(reader)?,
                sequences: read_sequences(reader)?,
            },
            opcode::SCHEDULED => Request::Scheduled {
                stamp: Stamp::read(reader)?,
                address: reader.text("address")?,
                action: ScheduledAction::read(reader)?,
                sequences: read_sequences(reader)?,
            },
            opcode::PUT_SCHEDULE => Request::PutSchedule {
                stamp: Stamp::read(reader)?,
                address: reader.text("address")?,
                schedule: Schedule::read(reader)?,
            },
            opcode::DELETE_SCHEDULE => Request::DeleteSchedule {
                stamp: Stamp::read(reader)?,
                address: reader.text("address")?,
                schedule: reader.text("schedule")?,
            },
            opcode::LIST_SCHEDULES => Request::ListSchedules {
                address: reader.text("address")?,
                after: reader.text("after")?,
                limit: reader.u32("limit")?,
            },
            _ => return Self::read_entity_fields(frame.opcode, reader),
        })
    }

    fn read_entity_fields(code: u8, reader: &mut Reader) -> Read<Self> {
        Ok(match code {
            opcode::CREATE => Request::Create {
                stamp: Stamp::read(reader)?,
                name: reader.text("name")?,
                kind: EntityKind::read(reader)?,
                options: Options::read(reader)?,
                rules: reader.list("rules", Rule::LEAST_BYTES, limits::RULES_PER_TOPIC, Rule::read)?,
            },
            opcode::UPDATE => Request::Update {
                stamp: Stamp::read(reader)?,
                name: reader.text("name")?,
                options: Options::read(reader)?,
            },
            opcode::DELETE => Request::Delete { stamp: Stamp::read(reader)?, name: reader.text("name")? },
            opcode::GET => Request::Get { name: reader.text("name")? },
            opcode::LIST => Request::List(Listing::read(reader)?),
            opcode::PUT_RULE => Request::PutRule {
                stamp: Stamp::read(reader)?,
                subscription: reader.text("subscription")?,
                replace: reader.bool("replace")?,
                rule: Rule::read(reader)?,
            },
            opcode::DELETE_RULE => Request::DeleteRule {
                stamp: Stamp::read(reader)?,
                subscription: reader.text("subscription")?,
                rule: reader.text("rule")?,
            },
            opcode::PROMOTE_RULE => Request::PromoteRule {
                stamp: Stamp::read(reader)?,
                subscription: reader.text("subscription")?,
                rule: reader.text("rule")?,
            },
            opcode::REPLAY => Request::Replay {
                stamp: Stamp::read(reader)?,
                subscription: reader.text("subscription")?,
                start: Start::read(reader)?,
                filter: reader.text("filter")?,
            },
            opcode::LIST_RULES => Request::ListRules {
                subscription: reader.text("subscription")?,
                after: reader.text("after")?,
                limit: reader.u32("limit")?,
            },
            opcode::EXPLAIN => Request::Explain {
                topic: reader.text("topic")?,
                after: After::read(reader)?,
                limit: reader.u32("limit")?,
                message: reader.blob("message")?,
            },
            _ => return Self::read_content_fields(code, reader),
        })
    }

    fn read_content_fields(code: u8, reader: &mut Reader) -> Read<Self> {
        Ok(match code {
            opcode::PEEK => Request::Peek {
                address: reader.text("address")?,
                from: reader.u64("from")?,
                limit: reader.u32("limit")?,
                states: States::read(reader)?,
                filter: reader.text("filter")?,
            },
            opcode::PURGE => Request::Purge {
                stamp: Stamp::read(reader)?,
                address: reader.text("address")?,
                selection: Selection::read(reader)?,
                from: reader.u64("from")?,
                to: reader.u64("to")?,
                limit: reader.u32("limit")?,
            },
            opcode::REDRIVE => Request::Redrive {
                stamp: Stamp::read(reader)?,
                address: reader.text("address")?,
                selection: Selection::read(reader)?,
                from: reader.u64("from")?,
                to: reader.u64("to")?,
                limit: reader.u32("limit")?,
                dry_run: reader.bool("dry_run")?,
            },
            opcode::CAUSES => Request::Causes {
                address: reader.text("address")?,
                from: reader.u64("from")?,
                limit: reader.u32("limit")?,
            },
            opcode::LIST_SESSIONS => Request::ListSessions {
                address: reader.text("address")?,
                after: reader.text("after")?,
                limit: reader.u32("limit")?,
            },
            opcode::CONSUMERS => Request::Consumers { address: reader.text("address")? },
            opcode::TRACE => Request::Trace {
                message_id: reader.text("message_id")?,
                entity: reader.text("entity")?,
                from: TraceCursor::read(reader)?,
                limit: reader.u32("limit")?,
            },
            other => return Err(Malformed::new("frame.opcode", format!("{other:#04x} is not a request"))),
        })
    }
}

/// Writes where a page starts and how long it may be.
fn put_page(out: &mut BytesMut, address: &str, from: u64, limit: u32) {
    wire::put_text(out, address);
    out.put_u64(from);
    out.put_u32(limit);
}

/// Writes what a bulk request is about; `range` is its first number and the one to stop before.
fn put_bulk(out: &mut BytesMut, address: &str, selection: &Selection, range: (u64, u64), limit: u32) {
    wire::put_text(out, address);
    selection.put(out);
    out.put_u64(range.0);
    out.put_u64(range.1);
    out.put_u32(limit);
}

impl ScheduledAction {
    fn put(self, out: &mut BytesMut) {
        out.put_u8(match self {
            ScheduledAction::Cancel => 0,
            ScheduledAction::DeliverNow => 1,
        });
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        match reader.u8("action")? {
            0 => Ok(ScheduledAction::Cancel),
            1 => Ok(ScheduledAction::DeliverNow),
            other => Err(Malformed::new("action", format!("found {other}, actions are 0 and 1"))),
        }
    }
}

impl Hello {
    fn put(&self, out: &mut BytesMut) {
        out.put_u32(MAGIC);
        out.put_u16(self.versions.0);
        out.put_u16(self.versions.1);
        out.put_u64(self.features);
        out.put_u128(self.client);
        wire::put_text(out, &self.name);
        wire::put_text(out, &self.token);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let magic = reader.u32("hello.magic")?;
        if magic != MAGIC {
            return Err(Malformed::new("hello.magic", format!("is {magic:#010x}, not {MAGIC:#010x}")));
        }
        Ok(Hello {
            versions: (reader.u16("hello.versions")?, reader.u16("hello.versions")?),
            features: reader.u64("hello.features")?,
            client: reader.u128("hello.client")?,
            name: reader.text("hello.name")?,
            token: reader.text("hello.token")?,
        })
    }
}

impl Listing {
    const ANY_KIND: u8 = 255;

    fn put(&self, out: &mut BytesMut) {
        out.put_u8(self.kind.map_or(Self::ANY_KIND, EntityKind::code));
        wire::put_text(out, &self.prefix);
        wire::put_text(out, &self.after);
        out.put_u32(self.limit);
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let kind = match reader.clone().u8("kind")? {
            Self::ANY_KIND => reader.u8("kind").map(|_| None)?,
            _ => Some(EntityKind::read(reader)?),
        };
        Ok(Listing {
            kind,
            prefix: reader.text("prefix")?,
            after: reader.text("after")?,
            limit: reader.u32("limit")?,
        })
    }
}
