//! Connections that ask for anything in any order, against shards that step down and a clock that jumps. `fuzz/` looks
//! for a course that the broker does not survive: a panic, damage, state that does not add up or differs from a
//! replica's, a second answer, an answer that no client could read.

use super::support::world::{Homes, World};
use super::translate::{Asked, Links, Peer};
use bytes::{Bytes, BytesMut};
use postrider_core::command::{Command, Ticket};
use postrider_core::effect::Effect;
use postrider_core::shard::Turn;
use postrider_protocol::frame::{Frame, FrameDecoder};
use postrider_protocol::limits;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Operation, Request, SettleItem, Stamp};
use postrider_protocol::token::LockToken;
use std::collections::BTreeSet;

const SHARDS: u16 = 2;
/// The first two belong to one client.
const CONNECTIONS: usize = 3;
/// Turns in which what is on its way arrives.
const SETTLING: usize = 4;
/// A longer course says nothing more.
const STEPS: usize = 64;

/// What a step is, where it is no request.
mod step {
    pub const TIME_PASSES: u8 = 0x80;
    pub const STEP_DOWN: u8 = 0x81;
    pub const CONNECTION_ENDS: u8 = 0x82;
    pub const FAREWELL: u8 = 0x83;
}

/// Sent under the stamp in its frame, as a retry is; else under the next one.
const RETRY: u8 = 0x40;

/// Steps: `u8 opcode | u8 what else | u16 length | fields of the request`.
pub fn session(mut input: &[u8]) {
    let mut course = Course::new();
    for _ in 0..STEPS {
        let [opcode, more, high, low, rest @ ..] = input else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        course.step(*opcode, *more, &rest[..length]);
        input = &rest[length..];
    }
    course.end();
}

struct Course {
    world: World,
    links: [Links; CONNECTIONS],
    answered: BTreeSet<Ticket>,
    tokens: Vec<LockToken>,
    number: u32,
}

impl Course {
    fn new() -> Self {
        let mut world = World::new(SHARDS);
        world.keep_journal(64 * 1024);
        let (links, answered, tokens) = (Default::default(), BTreeSet::new(), Vec::new());
        Course { world, links, answered, tokens, number: 0 }
    }

    fn step(&mut self, opcode: u8, more: u8, fields: &[u8]) {
        let at = usize::from(more & 3) % CONNECTIONS;
        match opcode {
            step::TIME_PASSES => {
                let ms = fields.iter().take(4).fold(0, |ms, byte| ms << 8 | u64::from(*byte));
                self.world.advance(ms);
                self.everywhere(None);
            }
            step::STEP_DOWN => {
                let shard = u16::from(more) % SHARDS;
                self.world.reload(shard);
                self.links.iter_mut().for_each(|links| links.left(shard));
            }
            step::CONNECTION_ENDS => {
                self.links[at] = Links::default();
                self.everywhere(Some(Command::Disconnected { connection: at as u64 }));
            }
            step::FAREWELL => self.everywhere(Some(Command::Farewell { client: client(at) })),
            _ => self.request(at, opcode, more, fields),
        }
        self.arrive();
    }

    fn everywhere(&mut self, command: Option<Command>) {
        for shard in 0..SHARDS {
            self.turn(shard, command.iter().cloned().collect());
        }
    }

    /// What is on its way from the store and between the shards arrives.
    fn arrive(&mut self) {
        for _ in 0..SETTLING {
            let Some(shard) = self.world.has_read_any() else { break };
            self.turn(shard, Vec::new());
        }
    }

    fn request(&mut self, at: usize, opcode: u8, more: u8, fields: &[u8]) {
        self.number += 1;
        let flags = more >> 2 & 1;
        let frame = Frame { opcode, flags, request: self.number, payload: Bytes::copy_from_slice(fields) };
        // A connection ends with what cannot be read, and nothing has happened.
        let Ok(mut request) = Request::decode(&frame) else { return };
        self.make_meaningful(&mut request, more & RETRY == 0);
        let ticket = Ticket { connection: at as u64, request: self.number };
        let links = &mut self.links[at];
        let mut peer = Peer { ticket, client: client(at), links, homes: Homes(SHARDS) };
        match peer.translate(request) {
            Ok(Asked::Command(shard, command)) => self.turn(shard, vec![command]),
            Ok(question) => self.ask(&question),
            Err(refusal) => readable(&Reply::Refused(refusal)),
        }
    }

