//! Frames: what every request and reply travels in.
//!
//! ```text
//! frame = u32 length | u8 opcode | u8 flags | u32 request | payload
//! ```
//!
//! `length` counts everything after itself. `request` is chosen by the client, not 0, and comes back in the answer;
//! frames that the broker sends by itself carry 0.

use crate::wire::{Malformed, Read, Reader};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;

/// Bytes of the length field.
const LENGTH_BYTES: usize = 4;
/// Bytes of a frame's header, length field included.
pub const HEADER_BYTES: usize = 10;

/// One frame, its payload sharing the buffer it arrived in.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: u8,
    /// Bits whose meaning the opcode gives.
    pub flags: u8,
    /// The request it is, or answers.
    pub request: u32,
    /// The fields.
    pub payload: Bytes,
}

impl Frame {
    /// A reader of the payload.
    pub fn reader(&self) -> Reader {
        Reader::untrusted(self.payload.clone())
    }
}

/// Leaves the payload out: a hello's holds the token.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { opcode, flags, request, payload } = self;
        let bytes = payload.len();
        write!(
            f,
            "Frame {{ opcode: {opcode:#04x}, flags: {flags:#x}, request: {request}, payload: {bytes} bytes }}"
        )
    }
}

/// Cuts frames off a buffer that fills from a connection.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    most_bytes: usize,
    /// Makes room for all that a length field says, which must never be done.
    #[cfg(feature = "sabotage")]
    reserves: bool,
}

impl FrameDecoder {
    /// A decoder that takes frames of at most `most_bytes`, header included.
    pub fn new(most_bytes: usize) -> Self {
        FrameDecoder {
            most_bytes,
            #[cfg(feature = "sabotage")]
            reserves: false,
        }
    }

    /// Whether it makes room for a frame that has not come yet.
    #[cfg(feature = "sabotage")]
    pub fn reserving(self, reserves: bool) -> Self {
        FrameDecoder { reserves, ..self }
    }

    /// Takes the next frame off `buffer`; `None` when not all of it has arrived.
    ///
    /// A length outside of what is allowed is malformed, seen from the length field alone.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Read<Option<Frame>> {
        if buffer.len() < LENGTH_BYTES {
            return Ok(None);
        }
        let claimed = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
        self.check(claimed)?;
        let whole = LENGTH_BYTES + claimed;
        if buffer.len() < whole {
            #[cfg(feature = "sabotage")]
            buffer.reserve(if self.reserves { whole - buffer.len() } else { 0 });
            return Ok(None);
        }
        let mut bytes = buffer.split_to(whole).freeze();
        bytes.advance(LENGTH_BYTES);
        let (opcode, flags, request) = (bytes.get_u8(), bytes.get_u8(), bytes.get_u32());
        Ok(Some(Frame { opcode, flags, request, payload: bytes }))
    }

    fn check(&self, claimed: usize) -> Read<()> {
        let (least, most) = (HEADER_BYTES - LENGTH_BYTES, self.most_bytes - LENGTH_BYTES);
        if (least..=most).contains(&claimed) {
            return Ok(());
        }
        Err(Malformed::new("frame.length", format!("is {claimed}, allowed here is {least} to {most}")))
    }
}

/// Writes one frame: the header, what `payload` writes, and then the length in front.
pub fn put_frame(
    out: &mut BytesMut,
    opcode: u8,
    flags: u8,
    request: u32,
    payload: impl FnOnce(&mut BytesMut),
) {
    let at = out.len();
    out.put_u32(0);
    out.put_u8(opcode);
    out.put_u8(flags);
    out.put_u32(request);
    payload(out);
    let length = u32::try_from(out.len() - at - LENGTH_BYTES).expect("a frame is bounded far below 4 GiB");
    out[at..at + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}
