//! Lock tokens.

use crate::wire::{Read, Reader};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// Proof of holding the lock of one message: 16 opaque bytes.
///
/// Inside: shard (u16), lease (u64, only rises: the fencing epoch), place within the lease (u16), salt (u32, drawn at
/// random for the lease so that a token cannot be guessed). Any connection may settle by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockToken {
    /// The shard that granted the lock.
    pub shard: u16,
    /// The lease: one per delivery, rising within the shard.
    pub lease: u64,
    /// The message's place in the delivery, from 0.
    pub place: u16,
    /// Random bits of the lease.
    pub salt: u32,
}

impl LockToken {
    /// Bytes of a token.
    pub const BYTES: usize = 16;

    /// Writes the token's 16 bytes.
    pub fn put(&self, out: &mut BytesMut) {
        out.put_u16(self.shard);
        out.put_u64(self.lease);
        out.put_u16(self.place);
        out.put_u32(self.salt);
    }

    /// Reads the token's 16 bytes.
    pub fn read(reader: &mut Reader) -> Read<Self> {
        Ok(LockToken {
            shard: reader.u16("lock_token")?,
            lease: reader.u64("lock_token")?,
            place: reader.u16("lock_token")?,
            salt: reader.u32("lock_token")?,
        })
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}{:016x}{:04x}{:08x}", self.shard, self.lease, self.place, self.salt)
    }
}

impl std::str::FromStr for LockToken {
    type Err = crate::error::Refusal;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hexadecimal = text.len() == 2 * Self::BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = hexadecimal.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        let bits = bits.ok_or_else(|| {
            crate::error::Refusal::invalid("lock_token", format!("{text:?} is not 32 hexadecimal digits"))
        })?;
        Ok(LockToken {
            shard: (bits >> 112) as u16,
            lease: (bits >> 48) as u64,
            place: (bits >> 32) as u16,
            salt: bits as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_text_and_bytes() {
        let token = LockToken { shard: 3, lease: 0x0102_0304_0506_0708, place: 9, salt: 0xdead_beef };
        assert_eq!(token.to_string(), "00030102030405060708".to_owned() + "0009deadbeef");
        assert_eq!(token.to_string().parse::<LockToken>().unwrap(), token);
        let mut out = BytesMut::new();
        token.put(&mut out);
        assert_eq!(out.len(), LockToken::BYTES);
        assert_eq!(LockToken::read(&mut Reader::new(out.freeze())).unwrap(), token);
        assert!("xyz".parse::<LockToken>().is_err());
        assert!(format!("+{}", "0".repeat(31)).parse::<LockToken>().is_err());
    }
}
