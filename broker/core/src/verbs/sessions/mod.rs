//! What is done with sessions: locking them, giving out their messages in order, their states. What is known of them is in
//! [`crate::session`].

mod delivery;
mod locks;
mod messages;
mod state;
mod waiting;

pub(crate) use messages::SESSION_MISSING;
