//! What must never be found.

use std::fmt;

/// What cannot be true of a sound store. Whoever sees it must stop: nothing decided on top of it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What was found where.
    pub what: String,
}

impl Damage {
    /// Damage, described.
    pub fn new(what: impl Into<String>) -> Self {
        Damage { what: what.into() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Damage {}
