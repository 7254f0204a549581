//! Assembles a broker: data directory, store, engine, gate, door.

use crate::backup::Backups;
use crate::engine::{self, Engine, Identity, Parts, SystemClock};
use crate::gate::Gate;
use crate::native::Door;
use crate::store::{self, DataDir, Disk, LocalLog, StoreError, StoreRow};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Shards that a store can have.
pub const SHARDS: std::ops::RangeInclusive<u16> = 1..=1024;

/// Bytes that a shard's journal can have, where there is one; a trace reads all of them in one go.
pub const JOURNAL_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=16 * 1024 * 1024;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where everything is kept; made where it does not exist.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 for any.
    pub listen: SocketAddr,
    /// Shards of a fresh store; an existing one keeps its number.
    pub shards: u16,
    /// Bytes that the journal of each shard may have, 0 for none: see [`JOURNAL_BYTES`].
    pub journal_bytes: u64,
    /// Bytes of the disk that are kept for what makes room; 0 for none, `None` for the larger of 1 GiB and 5 %.
    pub disk_reserve: Option<u64>,
    /// Where backups are kept; `None` for nowhere.
    pub backup_dir: Option<PathBuf>,
    /// A token to admit; without one a fresh data directory gets a random one.
    pub token: Option<String>,
}

/// Why a server did not start: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartError {
    message: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {}

impl From<String> for StartError {
    fn from(message: String) -> Self {
        StartError { message }
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        StartError { message: error.what }
    }
}

/// A running broker.
pub struct Server {
    address: SocketAddr,
    new_token: Option<String>,
    engine: Engine,
    backups: Arc<Backups>,
    thread: JoinHandle<()>,
    door: tokio::task::JoinHandle<()>,
    stopping: CancellationToken,
    /// This process's own as long as the server runs.
    _dir: DataDir,
}

impl Server {
    /// Starts a broker; it serves until [`Server::stop`]. When its store fails, the process ends with a message.
    pub async fn start(config: ServerConfig) -> Result<Server, StartError> {
        let dir = DataDir::claim(&config.data_dir)?;
        let (gate, new_token) = Gate::open(&config.data_dir, config.token.as_deref())?;
        let Started { engine, thread, identity, backups } = start_engine(&dir, &config)?;
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let stopping = CancellationToken::new();
        let door = Arc::new(Door::new(engine.clone(), gate, identity, backups.clone(), stopping.clone()));
        let door = tokio::spawn(door.serve(listener));
        Ok(Server { address, new_token, engine, backups, thread, door, stopping, _dir: dir })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The token that this start has made; it is not kept anywhere and cannot be shown again.
    pub fn new_token(&self) -> Option<&str> {
        self.new_token.as_deref()
    }

    /// The engine, for tests that make a shard step down.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops in order: no new connections, a goodbye to those that are open, and what was handed over is done.
    pub async fn stop(self) {
        self.stopping.cancel();
        if let Err(error) = self.door.await {
            tracing::error!(%error, "the door ended badly");
        }
        self.engine.stop().await;
        let joined = tokio::task::spawn_blocking(move || {
            self.backups.finish();
            self.thread.join()
        });
        let joined = joined.await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the engine ended badly");
        }
    }
}

/// What an engine was started with and for.
struct Started {
    engine: Engine,
    thread: JoinHandle<()>,
    identity: Identity,
    backups: Arc<Backups>,
}

fn start_engine(dir: &DataDir, config: &ServerConfig) -> Result<Started, StartError> {
    if !SHARDS.contains(&config.shards) {
        let (found, least, most) = (config.shards, SHARDS.start(), SHARDS.end());
        return Err(format!("shards: found {found}, allowed is {least} to {most}").into());
    }
    let (store, StoreRow { identity, shards, .. }) = store::open(dir, config.shards)?;
    if let Some(note) = dir.take_note() {
        tracing::warn!("{note}");
    }
    let disk = Disk::of(dir.path(), config.disk_reserve)?;
    let store = store.on(disk.clone())?;
    let backups = match &config.backup_dir {
        Some(to) => Backups::new(to, dir, store.clone(), identity, disk.clone())?,
        None => Backups::nowhere(),
    };
    let parts = Parts {
        log: Box::new(LocalLog::new(store.clone())),
        rows: Arc::new(store),
        disk,
        clock: Box::new(SystemClock::new()),
        entropy: engine::system_entropy(),
        shards,
        journal_bytes: config.journal_bytes,
        identity,
        on_failure: Box::new(die),
    };
    let (engine, thread) = engine::start(parts)?;
    Ok(Started { engine, thread, identity, backups: Arc::new(backups) })
}

/// What is acknowledged must be on stable storage. When that cannot be had any more, nothing may be answered.
fn die(error: &StoreError) {
    tracing::error!(%error, "the store failed; the process ends, nothing undecided was acknowledged");
    eprintln!(
        "fatal: {error}; the process ends. Everything acknowledged is stored. Check the disk, then start again."
    );
    std::process::exit(70);
}
