//! From requests to commands, as a door does it: names are checked, handles looked up.

use super::support::world::Homes;
use postrider_core::command::{Change, Command, OpenReceiver, Operation, Owner, Portion, Question, Ticket};
use postrider_core::context::Places;
use postrider_core::verbs::trace::TraceQuery;
use postrider_protocol::error::Refusal;
use postrider_protocol::message::Incoming;
use postrider_protocol::name::{Address, EntityName};
use postrider_protocol::request::{self, Listing, Request, Stamp};
use std::collections::BTreeMap;

/// What a request comes to.
pub enum Asked {
    /// A command for a shard.
    Command(u16, Command),
    /// A question about an address.
    Question(Address, Question),
    /// A trace.
    Trace(TraceQuery),
    /// A listing.
    List(Listing),
    /// Nothing that a shard sees.
    Nothing,
}

/// What is known of a connection.
#[derive(Default)]
pub struct Links {
    senders: BTreeMap<u32, EntityName>,
    receivers: BTreeMap<u32, u16>,
}

impl Links {
    /// Gives a receiver's handle back.
    pub fn close_receiver(&mut self, handle: u32) {
        self.receivers.remove(&handle);
    }

    /// A shard has closed its receivers.
    pub fn left(&mut self, shard: u16) {
        self.receivers.retain(|_, of| *of != shard);
    }

    fn receiver(&self, handle: u32) -> Result<u16, Refusal> {
        self.receivers.get(&handle).copied().ok_or_else(unknown)
    }

    fn sender(&self, handle: u32) -> Result<EntityName, Refusal> {
        self.senders.get(&handle).cloned().ok_or_else(unknown)
    }
}

fn unknown() -> Refusal {
    Refusal::invalid("handle", "is not open")
}

/// Who asks.
pub struct Peer<'a> {
    pub ticket: Ticket,
    pub client: u128,
    pub links: &'a mut Links,
    pub homes: Homes,
}

