//! Rules of topics' subscriptions: each is parsed once, when it is put or loaded, and found through the index of its
//! topic.

mod explained;
mod index;
mod parsed;

pub use index::{Index, RuleId};
pub use parsed::ParsedRule;
