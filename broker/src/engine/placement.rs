//! Which shard an entity is in.

use postrider_protocol::name::EntityName;

/// The shard of a name: a hash of what it shares with those that must be in the same one. The hash is FNV-1a with 64
/// bits and can never change: it decides where an entity of an existing store is looked for.
pub fn home_shard(name: &EntityName, shards: u16) -> u16 {
    let hash = name.home().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % u64::from(shards.max(1))) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_shares_its_shard_with_its_subscriptions() {
        let shard = |name: &str| home_shard(&EntityName::new(name).unwrap(), 16);
        assert_eq!(shard("Orders"), shard("orders/subscriptions/pay"));
        // Pinned: stores rely on it.
        assert_eq!([shard("order-events"), shard("email-queue"), shard("a")], [11, 9, 12]);
    }
}
