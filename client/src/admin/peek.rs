//! Looking at messages without touching them.

use super::Admin;
use crate::delivery::{decode, time};
use crate::error::Error;
use postrider_protocol::message::{DeadLetterInfo, Message};
use postrider_protocol::reply::{PeekState, Peeked, Reply};
use postrider_protocol::request::{Request, States};
use std::time::SystemTime;

/// A message that was looked at without touching it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PeekedMessage {
    /// The state it is in.
    pub state: PeekState,
    /// When its lock runs out or it becomes ready; `None` for ready and deferred ones.
    pub until: Option<SystemTime>,
    /// Its number in the queue.
    pub sequence: u64,
    /// Deliveries that failed so far.
    pub attempts: u32,
    /// When the broker accepted it.
    pub enqueued_time: SystemTime,
    /// The number it first got, before it was moved to where it is.
    pub enqueued_sequence: u64,
    /// When it expires; `None`: never.
    pub expires_at: Option<SystemTime>,
    /// How often it was moved back from the dead letters.
    pub redrive_count: u32,
    /// The rule with an action whose own copy it is.
    pub rule_name: Option<String>,
    /// Whether it is a copy that a [replay](crate::Admin::replay) made.
    pub replayed: bool,
    /// Why and from where it was dead-lettered, in a dead-letter queue.
    pub dead_letter: Option<DeadLetterInfo>,
    /// The message.
    pub message: Message,
}

impl PeekedMessage {
    fn new(peeked: Peeked) -> Result<Self, Error> {
        let (record, message) = decode(peeked.message.record)?;
        Ok(PeekedMessage {
            state: peeked.state,
            until: (peeked.until_ms != 0).then(|| time(peeked.until_ms)),
            sequence: peeked.message.sequence,
            attempts: peeked.message.attempts,
            enqueued_time: time(record.enqueued_time_ms),
            enqueued_sequence: record.enqueued_sequence,
            expires_at: record.expires_at_ms.map(time),
            redrive_count: record.redrive_count,
            rule_name: record.rule_name,
            replayed: record.replayed,
            dead_letter: record.dead_letter,
            message,
        })
    }
}

/// Which messages to look at. The default is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeekQuery {
    /// The first number to look at.
    pub from: u64,
    /// Messages of a page, at most 1,000; 0 for that many.
    pub limit: u32,
    /// Only messages in these states.
    pub states: States,
    /// Only messages that this SQL filter lets through; empty for none.
    pub filter: String,
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PeekPage {
    /// In the order of their numbers.
    pub messages: Vec<PeekedMessage>,
    /// The number to go on from; `None`: that was all.
    pub next: Option<u64>,
}

impl Admin {
    /// Looks at messages from number `from` on, without touching them: at most `limit`, and at most a page of 1,000.
    pub async fn peek(&self, address: &str, from: u64, limit: u32) -> Result<Vec<PeekedMessage>, Error> {
        let query = PeekQuery { from, limit, ..PeekQuery::default() };
        Ok(self.peek_page(address, &query).await?.messages)
    }

    /// Looks at one page of the messages that the query is about. A page may end before its limit, and even be empty,
    /// where there is a lot to look through; [`PeekPage::next`] says whether there is more.
    pub async fn peek_page(&self, address: &str, query: &PeekQuery) -> Result<PeekPage, Error> {
        let what = "peek";
        let PeekQuery { from, limit, states, filter } = query.clone();
        let request = Request::Peek { address: address.to_owned(), from, limit, states, filter };
        match self.connection.ask(what, request).await? {
            Reply::Peeked { messages, next } => {
                let messages = messages.into_iter().map(PeekedMessage::new).collect::<Result<_, _>>()?;
                Ok(PeekPage { messages, next: (next != 0).then_some(next) })
            }
            other => Err(Error::unexpected(what, &other)),
        }
    }

    /// Looks at all messages that the query is about, page by page as they are taken.
    ///
    /// ```no_run
    /// use postrider_client::{PeekQuery, PeekState, States};
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let states = States::of(&[PeekState::Scheduled, PeekState::Deferred]);
    /// let mut waiting = client.admin().peek_all("orders", PeekQuery { states, ..PeekQuery::default() });
    /// while let Some(message) = waiting.next().await? {
    ///     println!("{} {}", message.sequence, message.state);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn peek_all(&self, address: &str, query: PeekQuery) -> PeekStream {
        let page = Vec::new().into_iter();
        PeekStream { admin: self.clone(), address: address.to_owned(), query, page, ended: false }
    }
}

/// Messages that are looked at one after the other.
#[derive(Debug)]
pub struct PeekStream {
    admin: Admin,
    address: String,
    query: PeekQuery,
    page: std::vec::IntoIter<PeekedMessage>,
    ended: bool,
}

impl PeekStream {
    /// The next message; `None` behind the last one. After an error the same page can be asked for again.
    pub async fn next(&mut self) -> Result<Option<PeekedMessage>, Error> {
        loop {
            if let Some(message) = self.page.next() {
                return Ok(Some(message));
            }
            if self.ended {
                return Ok(None);
            }
            let page = self.admin.peek_page(&self.address, &self.query).await?;
            self.page = page.messages.into_iter();
            self.query.from = page.next.unwrap_or(self.query.from);
            self.ended = page.next.is_none();
        }
    }
}
