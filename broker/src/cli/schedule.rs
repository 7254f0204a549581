//! `postrider schedule`.

use super::connect::Global;
use super::failure::Failure;
use super::output::Row;
use super::parse::{self, rfc3339_ms};
use super::send::is_json_document;
use super::value::JSON_TYPE;
use clap::{Args, Subcommand};
use postrider_client::{Message, ScheduleInfo, Value};
use std::time::Duration;

#[derive(Subcommand)]
pub enum Schedule {
    Put(Put),
    /// List the schedules of a queue or topic, and when each is due next
    #[command(after_help = examples!("postrider schedule list reports", "postrider schedule list reports --output json"))]
    List {
        /// The queue or topic
        address: String,
    },
    /// Remove a schedule
    #[command(after_help = examples!("postrider schedule delete reports nightly"))]
    Delete {
        /// The queue or topic
        address: String,
        /// The schedule's name
        name: String,
    },
}

/// Have a queue or topic get a message again and again; replaces the schedule of the same name
///
/// A cron expression has minute, hour, day of the month, month and day of the week: 0 3 * * 1-5 is three o'clock from
/// Monday to Friday.
#[derive(Args)]
#[command(after_help = examples!(
    "postrider schedule put reports nightly '0 3 * * *' 'Make the report' --zone Europe/Berlin",
    "postrider schedule put order-events sweep '*/15 * * * *' '{\"what\":\"sweep\"}'",
))]
pub struct Put {
    /// The queue or topic
    address: String,
    /// The schedule's name
    name: String,
    /// When, as a cron expression
    cron: String,
    /// The body of the message; a JSON object or array is sent as application/json
    body: String,
    /// The IANA time zone of the expression
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    /// What the message is about
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// An application property, such as priority=high, size:int=5, urgent:bool=true; repeat it for more
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse::property)]
    properties: Vec<(String, Value)>,
    /// The session it belongs to
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// It expires when it was not delivered after so long
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    ttl: Option<Duration>,
}

impl Schedule {
    /// Does what was asked for.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Schedule::Put(put) => put.run(global).await,
            Schedule::List { address } => {
                let client = global.connect().await?;
                let rows: Vec<_> = client.admin().schedules(&address).await?.iter().map(row).collect();
                Ok(global.printer().list(&rows, &format!("no schedules in {address}"))?)
            }
            Schedule::Delete { address, name } => {
                let client = global.connect().await?;
                client.admin().delete_schedule(&address, &name).await?;
                done(global, &address, &name, "deleted")
            }
        }
    }
}

impl Put {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.connect().await?;
        let Put { address, name, cron, zone, .. } = &self;
        client.admin().put_schedule(address, name, cron, zone, &self.message()).await?;
        done(global, address, name, "stored")
    }

    fn message(&self) -> Message {
        let message = Message {
            subject: self.subject.clone(),
            content_type: is_json_document(self.body.as_bytes()).then(|| JSON_TYPE.to_owned()),
            properties: self.properties.clone(),
            session_id: self.session.clone(),
            ..Message::new(self.body.clone())
        };
        self.ttl.into_iter().fold(message, Message::with_ttl)
    }
}

fn done(global: &Global, address: &str, name: &str, what: &str) -> Result<(), Failure> {
    let row = Row::new().column("address", address).column("schedule", name).column("result", what);
    Ok(global.printer().done(&format!("schedule {name} of {address} {what}"), &row)?)
}

fn row(info: &ScheduleInfo) -> Row {
    let schedule = &info.schedule;
    let next = (info.next_ms != u64::MAX).then(|| rfc3339_ms(info.next_ms));
    Row::new()
        .column("schedule", schedule.name.as_str())
        .column("cron", schedule.cron.as_str())
        .column("zone", schedule.zone.as_str())
        .column("next", next)
        .data("message_bytes", schedule.message.len())
}
