//! The texts that `fuzz/` starts from, and those that it has found.

use super::fuzzed;
use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "the corpus is a folder of files")]
fn texts(target: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = folder.read_dir().unwrap().map(|file| file.unwrap().path());
    files.map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()).collect()
}

#[test]
fn the_corpus_does_no_harm() {
    let (parsed, evaluated) = (texts("filter_parse"), texts("filter_evaluate"));
    assert!(parsed.len() > 20 && evaluated.len() > 20, "the corpus was not read");
    parsed.iter().for_each(|text| fuzzed::parse(text));
    evaluated.iter().for_each(|row| fuzzed::evaluate(row));
}

#[test]
fn the_tables_do_no_harm() {
    for table in [include_str!("conformance.txt"), include_str!("actions.txt")] {
        for line in table.lines().filter(|line| !line.starts_with('#') && line.contains('|')) {
            let (row, _) = line.rsplit_once('|').unwrap();
            fuzzed::evaluate(row);
            fuzzed::parse(row.rsplit_once('|').unwrap().0);
        }
    }
}
