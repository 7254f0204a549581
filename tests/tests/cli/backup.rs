//! `backup` and `restore`.

use postrider_tests::Broker;
use postrider_tests::broker::{Program, postrider};
use postrider_tests::command::{Outcome, finish, run};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A broker with a place for backups, a queue `q` and a message in it.
fn broker() -> (TempDir, Broker) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let environment = vec![("POSTRIDER_BACKUP_DIR", text(&folder.path().join("backups")))];
    let broker = Broker::start_program(Program { environment, ..Program::default() });
    broker.run("queue create q").done();
    broker.run("send q one").done();
    (folder, broker)
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn restore(folder: &TempDir, to: &str, more: &[&str]) -> Outcome {
    let (from, to) = (text(&folder.path().join("backups")), text(&folder.path().join(to)));
    run(&[&["restore", "--from", &from, "--data-dir", &to], more].concat())
}

/// The files in a folder of the backups.
fn files(folder: &TempDir, of: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path().join("backups").join(of)).expect("it is there");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_backup_is_made_listed_and_restored() {
    let (folder, broker) = broker();
    let none = broker.run("backup --list");
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "no backups\n"));
    let made = broker.run("backup").done();
    assert!(made.starts_with("backup 1 was made in ") && made.contains(" of them new"), "{made}");
    broker.run("send q two").done();
    let made = broker.run("backup -o json").json();
    assert_eq!((&made["number"], &made["duration_ms"].is_u64()), (&2.into(), &true));
    assert!(made["added_bytes"].as_u64() < made["bytes"].as_u64(), "{made}");
    let listed = broker.run("backup --list -o json").json();
    assert_eq!(super::each(&listed, "number"), [1, 2]);
    assert_eq!(listed[1]["bytes"], made["bytes"]);

    let told = restore(&folder, "new", &[]).done();
    assert!(told.starts_with("restored backup 2 of 2"), "{told}");
    assert!(
        told.contains(": 2 messages in 1 entities, sound\nstart it with: postrider serve --data-dir "),
        "{told}"
    );
    restore(&folder, "new", &[]).failed(2, "is not empty");
    let older = restore(&folder, "older", &["--number", "1", "-o", "json"]).json();
    assert_eq!((&older["number"], &older["messages"]), (&1.into(), &1.into()));
    restore(&folder, "none", &["--number", "7"]).failed(2, "there is no backup 7 in ");

    broker.run("backup --keep 1").done();
    let listed = broker.run("backup --list -o json").json();
    assert_eq!(super::each(&listed, "number"), [3]);
}

#[test]
fn a_damaged_backup_is_refused_by_name() {
    let (folder, broker) = broker();
    broker.run("backup").done();
    broker.run("backup").done();
    let meta = folder.path().join("backups/meta/2");
    let whole = fs::read(&meta).expect("it is there");
    fs::write(&meta, &whole[..whole.len() / 2]).expect("a cut file");
    restore(&folder, "new", &[]).failed(2, "backup 2 in ");
    restore(&folder, "new", &[]).failed(2, "is damaged: it cannot be read; there are 1");
    restore(&folder, "first", &["--number", "1"]).done();

    for table in files(&folder, "shared_checksum") {
        let mut bytes = fs::read(&table).expect("a table");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&table, bytes).expect("a flipped bit");
    }
    restore(&folder, "new", &["--number", "1"]).failed(2, "backup 1 in ");
    restore(&folder, "new", &["--number", "1"]).failed(2, "is damaged: Corruption: ");
    assert!(!folder.path().join("new/store").exists(), "nothing is left of it");
}

#[test]
fn backups_have_a_place_or_are_refused() {
    let broker = Broker::start();
    broker.run("backup").failed(1, "start it with --backup-dir");
    broker.run("backup --list").failed(1, "start it with --backup-dir");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data", "--backup-dir", "data/backups"];
    let inside = finish(postrider().current_dir(folder.path()).args(serve), "");
    inside.failed(2, "backup_dir: data/backups is inside of the data directory data");
    run(&["restore", "--from", "/nowhere", "--data-dir", &text(&folder.path().join("new"))])
        .failed(2, "there can be no backups in /nowhere");
}
