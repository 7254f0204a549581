//! A client that sends bytes of the test's own making, and reads frames.

use crate::broker::TOKEN;
use crate::wait::DEADLINE;
use bytes::{Bytes, BytesMut};
use postrider_client::{Message, Refusal};
use postrider_protocol::frame::{Frame, FrameDecoder, put_frame};
use postrider_protocol::limits;
use postrider_protocol::reply::{Delivery, Reply, Welcome};
use postrider_protocol::request::{Flow, Hello, OpenReceiver, ReceiveMode, Request, Stamp, VERSION};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A connection of raw bytes.
pub struct Raw {
    stream: TcpStream,
    buffer: BytesMut,
    decoder: FrameDecoder,
    next: u32,
    /// The next stamp's sequence; the client of a lost connection goes on with its own.
    pub sequence: u64,
}

/// A hello with the right token.
pub fn hello() -> Hello {
    Hello {
        versions: (VERSION, VERSION),
        features: 0,
        client: fastrand::u128(..),
        name: "raw".to_owned(),
        token: TOKEN.to_owned(),
    }
}

/// A request as bytes.
pub fn bytes(number: u32, request: &Request) -> BytesMut {
    let mut out = BytesMut::new();
    request.put(number, &mut out);
    out
}

/// Any frame as bytes, sensible or not.
pub fn frame(opcode: u8, flags: u8, number: u32, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put_frame(&mut out, opcode, flags, number, |out| out.extend_from_slice(payload));
    out
}

impl Raw {
    /// Connects and says nothing.
    pub fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("delay can be turned off");
        let decoder = FrameDecoder::new(limits::FRAME_BYTES);
        Raw { stream, buffer: BytesMut::new(), decoder, next: 1, sequence: 1 }
    }

    /// Connects and says hello.
    pub fn open(address: SocketAddr) -> Raw {
        Raw::open_as(address, hello()).0
    }

    /// Connects with this hello, which must be welcome.
    pub fn open_as(address: SocketAddr, hello: Hello) -> (Raw, Welcome) {
        let mut raw = Raw::connect(address);
        match raw.ask(&Request::Hello(hello)) {
            Reply::Welcome(welcome) => (raw, welcome),
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// Sends bytes. What the other side has closed already cannot be sent, which the answer will show.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a request under the next number, which is returned.
    pub fn request(&mut self, request: &Request) -> u32 {
        let number = self.next;
        self.next += 1;
        self.send(&bytes(number, request));
        number
    }

    /// Sends a request and waits for its answer, which must come next.
    pub fn ask(&mut self, request: &Request) -> Reply {
        let number = self.request(request);
        let (answered, reply) = self.reply().expect("an answer, not the end");
        assert_eq!(answered, number, "{reply:?}");
        reply
    }

    /// The next frame, or `None` when the broker has closed the connection.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next(&mut self.buffer).expect("the broker sends frames") {
                return Some(frame);
            }
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("neither a frame nor the end: {error}"),
            }
        }
    }

    /// The next reply and what it answers; pings are passed over.
    pub fn reply(&mut self) -> Option<(u32, Reply)> {
        loop {
            let frame = self.frame()?;
            if frame.opcode != postrider_protocol::request::opcode::PING {
                return Some((
                    frame.request,
                    Reply::decode(&frame).expect("the broker's replies can be read"),
                ));
            }
        }
    }

    /// The next reply must be a refusal.
    pub fn refusal(&mut self) -> Refusal {
        match self.reply() {
            Some((_, Reply::Refused(refusal))) => refusal,
            other => panic!("no refusal: {other:?}"),
        }
    }

    /// The broker says goodbye and closes.
    pub fn goodbye(&mut self) -> Refusal {
        let refusal = match self.reply() {
            Some((0, Reply::Goodbye(refusal))) => refusal,
            other => panic!("no goodbye: {other:?}"),
        };
        self.closed();
        refusal
    }

    /// The broker closes without another word.
    pub fn closed(&mut self) {
        let frame = self.frame();
        assert!(frame.is_none(), "closed was expected, not {frame:?}");
    }

    /// The next delivery.
    pub fn delivery(&mut self) -> Delivery {
        match self.reply() {
            Some((0, Reply::Delivery(delivery))) => delivery,
            other => panic!("no delivery: {other:?}"),
        }
    }

    /// Nothing more is sent; what the broker says can still be read.
    pub fn finish(&mut self) {
        // The broker may have closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Nothing comes for so long.
    pub fn silent(&mut self, long: Duration) {
        self.stream.set_read_timeout(Some(long)).expect("a timeout can be set");
        let mut one = [0; 1];
        let read = self.stream.read(&mut one);
        assert!(
            matches!(&read, Err(e) if e.kind() == ErrorKind::WouldBlock),
            "silence was expected: {read:?}"
        );
        self.stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    }

    /// The next stamp.
    pub fn stamp(&mut self) -> Stamp {
        let sequence = self.sequence;
        self.sequence += 1;
        Stamp { sequence, floor: sequence }
    }

    /// Creates a queue.
    pub fn create_queue(&mut self, name: &str) {
        use postrider_client::{EntityKind, Options};
        let stamp = self.stamp();
        let (name, kind, options) = (name.to_owned(), EntityKind::Queue, Options::new());
        assert_eq!(self.ask(&Request::Create { stamp, name, kind, options, rules: vec![] }), Reply::Done);
    }

    /// Opens a sender.
    pub fn open_sender(&mut self, handle: u32, address: &str) -> Reply {
        self.ask(&Request::OpenSender { handle, address: address.to_owned() })
    }

    /// Opens a receiver with this credit.
    pub fn open_receiver(&mut self, handle: u32, address: &str, credit: u32) {
        let opened = self.ask(&Request::OpenReceiver(receiver(handle, address)));
        assert!(matches!(opened, Reply::Opened { .. }), "{opened:?}");
        self.request(&Request::Flow(Flow { handle, delivered: 0, credit, drain: false }));
    }

    /// Publishes bodies in one request.
    pub fn publish(&mut self, handle: u32, bodies: &[&[u8]]) -> Reply {
        let request = self.publishing(handle, bodies);
        self.ask(&request)
    }

    /// A request that publishes bodies.
    pub fn publishing(&mut self, handle: u32, bodies: &[&[u8]]) -> Request {
        let encode = |body: &&[u8]| Message::new(Bytes::copy_from_slice(body)).encode();
        let messages = bodies.iter().map(encode).collect();
        Request::Publish { handle, stamp: self.stamp(), atomic: false, messages }
    }
}

/// A receiver with nothing special about it.
pub fn receiver(handle: u32, address: &str) -> OpenReceiver {
    OpenReceiver {
        handle,
        address: address.to_owned(),
        mode: ReceiveMode::PeekLock,
        lock_duration_ms: 0,
        release_on_disconnect: false,
        held: vec![],
        ..OpenReceiver::default()
    }
}
