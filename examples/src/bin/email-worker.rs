//! Sends the e-mails of a queue, which it shares with any number of other workers.

use anyhow::Result;
use clap::Parser;
use postrider_client::{Delivery, HandlerError, SubscribeOptions};
use postrider_examples::history::{Event, History};
use postrider_examples::order::Email;
use postrider_examples::{EMAIL_QUEUE, service};
use std::sync::Arc;

/// Send the e-mails of email-queue
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    service: service::Service,
    /// What the worker calls itself
    #[arg(long, default_value = "worker")]
    name: String,
    /// E-mails sent at the same time
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stop = service::stop_signal()?;
    let history = Arc::new(args.service.history()?);
    let client = args.service.connect(&args.name).await?;

    // A small prefetch leaves e-mails for the other workers.
    let receiver = client.receiver_builder(EMAIL_QUEUE).prefetch(32).open().await?;
    let options = SubscribeOptions { concurrency: args.concurrency, ..SubscribeOptions::default() };
    // Ok completes the message. An error has it delivered again, until max_delivery_count sends it to the dead letters.
    let subscription = receiver.subscribe(options, move |delivery| {
        let history = history.clone();
        async move { handle(&delivery, &history) }
    });
    stop.await;
    subscription.stop().await?; // waits for the handlers that run, and gives back what was not begun
    Ok(client.close().await?)
}

fn handle(delivery: &Delivery, history: &History) -> Result<(), HandlerError> {
    let id = service::message_id(delivery);
    history.record(Event::Received, &id, delivery.sequence())?;
    // An e-mail that cannot be read does not get better by trying again.
    let email: Email = delivery.json().map_err(|error| HandlerError::dead_letter("NotAnEmail", error))?;
    send(&email)?;
    Ok(history.record(Event::Handled, &id, delivery.sequence())?)
}

/// Stands for the mail server.
fn send(email: &Email) -> Result<(), HandlerError> {
    match email.bounces() {
        true => Err(HandlerError::Retry(format!("{} takes no e-mail", email.to))),
        false => Ok(()),
    }
}
