//! A broker that does exactly what the test says, over a real socket.

use bytes::BytesMut;
use postrider_client::{Client, ClientBuilder, ErrorCode, LockToken, Message, ReconnectPolicy, Refusal};
use postrider_protocol::frame::FrameDecoder;
use postrider_protocol::limits;
use postrider_protocol::message::Record;
use postrider_protocol::reply::{Delivered, Delivery, Published, Reply, Settled, Welcome};
use postrider_protocol::request::{Flow, Hello, OpenReceiver, Request, SettleItem, Stamp};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Until when a session is locked when it is accepted.
pub const SESSION_UNTIL_MS: u64 = 1_700_000_060_000;

/// No step of a script takes nearly as long; a test that waits for what never comes fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the other side did not do what was expected")
}

pub struct Listener {
    listener: TcpListener,
    pub heartbeat_ms: u64,
}

impl Listener {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Listener { listener, heartbeat_ms: 60_000 }
    }

    pub fn builder(&self) -> ClientBuilder {
        let address = self.listener.local_addr().unwrap();
        let reconnect = ReconnectPolicy {
            first: Duration::from_millis(1),
            most: Duration::from_millis(10),
            give_up_after: None,
        };
        Client::builder().url(&format!("postrider://s3cret@{address}")).name("test").reconnect(reconnect)
    }

    /// Takes a connection and reads its hello.
    pub async fn accept(&self) -> (Peer, u32, Hello) {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        let decoder = FrameDecoder::new(limits::FRAME_BYTES);
        let mut peer = Peer { stream, decoder, inbox: BytesMut::new() };
        match peer.next().await {
            (request, Request::Hello(hello)) => (peer, request, hello),
            other => panic!("not a hello: {other:?}"),
        }
    }

    /// Takes a connection and welcomes it.
    pub async fn welcome(&self) -> (Peer, Hello) {
        let (mut peer, request, hello) = self.accept().await;
        peer.reply(request, &Reply::Welcome(self.welcome_reply())).await;
        (peer, hello)
    }

    fn welcome_reply(&self) -> Welcome {
        Welcome {
            version: 1,
            features: 0,
            cluster: 1,
            node: 1,
            feature_level: 1,
            heartbeat_ms: self.heartbeat_ms,
            frame_bytes: limits::FRAME_BYTES as u32,
            requests_in_flight: limits::REQUESTS_IN_FLIGHT as u32,
            links: limits::LINKS_PER_CONNECTION as u32,
        }
    }

    /// A client and the broker's end of its connection.
    pub async fn client(&self) -> (Client, Peer) {
        let (client, (peer, _)) = tokio::join!(self.builder().connect(), self.welcome());
        (client.unwrap(), peer)
    }
}

pub struct Peer {
    stream: TcpStream,
    decoder: FrameDecoder,
    inbox: BytesMut,
}

impl Peer {
    /// The next request; `None` when the client closed the connection.
    pub async fn read(&mut self) -> Option<(u32, Request)> {
        loop {
            if let Some(frame) = self.decoder.next(&mut self.inbox).unwrap() {
                return Some((frame.request, Request::decode(&frame).unwrap()));
            }
            if within(self.stream.read_buf(&mut self.inbox)).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub async fn next(&mut self) -> (u32, Request) {
        self.read().await.expect("the client closed the connection")
    }

    pub async fn reply(&mut self, request: u32, reply: &Reply) {
        let mut out = BytesMut::new();
        reply.put(request, &mut out);
        self.stream.write_all(&out).await.unwrap();
    }

    pub async fn open_sender(&mut self) -> u32 {
        match self.next().await {
            (request, Request::OpenSender { handle, .. }) => {
                self.reply(request, &opened(1 << 20, 0)).await;
                handle
            }
            other => panic!("not the opening of a sender: {other:?}"),
        }
    }

    pub async fn open_receiver(&mut self) -> OpenReceiver {
        match self.next().await {
            (request, Request::OpenReceiver(open)) => {
                self.reply(request, &opened(0, 30_000)).await;
                open
            }
            other => panic!("not the opening of a receiver: {other:?}"),
        }
    }

    /// Opens a receiver on the session `id`.
    pub async fn open_session(&mut self, id: &str) -> OpenReceiver {
        match self.next().await {
            (request, Request::OpenReceiver(open)) => {
                self.accept_session(request, id).await;
                open
            }
            other => panic!("not the opening of a receiver: {other:?}"),
        }
    }

    pub async fn accept_session(&mut self, request: u32, id: &str) {
        let (session_id, locked_until_ms) = (id.to_owned(), SESSION_UNTIL_MS);
        let opened =
            Reply::Opened { max_message_bytes: 0, lock_duration_ms: 30_000, session_id, locked_until_ms };
        self.reply(request, &opened).await;
    }

    pub async fn refuse(&mut self, request: u32, code: ErrorCode) {
        self.reply(request, &Reply::Refused(Refusal::new(code, "as the script says"))).await;
    }

    pub async fn flow(&mut self) -> Flow {
        match self.next().await {
            (_, Request::Flow(flow)) => flow,
            other => panic!("not a flow: {other:?}"),
        }
    }

    pub async fn publish(&mut self) -> (u32, Stamp, Vec<Message>) {
        match self.next().await {
            (request, Request::Publish { stamp, messages, .. }) => {
                let decoded = messages.into_iter().map(|bytes| Message::decode(bytes).unwrap());
                (request, stamp, decoded.collect())
            }
            other => panic!("not a publish: {other:?}"),
        }
    }

    pub async fn accept_all(&mut self, request: u32, first: u64, count: usize) {
        self.reply(request, &Reply::Published(vec![(count as u32, Published::Accepted(first))])).await;
    }

    pub async fn settle(&mut self) -> (u32, Stamp, Vec<SettleItem>) {
        match self.next().await {
            (request, Request::Settle { stamp, items }) => (request, stamp, items),
            other => panic!("not a settle: {other:?}"),
        }
    }

    pub async fn settled(&mut self, request: u32, count: u32) {
        self.reply(request, &Reply::Settled(vec![(count, Settled::Done)])).await;
    }

    /// Delivers messages with the numbers' texts as bodies.
    pub async fn deliver(&mut self, handle: u32, lease: u64, sequences: std::ops::Range<u64>) {
        let messages = sequences.map(|sequence| Delivered {
            sequence,
            attempts: 0,
            record: record(&Message::new(sequence.to_string())),
        });
        let token = LockToken { shard: 1, lease, place: 0, salt: 9 };
        let delivery =
            Delivery { handle, token, locked_until_ms: 1_700_000_030_000, messages: messages.collect() };
        self.reply(0, &Reply::Delivery(delivery)).await;
    }
}

/// The answer to the opening of a link.
fn opened(max_message_bytes: u64, lock_duration_ms: u64) -> Reply {
    Reply::Opened { max_message_bytes, lock_duration_ms, session_id: String::new(), locked_until_ms: 0 }
}

pub fn record(message: &Message) -> bytes::Bytes {
    let record = Record {
        enqueued_time_ms: 1_700_000_000_000,
        enqueued_sequence: 1,
        message: message.encode(),
        ..Record::default()
    };
    let mut out = BytesMut::new();
    record.put(&mut out);
    out.freeze()
}
