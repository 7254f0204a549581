//! What there is to say about backups.

use crate::wire::{Read, Reader};
use bytes::{BufMut, BytesMut};

/// A backup that can be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupInfo {
    /// Its number; a later one has a higher number.
    pub number: u32,
    /// When it was made, UTC milliseconds.
    pub when_ms: u64,
    /// Files that it consists of, those that it shares with others included.
    pub files: u32,
    /// Bytes of these files.
    pub bytes: u64,
}

impl BackupInfo {
    /// Bytes of each.
    pub(super) const LEAST_BYTES: usize = 24;

    pub(super) fn put(&self, out: &mut BytesMut) {
        out.put_u32(self.number);
        out.put_u64(self.when_ms);
        out.put_u32(self.files);
        out.put_u64(self.bytes);
    }

    pub(super) fn read(reader: &mut Reader) -> Read<Self> {
        Ok(BackupInfo {
            number: reader.u32("backup.number")?,
            when_ms: reader.u64("backup.when_ms")?,
            files: reader.u32("backup.files")?,
            bytes: reader.u64("backup.bytes")?,
        })
    }
}
