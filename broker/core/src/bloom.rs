//! A set of ids that may be wrong in one way: of what was never put in it says *maybe* once in more than a hundred
//! times. Of what was put in it never says *no*.
//!
//! A blocked Bloom filter: an id has one block, one line of the processor's cache, and in it one bit in each of eight
//! words. The set grows by layers, each four times as large as the one before, so that nothing is ever put in twice;
//! an id is looked for in all layers. At 16 bits an id a full layer says a wrong *maybe* about once in a thousand
//! times, and there are at most eight.

/// A line of the cache.
type Block = [u64; 8];

/// Ids for which there is a block.
const IDS_PER_BLOCK: usize = 32;
/// Ids that the first layer has room for.
const FIRST_IDS: usize = 1_024;
/// How much larger each layer is.
const GROWTH: usize = 4;
/// Ids that the largest layer has room for: 32 MiB.
const LARGEST_IDS: usize = 16 * 1024 * 1024;

/// Odd numbers that spread the bits of a hash, one for each word of a block.
const SPREAD: Block = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
    0x8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3,
];

#[derive(Debug)]
struct Layer {
    blocks: Vec<Block>,
    /// Ids that it still has room for.
    room: usize,
}

impl Layer {
    fn new(ids: usize) -> Self {
        Layer { blocks: vec![Block::default(); ids.div_ceil(IDS_PER_BLOCK)], room: ids }
    }

    /// The upper half of the hash says which block, the lower half which bits.
    fn block_of(&self, hash: u64) -> usize {
        (((hash >> 32) * self.blocks.len() as u64) >> 32) as usize
    }

    fn may_have(&self, hash: u64) -> bool {
        let block = &self.blocks[self.block_of(hash)];
        block.iter().zip(bits_of(hash)).all(|(word, bit)| word & bit != 0)
    }

    fn insert(&mut self, hash: u64) {
        let at = self.block_of(hash);
        self.blocks[at].iter_mut().zip(bits_of(hash)).for_each(|(word, bit)| *word |= bit);
        self.room -= 1;
    }
}

fn bits_of(hash: u64) -> impl Iterator<Item = u64> {
    SPREAD.iter().map(move |spread| 1 << ((hash & 0xffff_ffff).wrapping_mul(*spread) >> 58))
}

/// The set.
#[derive(Debug, Default)]
pub(crate) struct Bloom {
    layers: Vec<Layer>,
    ids: usize,
}

impl Bloom {
    /// An empty set that has room for so many ids at once, as far as that is reasonable.
    pub fn for_ids(ids: usize) -> Self {
        let room = ids.clamp(FIRST_IDS, LARGEST_IDS);
        Bloom { layers: if ids == 0 { Vec::new() } else { vec![Layer::new(room)] }, ids: 0 }
    }

    /// Ids that were put in.
    pub fn len(&self) -> usize {
        self.ids
    }

    /// Whether the id of this hash may have been put in.
    pub fn may_have(&self, hash: u64) -> bool {
        self.layers.iter().rev().any(|layer| layer.may_have(hash))
    }

    /// Puts the id of this hash in; says whether there was room for it.
    pub fn insert(&mut self, hash: u64) -> bool {
        if self.layers.last().is_none_or(|layer| layer.room == 0) && !self.grow() {
            return false;
        }
        if let Some(layer) = self.layers.last_mut() {
            layer.insert(hash);
        }
        self.ids += 1;
        true
    }

    fn grow(&mut self) -> bool {
        let largest = self.layers.last().map_or(0, |layer| layer.blocks.len() * IDS_PER_BLOCK);
        if largest >= LARGEST_IDS {
            return false;
        }
        self.layers.push(Layer::new((largest * GROWTH).clamp(FIRST_IDS, LARGEST_IDS)));
        true
    }
}

/// The hash of an id's text.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hash = text.len() as u64 ^ SPREAD[0];
    for chunk in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(SPREAD[3]);
        hash ^= hash >> 32;
    }
    // The finaliser of splitmix64.
    hash = (hash ^ (hash >> 30)).wrapping_mul(SPREAD[1]);
    hash = (hash ^ (hash >> 27)).wrapping_mul(SPREAD[2]);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(bloom: &mut Bloom, ids: usize) {
        (0..ids).for_each(|id| assert!(bloom.insert(hash(&format!("order-{id}")))));
    }

    /// Wrong answers among so many ids that were never put in, in percent.
    fn wrong_percent(bloom: &Bloom, ids: usize) -> f64 {
        let wrong = (0..ids).filter(|id| bloom.may_have(hash(&format!("other-{id}")))).count();
        wrong as f64 * 100.0 / ids as f64
    }

    #[test]
    fn wrong_answers_are_rare_at_every_size() {
        for ids in [1, 1_024, 5_000, 87_000, 349_525, 1_398_101] {
            let mut bloom = Bloom::default();
            filled(&mut bloom, ids);
            let wrong = wrong_percent(&bloom, 100_000);
            assert!(wrong < 1.0, "{wrong} % of {ids}");
            let mut sized = Bloom::for_ids(ids);
            filled(&mut sized, ids);
            assert!(sized.layers.len() == 1 && wrong_percent(&sized, 100_000) < 0.25);
        }
    }

    #[test]
    fn it_costs_few_bytes_an_id_and_is_full_at_last() {
        let mut bloom = Bloom::for_ids(usize::MAX);
        assert_eq!(bloom.layers[0].blocks.len() * size_of::<Block>(), 32 * 1024 * 1024);
        bloom.layers[0].room = 1;
        assert!(bloom.insert(1) && !bloom.insert(2) && bloom.len() == 1);
        assert!(bloom.may_have(1));
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_found(ids in proptest::collection::vec(".{0,40}", 0..3_000), expected in 0usize..5_000) {
            let mut bloom = Bloom::for_ids(expected);
            for id in &ids {
                prop_assert!(bloom.insert(hash(id)));
            }
            prop_assert!(ids.iter().all(|id| bloom.may_have(hash(id))));
            prop_assert_eq!(bloom.len(), ids.len());
        }
    }
}
