//! What a store was made as: its first row.

use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::wire::{Malformed, Read, Reader};

/// The format that stores are made in.
pub const FORMAT: u16 = 2;
/// The format before: the same rows, and no watermark beside them.
pub const WITHOUT_WATERMARK: u16 = 1;

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Drawn once when the store was made.
    pub cluster: u128,
    /// The node within the cluster, from 1.
    pub node: u64,
}

/// The row under `Key::Store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreRow {
    /// [`FORMAT`] or [`WITHOUT_WATERMARK`].
    pub format: u16,
    /// How many shards the store has; never changes.
    pub shards: u16,
    /// Whose it is.
    pub identity: Identity,
}

impl StoreRow {
    /// The row of a store that is made now.
    pub fn new(identity: Identity, shards: u16) -> Self {
        StoreRow { format: FORMAT, shards, identity }
    }

    /// The row's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u16(self.format);
        out.put_u16(self.shards);
        out.put_u128(self.identity.cluster);
        out.put_u64(self.identity.node);
        out.freeze()
    }

    /// Reads a row. A format that this version does not know is refused, whatever stands behind it.
    pub fn decode(row: Bytes) -> Read<Self> {
        let mut reader = Reader::new(row);
        let format = reader.u16("store.format")?;
        if !(WITHOUT_WATERMARK..=FORMAT).contains(&format) {
            let problem = format!(
                "is {format}, this version reads {WITHOUT_WATERMARK} and {FORMAT}; use the version that wrote it, or a newer one"
            );
            return Err(Malformed::new("store.format", problem));
        }
        let shards = reader.u16("store.shards")?;
        let identity = Identity { cluster: reader.u128("store.cluster")?, node: reader.u64("store.node")? };
        Ok(StoreRow { format, shards, identity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_bytes_and_other_formats_are_refused() {
        let row = StoreRow::new(Identity { cluster: 7, node: 1 }, 16);
        assert_eq!(StoreRow::decode(row.encode()), Ok(row));
        let newer = StoreRow { format: FORMAT + 1, ..row };
        let problem = StoreRow::decode(newer.encode()).unwrap_err().to_string();
        assert!(problem.contains("is 3, this version reads 1 and 2"), "{problem}");
        assert!(StoreRow::decode(Bytes::from_static(&[0, 2, 0])).is_err());
    }
}
