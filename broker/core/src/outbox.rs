//! What is on its way to other entities: parcels of messages, in the order they left, on one road for each shard.
//!
//! A parcel is a row until the other shard has said that it took it. Its number only rises, so that a parcel that
//! arrives twice is known: the other shard keeps the last number that it took from here. What it could not take it
//! gives back with its receipt.

use crate::key::QueueId;
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::name::Lane;
use postrider_protocol::wire::{self, Malformed, Read, Reader};
use std::collections::{BTreeMap, BTreeSet};

/// Messages of one queue that go to one entity, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Where they come from.
    pub from: QueueId,
    /// The queue or topic they go to.
    pub to: String,
    /// Their records.
    pub records: Vec<Bytes>,
}

/// Messages of a parcel that were not taken, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The parcel.
    pub parcel: u64,
    /// The first message's index in it.
    pub index: u32,
    /// How many messages.
    pub count: u32,
    /// A name such as `NotFound`.
    pub reason: String,
    /// Details for a person to read.
    pub description: String,
}

/// What was taken from another shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// The last parcel.
    pub last: u64,
    /// What was not taken of the parcels whose receipt may not have arrived.
    pub returned: Vec<Returned>,
}

/// The way to one shard.
#[derive(Debug, Default)]
pub struct Road {
    /// Parcels that have no receipt.
    pub parcels: u64,
    /// None of them has a lower number: scans begin here, behind what is gone.
    pub low: u64,
    /// The last one that is on its way; as long as there is one, no other leaves.
    pub sent: Option<u64>,
    /// When they leave again if there is no receipt, on the monotonic clock: the other shard may have begun anew.
    pub again_ms: u64,
    /// Queues that have to wait until there is room on the road.
    pub stopped: BTreeSet<QueueId>,
}

/// The ways to all shards.
pub type Outbox = BTreeMap<u16, Road>;

impl Road {
    /// Books a parcel, whose number is higher than those before.
    pub fn book(&mut self, number: u64) {
        if self.parcels == 0 {
            self.low = number;
        }
        self.parcels += 1;
    }

    /// When parcels leave, on the monotonic clock: at once where nothing is on its way.
    pub fn leaves_ms(&self) -> Option<u64> {
        (self.parcels > 0).then(|| self.sent.map_or(0, |_| self.again_ms))
    }
}

impl Parcel {
    /// Bytes of its records.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }

    /// Writes the parcel: u64 entity, u8 lane, text to, list of blobs.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.from.entity);
        out.put_u8(self.from.lane.code());
        wire::put_text(out, &self.to);
        wire::put_list(out, &self.records, |out, record| wire::put_blob(out, record));
    }

    /// Reads the parcel; its records share the reader's bytes.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let (entity, code) = (reader.u64("entity")?, reader.u8("lane")?);
        let lane = Lane::from_code(code)
            .ok_or_else(|| Malformed::new("lane", format!("found {code}, which is none")))?;
        Ok(Parcel {
            from: QueueId { entity, lane },
            to: reader.text("to")?,
            records: reader.list("records", 4, usize::MAX, |reader| reader.blob("record"))?,
        })
    }
}

impl Taken {
    /// Notes that a message was not taken.
    pub fn give_back(&mut self, parcel: u64, index: u32, reason: &str, description: &str) {
        if let Some(last) = self.returned.last_mut()
            && (last.parcel, last.index + last.count) == (parcel, index)
            && (last.reason.as_str(), last.description.as_str()) == (reason, description)
        {
            last.count += 1;
            return;
        }
        let (reason, description) = (reason.to_owned(), description.to_owned());
        self.returned.push(Returned { parcel, index, count: 1, reason, description });
    }

    /// Writes the row: u64 last, list of what was not taken.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u64(self.last);
        wire::put_list(out, &self.returned, |out, returned| {
            out.put_u64(returned.parcel);
            out.put_u32(returned.index);
            out.put_u32(returned.count);
            wire::put_text(out, &returned.reason);
            wire::put_text(out, &returned.description);
        });
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        let returned = |reader: &mut Reader| {
            Ok(Returned {
                parcel: reader.u64("parcel")?,
                index: reader.u32("index")?,
                count: reader.u32("count")?,
                reason: reader.text("reason")?,
                description: reader.text("description")?,
            })
        };
        Ok(Taken { last: reader.u64("last")?, returned: reader.list("returned", 20, usize::MAX, returned)? })
    }
}
