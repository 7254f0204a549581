//! How requests are laid out in bytes.

use super::{
    Flow, Hello, Listing, OpenReceiver, ReceiveMode, Request, SettleItem, Settlement, Stamp, opcode,
};
use crate::frame::{Frame, put_frame};
use crate::limits;
use crate::options::{EntityKind, Options};
use crate::rule::Rule;
use crate::token::LockToken;
use crate::value::{put_properties, read_properties};
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
            Request::OpenReceiver(_) => opcode::OPEN_RECEIVER,
            Request::Flow(_) => opcode::FLOW,
            Request::Settle { .. } => opcode::SETTLE,
            Request::CloseReceiver { .. } => opcode::CLOSE_RECEIVER,
            Request::Create { .. } => opcode::CREATE,
            Request::Update { .. } => opcode::UPDATE,
            Request::Delete { .. } => opcode::DELETE,
            Request::Get { .. } => opcode::GET,
            Request::List(_) => opcode::LIST,
            Request::PutRule { .. } => opcode::PUT_RULE,
            Request::DeleteRule { .. } => opcode::DELETE_RULE,
            Request::Peek { .. } => opcode::PEEK,
            Request::Purge { .. } => opcode::PURGE,
            Request::Status => opcode::STATUS,
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
            Request::Ping | Request::Goodbye | Request::Status => {}
            Request::CloseSender { handle } | Request::CloseReceiver { handle } => out.put_u32(*handle),
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
            Request::Flow(flow) => {
                out.put_u32(flow.handle);
                out.put_u64(flow.delivered);
                out.put_u32(flow.credit);
                out.put_u8(u8::from(flow.drain));
            }
            Request::Settle { stamp, items } => {
                stamp.put(out);
                wire::put_list(out, items, |out, item| item.put(out));
            }
            Request::List(listing) => listing.put(out),
            Request::Peek { address, from, limit } => {
                wire::put_text(out, address);
                out.put_u64(*from);
                out.put_u32(*limit);
            }
            Request::Purge { stamp, address } => {
                stamp.put(out);
                wire::put_text(out, address);
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
            Request::DeleteRule { stamp, subscription, rule } => {
                stamp.put(out);
                wire::put_text(out, subscription);
                wire::put_text(out, rule);
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
            opcode::FLOW => Request::Flow(Flow {
                handle: reader.u32("handle")?,
                delivered: reader.u64("delivered")?,
                credit: reader.u32("credit")?,
                drain: reader.bool("drain")?,
            }),
            opcode::SETTLE => {
                Request::Settle { stamp: Stamp::read(reader)?, items: read_settle_items(reader)? }
            }
            opcode::CLOSE_RECEIVER => Request::CloseReceiver { handle: reader.u32("handle")? },
            opcode::PEEK => Request::Peek {
                address: reader.text("address")?,
                from: reader.u64("from")?,
                limit: reader.u32("limit")?,
            },
            opcode::PURGE => Request::Purge { stamp: Stamp::read(reader)?, address: reader.text("address")? },
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
                rules: reader.list("rules", 3, limits::RULES_PER_TOPIC, Rule::read)?,
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
            other => return Err(Malformed::new("frame.opcode", format!("{other:#04x} is not a request"))),
        })
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

impl OpenReceiver {
    fn put(&self, out: &mut BytesMut) {
        out.put_u32(self.handle);
        wire::put_text(out, &self.address);
        out.put_u8(match self.mode {
            ReceiveMode::PeekLock => 0,
            ReceiveMode::ReceiveAndDelete => 1,
        });
        out.put_u64(self.lock_duration_ms);
        out.put_u8(u8::from(self.release_on_disconnect));
        wire::put_list(out, &self.held, |out, lease| out.put_u64(*lease));
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        Ok(OpenReceiver {
            handle: reader.u32("handle")?,
            address: reader.text("address")?,
            mode: match reader.u8("mode")? {
                0 => ReceiveMode::PeekLock,
                1 => ReceiveMode::ReceiveAndDelete,
                other => return Err(Malformed::new("mode", format!("found {other}, modes are 0 and 1"))),
            },
            lock_duration_ms: reader.u64("lock_duration_ms")?,
            release_on_disconnect: reader.bool("release_on_disconnect")?,
            held: reader.list("held", 8, limits::CREDIT as usize, |reader| reader.u64("held"))?,
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

fn read_settle_items(reader: &mut Reader) -> Read<Vec<SettleItem>> {
    let items = reader.list("items", 19, limits::BATCH_MESSAGES, SettleItem::read)?;
    let tokens: usize = items.iter().map(|item| usize::from(item.run)).sum();
    if tokens > limits::BATCH_MESSAGES {
        let most = limits::BATCH_MESSAGES;
        return Err(Malformed::new(
            "items",
            format!("settle {tokens} messages in all, at most {most} are allowed"),
        ));
    }
    Ok(items)
}

impl SettleItem {
    fn put(&self, out: &mut BytesMut) {
        self.token.put(out);
        out.put_u16(self.run);
        match &self.settlement {
            Settlement::Complete => out.put_u8(0),
            Settlement::Abandon { delay_ms, properties } => {
                out.put_u8(1);
                out.put_u64(*delay_ms);
                put_properties(out, properties);
            }
            Settlement::DeadLetter { reason, description, properties } => {
                out.put_u8(2);
                wire::put_text(out, reason);
                wire::put_text(out, description);
                put_properties(out, properties);
            }
            Settlement::Defer { properties } => {
                out.put_u8(3);
                put_properties(out, properties);
            }
            Settlement::Release => out.put_u8(4),
            Settlement::Renew { duration_ms } => {
                out.put_u8(5);
                out.put_u64(*duration_ms);
            }
        }
    }

    fn read(reader: &mut Reader) -> Read<Self> {
        let token = LockToken::read(reader)?;
        let run = reader.u16("run")?;
        if run == 0 {
            return Err(Malformed::new("run", "is 0, a settlement is of at least one message"));
        }
        if u32::from(token.place) + u32::from(run) > u32::from(u16::MAX) + 1 {
            return Err(Malformed::new(
                "run",
                format!("of {run} from place {} goes past the last place", token.place),
            ));
        }
        let settlement = match reader.u8("settlement")? {
            0 => Settlement::Complete,
            1 => Settlement::Abandon {
                delay_ms: reader.u64("delay_ms")?,
                properties: read_properties(reader)?,
            },
            2 => Settlement::DeadLetter {
                reason: reader.text("reason")?,
                description: reader.text("description")?,
                properties: read_properties(reader)?,
            },
            3 => Settlement::Defer { properties: read_properties(reader)? },
            4 => Settlement::Release,
            5 => Settlement::Renew { duration_ms: reader.u64("duration_ms")? },
            other => {
                return Err(Malformed::new("settlement", format!("found {other}, settlements are 0 to 5")));
            }
        };
        Ok(SettleItem { token, run, settlement })
    }
}
