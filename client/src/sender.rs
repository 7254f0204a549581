//! Sending.

use crate::breaker::Attempt;
use crate::connection::{Connection, LinkOwner, Operation, SendOutcome};
use crate::error::Error;
use crate::scheduled::scheduled;
use bytes::Bytes;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits;
use postrider_protocol::message::Message;
use postrider_protocol::request::ScheduledAction;
use postrider_protocol::value::Id;
use serde::Serialize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// Sends messages to one queue or topic. Cheap to clone; clones share the link.
///
/// A message without a `message_id` gets one, so that sending it again after a lost connection is safe. At most 16,384
/// messages and 32 MiB of a client wait for their confirms at any time; what is beyond waits for room.
///
/// Messages of one sender are stored in the order of the calls. One exception: a frame that the broker has no room for
/// (`Busy`, `Throttled`, `StorageFull`) is sent again a little later, and what was sent meanwhile may overtake it.
#[derive(Debug, Clone)]
pub struct Sender {
    link: Arc<SenderLink>,
}

/// The link, closed when the last clone is dropped.
#[derive(Debug)]
struct SenderLink {
    owner: LinkOwner,
    address: String,
    max_message_bytes: u64,
}

impl Sender {
    pub(crate) async fn open(connection: Arc<Connection>, address: &str) -> Result<Self, Error> {
        let owner = LinkOwner::new(connection);
        let (handle, cell, address) = (owner.handle, owner.cell.clone(), address.to_owned());
        let opening = |answer| Operation::OpenSender { handle, address: address.clone(), cell, answer };
        let opened = owner.connection.call_within("open a sender", opening).await?;
        let max_message_bytes = opened.max_message_bytes;
        Ok(Sender { link: Arc::new(SenderLink { owner, address, max_message_bytes }) })
    }

    fn connection(&self) -> &Connection {
        &self.link.owner.connection
    }

    /// The queue or topic.
    pub fn address(&self) -> &str {
        &self.link.address
    }

    /// Bytes of the largest message the entity took when the sender was opened.
    pub fn max_message_bytes(&self) -> u64 {
        self.link.max_message_bytes
    }

    /// Sends a message and waits until it is on stable storage.
    ///
    /// # Errors
    ///
    /// An error other than [`Error::Refused`] and [`Error::InvalidArgument`] means that the outcome is not known.
    ///
    /// ```no_run
    /// use postrider_client::Message;
    /// # async fn run(sender: postrider_client::Sender) -> Result<(), postrider_client::Error> {
    /// let outcome = sender.send(Message::new("hello").with_property("priority", "high")).await?;
    /// println!("stored as number {}", outcome.sequence);
    /// # Ok(()) }
    /// ```
    pub async fn send(&self, message: Message) -> Result<SendOutcome, Error> {
        let (message, mut attempt) = (self.encode(message)?, self.connection().admit()?);
        let sending = async { self.hand_over_one(message).await?.await };
        let outcome = self.connection().within("send", sending).await;
        tell(&mut attempt, &outcome);
        outcome
    }

