//! The async client of Postrider, a persistent message broker.
//!
//! One [`Client`] is one connection, shared by all of its senders, receivers and clones. It reconnects by itself:
//! links are opened again, and whatever had no answer yet is asked again under the same number, so that nothing is
//! stored or settled twice.
//!
//! ```no_run
//! use postrider_client::{Client, Message};
//!
//! # async fn run() -> Result<(), postrider_client::Error> {
//! let client = Client::connect("postrider://secret-token@localhost:7707").await?;
//!
//! let sender = client.sender("orders").await?;
//! sender.send(Message::new("three apples").with_subject("order")).await?; // on stable storage when this returns
//!
//! let mut receiver = client.receiver("orders").await?;
//! let delivery = receiver.receive().await?;
//! println!("{:?}", delivery.body());
//! delivery.complete().await?; // never delivered again when this returns
//!
//! client.close().await
//! # }
//! ```
//!
//! * [`Sender`]: `send` waits for the confirm, `enqueue` pipelines, `send_batch` does many.
//! * [`Receiver`]: `receive`, `receive_batch`, a `Stream`, or [`Receiver::subscribe`] with a handler.
//! * [`SessionReceiver`]: messages that belong together, in order and by one receiver at a time.
//! * [`Delivery`]: the message, and how to settle it.
//! * [`Admin`]: queues, topics, subscriptions, rules; peek, purge, redrive, replay.
//! * [`Error`]: by name, and whether a retry can help.

mod admin;
mod breaker;
mod client;
mod connection;
mod delivery;
mod error;
mod receiver;
mod scheduled;
mod sender;
mod session;
mod subscribe;
mod transaction;
mod url;

pub use admin::{
    Admin, BackedUp, CameBack, ExplainedFate, ExplainedOutcome, ExplainedSubscription, Explanation, PeekPage,
    PeekQuery, PeekStream, PeekedMessage, Progress, Purge, Redrive, RedriveBuilder, RedriveOutcome,
    Replaying, Start, Trace,
};
pub use breaker::CircuitBreaker;
pub use client::{Client, ClientBuilder};
pub use connection::{ReconnectPolicy, SendOutcome};
pub use delivery::{Delivery, Properties};
pub use error::Error;
pub use receiver::{Receiver, ReceiverBuilder};
pub use sender::{Confirm, Sender};
pub use session::{SessionOptions, SessionReceiver, SessionReceiverBuilder};
pub use subscribe::{HandlerError, SubscribeOptions, Subscription};
pub use transaction::Transaction;

pub use bytes::Bytes;
pub use postrider_protocol::entity::{BreakerState, Counters, EntityInfo};
pub use postrider_protocol::error::{ErrorCode, Refusal};
pub use postrider_protocol::explain::{ExplainedRule, Part as ExplainedPart, Verdict};
pub use postrider_protocol::message::{DeadLetterInfo, Message};
pub use postrider_protocol::options::{EntityKind, OptionValue, Options};
pub use postrider_protocol::reply::{
    BackupInfo, CauseInfo, ConsumerInfo, ConsumersInfo, PeekState, SessionInfo, StatusInfo,
};
pub use postrider_protocol::request::{Cause, ReceiveMode, Selection, Settlement, States};
pub use postrider_protocol::rule::{Condition, Filter, Rule, RuleInfo, Sample, ShadowInfo};
pub use postrider_protocol::schedule::{Schedule, ScheduleInfo};
pub use postrider_protocol::token::LockToken;
pub use postrider_protocol::trace::{Step, StepKind};
pub use postrider_protocol::value::{Id, Value};
