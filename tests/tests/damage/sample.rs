//! A sound data directory, made by the real program: tables of several starts, a log that only memory had the rows of,
//! messages that were completed and dead-lettered meanwhile, and a list of what was acknowledged.

use postrider_client::{Client, Message, Options, PeekQuery, States};
use postrider_tests::broker::{self, Process};
use postrider_tests::tee::AllRows;
use postrider_tests::{Broker, DEADLINE};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const QUEUE: &str = "orders";
/// Messages that are sent between two starts; a third of those that are received then goes.
const PORTION: u32 = 800;
const PORTIONS: u32 = 5;

/// How the last start of a sample ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As after a crash: what came last is in the log alone.
    Killed,
    /// In order: all is in tables.
    Stopped,
}

/// A data directory that nobody has open.
pub struct Sample {
    broker: Broker,
    /// The bodies that must be in the queue, and no others.
    active: BTreeSet<Vec<u8>>,
    dead: BTreeSet<Vec<u8>>,
    /// The watermark and the log's length before the last commits.
    earlier: (Vec<u8>, u64),
}

impl Sample {
    pub fn make(ending: Ending) -> Sample {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (active, dead) = (BTreeSet::new(), BTreeSet::new());
        let mut sample = Sample { broker: Broker::start(), active, dead, earlier: (Vec::new(), 0) };
        for portion in 0..PORTIONS {
            runtime.block_on(sample.fill(portion));
            let is_last = portion == PORTIONS - 1;
            // A crash in between: the next start moves the log into a table.
            if portion == 0 || is_last && ending == Ending::Killed {
                sample.broker.kill9();
            } else {
                sample.broker.terminate();
            }
            if !is_last {
                sample.broker.restart();
            }
        }
        sample
    }

    async fn fill(&mut self, portion: u32) {
        let client = self.broker.client().await;
        if portion == 0 {
            client.admin().create_queue(QUEUE, Options::new()).await.expect("a queue");
        }
        let sender = client.sender(QUEUE).await.expect("a sender");
        for batch in 0..PORTION / 100 {
            let body = |number| format!("{portion}-{batch}-{number} {}", "x".repeat(200)).into_bytes();
            let bodies: Vec<_> = (0..100).map(body).collect();
            let messages = bodies.iter().cloned().map(Message::new).collect();
            let outcomes = sender.send_batch(messages).await.expect("a batch is answered");
            assert!(outcomes.iter().all(Result::is_ok));
            self.active.extend(bodies);
        }
        self.settle(&client).await;
        self.earlier = (self.watermark(), log(self.broker.dir()).metadata().expect("a log").len());
        for number in 0..3 {
            let body = format!("{portion}-last-{number} {}", "y".repeat(2_000)).into_bytes();
            sender.send(Message::new(body.clone())).await.expect("it is stored");
            self.active.insert(body);
        }
        client.close().await.expect("a client closes in order");
    }

    async fn settle(&mut self, client: &Client) {
        let mut receiver = client.receiver_builder(QUEUE).prefetch(100).open().await.expect("a receiver");
        for delivery in receiver.receive_batch(100, Duration::from_secs(5)).await.expect("messages") {
            match delivery.sequence() % 3 {
                0 => {
                    delivery.complete().await.expect("it is locked");
                    self.active.remove(&delivery.body()[..]);
                }
                1 => {
                    delivery.dead_letter_with("Broken", "").await.expect("it is locked");
                    self.active.remove(&delivery.body()[..]);
                    self.dead.insert(delivery.body().to_vec());
                }
                _ => delivery.release().await.expect("it is locked"),
            }
        }
        receiver.close().await.expect("a receiver closes in order");
    }

    fn watermark(&self) -> Vec<u8> {
        fs::read(self.broker.dir().join("watermark")).expect("a watermark")
    }

    /// A copy as it is when the power fails before the last commits are on the disk: the log ends anywhere in them, and
    /// the watermark does not count them.
    pub fn torn_copy(&self, random: &mut fastrand::Rng) -> TempDir {
        let copy = self.copy();
        let file = OpenOptions::new().write(true).open(log(copy.path())).expect("a log");
        let size = file.metadata().expect("a log").len();
        file.set_len(random.u64(self.earlier.1..size)).expect("it can be cut");
        fs::write(copy.path().join("watermark"), &self.earlier.0).expect("it can be written");
        copy
    }

    /// A copy to be damaged.
    pub fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a temporary directory");
        for folder in ["", "store"] {
            let (from, to) = (self.broker.dir().join(folder), copy.path().join(folder));
            fs::create_dir_all(&to).expect("a folder");
            for entry in fs::read_dir(from).expect("a folder") {
                let entry = entry.expect("a file");
                if entry.path().is_file() {
                    fs::copy(entry.path(), to.join(entry.file_name())).expect("it can be copied");
                }
            }
        }
        copy
    }

    /// Panics unless everything acknowledged is somewhere in these rows.
    pub fn check_rows(&self, rows: &AllRows) {
        let has = |body: &Vec<u8>| rows.values().any(|row| row.windows(body.len()).any(|part| part == body));
        let mut some = self.active.iter().chain(&self.dead).step_by(97);
        assert!(some.all(has), "what was acknowledged is stored");
    }

    /// Starts the real program on a damaged copy: it refuses by name, or has everything acknowledged and nothing that
    /// was completed.
    pub fn check_program(&self, dir: &Path, what: &str) {
        let mut process = Process::start(&mut broker::serve(dir, "127.0.0.1:0"));
        let Some(address) = broker::greeting(&process) else {
            let status = process.wait();
            let said = process.stderr();
            assert!(status.code() == Some(2) && said.contains("the store"), "{what}: {status}; {said}");
            return;
        };
        let url = format!("postrider://{}@{address}", broker::TOKEN);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let reading = async { tokio::time::timeout(DEADLINE, read(&url)).await };
        // A page that cannot be read ends the process while somebody reads.
        let Ok(Ok((active, dead))) = runtime.block_on(reading) else {
            let status = process.wait();
            let said = process.stderr();
            assert!(status.code() == Some(70) && said.contains("fatal: "), "{what}: {status}; {said}");
            return;
        };
        assert!(active == self.active && dead == self.dead, "{what}: less or more in silence");
    }
}

/// The log that is written: the newest one.
fn log(dir: &Path) -> PathBuf {
    super::fault::logs(dir).pop().expect("a log")
}

/// The bodies of the queue and of its dead letters.
async fn read(url: &str) -> Result<(BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>), postrider_client::Error> {
    let client = Client::connect(url).await?;
    let admin = client.admin();
    let mut found = (BTreeSet::new(), BTreeSet::new());
    for (address, bodies) in
        [(QUEUE.to_owned(), &mut found.0), (format!("{QUEUE}/$dead-letter"), &mut found.1)]
    {
        let mut messages =
            admin.peek_all(&address, PeekQuery { states: States::ALL, ..PeekQuery::default() });
        while let Some(peeked) = messages.next().await? {
            bodies.insert(peeked.message.body.to_vec());
        }
    }
    Ok(found)
}
