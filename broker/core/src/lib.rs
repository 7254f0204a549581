//! The decisions of Postrider.
//!
//! A [`shard::Shard`] takes turns: it [`decide`](shard::Shard::decide)s commands and lets time act
//! ([`tick`](shard::Shard::tick)), then [`seal`](shard::Shard::seal)s the turn. Out come [`fact`]s, to be remembered,
//! and [`effect`]s, to be told once the facts are durable. [`apply`] turns facts into rows under [`key`]s, blindly,
//! and [`shard::Shard::load`] builds the same state from these rows again.
//!
//! There is no clock, no I/O and no randomness in here: time and random bits come in with [`context::Context`], and
//! rows are read through [`context::Rows`]. Same state and inputs in, same facts and effects out.

pub mod apply;
mod bloom;
mod bodies;
mod breaker;
pub mod catalog;
pub mod command;
pub mod context;
pub mod damage;
pub mod effect;
mod ends;
pub mod fact;
pub mod filter;
mod idle;
pub mod journal;
pub mod key;
mod keys;
pub mod lease;
pub mod limits;
pub mod outbox;
pub mod outcomes;
pub mod page;
pub mod queue;
pub mod ranges;
pub mod receiver;
pub mod recorded;
pub mod replay;
pub mod rules;
mod seen;
pub mod session;
pub mod settings;
pub mod shard;
mod share;
mod staged;
mod utc;
pub mod verbs;
