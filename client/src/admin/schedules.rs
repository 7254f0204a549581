//! Schedules: messages that a queue or topic gets again and again.

use super::Admin;
use crate::error::Error;
use postrider_protocol::message::Message;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{Request, Stamp};
use postrider_protocol::schedule::{Schedule, ScheduleInfo};

impl Admin {
    /// Has a queue or topic get `message` whenever the cron expression in an IANA time zone says so. Replaces the
    /// schedule of the same name, if there is one. What the broker missed while it was down comes once.
    ///
    /// ```no_run
    /// use postrider_client::Message;
    /// # async fn run(client: postrider_client::Client) -> Result<(), postrider_client::Error> {
    /// let report = Message::new("make the report").with_subject("Nightly");
    /// client.admin().put_schedule("reports", "nightly", "0 3 * * *", "Europe/Berlin", &report).await
    /// # }
    /// ```
    pub async fn put_schedule(
        &self,
        address: &str,
        name: &str,
        cron: &str,
        zone: &str,
        message: &Message,
    ) -> Result<(), Error> {
        let schedule = Schedule {
            name: name.to_owned(),
            cron: cron.to_owned(),
            zone: zone.to_owned(),
            message: message.encode(),
        };
        let request = Request::PutSchedule { stamp: Stamp::default(), address: address.to_owned(), schedule };
        self.done("put a schedule", request).await
    }

    /// Removes a schedule.
    pub async fn delete_schedule(&self, address: &str, name: &str) -> Result<(), Error> {
        let (address, schedule) = (address.to_owned(), name.to_owned());
        let request = Request::DeleteSchedule { stamp: Stamp::default(), address, schedule };
        self.done("delete a schedule", request).await
    }

    /// The schedules of a queue or topic, in the order of their names, with the moments that are next.
    pub async fn schedules(&self, address: &str) -> Result<Vec<ScheduleInfo>, Error> {
        let (what, mut all) = ("list schedules", Vec::<ScheduleInfo>::new());
        loop {
            let after = all.last().map(|info| info.schedule.name.clone()).unwrap_or_default();
            let request = Request::ListSchedules { address: address.to_owned(), after, limit: 0 };
            let (schedules, more) = match self.connection.ask(what, request).await? {
                Reply::Schedules { schedules, more } => (schedules, more),
                other => return Err(Error::unexpected(what, &other)),
            };
            let more = more && !schedules.is_empty();
            all.extend(schedules);
            if !more {
                return Ok(all);
            }
        }
    }
}
