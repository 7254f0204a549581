//! What CloudMart's services have in common: what an order looks like, how to reach the broker, and the history that
//! each service keeps of what it did.

pub mod generator;
pub mod history;
pub mod order;
pub mod service;

/// The topic that the order service publishes to.
pub const ORDER_EVENTS: &str = "order-events";
/// The queue of the e-mails to be sent.
pub const EMAIL_QUEUE: &str = "email-queue";
