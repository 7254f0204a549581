//! An admitted connection: reads requests until it ends.

use super::Door;
use super::handshake::Admitted;
use super::translate::{Answer, Translator};
use super::writer::{SharedLinks, Writer};
use crate::backup::Ask;
use crate::engine::{Job, Outbox, Outgoing};
use futures_util::{FutureExt, StreamExt};
use postrider_protocol::codec::CodecError;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::frame::{Frame, FrameDecoder};
use postrider_protocol::limits;
use postrider_protocol::reply::Reply;
use postrider_protocol::request::Request;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Semaphore;
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

/// How a connection came to its end.
enum End {
    /// The client said goodbye: it will not come back for outcomes.
    Goodbye,
    /// The client closed, or the connection broke.
    Closed,
    /// The broker closes it, and says why.
    Told(Refusal),
}

struct Session {
    door: Arc<Door>,
    translator: Translator,
    outbox: Arc<Outbox>,
    in_flight: Arc<Semaphore>,
    links: SharedLinks,
}

/// Permits of a request whose answer may have as much as a mebibyte.
const HEAVY: u32 = limits::REQUESTS_IN_FLIGHT as u32 / 16;
/// How long a peer has to take its last answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves an admitted connection until it ends.
pub async fn run(door: Arc<Door>, admitted: Admitted, peer: SocketAddr) {
    let connection = door.next_connection();
    let Admitted { frames, writer, principal, client, name } = admitted;
    tracing::debug!(connection, %peer, principal = principal.name, client = name, "connected");
    let outbox = Arc::new(Outbox::new());
    let in_flight = Arc::new(Semaphore::new(limits::REQUESTS_IN_FLIGHT));
    let links = SharedLinks::default();
    let translator = Translator::new(connection, client, door.engine.placement(), links.clone());
    let closing = CancellationToken::new();
    door.engine.tell(Job::Connect(connection, outbox.clone())).await;
    let writer = Writer {
        socket: writer,
        outbox: outbox.clone(),
        engine: door.engine.clone(),
        connection,
        links: links.clone(),
        in_flight: in_flight.clone(),
        closing: closing.clone(),
    };
    let mut writing = tokio::spawn(writer.run());
    let mut session = Session { door: door.clone(), translator, outbox, in_flight, links };
    let end = tokio::select! {
        end = AssertUnwindSafe(session.read(frames)).catch_unwind() => end.unwrap_or_else(|_| End::Told(defect())),
        // Without a writer nothing can be answered: the connection is over.
        _ = &mut writing => End::Closed,
    };
    if matches!(end, End::Told(_)) {
        session.finish().await;
    }
    let goodbye = matches!(end, End::Goodbye).then_some(client);
    door.engine.tell(Job::Disconnect(connection, goodbye)).await;
    if let End::Told(refusal) = end {
        tracing::info!(connection, %peer, %refusal, "closed by the broker");
        session.outbox.push([Outgoing::Reply(0, Reply::Goodbye(refusal))]);
    }
    closing.cancel();
    if !writing.is_finished() {
        let _ = tokio::time::timeout(PATIENCE, writing).await;
    }
    tracing::debug!(connection, %peer, "disconnected");
}

