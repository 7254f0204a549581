//! Writes what the engine has for a connection, many frames with one system call.

use super::links::Links;
use crate::engine::{Engine, Job, Outbox, Outgoing, OutgoingDelivery, Records};
use bytes::{Buf, BytesMut};
use postrider_core::command::{Command, ReceiverKey};
use postrider_core::limits::RECEIVER_ROOM_BYTES;
use postrider_protocol::frame::put_frame;
use postrider_protocol::limits::HEARTBEAT_MS;
use postrider_protocol::reply::{self, Reply};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// A peer that takes nothing for so long is gone.
const STALL: Duration = Duration::from_secs(30);
/// After so long without anything to say, the peer gets a sign of life.
const HEARTBEAT: Duration = Duration::from_millis(HEARTBEAT_MS);
/// The buffer is given back to the system when it has grown beyond.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes taken of a receiver's deliveries are reported when they come to this.
const REPORT_BYTES: u64 = RECEIVER_ROOM_BYTES / 4;

/// The connection's links, held for moments only by its two tasks.
pub type SharedLinks = Arc<Mutex<Links>>;

/// The writing half of a connection.
pub struct Writer {
    pub socket: OwnedWriteHalf,
    pub outbox: Arc<Outbox>,
    pub engine: Engine,
    pub connection: u64,
    pub links: SharedLinks,
    /// Gives back what each answered request took.
    pub in_flight: Arc<Semaphore>,
    /// Cancelled when the reader has ended: write what is there, and end as well.
    pub closing: CancellationToken,
}

impl Writer {
    /// Writes until the connection fails, or is closing and everything was written.
    pub async fn run(mut self) -> io::Result<()> {
        let mut taken = HashMap::new();
        let mut buffer = BytesMut::new();
        loop {
            let outgoing = tokio::select! {
                outgoing = tokio::time::timeout(HEARTBEAT, self.outbox.take()) => outgoing.unwrap_or_else(|_| sign_of_life()),
                () = self.closing.cancelled() => {
                    self.encode(self.outbox.take_now(), &mut buffer, &mut taken);
                    self.write(&mut buffer).await?;
                    return self.socket.shutdown().await;
                }
            };
            let answered = self.encode(outgoing, &mut buffer, &mut taken);
            self.write(&mut buffer).await?;
            self.in_flight.add_permits(answered);
            self.report(&mut taken).await;
            if buffer.capacity() > BUFFER_BYTES {
                buffer = BytesMut::new();
            }
        }
    }

    /// Lays out frames; returns the permits that the requests they answer give back.
    fn encode(&self, outgoing: Vec<Outgoing>, out: &mut BytesMut, taken: &mut HashMap<u32, u64>) -> usize {
        let mut answered = 0;
        for item in outgoing {
            match item {
                Outgoing::Reply(request, reply) => {
                    answered += self.answer(request, &reply);
                    reply.put(request, out);
                }
                Outgoing::Delivery(delivery) => {
                    *taken.entry(delivery.handle).or_default() += put_delivery(&delivery, out);
                }
                Outgoing::Closed(handle, refusal) => {
                    self.links().close_receiver(handle);
                    Reply::ReceiverClosed { handle, refusal }.put(0, out);
                }
            }
        }
        answered
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books the answer to a request; returns the permits it gives back.
    fn answer(&self, request: u32, reply: &Reply) -> usize {
        match reply {
            _ if request == 0 => 0,
            // Every request has one permit, and these answers come to nothing else.
            Reply::Published(_) | Reply::Settled(_) | Reply::Done | Reply::Pong => 1,
            _ => self.links().answered(request, matches!(reply, Reply::Refused(_))),
        }
    }

    async fn write(&mut self, buffer: &mut BytesMut) -> io::Result<()> {
        while buffer.has_remaining() {
            let written = tokio::time::timeout(STALL, self.socket.write(buffer)).await;
            let written = written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            buffer.advance(written);
        }
        Ok(())
    }

    /// Gives receivers their room back, a quarter of it at a time.
    async fn report(&self, taken: &mut HashMap<u32, u64>) {
        let due: Vec<_> =
            taken.iter().filter(|(_, bytes)| **bytes >= REPORT_BYTES).map(|(handle, _)| *handle).collect();
        for handle in due {
            let bytes = taken.remove(&handle).unwrap_or(0);
            let shard = self.links().receiver(handle);
            if let Ok(shard) = shard {
                let receiver = ReceiverKey { connection: self.connection, handle };
                self.engine.tell(Job::Command(shard, Command::Taken { receiver, bytes }, 0)).await;
            }
        }
    }
}

fn sign_of_life() -> Vec<Outgoing> {
    vec![Outgoing::Reply(0, Reply::Pong)]
}

/// Writes a delivery as one frame, each record straight from its page; returns the bytes of the records, which is what
/// the receiver's room counts.
fn put_delivery(delivery: &OutgoingDelivery, out: &mut BytesMut) -> u64 {
    let mut bytes = 0;
    put_frame(out, reply::opcode::DELIVERY, 0, 0, |out| {
        let OutgoingDelivery { handle, token, locked_until_ms, .. } = *delivery;
        reply::put_delivery_head(out, handle, token, locked_until_ms, delivery.messages());
        for run in &delivery.runs {
            match &run.records {
                Records::In(page, places) => {
                    for (sequence, index) in (run.sequence..).zip(places.clone()) {
                        let record = page.parts_of(index as usize);
                        bytes += (record[0].len() + record[1].len()) as u64;
                        reply::put_delivered(out, sequence, run.attempts, record);
                    }
                }
                Records::One(record, booked) => {
                    bytes += booked;
                    reply::put_delivered(out, run.sequence, run.attempts, [record, &[]]);
                }
            }
        }
    });
    bytes
}
