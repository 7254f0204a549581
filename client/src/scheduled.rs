//! Messages that wait for their time: cancelling them, and having them delivered now.

use crate::connection::Connection;
use crate::error::Error;
use crate::receiver::per_item;
use postrider_protocol::limits;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Request, ScheduledAction, Stamp};

/// One outcome for each number, in their order.
pub(crate) async fn scheduled(
    connection: &Connection,
    address: &str,
    action: ScheduledAction,
    sequences: &[u64],
) -> Result<Vec<Result<(), Error>>, Error> {
    let what = match action {
        ScheduledAction::Cancel => "cancel scheduled messages",
        ScheduledAction::DeliverNow => "deliver scheduled messages",
    };
    let mut outcomes = Vec::with_capacity(sequences.len());
    for portion in sequences.chunks(limits::SEQUENCES) {
        let (address, sequences) = (address.to_owned(), portion.to_vec());
        let request = Request::Scheduled { stamp: Stamp::default(), address, action, sequences };
        match connection.ask(what, request).await? {
            Reply::Settled(runs) => outcomes.extend(per_item(what, runs, portion.len())?),
            other => return Err(Error::unexpected(what, &other)),
        }
    }
    Ok(outcomes)
}
