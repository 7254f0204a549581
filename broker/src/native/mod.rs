//! The native door: the framed TCP protocol of `docs/protocol.md`.
//!
//! A connection starts as [`handshake::Stranger`], which can do one thing. Once it is admitted, one task reads its
//! requests and another one writes what the engine has for it, so that neither can hold up the other.

mod handshake;
mod links;
mod session;
mod translate;
mod writer;

use crate::backup::Backups;
use crate::engine::{Engine, Identity};
use crate::gate::Gate;
use handshake::Stranger;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections that may be open before they have authenticated, over all.
const STRANGERS: usize = 1024;
/// Connections in all.
const CONNECTIONS: usize = 15_000;

/// What every connection of this door shares.
pub struct Door {
    /// Where commands go.
    pub engine: Engine,
    /// Who may come in.
    pub gate: Gate,
    /// What a welcome says.
    pub identity: Identity,
    /// Where backups are made.
    pub backups: Arc<Backups>,
    /// Numbers connections.
    pub connections: AtomicU64,
    /// Cancelled when the broker stops.
    pub stopping: CancellationToken,
    strangers: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Door {
    /// A door to `engine`.
    pub fn new(
        engine: Engine,
        gate: Gate,
        identity: Identity,
        backups: Arc<Backups>,
        stopping: CancellationToken,
    ) -> Self {
        Door {
            engine,
            gate,
            identity,
            backups,
            connections: AtomicU64::new(1),
            stopping,
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// Takes connections until the broker stops, and then waits for those that are open.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => _ = open.spawn(self.clone().connection(stream, peer)),
                    Err(error) => self.accept_failed(&error).await,
                },
                Some(ended) = open.join_next() => log_panic(ended),
                () = self.stopping.cancelled() => break,
            }
        }
        drop(listener);
        while let Some(ended) = open.join_next().await {
            log_panic(ended);
        }
    }

    /// Without file descriptors nothing can be accepted until a connection closes: a short rest keeps the loop from
    /// spinning.
    async fn accept_failed(&self, error: &io::Error) {
        tracing::warn!(%error, "a connection could not be accepted");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let (Ok(stranger), Ok(_place)) =
            (self.strangers.clone().try_acquire_owned(), self.places.clone().try_acquire_owned())
        else {
            tracing::warn!(%peer, "too many connections; this one is closed");
            return;
        };
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%peer, %error, "the connection's options could not be set");
        }
        let admitted = Stranger::new(stream).authenticate(&self).await;
        drop(stranger);
        match admitted {
            Ok(admitted) => session::run(self, admitted, peer).await,
            Err(reason) => tracing::info!(%peer, %reason, "not admitted"),
        }
    }

    fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }
}

/// Small frames leave at once, and a peer that is gone is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    use std::time::Duration;
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(Duration::from_secs(30)))?;
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(Duration::from_secs(30)))
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed; the others go on");
    }
}
