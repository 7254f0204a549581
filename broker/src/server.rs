//! Assembles a broker: data directory, store, engine, gate, door.

use crate::engine::{self, Engine, Identity, Parts, SystemClock};
use crate::gate::Gate;
use crate::native::Door;
use crate::store::{LocalLog, RocksStore, Store, StoreError};
use bytes::{BufMut, Bytes, BytesMut};
use postrider_core::apply::Write;
use postrider_core::context::Rows;
use postrider_core::key::Key;
use postrider_protocol::wire::{Malformed, Reader};
use std::fmt;
use std::fs::{DirBuilder, File, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The format of the store that this version reads and writes.
const FORMAT: u16 = 1;
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
    thread: JoinHandle<()>,
    door: tokio::task::JoinHandle<()>,
    stopping: CancellationToken,
    /// Locked as long as the server runs; the system lets go of it however the process ends.
    _lock: File,
}

impl Server {
    /// Starts a broker; it serves until [`Server::stop`]. When its store fails, the process ends with a message.
    pub async fn start(config: ServerConfig) -> Result<Server, StartError> {
        let lock = claim(&config.data_dir)?;
        let (gate, new_token) = Gate::open(&config.data_dir, config.token.as_deref())?;
        let (engine, identity, thread) = start_engine(&config)?;
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let stopping = CancellationToken::new();
        let door = Arc::new(Door::new(engine.clone(), gate, identity, stopping.clone()));
        let door = tokio::spawn(door.serve(listener));
        Ok(Server { address, new_token, engine, thread, door, stopping, _lock: lock })
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
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the engine ended badly");
        }
    }
}

/// Makes the data directory this process's own.
fn claim(data_dir: &Path) -> Result<File, StartError> {
    let here = data_dir.display();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    made.map_err(|error| format!("the data directory {here} cannot be made: {error}"))?;
    let file =
        File::create(data_dir.join("lock")).map_err(|error| format!("{here} cannot be written: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(format!("the data directory {here} is in use by another broker; stop it, or choose another with --data-dir").into())
        }
        Err(TryLockError::Error(error)) => Err(format!("the data directory {here} cannot be locked: {error}").into()),
    }
}

fn start_engine(config: &ServerConfig) -> Result<(Engine, Identity, JoinHandle<()>), StartError> {
    let store = RocksStore::open(&config.data_dir.join("store"))?;
    let (identity, shards) = identify(&store, config.shards)?;
    let parts = Parts {
        log: Box::new(LocalLog::new(store.clone())),
        rows: Arc::new(store),
        clock: Box::new(SystemClock::new()),
        shards,
        journal_bytes: config.journal_bytes,
        identity,
        on_failure: Box::new(die),
    };
    let (engine, thread) = engine::start(parts)?;
    Ok((engine, identity, thread))
}

/// What is acknowledged must be on stable storage. When that cannot be had any more, nothing may be answered.
fn die(error: &StoreError) {
    tracing::error!(%error, "the store failed; the process ends, nothing undecided was acknowledged");
    eprintln!(
        "fatal: {error}; the process ends. Everything acknowledged is stored. Check the disk, then start again."
    );
    std::process::exit(70);
}

/// Reads what the store was made as, and makes a fresh one.
fn identify(store: &RocksStore, shards: u16) -> Result<(Identity, u16), StartError> {
    let found = store.get(&Key::Store).map_err(StoreError::from)?;
    match found {
        Some(row) => {
            let read =
                read_identity(row).map_err(|malformed| format!("the store cannot be read: {malformed}"))?;
            Ok(read)
        }
        None if SHARDS.contains(&shards) => {
            let mut random = [0; 16];
            getrandom::fill(&mut random)
                .map_err(|error| format!("no random bits for a fresh store: {error}"))?;
            let identity = Identity { cluster: u128::from_ne_bytes(random), node: 1 };
            store.commit(&[Write::Put(Key::Store, identity_row(identity, shards))])?;
            Ok((identity, shards))
        }
        None => {
            Err(format!("shards: found {shards}, allowed is {} to {}", SHARDS.start(), SHARDS.end()).into())
        }
    }
}

fn identity_row(identity: Identity, shards: u16) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u16(FORMAT);
    out.put_u16(shards);
    out.put_u128(identity.cluster);
    out.put_u64(identity.node);
    out.freeze()
}

fn read_identity(row: Bytes) -> Result<(Identity, u16), Malformed> {
    let mut reader = Reader::new(row);
    let format = reader.u16("store.format")?;
    if format != FORMAT {
        let problem = format!(
            "is {format}, this version reads {FORMAT}; use the version that wrote it, or a newer one"
        );
        return Err(Malformed::new("store.format", problem));
    }
    let shards = reader.u16("store.shards")?;
    let identity = Identity { cluster: reader.u128("store.cluster")?, node: reader.u64("store.node")? };
    Ok((identity, shards))
}