impl Peer<'_> {
    /// What `request` comes to.
    pub fn translate(&mut self, request: Request) -> Result<Asked, Refusal> {
        request.check()?;
        let ticket = self.ticket;
        Ok(match request {
            Request::OpenSender { handle, address } => {
                let entity = EntityName::new(&address)?;
                self.links.senders.insert(handle, entity.clone());
                Asked::Command(self.homes.shard_of(&entity), Command::OpenSender { ticket, entity })
            }
            Request::CloseSender { handle } => {
                self.links.senders.remove(&handle);
                Asked::Nothing
            }
            Request::OpenReceiver(open) => self.open_receiver(open)?,
            Request::CloseReceiver { handle } => {
                let shard = self.links.receiver(handle)?;
                self.links.close_receiver(handle);
                Asked::Command(shard, Command::CloseReceiver { ticket, handle })
            }
            Request::Flow(flow) => {
                Asked::Command(self.links.receiver(flow.handle)?, Command::Flow { ticket, flow })
            }
            Request::RenewSession { handle } => {
                Asked::Command(self.links.receiver(handle)?, Command::RenewSession { ticket, handle })
            }
            Request::GetSessionState { handle } => {
                Asked::Command(self.links.receiver(handle)?, Command::GetSessionState { ticket, handle })
            }
            Request::List(listing) => Asked::List(listing),
            Request::Trace { message_id, entity, from, limit } => {
                let entity = (!entity.is_empty()).then(|| EntityName::new(&entity)).transpose()?;
                Asked::Trace(TraceQuery { message_id, entity, from: (from.row, from.step), limit })
            }
            other => match question(other)? {
                Ok((address, question)) => Asked::Question(Address::parse(&address)?, question),
                Err(other) => self.change(other)?,
            },
        })
    }

    fn open_receiver(&mut self, open: request::OpenReceiver) -> Result<Asked, Refusal> {
        let address = Address::parse(&open.address)?;
        let shard = self.homes.shard_of(&address.entity);
        if self.links.receivers.contains_key(&open.handle) {
            return Err(Refusal::invalid("handle", "is in use"));
        }
        self.links.receivers.insert(open.handle, shard);
        let command = OpenReceiver {
            ticket: self.ticket,
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
        Ok(Asked::Command(shard, Command::OpenReceiver(command)))
    }

    fn change(&self, request: Request) -> Result<Asked, Refusal> {
        let home = |name: &str| EntityName::new(name).map(|name| (self.homes.shard_of(&name), name));
        let lane = |address: &str| Address::parse(address).map(|at| (self.homes.shard_of(&at.entity), at));
        let (shard, stamp, change) = match request {
            Request::Publish { handle, stamp, atomic, messages } => {
                let entity = self.links.sender(handle)?;
                let messages = messages.into_iter().map(Incoming::parse).collect();
                (self.homes.shard_of(&entity), stamp, Change::Publish { entity, atomic, messages })
            }
            Request::ReceiveDeferred { handle, stamp, sequences } => {
                (self.links.receiver(handle)?, stamp, Change::ReceiveDeferred { handle, sequences })
            }
            Request::SetSessionState { stamp, handle, state } => {
                (self.links.receiver(handle)?, stamp, Change::SetSessionState { handle, state })
            }
            Request::Settle { stamp, items } => {
                let shard = items.first().map(|item| item.token.shard).unwrap_or_default();
                (self.known(shard)?, stamp, Change::Settle(items))
            }
            Request::Transact { stamp, operations } => self.transact(stamp, operations)?,
            Request::Create { stamp, name, kind, options, rules } => {
                let (shard, name) = home(&name)?;
                (shard, stamp, Change::Create { name, kind, options, rules })
            }
            Request::Update { stamp, name, options } => {
                let (shard, name) = home(&name)?;
                (shard, stamp, Change::Update { name, options })
            }
            Request::Delete { stamp, name } => {
                let (shard, name) = home(&name)?;
                (shard, stamp, Change::Delete { name })
            }
            Request::PutRule { stamp, subscription, replace, rule } => {
                let (shard, subscription) = home(&subscription)?;
                (shard, stamp, Change::PutRule { subscription, replace, rule })
            }
            Request::DeleteRule { stamp, subscription, rule } => {
                let (shard, subscription) = home(&subscription)?;
                (shard, stamp, Change::DeleteRule { subscription, rule })
            }
            Request::PromoteRule { stamp, subscription, rule } => {
                let (shard, subscription) = home(&subscription)?;
                (shard, stamp, Change::PromoteRule { subscription, rule })
            }
            Request::Replay { stamp, subscription, start, filter } => {
                let (shard, subscription) = home(&subscription)?;
                (shard, stamp, Change::Replay { subscription, start, filter })
            }
            Request::Scheduled { stamp, address, action, sequences } => {
                let (shard, entity) = home(&address)?;
                (shard, stamp, Change::Scheduled { entity, action, sequences })
            }
            Request::PutSchedule { stamp, address, schedule } => {
                let (shard, entity) = home(&address)?;
                (shard, stamp, Change::PutSchedule { entity, schedule })
            }
            Request::DeleteSchedule { stamp, address, schedule } => {
                let (shard, entity) = home(&address)?;
                (shard, stamp, Change::DeleteSchedule { entity, schedule })
            }
            Request::Purge { stamp, address, selection, from, to, limit } => {
                let (shard, address) = lane(&address)?;
                let portion = Portion { selection, from, to, limit };
                (shard, stamp, Change::Purge { address, portion })
            }
            Request::Redrive { stamp, address, selection, from, to, limit, dry_run } => {
                let (shard, address) = lane(&address)?;
                let portion = Portion { selection, from, to, limit };
                (shard, stamp, Change::Redrive { address, portion, dry_run })
            }
            _ => return Ok(Asked::Nothing),
        };
        let (ticket, client) = (self.ticket, self.client);
        Ok(Asked::Command(shard, Command::Once { ticket, client, stamp, change }))
    }

    /// A token can name any shard.
    fn known(&self, shard: u16) -> Result<u16, Refusal> {
        if shard < self.homes.0 { Ok(shard) } else { Err(Refusal::invalid("token", "is of no shard")) }
    }

    /// All that a transaction settles and removes is in one shard.
    fn transact(
        &self,
        stamp: Stamp,
        operations: Vec<request::Operation>,
    ) -> Result<(u16, Stamp, Change), Refusal> {
        let operations = operations.into_iter().map(operation).collect::<Result<Vec<_>, _>>()?;
        let here = operations.iter().filter_map(|operation| match operation {
            Operation::Settle(item) => Some(item.token.shard),
            Operation::Remove { address, .. } => Some(self.homes.shard_of(&address.entity)),
            Operation::Send { .. } => None,
        });
        let shards: Vec<_> = here.collect();
        if shards.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Refusal::invalid("operations", "are of several shards"));
        }
        let shard = self.known(shards.first().copied().unwrap_or_default())?;
        Ok((shard, stamp, Change::Transact(operations)))
    }
}

fn operation(operation: request::Operation) -> Result<Operation, Refusal> {
    Ok(match operation {
        request::Operation::Send { address, messages } => {
            let messages = messages.into_iter().map(Incoming::parse).collect::<Result<_, _>>()?;
            Operation::Send { entity: EntityName::new(&address)?, messages }
        }
        request::Operation::Settle(item) => Operation::Settle(item),
        request::Operation::Remove { address, sequence } => {
            Operation::Remove { address: Address::parse(&address)?, sequence }
        }
    })
}

/// A question about an address, or the request that is none.
fn question(request: Request) -> Result<Result<(String, Question), Request>, Refusal> {
    Ok(Ok(match request {
        Request::Peek { address, from, limit, states, filter } => {
            (address, Question::Peek { from, limit, states, filter })
        }
        Request::Causes { address, from, limit } => (address, Question::Causes { from, limit }),
        Request::ListSessions { address, after, limit } => (address, Question::Sessions { after, limit }),
        Request::ListSchedules { address, after, limit } => (address, Question::Schedules { after, limit }),
        Request::ListRules { subscription, after, limit } => (subscription, Question::Rules { after, limit }),
        Request::Explain { topic, message, after, limit } => {
            let message = Box::new(Incoming::parse(message)?);
            (topic, Question::Explain { message, after, limit })
        }
        Request::Consumers { address } => (address, Question::Consumers),
        other => return Ok(Err(other)),
    }))
}
