//! Receives the orders of one subscription, in batches.

use anyhow::{Result, bail};
use clap::Parser;
use postrider_client::{Delivery, Error, Message, Receiver, Sender};
use postrider_examples::history::{Event, History};
use postrider_examples::order::{Email, Order};
use postrider_examples::{ORDER_EVENTS, service};
use std::time::Duration;

/// Work off the orders of one subscription
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    service: service::Service,
    /// The subscription of order-events: inventory, payment, notification, analytics
    #[arg(long)]
    name: String,
    /// Put a confirmation e-mail for each order into this queue, as the notification service does
    #[arg(long, value_name = "QUEUE")]
    emails_to: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut stop = std::pin::pin!(service::stop_signal()?);
    let history = args.service.history()?;
    let client = args.service.connect(&args.name).await?;
    let emails = match &args.emails_to {
        Some(queue) => Some(client.sender(queue).await?),
        None => None,
    };
    let mut receiver = client.receiver(&format!("{ORDER_EVENTS}/subscriptions/{}", args.name)).await?;
    loop {
        let orders = tokio::select! {
            orders = receiver.receive_batch(100, Duration::from_secs(60)) => orders?,
            () = &mut stop => break,
        };
        handle(&orders, emails.as_ref(), &history).await?;
        complete(&receiver, &orders, &history).await?;
    }
    Ok(client.close().await?)
}

/// The work. What is not completed afterwards comes again, so that it must do no harm to do it twice.
async fn handle(orders: &[Delivery], emails: Option<&Sender>, history: &History) -> Result<()> {
    let mut messages = Vec::new();
    for delivery in orders {
        let order: Order = delivery.json()?;
        history.record(Event::Received, &order.order_id, delivery.sequence())?;
        messages.push(confirmation(&order)?);
    }
    if let Some(emails) = emails {
        for sent in emails.send_batch(messages).await? {
            sent?;
        }
    }
    Ok(())
}

/// An e-mail has the same id however often it is sent.
fn confirmation(order: &Order) -> Result<Message> {
    let body = serde_json::to_vec(&Email::confirming(order))?;
    Ok(Message::new(body).with_id(Email::id(&order.order_id)).with_subject("SendEmail"))
}

/// Completes after the work, each order for itself: one whose lock was lost is delivered again.
async fn complete(receiver: &Receiver, orders: &[Delivery], history: &History) -> Result<()> {
    for (delivery, outcome) in orders.iter().zip(receiver.complete_batch(orders).await?) {
        let id = service::message_id(delivery);
        match outcome {
            Ok(()) => history.record(Event::Completed, id, delivery.sequence())?,
            Err(Error::Refused(refusal)) => eprintln!("{id} comes again: {refusal}"),
            Err(error) => bail!("{id} was not completed: {error}"),
        }
    }
    Ok(())
}
