//! Before a connection is admitted: one legal request, small frames, little time.

use super::Door;
use crate::gate::Principal;
use crate::sabotage::{self, Switch};
use futures_util::StreamExt;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::frame::{Frame, FrameDecoder};
use postrider_protocol::limits;
use postrider_protocol::reply::{Reply, Welcome};
use postrider_protocol::request::{Hello, Request, VERSION, opcode};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::FramedRead;

/// What all nodes of the cluster can do.
const FEATURE_LEVEL: u32 = 1;

/// A connection that has not said who it is. It has no way to do anything but that.
pub struct Stranger {
    frames: FramedRead<OwnedReadHalf, FrameDecoder>,
    writer: OwnedWriteHalf,
}

/// A connection whose token was right.
pub struct Admitted {
    /// The connection's requests.
    pub frames: FramedRead<OwnedReadHalf, FrameDecoder>,
    /// Where its answers go.
    pub writer: OwnedWriteHalf,
    /// Who it speaks for.
    pub principal: Principal,
    /// The client's number.
    pub client: u128,
    /// What the client calls itself.
    pub name: String,
}

impl Stranger {
    pub fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        let no_limit = sabotage::is(Switch::NoPreauthLimit);
        let most = if no_limit { limits::FRAME_BYTES } else { limits::UNAUTHENTICATED_FRAME_BYTES };
        Stranger { frames: FramedRead::with_capacity(reader, sabotage::frames(most), 1024), writer }
    }

    /// Waits for a hello and answers it. What else comes, or nothing in time, ends the connection; the error says why.
    pub async fn authenticate(self, door: &Door) -> Result<Admitted, String> {
        let deadline = Duration::from_millis(limits::HANDSHAKE_DEADLINE_MS);
        match tokio::time::timeout(deadline, self.greet(door)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no hello within {} seconds", deadline.as_secs())),
        }
    }

    async fn greet(mut self, door: &Door) -> Result<Admitted, String> {
        let frame = match self.frames.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return self.refuse(0, Refusal::invalid("hello", error.to_string())).await,
            None => return Err("closed before its hello".to_owned()),
        };
        match admit(door, &frame) {
            Ok((hello, principal)) => self.welcome(door, &frame, hello, principal).await,
            Err(refusal) => self.refuse(frame.request, refusal).await,
        }
    }

    async fn welcome(
        mut self,
        door: &Door,
        frame: &Frame,
        hello: Hello,
        principal: Principal,
    ) -> Result<Admitted, String> {
        let welcome = Welcome {
            version: VERSION,
            features: 0,
            cluster: door.identity.cluster,
            node: door.identity.node,
            feature_level: FEATURE_LEVEL,
            heartbeat_ms: limits::HEARTBEAT_MS,
            frame_bytes: limits::FRAME_BYTES as u32,
            requests_in_flight: limits::REQUESTS_IN_FLIGHT as u32,
            links: limits::LINKS_PER_CONNECTION as u32,
        };
        self.write(frame.request, &Reply::Welcome(welcome)).await?;
        let frames = self.frames.map_decoder(|_| sabotage::frames(limits::FRAME_BYTES));
        Ok(Admitted { frames, writer: self.writer, principal, client: hello.client, name: hello.name })
    }

    async fn refuse(mut self, request: u32, refusal: Refusal) -> Result<Admitted, String> {
        let reason = refusal.to_string();
        self.write(request, &Reply::Refused(refusal)).await?;
        // The peer may have closed already; it has its answer or does not want it.
        let _ = self.writer.shutdown().await;
        Err(reason)
    }

    async fn write(&mut self, request: u32, reply: &Reply) -> Result<(), String> {
        let mut out = bytes::BytesMut::new();
        reply.put(request, &mut out);
        self.writer.write_all(&out).await.map_err(|error| error.to_string())
    }
}

fn admit(door: &Door, frame: &Frame) -> Result<(Hello, Principal), Refusal> {
    if frame.opcode != opcode::HELLO {
        let text = format!("the first request must be a hello, not opcode {:#04x}", frame.opcode);
        return Err(Refusal::new(ErrorCode::Unauthorized, text));
    }
    let request =
        Request::decode(frame).map_err(|malformed| Refusal::invalid(malformed.field, malformed.problem))?;
    let Request::Hello(hello) = request else {
        return Err(Refusal::new(ErrorCode::Unauthorized, "the first request must be a hello"));
    };
    let (low, high) = hello.versions;
    if !(low..=high).contains(&VERSION) {
        let text = format!("the client speaks versions {low} to {high}, this broker speaks {VERSION}");
        return Err(Refusal::invalid("hello.versions", text));
    }
    let principal = door.gate.admit(&hello.token)?;
    Ok((hello, principal))
}
