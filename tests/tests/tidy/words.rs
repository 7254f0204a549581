//! Words that must not be there.

use super::tree::{File, Tree, code};

/// What would make the core depend on more than its input.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "thread_rng",
    "rand::",
    "HashMap",
    "HashSet",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "println!",
    "tokio::",
    "tracing::",
];

/// The core decides from its input alone.
pub fn core(tree: &Tree) -> Vec<String> {
    let core = tree.sources().filter(|file| file.path.starts_with("broker/core/src/"));
    core.flat_map(|file| find(file, file.shipped(), IMPURE, code)).collect()
}

/// No channel without a bound, anywhere.
pub fn bounded(tree: &Tree) -> Vec<String> {
    let words = &["unbounded", "std::sync::mpsc::channel", " mpsc::channel()"];
    shipped(tree).flat_map(|file| find(file, file.text, words, code)).collect()
}

/// Nothing that waits to be finished.
pub fn finished(tree: &Tree) -> Vec<String> {
    let words = &["TODO", "FIXME", "XXX", "todo!", "unimplemented!", "dbg!"];
    tree.sources().flat_map(|file| find(file, file.text, words, |line| line)).collect()
}

/// No file for whatever has no home.
pub fn file_names(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.sources() {
        let parts = file.path.trim_end_matches(".rs").split('/');
        let named =
            parts.filter(|part| ["util", "utils", "common", "helper", "helpers", "misc"].contains(part));
        problems.extend(named.map(|part| format!("{}: {part}", file.path)));
    }
    problems
}

/// Tests wait for what is to happen.
pub fn sleepless(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.sources() {
        let Some(from) = file.tests() else { continue };
        let before = file.text[..from].lines().count();
        let found = lines(&file.text[from..], &["thread::sleep", "time::sleep"], code);
        problems.extend(found.map(|(line, word)| format!("{}:{}: {word}", file.path, before + line)));
    }
    problems
}

fn shipped(tree: &Tree) -> impl Iterator<Item = File<'_>> {
    tree.sources().filter(|file| file.path.contains("/src/"))
}

fn find(file: File<'_>, text: &str, words: &[&'static str], part: fn(&str) -> &str) -> Vec<String> {
    lines(text, words, part).map(|(line, word)| format!("{}:{line}: {word}", file.path)).collect()
}

/// Lines, counted from 1, and the first word that each has.
fn lines<'a>(
    text: &'a str,
    words: &'a [&'static str],
    part: fn(&str) -> &str,
) -> impl Iterator<Item = (usize, &'static str)> + 'a {
    let word = move |line: &str| words.iter().find(|word| has_word(part(line), word)).copied();
    text.lines().enumerate().filter_map(move |(at, line)| word(line).map(|word| (at + 1, word)))
}

/// Whether a line has a word that is not the end of a longer one, where it begins like one.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let begins = word.starts_with(is_part);
    line.match_indices(word).any(|(at, _)| !begins || !line[..at].ends_with(is_part))
}
