//! Takes orders from a file and tells everybody about them.

use anyhow::{Context, Result};
use clap::Parser;
use postrider_client::{Confirm, Message, Sender};
use postrider_examples::history::{Event, History};
use postrider_examples::order::{self, Order};
use postrider_examples::{ORDER_EVENTS, service};
use std::collections::VecDeque;
use std::path::PathBuf;

/// Publish one OrderCreated for each order of a file
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    service: service::Service,
    /// Orders, one JSON document a line
    #[arg(long, value_name = "PATH")]
    orders: PathBuf,
    /// Orders that may wait for their confirm at the same time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let stop = service::stop_signal()?;
    let history = args.service.history()?;
    let client = args.service.connect("order-service").await?;
    let sender = client.sender(ORDER_EVENTS).await?;
    tokio::select! {
        published = publish(&args, &sender, &history) => published?,
        () = stop => eprintln!("stopped before the last order"),
    }
    Ok(client.close().await?)
}

/// Sends ahead of the confirms, which keeps the connection busy, and looks at every single one of them: only a
/// confirmed order is safe. Should the connection be lost meanwhile, the client sends again what has no confirm yet.
async fn publish(args: &Args, sender: &Sender, history: &History) -> Result<()> {
    let mut unconfirmed = VecDeque::new();
    for order in order::read(&args.orders)? {
        let order = order?;
        let confirm = sender.enqueue(order_created(&order)?).await?;
        unconfirmed.push_back((order.order_id, confirm));
        if unconfirmed.len() >= args.in_flight as usize {
            confirm_oldest(&mut unconfirmed, history).await?;
        }
    }
    while !unconfirmed.is_empty() {
        confirm_oldest(&mut unconfirmed, history).await?;
    }
    Ok(())
}

async fn confirm_oldest(unconfirmed: &mut VecDeque<(String, Confirm)>, history: &History) -> Result<()> {
    let Some((id, confirm)) = unconfirmed.pop_front() else { return Ok(()) };
    let outcome = confirm.await.with_context(|| format!("order {id} was not published"))?;
    Ok(history.record(Event::Published, id, outcome.sequence)?)
}

/// The properties are what subscriptions can filter on; the body is for those who get the message.
fn order_created(order: &Order) -> Result<Message> {
    Ok(Message::new(serde_json::to_vec(order)?)
        .with_id(order.order_id.as_str())
        .with_subject("OrderCreated")
        .with_content_type("application/json")
        .with_property("priority", order.priority.to_string())
        .with_property("country", order.customer.country.as_str())
        .with_property("amount", order.amount))
}
