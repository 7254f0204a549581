//! Answers as they are stored.

use crate::damage::Damage;
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::reply::Reply;
use postrider_protocol::wire::{self, Read, Reader};

/// One recorded answer: u64 sequence, u8 opcode, blob of the reply's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The client's number for the request.
    pub sequence: u64,
    /// The reply's opcode.
    pub opcode: u8,
    /// The reply's fields.
    pub fields: Bytes,
}

impl Recorded {
    /// A reply, recorded.
    pub fn new(sequence: u64, reply: &Reply) -> Self {
        let mut fields = BytesMut::new();
        reply.put_fields(&mut fields);
        Recorded { sequence, opcode: reply.opcode(), fields: fields.freeze() }
    }

    /// The reply again.
    pub fn reply(&self) -> Result<Reply, Damage> {
        let mut reader = Reader::new(self.fields.clone());
        Reply::read_fields(self.opcode, &mut reader).map_err(|malformed| {
            Damage::new(format!("the outcome of request {}: {malformed}", self.sequence))
        })
    }

    /// Writes the answer.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.sequence);
        out.put_u8(self.opcode);
        wire::put_blob(out, &self.fields);
    }

    /// Reads the answer.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(Recorded {
            sequence: reader.u64("sequence")?,
            opcode: reader.u8("opcode")?,
            fields: reader.blob("fields")?,
        })
    }
}

/// The answers of one turn to one client, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomesRow {
    /// Requests below were confirmed, or forgotten: the newest row has the client's highest.
    pub floor: u64,
    /// The answers.
    pub recorded: Vec<Recorded>,
}

impl OutcomesRow {
    /// Writes the row: u64 floor, list of answers.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.floor);
        wire::put_list(out, &self.recorded, |out, recorded| recorded.put(out));
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let floor = reader.u64("floor")?;
        Ok(OutcomesRow { floor, recorded: reader.list("outcomes", 13, usize::MAX, Recorded::read)? })
    }
}
