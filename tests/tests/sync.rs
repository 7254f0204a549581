//! An answer waits for its sync. When that fails: the process ends within a second, nothing is acknowledged after it, and what was acknowledged before
//! is there after a restart. The failure comes from a library in front of the system's own, see `sync/shim.c`.

use postrider_client::{Client, Message, Options, PeekQuery, ReconnectPolicy};
use postrider_tests::broker::{self, Process, TOKEN};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The first so many syncs after the start fail, one in each run.
const SYNCS: u32 = 40;
/// Messages that are acknowledged one after the other.
const MESSAGES: usize = 50;
/// From the failure to the end of the process: a second, and another one for a busy machine.
const WITHIN: Duration = Duration::from_secs(2);

fn shim(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sync/shim.c");
    let library = folder.join("shim.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(built.expect("there is a C compiler").success());
    library
}

#[test]
fn a_sync_that_fails_ends_the_process() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let library = shim(folder.path());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for failing in 1..=SYNCS {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let failed = folder.path().join(format!("failed-{failing}"));
        let mut command = broker::serve(dir.path(), "127.0.0.1:0");
        command.env("LD_PRELOAD", &library).env("SHIM_FAIL", failing.to_string()).env("SHIM_FAILED", &failed);
        let mut process = Process::start(&mut command);
        let acknowledged = match broker::greeting(&process) {
            Some(address) => runtime.block_on(publish(&format!("postrider://{TOKEN}@{address}"), &failed)),
            None => BTreeSet::new(),
        };
        let status = process.wait();
        assert!(failed.exists(), "sync {failing} did not fail: {status}");
        // A start that fails is refused; nobody was told anything yet.
        let refused = acknowledged.is_empty() && status.code() == Some(2);
        assert!(refused || status.code() == Some(70), "sync {failing}: {status}; {}", process.stderr());
        let since = failed.metadata().and_then(|file| file.modified()).expect("a time").elapsed();
        let since = since.unwrap_or_default();
        assert!(since < WITHIN, "sync {failing}: it ended {since:?} after the failure");
        check(dir.path(), &acknowledged, &runtime, failing);
    }
}

/// Syncs take long here, so that an answer that does not wait for its own comes before it.
#[test]
fn an_answer_waits_for_its_sync() {
    let (folder, dir) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let synced = folder.path().join("synced");
    let syncs = || synced.metadata().expect("something was synced at the start").len();
    let mut command = broker::serve(dir.path(), "127.0.0.1:0");
    command.env("LD_PRELOAD", shim(folder.path())).env("SHIM_SYNCED", &synced);
    let process = Process::start(&mut command);
    let address = broker::greeting(&process).expect("it serves");
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let client = Client::connect(&format!("postrider://{TOKEN}@{address}")).await.expect("a client");
        client.admin().create_queue("q", Options::new()).await.expect("a queue");
        let sender = client.sender("q").await.expect("a sender");
        for number in 0..MESSAGES {
            let before = syncs();
            sender.send(Message::new("")).await.expect("it is stored");
            assert!(syncs() > before, "message {number} was acknowledged before it was synced");
        }
    });
}

/// Publishes one by one until the broker is gone; returns what was acknowledged before the failure, and panics where
/// something was acknowledged after it.
async fn publish(url: &str, failed: &Path) -> BTreeSet<Vec<u8>> {
    let once = ReconnectPolicy { give_up_after: Some(Duration::ZERO), ..ReconnectPolicy::default() };
    let builder = Client::builder().url(url).reconnect(once).request_timeout(Duration::from_secs(5));
    let mut acknowledged = BTreeSet::new();
    let Ok(client) = builder.connect().await else { return acknowledged };
    if client.admin().create_queue("q", Options::new()).await.is_err() {
        return acknowledged;
    }
    let Ok(sender) = client.sender("q").await else { return acknowledged };
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        let body = format!("message {}", acknowledged.len()).into_bytes();
        let had_failed = failed.exists();
        if sender.send(Message::new(body.clone())).await.is_err() {
            break;
        }
        assert!(!had_failed, "acknowledged after a sync had failed");
        acknowledged.insert(body);
    }
    acknowledged
}

/// Starts it again without failures: everything acknowledged is there.
fn check(dir: &Path, acknowledged: &BTreeSet<Vec<u8>>, runtime: &tokio::runtime::Runtime, failing: u32) {
    let process = Process::start(&mut broker::serve(dir, "127.0.0.1:0"));
    let address =
        broker::greeting(&process).unwrap_or_else(|| panic!("sync {failing}: {}", process.stderr()));
    if acknowledged.is_empty() {
        return;
    }
    let found = runtime.block_on(async {
        let client = Client::connect(&format!("postrider://{TOKEN}@{address}")).await.expect("a client");
        let (mut found, admin) = (BTreeSet::new(), client.admin());
        let mut messages = admin.peek_all("q", PeekQuery::default());
        while let Some(peeked) = messages.next().await.expect("it can be read") {
            found.insert(peeked.message.body.to_vec());
        }
        found
    });
    assert!(found.is_superset(acknowledged), "sync {failing}: acknowledged messages are lost");
}
