//! Backups of a broker at work, and what is there when they are restored elsewhere.

use super::options;
use postrider_client::{Client, ErrorCode, Id, Message, Sender};
use postrider_tests::broker::{self, Process, Program, TOKEN, postrider};
use postrider_tests::command::run;
use postrider_tests::{Broker, DEADLINE, until};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Messages before the first backup, and bytes of each: more than what is published under load until the second.
const FIRST: u64 = 1000;
const BODY: usize = 16 << 10;

/// A broker with a queue `q`, a place for its backups, and a folder beside that.
async fn backed_up() -> (TempDir, Broker, Client) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let place = folder.path().join("backups").to_str().expect("a path in UTF-8").to_owned();
    let environment = vec![("POSTRIDER_BACKUP_DIR", place)];
    let broker = Broker::start_program(Program { environment, ..Program::default() });
    let client = broker.client().await;
    client.admin().create_queue("q", options(&[])).await.expect("a queue");
    (folder, broker, client)
}

fn message(id: u64) -> Message {
    let mut body = vec![0; BODY];
    fastrand::Rng::with_seed(id).fill(&mut body);
    Message::new(body).with_id(id)
}

/// Publishes one message after the other until it is aborted, and writes down which ones were acknowledged.
fn load(sender: Sender, from: u64, acknowledged: &Arc<AtomicU64>) -> JoinHandle<()> {
    let acknowledged = acknowledged.clone();
    tokio::spawn(async move {
        for id in from.. {
            sender.send(Message::new("under load").with_id(id)).await.expect("it is stored");
            acknowledged.store(id, Ordering::SeqCst);
        }
    })
}

/// Everything in `q` of a broker on a restored data directory, which knows the token that its predecessor knew.
async fn restored(data_dir: &Path) -> BTreeSet<u64> {
    let mut command = postrider();
    let process =
        Process::start(command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir));
    let address = broker::greeting(&process).expect("it starts");
    let client = broker::client(&format!("postrider://{TOKEN}@{address}")).connect().await.expect("a client");
    let mut left = client.admin().get("q").await.expect("the queue").counters.active;
    let mut receiver = client.receiver_builder("q").prefetch(200).open().await.expect("a receiver");
    let mut found = BTreeSet::new();
    while left > 0 {
        for delivery in receiver.receive_batch(200, DEADLINE).await.expect("messages") {
            let Some(Id::Number(id)) = delivery.message().message_id else { panic!("it was not sent") };
            assert!(id > FIRST || delivery.body() == &message(id).body, "message {id} is not what was sent");
            assert!(found.insert(id), "message {id} is there twice");
            delivery.complete().await.expect("locked");
            left -= 1;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_backup_is_in_it() {
    let (folder, mut broker, client) = backed_up().await;
    let admin = client.admin();
    let sender = client.sender("q").await.expect("a sender");
    for ids in (1..=FIRST).collect::<Vec<_>>().chunks(50) {
        sender.send_batch(ids.iter().map(|id| message(*id)).collect()).await.expect("answers");
    }
    let first = admin.backup(0).await.expect("a backup");
    assert_eq!(first.backup.number, 1);
    assert!(first.added_bytes > FIRST * BODY as u64, "{first:?}");

    let acknowledged = Arc::new(AtomicU64::new(0));
    let load = load(sender, FIRST + 1, &acknowledged);
    let mut expected = Vec::new();
    for number in 2..=4 {
        let seen = acknowledged.load(Ordering::SeqCst);
        until("there is load", async || acknowledged.load(Ordering::SeqCst) > seen + 20).await;
        expected.push(acknowledged.load(Ordering::SeqCst));
        let next = admin.backup(0).await.expect("a backup");
        assert_eq!(next.backup.number, number);
        assert!(next.added_bytes < first.added_bytes / 4, "what is there is not copied again: {next:?}");
        assert!(next.backup.bytes > first.added_bytes, "{next:?}");
    }
    assert_eq!(admin.backups().await.expect("a list").len(), 4);
    broker.kill9();
    load.abort();
    for (number, last) in (2..=4).zip(expected) {
        let to = folder.path().join(format!("restored-{number}"));
        restore(&folder, &to, &["--number", &number.to_string()]);
        let found = restored(&to).await;
        let missing: Vec<_> = (1..=last).filter(|id| !found.contains(id)).collect();
        assert!(missing.is_empty(), "backup {number} lacks {missing:?} of {last}");
    }
}

fn restore(folder: &TempDir, to: &Path, more: &[&str]) {
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let (from, to) = (text(&folder.path().join("backups")), text(to));
    run(&[&["restore", "--from", &from, "--data-dir", &to], more].concat()).done();
    run(&["verify", "--data-dir", &to]).done();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_at_a_time() {
    let (_folder, _broker, client) = backed_up().await;
    let admin = client.admin();
    let outcomes = futures_util::future::join_all((0..8).map(|_| admin.backup(0))).await;
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(made > 0 && admin.backups().await.expect("a list").len() == made, "{outcomes:?}");
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    assert!(
        refused.map(postrider_client::Error::code).all(|code| code == Some(ErrorCode::Busy)),
        "{outcomes:?}"
    );
}
