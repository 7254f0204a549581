//! The decisions of Postrider.
//!
//! A [`shard::Shard`] takes turns: it [`decide`](shard::Shard::decide)s commands and lets time act
//! ([`tick`](shard::Shard::tick)), then [`seal`](shard::Shard::seal)s the turn. Out come [`fact`]s, to be remembered,
//! and [`effect`]s, to be told once the facts are durable. [`apply`] turns facts into rows under [`key`]s, blindly,
//! and [`shard::Shard::load`] builds the same state from these rows again.
//!
//! There is no clock, no I/O and no randomness in here: time and random bits come in with [`context::Context`], and
//! rows are read through [`context::Rows`]. Same state and inputs in, same facts and effects out.

mod alarms;
pub mod apply;
mod bloom;
pub mod catalog;
pub mod command;
pub mod context;
pub mod damage;
pub mod effect;
pub mod fact;
pub mod filter;
pub mod key;
pub mod lease;
pub mod limits;
pub mod outcomes;
pub mod page;
pub mod queue;
pub mod ranges;
pub mod receiver;
pub mod recorded;
pub mod settings;
pub mod shard;

mod browse;
mod bulk;
mod capacity;
mod causes;
mod choose;
mod consumers;
mod deferred;
mod deliver;
mod duplicates;
mod ends;
mod entities;
mod idle;
mod keys;
mod links;
mod locks;
pub mod moves;
mod publish;
mod recover;
mod room;
mod scheduled;
mod schedules;
mod seen;
pub mod session;
mod sessions;
mod settle;
mod share;
mod sharing;
mod staged;
mod unused;
mod utc;
mod walk;
