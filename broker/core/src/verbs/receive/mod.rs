//! Receivers, and who gets which message.

mod capacity;
mod consumers;
mod deferred;
mod deliver;
mod links;
mod sharing;
