//! From pages of subscriptions to pages of their topic.

use crate::key::TopicPage;
use bytes::{BufMut, BytesMut};
use postrider_protocol::wire::{Read, Reader};

/// Where a topic has stored a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The page.
    pub page: TopicPage,
    /// The record there.
    pub index: u32,
}

/// How much a page of a topic is used, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReferencesRow {
    /// Pages of subscriptions that refer to it.
    pub pages: u32,
    /// Bytes of its row.
    pub bytes: u32,
    /// When it was written, UTC milliseconds.
    pub written_ms: u64,
}

impl ReferencesRow {
    /// Writes the row.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u32(self.pages);
        out.put_u32(self.bytes);
        out.put_u64(self.written_ms);
    }

    /// Reads the row.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(ReferencesRow {
            pages: reader.u32("pages")?,
            bytes: reader.u32("bytes")?,
            written_ms: reader.u64("written_ms")?,
        })
    }
}
