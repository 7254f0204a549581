//! Errors by name: what the broker answers when it does not do what was asked.

use crate::wire::{self, Malformed, Read, Reader};
use bytes::{BufMut, BytesMut};
use std::fmt;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, retry $retry:literal;)*) => {
        /// The kind of a refusal. The numbers are the wire's and never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ErrorCode { $($(#[$doc])* $name = $code,)* }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The name that users see.
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$name => stringify!($name),)* }
            }

            /// Whether the same request can succeed later without anybody changing it.
            pub fn is_retryable(self) -> bool {
                match self { $(ErrorCode::$name => $retry,)* }
            }
        }
    };
}

error_codes! {
    /// The entity does not exist.
    NotFound = 1, retry false;
    /// An entity or rule of that name exists.
    AlreadyExists = 2, retry false;
    /// The entity's status forbids it.
    Disabled = 3, retry true;
    /// The token is missing or wrong.
    Unauthorized = 4, retry false;
    /// The principal may not do this.
    Forbidden = 5, retry false;
    /// The broker has no room to take the request right now.
    Busy = 6, retry true;
    /// The principal goes faster than its limit.
    Throttled = 7, retry true;
    /// A quota or a limit of the entity is reached.
    QuotaExceeded = 8, retry true;
    /// The disk is nearly full; settling and receiving go on.
    StorageFull = 9, retry true;
    /// The message is larger than the entity takes.
    MessageTooLarge = 10, retry false;
    /// The lock ran out, was settled already, or never was.
    LockLost = 11, retry false;
    /// The session's lock ran out.
    SessionLockLost = 12, retry false;
    /// The session is locked by another receiver.
    SessionCannotBeLocked = 13, retry true;
    /// No message has that sequence number.
    MessageNotFound = 14, retry false;
    /// Another node leads the shard.
    NotLeader = 15, retry true;
    /// The shard cannot serve at the moment.
    Unavailable = 16, retry true;
    /// Whether the request was carried out is not known any more.
    UnknownOutcome = 17, retry false;
    /// The message id was seen within the window; nothing new was stored. Information, not failure.
    Duplicate = 18, retry false;
    /// A field's value is not allowed.
    InvalidArgument = 19, retry false;
    /// The time allowed for it ran out.
    Timeout = 20, retry true;
    /// A defect of the broker.
    Internal = 21, retry false;
}

impl ErrorCode {
    /// The code of a wire number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| *code as u16 == number)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request that was understood and not carried out: what, where, why, and whether trying again can help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of refusal.
    pub code: ErrorCode,
    /// The entity it is about, empty where there is none.
    pub entity: String,
    /// For `InvalidArgument`, the field; otherwise empty.
    pub field: String,
    /// What was found and what is allowed, for a person to read.
    pub message: String,
    /// Milliseconds after which to try again; 0 where there is no advice.
    pub retry_after_ms: u64,
    /// Finds this refusal in the broker's log; 0 where it was not logged.
    pub tracking_id: u64,
}

impl Refusal {
    /// A refusal with a code and a text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Refusal {
            code,
            entity: String::new(),
            field: String::new(),
            message: message.into(),
            retry_after_ms: 0,
            tracking_id: 0,
        }
    }

    /// `InvalidArgument` about `field`; `message` says what was found and what is allowed.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { field: field.into(), ..Refusal::new(ErrorCode::InvalidArgument, message) }
    }

    /// `NotFound` for an entity.
    pub fn not_found(entity: impl Into<String>) -> Self {
        Refusal::new(ErrorCode::NotFound, "does not exist; create it first").about(entity)
    }

    /// The same refusal, naming the entity.
    pub fn about(mut self, entity: impl Into<String>) -> Self {
        self.entity = entity.into();
        self
    }

    /// Whether the same request can succeed later.
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }

    /// Writes the refusal: u16 code, u64 retry-after, u64 tracking id, three texts.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u16(self.code as u16);
        out.put_u64(self.retry_after_ms);
        out.put_u64(self.tracking_id);
        wire::put_text(out, &self.entity);
        wire::put_text(out, &self.field);
        wire::put_text(out, &self.message);
    }

    /// Reads a refusal.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let number = reader.u16("error.code")?;
        let code = ErrorCode::from_number(number)
            .ok_or_else(|| Malformed::new("error.code", format!("{number} is not an error code")))?;
        Ok(Refusal {
            code,
            retry_after_ms: reader.u64("error.retry_after_ms")?,
            tracking_id: reader.u64("error.tracking_id")?,
            entity: reader.text("error.entity")?,
            field: reader.text("error.field")?,
            message: reader.text("error.message")?,
        })
    }
}

/// `Code entity: field: message`, without the parts that are empty.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.name())?;
        if !self.entity.is_empty() {
            write!(f, " {}", self.entity)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if self.tracking_id != 0 {
            write!(f, " (tracking id {:016x})", self.tracking_id)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}
