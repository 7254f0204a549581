//! Receivers, and who gets which message.

pub(crate) mod breaker;
mod capacity;
mod consumers;
mod deferred;
mod deliver;
mod links;
mod sharing;
