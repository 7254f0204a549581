//! `postrider dlq resend`.

use super::Which;
use crate::cli::connect::Global;
use crate::cli::failure::Failure;
use crate::cli::output::Row;
use crate::cli::parse;
use clap::Args;
use postrider_client::{Admin, Client, ErrorCode, PeekQuery, PeekState};
use postrider_protocol::message::Message;
use postrider_protocol::value::Value;

/// Send dead letters again as new messages, with properties changed
///
/// Each is sent and removed from the dead letters in one step: whatever happens, it is in one of the two places. What could
/// not be sent stays. Towards an entity in another group it is on its way when this returns, and has no number yet.
#[derive(Args)]
#[command(after_help = examples!(
    "postrider dlq resend email-queue 17 --set address=ada@example.com",
    "postrider dlq resend email-queue 17 18 --set retries:int=0 --unset trace --new-id",
    "postrider dlq resend order-events/subscriptions/payment 4 --to payment-repairs",
))]
pub struct Resend {
    #[command(flatten)]
    which: Which,
    /// The numbers of the dead letters
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// Set a property, such as priority=high or size:int=5; repeat it for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse::property)]
    set: Vec<(String, Value)>,
    /// Take a property away; repeat it for more
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// Give each a new message_id, so that it is no duplicate of itself
    #[arg(long)]
    new_id: bool,
    /// Where to send them, instead of the queue they failed in
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
}

impl Resend {
    /// Sends one after the other.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let target = self.target()?;
        let (client, address) = (global.connect().await?, self.which.address());
        let mut printer = global.printer();
        let mut failed = Vec::new();
        for number in &self.numbers {
            match self.one(&client, &address, &target, *number).await {
                Ok(sequence) => {
                    let row = Row::new().column("dead_letter", *number).column("sent_to", target.as_str());
                    printer.part(&[row.column("sequence", sequence)])?;
                }
                Err(failure) => failed.push(failure.about_message(*number)),
            }
        }
        printer.finish("nothing was sent")?;
        let count = failed.len();
        match failed.into_iter().next() {
            None => Ok(client.close().await?),
            Some(only) if count == 1 => Err(only),
            Some(first) => Err(first.and_more(count - 1)),
        }
    }

    fn target(&self) -> Result<String, Failure> {
        let source = self.which.address().split("/$").next().unwrap_or_default().to_owned();
        match &self.to {
            Some(to) => Ok(to.clone()),
            None if source.contains("/subscriptions/") => Err(Failure::usage(
                "nothing can be sent to a subscription",
            )
            .hint("name a queue or topic with: --to ADDRESS; a topic copies it to all its subscriptions")),
            None => Ok(source),
        }
    }

    async fn one(&self, client: &Client, address: &str, target: &str, number: u64) -> Result<u64, Failure> {
        let admin = client.admin();
        let message = self.edit(find(&admin, address, number).await?);
        message.check()?;
        let sent = client.transaction().send(target, message).remove(address, number).commit().await;
        match sent {
            Ok(outcomes) => Ok(outcomes.first().map_or(0, |outcome| outcome.sequence)),
            Err(error) if error.code() == Some(ErrorCode::Duplicate) => {
                let text = "was not sent: its message_id was seen before; it stays a dead letter";
                Err(Failure::refused(text).hint("send it under another id with: --new-id"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn edit(&self, mut message: Message) -> Message {
        let is_named = |name: &str, other: &str| name.to_lowercase() == other.to_lowercase();
        for name in self.unset.iter().chain(self.set.iter().map(|(name, _)| name)) {
            message.properties.retain(|(known, _)| !is_named(known, name));
        }
        message.properties.extend(self.set.iter().cloned());
        message.scheduled_enqueue_time_ms = None;
        if self.new_id {
            message.message_id = None;
        }
        message
    }
}

/// The dead letter of a number. One that a consumer holds is left alone.
async fn find(admin: &Admin, address: &str, number: u64) -> Result<Message, Failure> {
    let query = PeekQuery { from: number, limit: 1, ..PeekQuery::default() };
    let page = admin.peek_page(address, &query).await?;
    match page.messages.into_iter().find(|peeked| peeked.sequence == number) {
        None => Err(Failure::refused(format!("is not in {address}"))),
        Some(peeked) if peeked.state == PeekState::Locked => Err(Failure::refused("is held by a consumer")),
        Some(peeked) => Ok(peeked.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resend(entity: &str) -> Resend {
        Resend {
            which: Which { entity: entity.to_owned(), transfer: false },
            numbers: vec![1],
            set: vec![("Retries".to_owned(), Value::Int(0))],
            unset: vec!["TRACE".to_owned()],
            new_id: true,
            to: None,
        }
    }

    #[test]
    fn properties_are_changed_without_regard_to_case() {
        let message = Message::new("x").with_id("m1").with_scheduled_at_ms(5);
        let message =
            message.with_property("retries", 3i64).with_property("trace", "t").with_property("a", "b");
        let edited = resend("q").edit(message);
        let expected = Message::new("x").with_property("a", "b").with_property("Retries", 0i64);
        assert_eq!(edited, expected);
    }

    #[test]
    fn a_subscription_needs_a_target() {
        assert_eq!(resend("q/$dead-letter").target().ok().as_deref(), Some("q"));
        assert!(resend("t/subscriptions/s").target().is_err());
        let to = Resend { to: Some("repairs".to_owned()), ..resend("t/subscriptions/s") };
        assert_eq!(to.target().ok().as_deref(), Some("repairs"));
    }
}