    /// Hands a message over and returns as soon as there is room in the pipeline. The [`Confirm`] resolves when the
    /// message is on stable storage; it has no timeout of its own.
    ///
    /// Dropping the confirm does not take the message back.
    ///
    /// ```no_run
    /// use postrider_client::Message;
    /// # async fn run(sender: postrider_client::Sender) -> Result<(), postrider_client::Error> {
    /// let mut confirms = Vec::new();
    /// for number in 0..1000 {
    ///     confirms.push(sender.enqueue(Message::new(format!("message {number}"))).await?);
    /// }
    /// for confirm in confirms {
    ///     confirm.await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn enqueue(&self, message: Message) -> Result<Confirm, Error> {
        let (message, attempt) = (self.encode(message)?, self.connection().admit()?);
        Ok(Confirm { attempt, ..self.hand_over_one(message).await? })
    }

    async fn hand_over_one(&self, message: Bytes) -> Result<Confirm, Error> {
        let connection = self.connection();
        let weight = Connection::weight(1, message.len());
        let room = connection.room(weight).await?;
        let (answer, answered) = oneshot::channel();
        connection
            .submit(Operation::Publish { sender: self.link.owner.handle, message, weight, answer })
            .await?;
        room.forget(); // The confirm gives it back.
        Ok(Confirm { answered, attempt: None })
    }

    /// Sends many messages and waits until all are answered, each for itself and in the order of `messages`.
    ///
    /// # Errors
    ///
    /// The outer error means that the outcome of some of them is not known; the message ids make it safe to send them all
    /// again into an entity with a dedup window.
    ///
    /// ```no_run
    /// use postrider_client::Message;
    /// # async fn run(sender: postrider_client::Sender) -> Result<(), postrider_client::Error> {
    /// let messages = (0..100).map(|number| Message::new(format!("message {number}"))).collect();
    /// for outcome in sender.send_batch(messages).await? {
    ///     println!("{}", outcome?.sequence);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn send_batch(&self, messages: Vec<Message>) -> Result<Vec<Result<SendOutcome, Error>>, Error> {
        let mut outcomes: Vec<Option<Error>> = Vec::with_capacity(messages.len());
        let mut good = Vec::with_capacity(messages.len());
        for message in messages {
            match self.encode(message) {
                Ok(bytes) => {
                    good.push(bytes);
                    outcomes.push(None);
                }
                Err(error) => outcomes.push(Some(error)),
            }
        }
        let mut attempt = self.connection().admit()?;
        let sent = self.connection().within("send a batch", self.send_frames(good)).await;
        match &sent {
            Ok(each) => each.iter().for_each(|outcome| tell(&mut attempt, outcome)),
            Err(_) => tell(&mut attempt, &sent),
        }
        let mut sent = sent?.into_iter();
        let merged = outcomes.into_iter().map(|local| match local {
            Some(error) => Err(error),
            None => sent.next().unwrap_or(Err(Error::Closed)),
        });
        Ok(merged.collect())
    }

    /// Sends all of the messages or none: one refused message refuses all.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for more than 4,096 messages or 1 MiB in all.
    pub async fn send_batch_atomic(&self, messages: Vec<Message>) -> Result<Vec<SendOutcome>, Error> {
        let messages =
            messages.into_iter().map(|message| self.encode(message)).collect::<Result<Vec<_>, _>>()?;
        check_atomic(&messages)?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let sending = async {
            let answered = self.hand_over(messages, true).await?;
            answered.await.unwrap_or_else(|_| Err(self.connection().why()))
        };
        let mut attempt = self.connection().admit()?;
        let sent = self.connection().within("send an atomic batch", sending).await;
        let outcome = sent.and_then(|each| each.into_iter().collect());
        tell(&mut attempt, &outcome);
        outcome
    }

    /// Sends a value as JSON, with the content type `application/json`.
    ///
    /// ```no_run
    /// #[derive(serde::Serialize)]
    /// struct Order { id: u64 }
    /// # async fn run(sender: postrider_client::Sender) -> Result<(), postrider_client::Error> {
    /// sender.send_json(&Order { id: 7 }).await?;
    /// # Ok(()) }
    /// ```
    pub async fn send_json<T: Serialize>(&self, body: &T) -> Result<SendOutcome, Error> {
        let body = serde_json::to_vec(body).map_err(|error| {
            Error::InvalidArgument(format!(
                "the body cannot be written as JSON: {error}; correct its Serialize"
            ))
        })?;
        self.send(Message::new(body).with_content_type("application/json")).await
    }

    /// Sends a message that is not to be delivered before `at`, and returns the number to cancel it by.
    ///
    /// ```no_run
    /// use postrider_client::Message;
    /// use std::time::{Duration, SystemTime};
    /// # async fn run(sender: postrider_client::Sender) -> Result<(), postrider_client::Error> {
    /// let at = SystemTime::now() + Duration::from_secs(3600);
    /// let number = sender.schedule(Message::new("remember the milk"), at).await?;
    /// for cancelled in sender.cancel_scheduled(&[number]).await? {
    ///     cancelled?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn schedule(&self, message: Message, at: SystemTime) -> Result<u64, Error> {
        Ok(self.send(message.with_scheduled_at(at)).await?.sequence)
    }

    /// Removes scheduled messages by their numbers, each for itself and in the order given.
    ///
    /// # Errors
    ///
    /// Of each: `MessageNotFound` where none is scheduled under that number, because it was delivered or cancelled.
    pub async fn cancel_scheduled(&self, sequences: &[u64]) -> Result<Vec<Result<(), Error>>, Error> {
        scheduled(self.connection(), self.address(), ScheduledAction::Cancel, sequences).await
    }

    /// Has scheduled messages delivered now instead of when they are due, each for itself and in the order given.
    pub async fn deliver_scheduled_now(&self, sequences: &[u64]) -> Result<Vec<Result<(), Error>>, Error> {
        scheduled(self.connection(), self.address(), ScheduledAction::DeliverNow, sequences).await
    }

    /// Waits for the confirms of this sender that are under way, and closes the link for all clones.
    pub async fn close(self) -> Result<(), Error> {
        self.link.owner.close("close a sender").await
    }

    /// Checks a message, gives it an id if it has none, and lays it out.
    fn encode(&self, mut message: Message) -> Result<Bytes, Error> {
        if message.message_id.is_none() {
            message.message_id = Some(Id::Text(self.connection().message_id()));
        }
        message.check()?;
        let bytes = message.encode();
        // What the entity takes can be changed while the sender is open, so that is the broker's to say; only what no frame
        // can carry is refused here.
        let (size, most) = (bytes.len(), self.connection().largest_message());
        if size > most {
            let text = format!("the message has {size} bytes, the broker takes none with more than {most}");
            return Err(Refusal::new(ErrorCode::MessageTooLarge, text).about(self.address()).into());
        }
        Ok(bytes)
    }

    /// Sends messages in frames as large as they may be, and gathers the outcomes.
    async fn send_frames(&self, messages: Vec<Bytes>) -> Result<Vec<Result<SendOutcome, Error>>, Error> {
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut answers = Vec::new();
        for frame in frames(messages) {
            answers.push(self.hand_over(frame, false).await?);
        }
        for answered in answers {
            outcomes.extend(answered.await.unwrap_or_else(|_| Err(self.connection().why()))?);
        }
        Ok(outcomes)
    }

    async fn hand_over(
        &self,
        messages: Vec<Bytes>,
        atomic: bool,
    ) -> Result<oneshot::Receiver<Result<Vec<Result<SendOutcome, Error>>, Error>>, Error> {
        let connection = self.connection();
        let weight = Connection::weight(messages.len(), messages.iter().map(Bytes::len).sum());
        let room = connection.room(weight).await?;
        let (answer, answered) = oneshot::channel();
        let sender = self.link.owner.handle;
        connection.submit(Operation::PublishMany { sender, messages, weight, atomic, answer }).await?;
        room.forget(); // The confirm gives it back.
        Ok(answered)
    }
}

