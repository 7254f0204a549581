//! Receiving messages that were set aside, by their numbers.

use super::Receiver;
use crate::connection::{Operation, Parcel};
use crate::delivery::Delivery;
use crate::error::Error;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::limits;
use postrider_protocol::reply::{Reply, Settled};

impl Receiver {
    /// Locks deferred messages by their numbers, beside what credit brings. There is one result for each number, in their
    /// order: the message, or why it could not be locked (`MessageNotFound` where no deferred message has that number).
    ///
    /// Given up while it waits, what was locked stays locked until the locks run out.
    ///
    /// ```no_run
    /// # async fn run(mut receiver: postrider_client::Receiver) -> Result<(), postrider_client::Error> {
    /// for received in receiver.receive_deferred(&[17, 23]).await? {
    ///     match received {
    ///         Ok(delivery) => delivery.complete().await?,
    ///         Err(error) => println!("{error}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn receive_deferred(
        &mut self,
        sequences: &[u64],
    ) -> Result<Vec<Result<Delivery, Error>>, Error> {
        self.deferred.clear();
        let mut received = Vec::with_capacity(sequences.len());
        for portion in sequences.chunks(limits::SEQUENCES) {
            let outcomes = self.ask_deferred(portion).await?;
            // They came before the answer. That the receiver was closed since then does not undo their locks.
            drop(self.take_events());
            for (sequence, outcome) in portion.iter().zip(outcomes) {
                received.push(outcome.and_then(|()| self.take_deferred(*sequence)));
            }
        }
        Ok(received)
    }

    /// Asks again when the connection is lost before the answer: the broker lets go of what never arrived.
    async fn ask_deferred(&self, sequences: &[u64]) -> Result<Vec<Result<(), Error>>, Error> {
        let (what, connection) = ("receive deferred messages", &self.owner.connection);
        let handle = self.owner.handle;
        let asking = async {
            loop {
                let sequences = sequences.to_vec();
                let asked =
                    connection.call(|answer| Operation::ReceiveDeferred { handle, sequences, answer });
                match asked.await {
                    Err(Error::Connection(_)) if connection.is_alive() => {}
                    answered => return answered,
                }
            }
        };
        match connection.within(what, asking).await? {
            Reply::Settled(runs) => per_item(what, runs, sequences.len()),
            other => Err(Error::unexpected(what, &other)),
        }
    }

    pub(super) fn handle_deferred(&mut self, parcel: Parcel) {
        let mut place = parcel.lease.token.place;
        for message in parcel.messages {
            self.deferred.insert(message.sequence, (parcel.lease.clone(), place, message));
            place = place.wrapping_add(1);
        }
    }

    fn take_deferred(&mut self, sequence: u64) -> Result<Delivery, Error> {
        let missing = || {
            let text = format!("message {sequence} was asked for twice, or was let go of on the way");
            Error::from(Refusal::new(ErrorCode::MessageNotFound, text).about(&self.address))
        };
        let (lease, place, delivered) = self.deferred.remove(&sequence).ok_or_else(missing)?;
        Delivery::new(self.owner.connection.clone(), lease, place, delivered, self.lock_duration)
    }
}

/// One outcome for each of so many items.
pub(crate) fn per_item(
    what: &str,
    runs: Vec<(u32, Settled)>,
    items: usize,
) -> Result<Vec<Result<(), Error>>, Error> {
    let counted: usize = runs.iter().map(|(run, _)| *run as usize).sum();
    if counted != items {
        return Err(Error::Protocol(format!("{what}: {counted} outcomes for {items} messages")));
    }
    let outcome = |settled: &Settled| match settled {
        Settled::Done | Settled::Renewed(_) => Ok(()),
        Settled::Refused(refusal) => Err(Error::from(refusal.clone())),
    };
    let spread = runs.iter().flat_map(|(run, settled)| std::iter::repeat_n(settled, *run as usize));
    Ok(spread.map(outcome).collect())
}
