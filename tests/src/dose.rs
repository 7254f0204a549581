//! How much of a fault a run of the tests gets: little each time, a lot before a release.

/// The number in this environment variable, or `default` where it is not set.
pub fn dose(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")),
        Err(_) => default,
    }
}