/// Tells the circuit breaker, where there is one, what became of a send.
fn tell<T>(attempt: &mut Option<Attempt>, outcome: &Result<T, Error>) {
    if let Some(attempt) = attempt {
        attempt.ended(outcome);
    }
}

/// Cuts messages into frames within the limits of a batch.
fn frames(messages: Vec<Bytes>) -> Vec<Vec<Bytes>> {
    let mut frames: Vec<Vec<Bytes>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        bytes += message.len();
        match frames.last_mut() {
            Some(last) if last.len() < limits::BATCH_MESSAGES && bytes <= limits::BATCH_BYTES => {
                last.push(message);
            }
            _ => {
                bytes = message.len();
                frames.push(vec![message]);
            }
        }
    }
    frames
}

fn check_atomic(messages: &[Bytes]) -> Result<(), Error> {
    let bytes: usize = messages.iter().map(Bytes::len).sum();
    let (most, most_bytes) = (limits::BATCH_MESSAGES, limits::BATCH_BYTES);
    if messages.len() <= 1 || (messages.len() <= most && bytes <= most_bytes) {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "an atomic batch has at most {most} messages and {most_bytes} bytes, this one has {} and {bytes}; send fewer at once",
        messages.len()
    )))
}

/// The confirm of a message that was enqueued: a future of what became of it.
#[derive(Debug)]
#[must_use = "without its confirm nobody knows whether the message was stored"]
pub struct Confirm {
    answered: oneshot::Receiver<Result<SendOutcome, Error>>,
    /// What the circuit breaker is told.
    attempt: Option<Attempt>,
}

impl Future for Confirm {
    type Output = Result<SendOutcome, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.answered).poll(cx)).unwrap_or(Err(Error::Closed));
        tell(&mut self.attempt, &outcome);
        Poll::Ready(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_at_either_limit() {
        let sizes = |sizes: &[usize]| -> Vec<usize> {
            let messages = sizes.iter().map(|size| Bytes::from(vec![0; *size])).collect();
            frames(messages).iter().map(Vec::len).collect()
        };
        let half = limits::BATCH_BYTES / 2;
        assert_eq!(sizes(&[half, half, 1, 3 * half, 1, 1]), [2, 1, 1, 2]);
        assert_eq!(sizes(&vec![1; limits::BATCH_MESSAGES + 1]), [limits::BATCH_MESSAGES, 1]);
        assert!(sizes(&[]).is_empty());
    }

    #[test]
    fn an_atomic_batch_fits_into_one_frame() {
        let message = |size: usize| Bytes::from(vec![0; size]);
        assert!(check_atomic(&[message(2 * limits::BATCH_BYTES)]).is_ok());
        let error = check_atomic(&[message(limits::BATCH_BYTES), message(1)]).unwrap_err();
        assert!(error.to_string().contains("send fewer"));
    }
}