    /// Nobody guesses a salt, and hardly anybody a stamp: a token without a salt stands for one that was delivered, and
    /// a stamp for the next one.
    fn make_meaningful(&self, request: &mut Request, new: bool) {
        match request {
            Request::Settle { items, .. } => items.iter_mut().for_each(|item| self.give_token(item)),
            Request::Transact { operations, .. } => {
                for operation in operations {
                    if let Operation::Settle(item) = operation {
                        self.give_token(item);
                    }
                }
            }
            _ => {}
        }
        if let Some(stamp) = stamp_of(request).filter(|_| new) {
            *stamp = Stamp { sequence: u64::from(self.number), floor: 1 };
        }
    }

    fn give_token(&self, item: &mut SettleItem) {
        let wanted = item.token.lease as usize;
        if item.token.salt == 0 && !self.tokens.is_empty() {
            let place = item.token.place;
            item.token = LockToken { place, ..self.tokens[wanted % self.tokens.len()] };
        }
    }

    fn ask(&self, asked: &Asked) {
        for shard in &self.world.shards {
            match asked {
                Asked::Question(address, question) => {
                    readable(&shard.answer(&self.world.rows, address, question).unwrap());
                }
                Asked::List(listing) => {
                    let infos = shard.list(listing.kind, &listing.prefix, &listing.after, 100);
                    readable(&Reply::Entities { entities: infos, more: false });
                }
                Asked::Trace(query) => {
                    let trace = shard.trace(&self.world.rows, query).unwrap();
                    readable(&Reply::Traced { steps: trace.steps, next: None });
                }
                Asked::Command(..) | Asked::Nothing => {}
            }
        }
    }

    fn turn(&mut self, shard: u16, commands: Vec<Command>) {
        let Turn { effects, .. } = self.world.turn(shard, commands);
        for effect in effects {
            match effect {
                Effect::Reply(ticket, reply) => {
                    assert!(self.answered.insert(ticket), "{ticket:?} was answered before {reply:?}");
                    readable(&reply);
                }
                Effect::Deliver(deliver) if deliver.token.lease != 0 => self.tokens.push(deliver.token),
                Effect::Closed(receiver, refusal) => {
                    self.links[receiver.connection as usize].close_receiver(receiver.handle);
                    readable(&Reply::ReceiverClosed { handle: receiver.handle, refusal });
                }
                Effect::Deliver(_) | Effect::Load(_) | Effect::Send { .. } | Effect::Receipt { .. } => {}
            }
        }
    }

    /// The replica has the same rows, and they are loaded as a sound store is.
    fn end(&mut self) {
        self.world.finish();
        for shard in 0..SHARDS {
            self.world.reload(shard);
            self.turn(shard, Vec::new());
        }
    }
}

fn client(connection: usize) -> u128 {
    [7, 7, 8][connection]
}

fn stamp_of(request: &mut Request) -> Option<&mut Stamp> {
    match request {
        Request::Publish { stamp, .. }
        | Request::Scheduled { stamp, .. }
        | Request::PutSchedule { stamp, .. }
        | Request::DeleteSchedule { stamp, .. }
        | Request::Settle { stamp, .. }
        | Request::Transact { stamp, .. }
        | Request::SetSessionState { stamp, .. }
        | Request::ReceiveDeferred { stamp, .. }
        | Request::Create { stamp, .. }
        | Request::Update { stamp, .. }
        | Request::Delete { stamp, .. }
        | Request::PutRule { stamp, .. }
        | Request::DeleteRule { stamp, .. }
        | Request::PromoteRule { stamp, .. }
        | Request::Replay { stamp, .. }
        | Request::Purge { stamp, .. }
        | Request::Redrive { stamp, .. } => Some(stamp),
        _ => None,
    }
}

/// A client can read it.
fn readable(reply: &Reply) {
    let mut out = BytesMut::new();
    let unasked = matches!(reply, Reply::ReceiverClosed { .. });
    reply.put(u32::from(!unasked), &mut out);
    let frame = FrameDecoder::new(limits::FRAME_BYTES).next(&mut out).unwrap().unwrap();
    Reply::decode(&frame).unwrap_or_else(|malformed| panic!("{reply:?}: {malformed}"));
}
