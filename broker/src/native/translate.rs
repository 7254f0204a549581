//! Translates requests into commands: names are checked, handles looked up, tickets made. Decides nothing.

use super::links::Links;
use super::writer::SharedLinks;
use crate::backup::Ask;
use crate::engine::{Placement, Query};
use postrider_core::command::{Change, Command, OpenReceiver, Operation, Owner, Portion, Question, Ticket};
use postrider_core::context::Places;
use postrider_core::verbs::trace::TraceQuery;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::message::Incoming;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{self, Request, SettleItem, Stamp};
use postrider_protocol::trace::TraceCursor;
use std::sync::{Arc, MutexGuard, PoisonError};

/// What a request comes to.
pub enum Answer {
    /// A command for a shard, refused when the house is full.
    Submit(u16, Command),
    /// A command for a shard that must not be refused: it gives something back.
    Tell(u16, Command),
    /// A question.
    Ask(Ticket, Query),
    /// Something about backups, which takes its time.
    Backup(Ask),
    /// An answer that needs nobody else.
    Reply(Reply),
    /// Nothing to do, and nobody waits.
    Nothing,
}

/// What translating needs to know of a connection.
pub struct Translator {
    connection: u64,
    client: u128,
    placement: Arc<Placement>,
    links: SharedLinks,
}

impl Translator {
    pub fn new(connection: u64, client: u128, placement: Arc<Placement>, links: SharedLinks) -> Self {
        Translator { connection, client, placement, links }
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, name: &EntityName) -> u16 {
        self.placement.shard_of(name)
    }

    /// What `request` comes to; refuses what names nothing or breaks a limit.
    pub fn translate(&self, number: u32, request: Request) -> Result<Answer, Refusal> {
        let ticket = Ticket { connection: self.connection, request: number };
        request.check()?;
        match request {
            Request::Hello(_) => {
                Err(Refusal::invalid("hello", "was said before; the connection is authenticated"))
            }
            Request::Ping => Ok(Answer::Reply(Reply::Pong)),
            Request::Goodbye => Ok(Answer::Reply(Reply::Done)),
            Request::OpenSender { handle, address } => self.open_sender(ticket, handle, &address),
            Request::CloseSender { handle } => {
                self.links().close_sender(handle);
                Ok(Answer::Reply(Reply::Done))
            }
            Request::OpenReceiver(open) => self.open_receiver(ticket, open),
            Request::Flow(flow) => match self.links().receiver(flow.handle) {
                Ok(shard) => Ok(Answer::Tell(shard, Command::Flow { ticket, flow })),
                // The broker may have closed the receiver while the grant was on its way.
                Err(_) if !flow.drain => Ok(Answer::Nothing),
                Err(refusal) => Err(refusal),
            },
            Request::CloseReceiver { handle } => {
                let shard = self.links().receiver(handle)?;
                self.links().close_receiver(handle);
                Ok(Answer::Tell(shard, Command::CloseReceiver { ticket, handle }))
            }
            Request::Get { name } => Ok(Answer::Ask(ticket, Query::Get(EntityName::new(&name)?))),
            Request::List(listing) => Ok(Answer::Ask(ticket, Query::List(listing))),
            Request::RenewSession { handle } => {
                let shard = self.links().receiver(handle)?;
                Ok(Answer::Submit(shard, Command::RenewSession { ticket, handle }))
            }
            Request::GetSessionState { handle } => {
                let shard = self.links().receiver(handle)?;
                Ok(Answer::Submit(shard, Command::GetSessionState { ticket, handle }))
            }
            Request::Peek { address, from, limit, states, filter } => {
                question(ticket, &address, Question::Peek { from, limit, states, filter })
            }
            Request::Causes { address, from, limit } => {
                question(ticket, &address, Question::Causes { from, limit })
            }
            Request::ListSessions { address, after, limit } => {
                question(ticket, &address, Question::Sessions { after, limit })
            }
            Request::ListSchedules { address, after, limit } => {
                question(ticket, &address, Question::Schedules { after, limit })
            }
            Request::ListRules { subscription, after, limit } => {
                question(ticket, &subscription, Question::Rules { after, limit })
            }
            Request::Explain { topic, message, after, limit } => {
                let message = Box::new(Incoming::parse(message)?);
                question(ticket, &topic, Question::Explain { message, after, limit })
            }
            Request::Consumers { address } => question(ticket, &address, Question::Consumers),
            Request::Trace { message_id, entity, from, limit } => {
                let query = trace_query(message_id, &entity, from, limit)?;
                Ok(Answer::Ask(ticket, Query::Trace(from.shard, query)))
            }
            Request::Status => Ok(Answer::Ask(ticket, Query::Status)),
            Request::Backup { keep } => Ok(Answer::Backup(Ask::Make(keep))),
            Request::ListBackups => Ok(Answer::Backup(Ask::List)),
            change => self.change(ticket, change),
        }
    }

