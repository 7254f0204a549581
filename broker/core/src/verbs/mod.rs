//! What a shard does, a verb at a time: each file adds its part to [`Shard`](crate::shard::Shard). What the shard
//! knows, and how it is stored, is in the modules beside this one.

mod alarms;
mod bulk;
mod entities;
mod forward;
mod leaving;
mod publish;
mod receive;
mod recover;
mod sessions;
pub mod settle;
pub mod trace;
mod transact;
