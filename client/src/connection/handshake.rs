//! Making a connection: TCP, hello, welcome.

use super::Config;
use crate::error::Error;
use bytes::BytesMut;
use postrider_protocol::error::Refusal;
use postrider_protocol::frame::FrameDecoder;
use postrider_protocol::limits;
use postrider_protocol::reply::{Reply, Welcome};
use postrider_protocol::request::{Hello, Request, VERSION};
use postrider_protocol::wire::Malformed;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Silence after which the operating system asks whether the other side is still there. Our own heartbeats are
/// faster; this one works when the program is stopped.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The hello's request number, on a connection that has no other requests yet.
const HELLO: u32 = 1;

/// An authenticated connection.
pub(super) struct Link {
    pub stream: TcpStream,
    pub decoder: FrameDecoder,
    /// What arrived behind the welcome.
    pub inbox: BytesMut,
    pub welcome: Welcome,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    TimedOut,
    Refused(Refusal),
    Malformed(Malformed),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Failure::Malformed(malformed)
    }
}

impl Failure {
    /// Whether another attempt can end differently.
    pub fn is_retryable(&self) -> bool {
        match self {
            Failure::Io(_) | Failure::TimedOut => true,
            Failure::Refused(refusal) => refusal.is_retryable(),
            Failure::Malformed(_) => false,
        }
    }

    pub fn into_error(self, config: &Config) -> Error {
        let address = &config.address;
        match self {
            Failure::Io(error) => Error::Connection(format!(
                "no connection to {address}: {error}; check the address, and that the broker is running"
            )),
            Failure::TimedOut => Error::Connection(format!(
                "no connection to {address} within {:?}; check the address and the network, or raise connect_timeout",
                config.connect_timeout
            )),
            Failure::Refused(refusal) => Error::from(refusal),
            Failure::Malformed(malformed) => Error::from(malformed),
        }
    }
}

/// Connects and authenticates, within the connect timeout.
pub(super) async fn connect(config: &Config) -> Result<Link, Failure> {
    let attempt = async {
        let mut stream = TcpStream::connect(&config.address).await?;
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        stream.write_all(&hello(config)).await?;
        welcome(stream).await
    };
    tokio::time::timeout(config.connect_timeout, attempt).await.unwrap_or(Err(Failure::TimedOut))
}

fn hello(config: &Config) -> BytesMut {
    let mut out = BytesMut::new();
    let hello = Hello {
        versions: (VERSION, VERSION),
        features: 0,
        client: config.client,
        name: config.name.clone(),
        token: config.token.clone(),
    };
    Request::Hello(hello).put(HELLO, &mut out);
    out
}

/// Reads the answer to the hello. Frames are small until then.
async fn welcome(mut stream: TcpStream) -> Result<Link, Failure> {
    let mut decoder = FrameDecoder::new(limits::UNAUTHENTICATED_FRAME_BYTES);
    let mut inbox = BytesMut::with_capacity(limits::UNAUTHENTICATED_FRAME_BYTES);
    let frame = loop {
        if let Some(frame) = decoder.next(&mut inbox)? {
            break frame;
        }
        if stream.read_buf(&mut inbox).await? == 0 {
            let problem = "the broker closed the connection before it answered the hello";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem).into());
        }
    };
    match Reply::decode(&frame)? {
        Reply::Welcome(welcome) => {
            let decoder = FrameDecoder::new(limits::FRAME_BYTES);
            Ok(Link { stream, decoder, inbox, welcome })
        }
        Reply::Refused(refusal) | Reply::Goodbye(refusal) => Err(Failure::Refused(refusal)),
        _ => Err(Malformed::new("hello", "was answered with something else than a welcome").into()),
    }
}