    fn open_sender(&self, ticket: Ticket, handle: u32, address: &str) -> Result<Answer, Refusal> {
        let Address { entity, lane } = Address::parse(address)?;
        if lane.keeps_failed() {
            return Err(
                Refusal::invalid("address", "keeps what has failed; nobody sends to it").about(address)
            );
        }
        let shard = self.shard(&entity);
        self.links().open_sender(ticket.request, handle, entity.clone())?;
        Ok(Answer::Submit(shard, Command::OpenSender { ticket, entity }))
    }

    fn open_receiver(&self, ticket: Ticket, open: request::OpenReceiver) -> Result<Answer, Refusal> {
        let address = Address::parse(&open.address)?;
        let shard = self.shard(&address.entity);
        self.links().open_receiver(ticket.request, open.handle, shard)?;
        let command = OpenReceiver {
            ticket,
            owner: Owner { client: self.client, handle: open.handle },
            address,
            mode: open.mode,
            lock_duration_ms: open.lock_duration_ms,
            release_on_disconnect: open.release_on_disconnect,
            held: open.held,
            weight: open.weight.max(1),
            session: open.session,
            wait_ms: open.wait_ms,
        };
        Ok(Answer::Submit(shard, Command::OpenReceiver(command)))
    }

    fn change(&self, ticket: Ticket, request: Request) -> Result<Answer, Refusal> {
        let (shard, stamp, change) = match request {
            Request::Publish { handle, stamp, atomic, messages } => {
                let entity = self.links().sender(handle)?;
                let messages = messages.into_iter().map(Incoming::parse).collect();
                (self.shard(&entity), stamp, Change::Publish { entity, atomic, messages })
            }
            Request::ReceiveDeferred { handle, stamp, sequences } => {
                (self.links().receiver(handle)?, stamp, Change::ReceiveDeferred { handle, sequences })
            }
            Request::SetSessionState { stamp, handle, state } => {
                (self.links().receiver(handle)?, stamp, Change::SetSessionState { handle, state })
            }
            Request::Transact { stamp, operations } => {
                let operations = operations.into_iter().map(operation).collect::<Result<Vec<_>, _>>()?;
                (self.transaction_shard(&operations)?, stamp, Change::Transact(operations))
            }
            Request::Settle { stamp, items } => (self.settle_shard(&items)?, stamp, Change::Settle(items)),
            other => self.entity_change(other)?,
        };
        Ok(Answer::Submit(shard, Command::Once { ticket, client: self.client, stamp, change }))
    }

    fn settle_shard(&self, items: &[SettleItem]) -> Result<u16, Refusal> {
        let first =
            items.first().ok_or_else(|| Refusal::invalid("items", "are none; settle at least one"))?;
        let shard = first.token.shard;
        if items.iter().any(|item| item.token.shard != shard) {
            return Err(Refusal::invalid(
                "items",
                "are of several shards; the tokens of one request share their shard",
            ));
        }
        if shard >= self.placement.shards() {
            return Err(Refusal::new(ErrorCode::LockLost, "the token is not one of this broker's"));
        }
        Ok(shard)
    }

    /// The shard of what a transaction settles or removes, or else of the first entity it sends to.
    fn transaction_shard(&self, operations: &[Operation]) -> Result<u16, Refusal> {
        let here = |operation: &Operation| match operation {
            Operation::Settle(item) => Some(item.token.shard),
            Operation::Remove { address, .. } => Some(self.shard(&address.entity)),
            Operation::Send { .. } => None,
        };
        let there = |operation: &Operation| match operation {
            Operation::Send { entity, .. } => Some(self.shard(entity)),
            Operation::Settle(_) | Operation::Remove { .. } => None,
        };
        let mut shards = operations.iter().filter_map(here);
        let first = shards.next();
        if shards.any(|shard| Some(shard) != first) {
            let text =
                "settle or remove messages of entities that are not in one group; create them with one group";
            return Err(Refusal::invalid("operations", text));
        }
        let shard = first.or_else(|| operations.iter().find_map(there)).unwrap_or_default();
        if shard >= self.placement.shards() {
            return Err(Refusal::new(ErrorCode::LockLost, "the token is not one of this broker's"));
        }
        Ok(shard)
    }

