//! Reading and writing the primitive fields that all layouts are made of.
//!
//! | name    | bytes                                |
//! |---------|--------------------------------------|
//! | integer | 1, 2, 4 or 8, big-endian             |
//! | text    | u16 length, then that many of UTF-8  |
//! | blob    | u32 length, then that many           |
//! | list    | u32 count, then the elements         |

use crate::limits;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;

/// Bytes that do not follow the layout they claim. On a connection this is fatal: frames can no longer be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The field that was being read.
    pub field: &'static str,
    /// What was found, and what would have been right.
    pub problem: String,
}

impl Malformed {
    /// A malformed `field`, with what was found and what is allowed.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Malformed { field, problem: problem.into() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for Malformed {}

/// The result of reading from the wire.
pub type Read<T> = Result<T, Malformed>;

/// Reads fields off the front of a buffer, sharing its bytes and never copying a body.
#[derive(Debug, Clone)]
pub struct Reader {
    bytes: Bytes,
    /// Bytes of memory that lists may still take.
    allowance: usize,
}

macro_rules! read_integer {
    ($name:ident, $type:ty, $get:ident) => {
        #[doc = concat!("Reads one `", stringify!($type), "`.")]
        pub fn $name(&mut self, field: &'static str) -> Read<$type> {
            self.need(field, size_of::<$type>())?;
            Ok(self.bytes.$get())
        }
    };
}

impl Reader {
    /// A reader at the start of `bytes` that we wrote ourselves.
    pub fn new(bytes: Bytes) -> Self {
        Reader { bytes, allowance: usize::MAX }
    }

    /// A reader at the start of `bytes` that a peer sent. An element of a list can be much larger in memory than on
    /// the wire, so all lists together may take [`limits::MEMORY_PER_BYTE`] times the input and
    /// [`limits::MEMORY_SLACK_BYTES`]; beyond that the input is malformed.
    pub fn untrusted(bytes: Bytes) -> Self {
        let allowance =
            bytes.len().saturating_mul(limits::MEMORY_PER_BYTE).saturating_add(limits::MEMORY_SLACK_BYTES);
        Reader { bytes, allowance }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn need(&self, field: &'static str, bytes: usize) -> Read<()> {
        if self.bytes.len() < bytes {
            let have = self.bytes.len();
            return Err(Malformed::new(field, format!("needs {bytes} bytes, the frame has {have} left")));
        }
        Ok(())
    }

    read_integer!(u8, u8, get_u8);
    read_integer!(u16, u16, get_u16);
    read_integer!(u32, u32, get_u32);
    read_integer!(u64, u64, get_u64);
    read_integer!(i64, i64, get_i64);
    read_integer!(f64, f64, get_f64);
    read_integer!(u128, u128, get_u128);

    /// Reads a boolean: one byte, 0 or 1.
    pub fn bool(&mut self, field: &'static str) -> Read<bool> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Malformed::new(field, format!("found {other}, a boolean is 0 or 1"))),
        }
    }

    /// Takes exactly `length` bytes without copying them.
    pub fn take(&mut self, field: &'static str, length: usize) -> Read<Bytes> {
        self.need(field, length)?;
        Ok(self.bytes.split_to(length))
    }

    /// Reads a text: u16 length, then UTF-8.
    pub fn text(&mut self, field: &'static str) -> Read<String> {
        let bytes = self.short_blob(field)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(Malformed::new(field, format!("is not UTF-8: {error}"))),
        }
    }

    /// Reads bytes behind a u16 length.
    pub fn short_blob(&mut self, field: &'static str) -> Read<Bytes> {
        let length = self.u16(field)? as usize;
        self.take(field, length)
    }

    /// Reads bytes behind a u32 length.
    pub fn blob(&mut self, field: &'static str) -> Read<Bytes> {
        let length = self.u32(field)? as usize;
        self.take(field, length)
    }

    /// Reads whether a blob is there, and the blob.
    pub fn optional_blob(&mut self, field: &'static str) -> Read<Option<Bytes>> {
        if self.bool(field)? { self.blob(field).map(Some) } else { Ok(None) }
    }

    /// Reads the count of a list whose elements take at least `element_bytes` each, and checks that they can be there.
    pub fn count(&mut self, field: &'static str, element_bytes: usize, most: usize) -> Read<usize> {
        let count = self.u32(field)? as usize;
        let room = self.bytes.len() / element_bytes.max(1);
        if count > room {
            return Err(Malformed::new(
                field,
                format!("claims {count} elements, the frame has room for {room}"),
            ));
        }
        if count > most {
            return Err(Malformed::new(
                field,
                format!("claims {count} elements, at most {most} are allowed"),
            ));
        }
        Ok(count)
    }

    /// Takes the memory of `count` elements of type `T` off the allowance.
    fn charge<T>(&mut self, field: &'static str, count: usize) -> Read<()> {
        match self.allowance.checked_sub(count.saturating_mul(size_of::<T>())) {
            Some(left) => {
                self.allowance = left;
                Ok(())
            }
            None => {
                let problem =
                    format!("{count} elements more would take too much memory for the bytes they came in");
                Err(Malformed::new(field, problem))
            }
        }
    }

    /// Reads a list, element by element. Memory is taken for exactly as many elements as can be there.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        element_bytes: usize,
        most: usize,
        mut element: impl FnMut(&mut Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        let count = self.count(field, element_bytes, most)?;
        self.charge::<T>(field, count)?;
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }

    /// Everything that is left.
    pub fn rest(self) -> Bytes {
        self.bytes
    }

    /// Checks that everything was read.
    pub fn finish(self) -> Read<()> {
        match self.bytes.len() {
            0 => Ok(()),
            extra => Err(Malformed::new("frame", format!("has {extra} bytes after its last field"))),
        }
    }
}

/// Writes a text: u16 length, then UTF-8. What does not fit into the length is cut at a character's edge; every text
/// that a user can set has a lower limit, so that a cut one is refused where it arrives.
pub fn put_text(out: &mut BytesMut, text: &str) {
    let mut end = text.len().min(u16::MAX as usize);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    put_short_blob(out, &text.as_bytes()[..end]);
}

/// Writes at most 65,535 bytes behind a u16 length.
pub fn put_short_blob(out: &mut BytesMut, bytes: &[u8]) {
    let length = bytes.len().min(u16::MAX as usize);
    out.put_u16(length as u16);
    out.put_slice(&bytes[..length]);
}

/// Writes bytes behind a u32 length.
pub fn put_blob(out: &mut BytesMut, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.put_slice(bytes);
}

/// Writes whether a blob is there, and the blob.
pub fn put_optional_blob(out: &mut BytesMut, bytes: Option<&Bytes>) {
    out.put_u8(u8::from(bytes.is_some()));
    if let Some(bytes) = bytes {
        put_blob(out, bytes);
    }
}

/// Writes a u32 count or length. All lists and blobs are bounded far below 4 GiB by [`crate::limits`].
pub fn put_count(out: &mut BytesMut, count: usize) {
    out.put_u32(u32::try_from(count).expect("a list is bounded below 2^32 elements"));
}

/// Writes a list, element by element.
pub fn put_list<T>(out: &mut BytesMut, list: &[T], mut element: impl FnMut(&mut BytesMut, &T)) {
    put_count(out, list.len());
    for item in list {
        element(out, item);
    }
}
