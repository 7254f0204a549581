//! The `tokio-util` codec of frames.

use crate::frame::{Frame, FrameDecoder};
use crate::wire::Malformed;
use bytes::BytesMut;
use std::io;
use tokio_util::codec::Decoder;

/// Why no frame could be read.
#[derive(Debug)]
pub enum CodecError {
    /// The bytes are not a frame; the connection must be closed.
    Malformed(Malformed),
    /// The connection failed.
    Io(io::Error),
}

impl From<io::Error> for CodecError {
    fn from(error: io::Error) -> Self {
        CodecError::Io(error)
    }
}

impl std::fmt::Display for CodecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CodecError::Malformed(malformed) => malformed.fmt(f),
            CodecError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CodecError {}

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        self.next(buffer).map_err(CodecError::Malformed)
    }
}
