//! Several things that happen together or not at all.

use crate::connection::{Connection, SendOutcome, outcomes};
use crate::delivery::Delivery;
use crate::error::Error;
use postrider_protocol::message::Message;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Operation, Request, SettleItem, Settlement, Stamp};
use std::sync::Arc;

/// Sends, settlements and removals that the broker carries out all or none, once, also if the connection is lost: made by
/// [`Client::transaction`](crate::Client::transaction).
///
/// Everything must be of entities in one group (the option `group`, or a topic with its subscriptions, or an entity with
/// its dead letters). Where something is settled, messages may be sent to entities anywhere: they are on their way when
/// `commit` returns, and arrive once. What the entity does not take then is in
/// `<entity of the settled message>/$transfer-dead-letter`.
///
/// ```no_run
/// # async fn run(client: postrider_client::Client, order: postrider_client::Delivery) -> Result<(), postrider_client::Error> {
/// client
///     .transaction()
///     .complete(&order)
///     .send("payments", postrider_client::Message::new("charge 12.50"))
///     .commit()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing happens before commit is called"]
pub struct Transaction<'a> {
    connection: Arc<Connection>,
    operations: Vec<Operation>,
    settled: Vec<&'a Delivery>,
    /// Why it cannot be committed.
    problem: Option<Error>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Transaction { connection, operations: Vec::new(), settled: Vec::new(), problem: None }
    }

    /// Completes a message.
    pub fn complete(self, delivery: &'a Delivery) -> Self {
        self.settle(delivery, Settlement::Complete)
    }

    /// Completes, abandons, dead-letters or defers a message.
    pub fn settle(mut self, delivery: &'a Delivery, settlement: Settlement) -> Self {
        if let Err(problem) = delivery.check_locked("settle") {
            self.problem.get_or_insert(problem);
        }
        let token = delivery.lock_token();
        self.operations.push(Operation::Settle(SettleItem { token, run: 1, settlement }));
        self.settled.push(delivery);
        self
    }

    /// Sends a message to a queue or topic.
    pub fn send(mut self, address: &str, message: Message) -> Self {
        let messages = vec![message.encode()];
        self.operations.push(Operation::Send { address: address.to_owned(), messages });
        self
    }

    /// Removes a message that nobody holds, such as a dead letter of which something better is sent.
    pub fn remove(mut self, address: &str, sequence: u64) -> Self {
        self.operations.push(Operation::Remove { address: address.to_owned(), sequence });
        self
    }

    /// Does it all. Returns what became of the messages that were sent, in their order.
    ///
    /// # Errors
    ///
    /// Whatever one of the operations is refused for, such as `LockLost`, `NotFound` or `QuotaExceeded`; the text says
    /// which one it was. None of them is done then.
    pub async fn commit(self) -> Result<Vec<SendOutcome>, Error> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let what = "commit a transaction";
        let request = Request::Transact { stamp: Stamp::default(), operations: self.operations };
        match self.connection.ask(what, request).await? {
            Reply::Published(runs) => {
                self.settled.iter().for_each(|delivery| delivery.mark_settled());
                outcomes(runs).collect()
            }
            other => Err(Error::unexpected(what, &other)),
        }
    }
}
