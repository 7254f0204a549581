//! Keys of messages, as hashes, and which receiver a key belongs to.

use crate::command::Owner;

/// The hash of a key; never 0, which says that there is none.
pub(crate) fn of(text: &str) -> u32 {
    let hash = mix(fnv(SEED, text.as_bytes()));
    ((hash >> 32) as u32).max(1)
}

/// Where [`fnv`] begins.
pub(crate) const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Mixes bytes into a hash: FNV-1a.
pub(crate) fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(hash, step)
}

/// How strongly a key belongs to a receiver: it belongs to the one where this is highest. Where one comes or goes, only
/// its own keys move.
pub(crate) fn affinity(key: u32, owner: Owner) -> u64 {
    let client = (owner.client as u64) ^ mix((owner.client >> 64) as u64 ^ u64::from(owner.handle));
    mix(mix(client) ^ u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The finaliser of splitmix64.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(client: u128) -> Owner {
        Owner { client, handle: 1 }
    }

    fn home(key: u32, clients: u128) -> u128 {
        (1..=clients).max_by_key(|client| affinity(key, owner(*client))).unwrap_or(0)
    }

    #[test]
    fn keys_spread_evenly() {
        let mut counts = [0; 4];
        (0..4_000).for_each(|n| counts[home(of(&n.to_string()), 4) as usize - 1] += 1);
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[test]
    fn only_the_share_of_a_newcomer_moves() {
        let moved = (0..4_000).map(|n| of(&n.to_string())).filter(|key| home(*key, 4) != home(*key, 5));
        let moved: Vec<_> = moved.collect();
        assert!(moved.iter().all(|key| home(*key, 5) == 5) && (600..1_000).contains(&moved.len()));
    }
}
