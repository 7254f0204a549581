//! The house's rules, as a test. Each rule is a function over the tree's files; a canary, a small tree that breaks
//! every rule, shows that each of them can fail.

mod arrows;
mod cycles;
mod documents;
mod manifests;
mod tree;
mod words;

use tree::Tree;

/// A rule: what it finds wrong, a line each, starting with the file.
type Rule = fn(&Tree) -> Vec<String>;

/// All rules, by name.
const RULES: &[(&str, Rule)] = &[
    ("crates import along the arrows", arrows::crates),
    ("rooms import along the arrows", arrows::rooms),
    ("foreign crates stay in their rooms", arrows::foreign),
    ("modules form no cycles", cycles::modules),
    ("the core has no clock, chance or hash order", words::core),
    ("channels are bounded", words::bounded),
    ("nothing is left to be done", words::finished),
    ("files have names that say something", words::file_names),
    ("tests do not sleep", words::sleepless),
    ("dependencies are pinned, and once", manifests::pinned),
    ("banned crates stay out", manifests::banned),
    ("documents name tests that are there", documents::named_tests),
];

#[test]
fn the_house_is_tidy() {
    let tree = Tree::read();
    assert!(tree.sources().count() > 100, "the tree was not found");
    let problems: Vec<_> = RULES.iter().flat_map(|(name, rule)| label(name, rule(&tree))).collect();
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}

fn label(name: &str, problems: Vec<String>) -> impl Iterator<Item = String> {
    problems.into_iter().map(move |problem| format!("{name}: {problem}"))
}

/// A tree that breaks every rule once, with what each rule must say about it.
fn canary() -> (Tree, Vec<(&'static str, Vec<&'static str>)>) {
    let tree = Tree::of(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = ['broker/core', 'broker']\n[workspace.dependencies]\nbytes = '1'",
        ),
        ("Cargo.lock", "[[package]]\nname = \"bincode\"\nversion = \"2.0.1\""),
        (
            "broker/core/Cargo.toml",
            "[dependencies]\npostrider-client = { workspace = true }\ntokio = { version = '1' }",
        ),
        (
            "broker/Cargo.toml",
            "[dependencies]\nserde = '*'\ntokio = { version = '1.2' }\nx = { git = 'https://x' }",
        ),
        (
            "broker/core/src/lib.rs",
            "use std::time::Instant;\nfn f() { Instant::now(); }\n// HashMap in prose is fine",
        ),
        ("broker/core/src/a.rs", "use crate::b::B;\nuse std::collections::HashMap;"),
        ("broker/core/src/b.rs", "use super::a;"),
        ("broker/src/store/mod.rs", "use crate::{gate::Gate, store::Own};"),
        (
            "broker/src/native/mod.rs",
            "fn f() { super::store::open(); tokio::sync::mpsc::unbounded_channel(); }",
        ),
        ("broker/src/gate.rs", "use postrider_core::shard::Shard;"),
        ("docs/semantics.md", "`t::f`, `t::g`, `scripts/no-such` and `mod::Type`"),
        ("broker/src/engine/helpers.rs", "// TODO: later"),
        ("broker/tests/t.rs", "fn f() { std::thread::sleep(d); }"),
        (
            "broker/src/config.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::native::X;\n    fn f() { tokio::time::sleep(d); }\n}",
        ),
    ]);
    let expected = vec![
        (
            "crates import along the arrows",
            vec!["broker/core/Cargo.toml: postrider-core must not import postrider-client"],
        ),
        (
            "rooms import along the arrows",
            vec![
                "broker/src/native/mod.rs: native must not import store",
                "broker/src/store/mod.rs: store must not import gate",
            ],
        ),
        (
            "foreign crates stay in their rooms",
            vec![
                "broker/core/Cargo.toml: postrider-core must not import tokio",
                "broker/src/gate.rs: gate must not import postrider_core",
            ],
        ),
        ("modules form no cycles", vec!["broker/core/src: a -> b -> a"]),
        (
            "the core has no clock, chance or hash order",
            vec!["broker/core/src/a.rs:2: HashMap", "broker/core/src/lib.rs:2: Instant::now"],
        ),
        ("channels are bounded", vec!["broker/src/native/mod.rs:1: unbounded"]),
        ("nothing is left to be done", vec!["broker/src/engine/helpers.rs:1: TODO"]),
        ("files have names that say something", vec!["broker/src/engine/helpers.rs: helpers"]),
        (
            "tests do not sleep",
            vec!["broker/src/config.rs:4: time::sleep", "broker/tests/t.rs:1: thread::sleep"],
        ),
        (
            "dependencies are pinned, and once",
            vec![
                "broker/Cargo.toml: serde has any version",
                "broker/Cargo.toml: x does not come from the registry",
                "broker/core/Cargo.toml: tokio is 1, elsewhere 1.2",
            ],
        ),
        ("banned crates stay out", vec!["Cargo.lock: bincode"]),
        (
            "documents name tests that are there",
            vec!["docs/semantics.md: t::g is not there", "docs/semantics.md: scripts/no-such is not there"],
        ),
    ];
    (tree, expected)
}

#[test]
fn every_rule_finds_the_canary() {
    let (tree, expected) = canary();
    for ((name, rule), (expected_name, expected)) in RULES.iter().zip(&expected) {
        assert_eq!(name, expected_name);
        assert_eq!(&rule(&tree), expected, "{name}");
    }
    assert_eq!(RULES.len(), expected.len(), "a rule without a canary may never fail");
}
