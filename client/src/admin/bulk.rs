//! Work on many messages: one portion after the other, so that nobody waits for long and progress can be seen.

use super::Admin;
use crate::error::Error;
use postrider_protocol::limits;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Request, Selection, Stamp};

/// How far bulk work has come, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Messages removed or moved.
    pub done: u64,
    /// Messages looked at.
    pub examined: u64,
}

impl Progress {
    pub(super) fn add(&mut self, done: u64, examined: u64) {
        self.done += done;
        self.examined += examined;
    }
}

impl Admin {
    /// Removes all messages of a queue that nobody holds. Returns how many.
    pub async fn purge(&self, address: &str) -> Result<u64, Error> {
        Ok(self.purge_selected(address, Selection::default()).run().await?.done)
    }

    /// Removes the messages of a queue that the selection takes and that nobody holds. Nothing happens before
    /// [`Purge::next`] or [`Purge::run`].
    ///
    /// ```no_run
    /// use postrider_client::Selection;
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let selection = Selection { filter: "region = 'eu'".to_owned(), ..Selection::default() };
    /// let mut purge = client.admin().purge_selected("orders", selection);
    /// while let Some(progress) = purge.next().await? {
    ///     println!("{} of {} removed", progress.done, progress.examined);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn purge_selected(&self, address: &str, selection: Selection) -> Purge {
        let (address, progress) = (address.to_owned(), Progress::default());
        Purge { admin: self.clone(), address, selection, from: Some(0), progress }
    }

    /// One portion of bulk work.
    pub(super) async fn work(&self, what: &str, request: Request) -> Result<(u64, u64, Option<u64>), Error> {
        match self.connection.ask(what, request).await? {
            Reply::Worked { done, examined, next } => Ok((done, examined, (next != 0).then_some(next))),
            other => Err(Error::unexpected(what, &other)),
        }
    }
}

/// Messages being removed.
#[derive(Debug)]
#[must_use = "nothing is removed until run or next is called"]
pub struct Purge {
    admin: Admin,
    address: String,
    selection: Selection,
    /// Where to go on; `None`: all done.
    from: Option<u64>,
    progress: Progress,
}

impl Purge {
    /// Does the next portion and says how far it has come in all; `None` when all was done before. Can be stopped at any
    /// time by not calling it again; what was removed stays removed.
    pub async fn next(&mut self) -> Result<Option<Progress>, Error> {
        let Some(from) = self.from else { return Ok(None) };
        check_numbers(&self.selection)?;
        let request = Request::Purge {
            stamp: Stamp::default(),
            address: self.address.clone(),
            selection: self.selection.clone(),
            from,
            to: 0,
            limit: 0,
        };
        let (done, examined, next) = self.admin.work("purge a queue", request).await?;
        self.progress.add(done, examined);
        self.from = next;
        Ok(Some(self.progress))
    }

    /// Does all portions.
    pub async fn run(mut self) -> Result<Progress, Error> {
        while self.next().await?.is_some() {}
        Ok(self.progress)
    }
}

/// Refuses more numbers than one request carries.
pub(super) fn check_numbers(selection: &Selection) -> Result<(), Error> {
    let (count, most) = (selection.sequences.len(), limits::SEQUENCES);
    if count <= most {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "the selection names {count} messages, at most {most} are allowed; name fewer at once"
    )))
}
