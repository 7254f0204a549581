//! The main road: the client against the real binary, feature by feature.

mod admin;
mod backup;
mod breaker;
mod browse;
mod deadletters;
mod deferred;
mod duplicates;
mod explain;
mod forwarding;
mod lasting;
mod limits;
mod locks;
mod priorities;
mod properties;
mod publish;
mod receive;
mod replay;
mod retry;
mod rules;
mod scheduled;
mod schedules;
mod sessions;
mod sharing;
mod slow;
mod status;
mod time;
mod topics;
mod trace;
mod transactions;

use postrider_client::{
    Client, Counters, Delivery, Error, ErrorCode, Message, Options, PeekedMessage, Receiver,
};
use postrider_tests::Broker;
use std::time::Duration;

/// Long enough for what comes, and only used up where nothing does.
const WAIT: Duration = Duration::from_secs(15);
/// Long enough to believe that nothing comes.
const NOTHING: Duration = Duration::from_millis(300);

/// A broker with a queue `q`, and a client of it.
async fn queue(options: &[(&str, &str)]) -> (Broker, Client) {
    let broker = Broker::start();
    let client = broker.client().await;
    client.admin().create_queue("q", self::options(options)).await.expect("a queue");
    (broker, client)
}

fn options(texts: &[(&str, &str)]) -> Options {
    let mut options = Options::new();
    texts.iter().for_each(|(name, text)| options.set(name, text).expect("an option"));
    options
}

/// Sends texts, in order.
async fn send(client: &Client, to: &str, bodies: &[&str]) {
    let sender = client.sender(to).await.expect("a sender");
    let messages = bodies.iter().map(|body| Message::new((*body).to_owned())).collect();
    for outcome in sender.send_batch(messages).await.expect("answers") {
        outcome.expect("it is stored");
    }
}

/// Opens a receiver that gets a message only when it asks for one.
async fn pulling(client: &Client, from: &str) -> Receiver {
    client.receiver_builder(from).prefetch(0).open().await.expect("a receiver")
}

async fn counters(client: &Client, of: &str) -> Counters {
    client.admin().get(of).await.expect("it exists").counters
}

/// All messages of a queue, in whatever state.
async fn look(client: &Client, at: &str) -> Vec<PeekedMessage> {
    client.admin().peek(at, 0, 0).await.expect("a peek")
}

/// Ends the broker as a power failure would, and starts it again.
fn crash(broker: &mut Broker) {
    broker.kill9();
    broker.restart();
}

/// The next message, which must come.
async fn next(receiver: &mut Receiver) -> Delivery {
    receiver.receive_timeout(WAIT).await.expect("no error").expect("a message")
}

/// No message comes.
async fn nothing(receiver: &mut Receiver) {
    let came = receiver.receive_timeout(NOTHING).await.expect("no error");
    assert!(came.is_none(), "{came:?}");
}

fn text(delivery: &Delivery) -> &str {
    std::str::from_utf8(delivery.body()).expect("the tests send text")
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, code: ErrorCode) {
    let error = result.expect_err("a refusal");
    assert_eq!(error.code(), Some(code), "{error}");
}