    fn entity_change(&self, request: Request) -> Result<(u16, Stamp, Change), Refusal> {
        let named = |name: &str| EntityName::new(name).map(|name| (self.shard(&name), name));
        Ok(match request {
            Request::Create { stamp, name, kind, options, rules } => {
                let name = EntityName::new(&name)?;
                let shard = self.placement.of_new(&name, &options);
                (shard, stamp, Change::Create { name, kind, options, rules })
            }
            Request::Update { stamp, name, options } => {
                let (shard, name) = named(&name)?;
                (shard, stamp, Change::Update { name, options })
            }
            Request::Delete { stamp, name } => {
                let (shard, name) = named(&name)?;
                (shard, stamp, Change::Delete { name })
            }
            Request::PutRule { stamp, subscription, replace, rule } => {
                let (shard, subscription) = named(&subscription)?;
                (shard, stamp, Change::PutRule { subscription, replace, rule })
            }
            Request::DeleteRule { stamp, subscription, rule } => {
                let (shard, subscription) = named(&subscription)?;
                (shard, stamp, Change::DeleteRule { subscription, rule })
            }
            Request::PromoteRule { stamp, subscription, rule } => {
                let (shard, subscription) = named(&subscription)?;
                (shard, stamp, Change::PromoteRule { subscription, rule })
            }
            Request::Replay { stamp, subscription, start, filter } => {
                let (shard, subscription) = named(&subscription)?;
                (shard, stamp, Change::Replay { subscription, start, filter })
            }
            Request::Scheduled { stamp, address, action, sequences } => {
                let (shard, entity) = named(&address)?;
                (shard, stamp, Change::Scheduled { entity, action, sequences })
            }
            Request::PutSchedule { stamp, address, schedule } => {
                let (shard, entity) = named(&address)?;
                (shard, stamp, Change::PutSchedule { entity, schedule })
            }
            Request::DeleteSchedule { stamp, address, schedule } => {
                let (shard, entity) = named(&address)?;
                (shard, stamp, Change::DeleteSchedule { entity, schedule })
            }
            Request::Purge { stamp, address, selection, from, to, limit } => {
                let address = Address::parse(&address)?;
                let portion = Portion { selection, from, to, limit };
                (self.shard(&address.entity), stamp, Change::Purge { address, portion })
            }
            Request::Redrive { stamp, address, selection, from, to, limit, dry_run } => {
                let address = Address::parse(&address)?;
                let portion = Portion { selection, from, to, limit };
                (self.shard(&address.entity), stamp, Change::Redrive { address, portion, dry_run })
            }
            other => {
                return Err(Refusal::new(
                    ErrorCode::Internal,
                    format!("opcode {:#04x} has no home", other.opcode()),
                ));
            }
        })
    }
}

/// An operation of a transaction, with its names and messages checked.
fn operation(operation: request::Operation) -> Result<Operation, Refusal> {
    Ok(match operation {
        request::Operation::Send { address, messages } => {
            let Address { entity, lane } = Address::parse(&address)?;
            if lane.keeps_failed() {
                let text = "keeps what has failed; nobody sends to it";
                return Err(Refusal::invalid("address", text).about(address));
            }
            let messages = messages.into_iter().map(Incoming::parse).collect::<Result<_, _>>()?;
            Operation::Send { entity, messages }
        }
        request::Operation::Settle(item) => Operation::Settle(item),
        request::Operation::Remove { address, sequence } => {
            Operation::Remove { address: Address::parse(&address)?, sequence }
        }
    })
}

fn trace_query(id: String, entity: &str, from: TraceCursor, limit: u32) -> Result<TraceQuery, Refusal> {
    let entity = (!entity.is_empty()).then(|| EntityName::new(entity)).transpose()?;
    Ok(TraceQuery { message_id: id, entity, from: (from.row, from.step), limit })
}

/// A question about the queue at an address.
fn question(ticket: Ticket, address: &str, question: Question) -> Result<Answer, Refusal> {
    Ok(Answer::Ask(ticket, Query::Queue(Address::parse(address)?, question)))
}
