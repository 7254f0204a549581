//! How much of a fault a run of the tests gets: little each time, a lot before a release.

/// Environment variables that say so. Those of the same name mean the same everywhere.
pub const DOSES: [&str; 8] = [
    "POSTRIDER_BACKLOG",
    "POSTRIDER_BLOCK_CUTS",
    "POSTRIDER_CUTS",
    "POSTRIDER_DAMAGES",
    "POSTRIDER_FILLS",
    "POSTRIDER_KILLS",
    "POSTRIDER_SEED",
    "POSTRIDER_SEEDS",
];

/// The number in one of these variables, or `default` where it is not set.
pub fn dose(variable: &str, default: usize) -> usize {
    assert!(DOSES.contains(&variable), "{variable} is not among the doses");
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")),
        Err(_) => default,
    }
}
