//! What documents say of the code.

use super::tree::Tree;

/// The documents that say which test shows what they promise.
const PROMISING: [&str; 2] = ["SECURITY.md", "docs/semantics.md"];

/// Tests that these documents name are there: `target::test`, where the target is the name of a file or of a folder, and
/// `scripts/name` of the core's golden scripts.
pub fn named_tests(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.files().filter(|file| PROMISING.contains(&file.path)) {
        // What stands between two backticks is every second part.
        let named = file.text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let missing = named.filter(|name| !is_there(tree, name));
        problems.extend(missing.map(|name| format!("{}: {name} is not there", file.path)));
    }
    problems
}

/// Whether a name is no test's, or there is such a test.
fn is_there(tree: &Tree, name: &str) -> bool {
    if let Some(script) = name.strip_prefix("scripts/").filter(|script| is_name(script)) {
        return tree.has(&format!("broker/core/tests/scripts/{script}.txt"));
    }
    match name.split_once("::").filter(|(target, test)| is_name(target) && is_name(test)) {
        Some((target, test)) => tree.sources().any(|file| {
            let mut parts = file.path.trim_end_matches(".rs").split('/');
            parts.any(|part| part == target) && file.text.contains(&format!("fn {test}("))
        }),
        None => true,
    }
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}