impl Session {
    async fn read(&mut self, mut frames: FramedRead<OwnedReadHalf, FrameDecoder>) -> End {
        let silence = Duration::from_millis(2 * limits::HEARTBEAT_MS);
        let stopping = self.door.stopping.clone();
        loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(silence, frames.next()) => frame,
                () = stopping.cancelled() => {
                    return End::Told(Refusal::new(ErrorCode::Unavailable, "the broker is stopping; connect again later"));
                }
            };
            let ended = match frame {
                Ok(Some(Ok(frame))) => self.frame(&frame).await.err(),
                Ok(Some(Err(CodecError::Malformed(malformed)))) => {
                    Some(End::Told(Refusal::invalid(malformed.field, malformed.problem)))
                }
                Ok(Some(Err(CodecError::Io(_))) | None) => Some(End::Closed),
                Err(_) => Some(End::Told(silent(silence))),
            };
            if let Some(end) = ended {
                return end;
            }
        }
    }

    /// Carries out one frame. The error is the connection's end.
    async fn frame(&mut self, frame: &Frame) -> Result<(), End> {
        let fatal = |field: &str, problem: String| End::Told(Refusal::invalid(field, problem));
        let request =
            Request::decode(frame).map_err(|malformed| fatal(malformed.field, malformed.problem))?;
        if matches!(request, Request::Goodbye) {
            return Err(End::Goodbye);
        }
        self.take_permits(frame.request, &request).await?;
        let bytes = frame.payload.len();
        match self.translator.translate(frame.request, request) {
            Ok(Answer::Submit(shard, command)) => {
                self.or_busy(frame.request, self.door.engine.submit(shard, command, bytes));
            }
            Ok(Answer::Ask(ticket, query)) => {
                self.or_busy(frame.request, self.door.engine.ask(ticket, query));
            }
            Ok(Answer::Tell(shard, command)) => self.door.engine.tell(Job::Command(shard, command, 0)).await,
            Ok(Answer::Backup(ask)) => self.back_up(frame.request, ask),
            Ok(Answer::Nothing) => {}
            Ok(Answer::Reply(reply)) => self.answer(frame.request, reply),
            Err(refusal) => self.answer(frame.request, Reply::Refused(refusal)),
        }
        Ok(())
    }

    /// Waits until the connection may have one more request waiting. What may have a large answer takes more room.
    async fn take_permits(&self, number: u32, request: &Request) -> Result<(), End> {
        let permits = match request {
            // A grant without drain has no answer that would give the permit back.
            Request::Flow(flow) if !flow.drain => return Ok(()),
            Request::Peek { .. } | Request::List(_) | Request::Get { .. } => HEAVY,
            Request::Causes { .. } | Request::ListSessions { .. } | Request::Consumers { .. } => HEAVY,
            Request::ListSchedules { .. } | Request::ListRules { .. } => HEAVY,
            Request::Explain { .. } | Request::Trace { .. } | Request::ListBackups => HEAVY,
            _ => 1,
        };
        let taken = self.in_flight.acquire_many(permits).await;
        taken.map_err(|_| End::Closed)?.forget();
        if permits > 1 {
            self.links.lock().unwrap_or_else(PoisonError::into_inner).weigh(number, permits);
        }
        Ok(())
    }

    /// Waits until everything that was handed over is answered, for a while.
    async fn finish(&self) {
        let all = self.in_flight.acquire_many(limits::REQUESTS_IN_FLIGHT as u32);
        // Whoever does not take its answers in time does not get them.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }

    fn or_busy(&self, request: u32, handed_over: Result<(), crate::engine::Busy>) {
        if handed_over.is_err() {
            let mut refusal =
                Refusal::new(ErrorCode::Busy, "the broker has more requests waiting than it can hold");
            refusal.retry_after_ms = 100;
            self.answer(request, Reply::Refused(refusal));
        }
    }

    /// Does what is asked about backups beside the connection, on a thread of its own.
    fn back_up(&self, request: u32, ask: Ask) {
        let (backups, outbox) = (self.door.backups.clone(), self.outbox.clone());
        // Whoever is gone when it is done does not get the answer.
        drop(tokio::task::spawn_blocking(move || {
            outbox.push([Outgoing::Reply(request, backups.answer(ask))]);
        }));
    }

    fn answer(&self, request: u32, reply: Reply) {
        self.outbox.push([Outgoing::Reply(request, reply)]);
    }
}

fn defect() -> Refusal {
    Refusal::new(ErrorCode::Internal, "a defect of the broker ended this connection; the others go on")
}

fn silent(silence: Duration) -> Refusal {
    let text = format!(
        "nothing was heard for {} seconds; send a ping when there is nothing else",
        silence.as_secs()
    );
    Refusal::new(ErrorCode::Timeout, text)
}
