//! A broker inside the test: any store, any log, and the native door in front.

use crate::broker::TOKEN;
use postrider::backup::Backups;
use postrider::engine::{self, Engine, Identity, Parts, SystemClock};
use postrider::gate::Gate;
use postrider::native::Door;
use postrider::store::{Disk, ShardLog, StoreError};
use postrider_core::context::Rows;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A broker inside the test.
pub struct Inside {
    /// Its engine.
    pub engine: Engine,
    /// Where its door listens.
    pub address: SocketAddr,
    /// Why its store failed, when it has.
    pub failure: Arc<OnceLock<StoreError>>,
    thread: JoinHandle<()>,
    door: tokio::task::JoinHandle<()>,
    stopping: CancellationToken,
}

impl Inside {
    /// Starts an engine on a log and its rows, and a door to it at `address`.
    pub async fn start(
        log: impl ShardLog + 'static,
        rows: impl Rows + Send + Sync + 'static,
        shards: u16,
        address: SocketAddr,
    ) -> Inside {
        let identity = Identity { cluster: 1, node: 1 };
        let failure = Arc::new(OnceLock::new());
        let told = failure.clone();
        let parts = Parts {
            journal_bytes: 4 << 20,
            log: Box::new(log),
            rows: Arc::new(rows),
            disk: Arc::new(Disk::unwatched()),
            clock: Box::new(SystemClock::new()),
            entropy: engine::system_entropy(),
            shards,
            identity,
            on_failure: Box::new(move |error| told.set(error.clone()).expect("told once")),
        };
        let (engine, thread) = engine::start(parts).expect("the shards can be loaded");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (gate, _) = Gate::open(dir.path(), Some(TOKEN)).expect("a gate");
        let listener = TcpListener::bind(address).await.expect("an address to listen at");
        let address = listener.local_addr().expect("it listens somewhere");
        let stopping = CancellationToken::new();
        let door = Arc::new(Door::new(
            engine.clone(),
            gate,
            identity,
            Arc::new(Backups::nowhere()),
            stopping.clone(),
        ));
        let door = tokio::spawn(door.serve(listener));
        Inside { engine, address, failure, thread, door, stopping }
    }

    /// Address and token for clients.
    pub fn url(&self) -> String {
        format!("postrider://{TOKEN}@{}", self.address)
    }

    /// Closes the door, does what was handed over, and ends.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.door.await.expect("the door does not panic");
        self.engine.stop().await;
        self.thread.join().expect("the engine does not panic");
    }
}
