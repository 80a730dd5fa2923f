//! The operation language of byte allocators: requests and mistakes.
//!
//! An operation is encoded in [`OP_BYTES`] bytes, and every byte string is a program. Zeros encode the smallest
//! operation, so that shrinking a byte string shrinks the program.

use crate::program::{self, Operation};

/// Bytes that encode one operation.
pub const OP_BYTES: usize = 7;

/// One step of a program. `nth` picks a live block, modulo their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Ask for a block.
    Alloc {
        /// Bytes asked for.
        size: usize,
        /// Logarithm of the alignment asked for.
        align_log2: u8,
    },
    /// Ask for a block of zeros.
    AllocZeroed {
        /// Bytes asked for.
        size: usize,
        /// Logarithm of the alignment asked for.
        align_log2: u8,
    },
    /// Free a live block.
    Dealloc {
        /// Which live block.
        nth: usize,
    },
    /// Free a live block through `try_dealloc`, which must accept it.
    TryDealloc {
        /// Which live block.
        nth: usize,
    },
    /// Change the size of a live block.
    Realloc {
        /// Which live block.
        nth: usize,
        /// Requested bytes, perhaps more than any layout allows.
        new_size: usize,
    },
    /// Enlarge a live block, perhaps with another alignment.
    Grow {
        /// Which live block.
        nth: usize,
        /// Bytes to add.
        by: usize,
        /// Logarithm of the new alignment.
        align_log2: u8,
    },
    /// Shrink a live block, perhaps with another alignment.
    Shrink {
        /// Which live block.
        nth: usize,
        /// The new size in 256ths of the old one.
        to_256ths: u8,
        /// Logarithm of the new alignment.
        align_log2: u8,
    },
    /// Give the next spare region.
    AddRegion,
    /// Make cached memory of the subject available for other sizes, if it can.
    Reclaim,
    /// Misuse: free a block again.
    DoubleFree {
        /// Which recently freed block.
        nth: usize,
    },
    /// Misuse: free a pointer into the middle of a live block.
    FreeInterior {
        /// Which live block.
        nth: usize,
        /// How far into the block, modulo its size.
        offset: usize,
    },
    /// Misuse: free memory that the allocator never had.
    FreeForeign,
    /// Misuse: free a live block with a layout larger than the block.
    FreeWrongLayout {
        /// Which live block.
        nth: usize,
    },
    /// Misuse: give memory that the allocator already owns.
    AddOwnedRegion,
}

impl Op {
    /// Returns the program that a byte string encodes. Zeros complete a short last operation. *O*(length).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_testkit::Op;
    ///
    /// assert_eq!(Op::decode(&[0]), [Op::Alloc { size: 1, align_log2: 0 }]);
    /// assert_eq!(Op::decode(&[7; 20]).len(), 3);
    /// ```
    pub fn decode(bytes: &[u8]) -> Vec<Op> {
        program::decode(bytes)
    }

    /// Returns `count` random operations, always the same for a seed, which must not be zero. *O*(count). The
    /// length is fixed, so that a test can assert how many of them were executed.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_testkit::Op;
    ///
    /// assert_eq!(Op::program(100, 7).len(), 100);
    /// assert_eq!(Op::program(100, 7), Op::program(100, 7));
    /// ```
    pub fn program(count: usize, seed: u64) -> Vec<Op> {
        program::random(count, seed)
    }

    /// Returns the operation that some bytes encode.
    pub fn from_bytes([tag, align, nth_low, nth_high, kind, low, high]: [u8; OP_BYTES]) -> Op {
        let nth = usize::from(u16::from_le_bytes([nth_low, nth_high]));
        let size = size_from(kind, u16::from_le_bytes([low, high]));
        let align_log2 = align_log2_from(align);
        match tag {
            0..=89 => Op::Alloc { size, align_log2 },
            90..=109 => Op::AllocZeroed { size, align_log2 },
            110..=169 => Op::Dealloc { nth },
            170..=189 => Op::TryDealloc { nth },
            190..=214 => Op::Realloc { nth, new_size: size },
            215..=224 => Op::Grow { nth, by: size, align_log2 },
            225..=234 => Op::Shrink { nth, to_256ths: low, align_log2 },
            235..=237 => Op::AddRegion,
            238..=241 => Op::Reclaim,
            242..=244 => Op::DoubleFree { nth },
            245..=247 => Op::FreeInterior { nth, offset: size },
            248..=250 => Op::FreeForeign,
            251..=253 => Op::FreeWrongLayout { nth },
            254..=255 => Op::AddOwnedRegion,
        }
    }

    /// Returns a proptest strategy for programs of up to `ops_max` operations, distributed as in real programs.
    #[cfg(feature = "proptest")]
    pub fn strategy(ops_max: usize) -> impl proptest::strategy::Strategy<Value = Vec<Op>> {
        program::strategy(ops_max)
    }
}

impl Operation for Op {
    type Code = [u8; OP_BYTES];

    fn from_code(code: [u8; OP_BYTES]) -> Self {
        Self::from_bytes(code)
    }
}

/// Returns a size, distributed as in real programs: two of three are at most 128 bytes, few are above a page,
/// and some lie at the limits of what can be requested.
fn size_from(kind: u8, magnitude: u16) -> usize {
    const PAGE_BYTES: usize = 4096;
    let magnitude = usize::from(magnitude);
    match kind {
        0..=169 => 1 + magnitude % 128,
        170..=219 => 129 + magnitude % 1024,
        220..=239 => 1 + magnitude % (2 * PAGE_BYTES),
        // One to eight pages, give or take a byte.
        240..=246 => (1 + magnitude % 8) * PAGE_BYTES + magnitude / 8 % 3 - 1,
        247..=250 => magnitude * 4,
        251..=255 => edge_size(magnitude),
    }
}

fn edge_size(magnitude: usize) -> usize {
    const LARGEST: usize = isize::MAX as usize;
    let edges =
        [0, 0, 0, LARGEST, LARGEST - 4095, LARGEST / 2 + 1, LARGEST - magnitude, usize::MAX];
    edges[magnitude % edges.len()]
}

/// Returns an alignment, distributed as in real programs: most are at most 16, some up to a page, few above.
fn align_log2_from(code: u8) -> u8 {
    match code {
        0..=219 => code % 5,
        220..=249 => code % 13,
        250..=255 => 12 + (code - 250) * 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn every_byte_string_is_a_program() {
        assert_eq!(Op::decode(&[]), []);
        for tag in 0..=255 {
            for length in 1..=OP_BYTES {
                assert_eq!(Op::decode(&vec![tag; length]).len(), 1);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn sizes_are_mostly_small_and_reach_the_edges() {
        let all = || (0..=255_u8).flat_map(|k| (0..64_u16).map(move |m| size_from(k, m * 1021)));
        let small = all().filter(|&size| size <= 128).count();
        assert!(small * 2 > all().count(), "{small} of {} are small", all().count());
        for edge in [0, isize::MAX as usize, usize::MAX, 4095, 4096, 4097] {
            assert!(all().any(|size| size == edge), "no operation asks for {edge} bytes");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn alignments_are_mostly_small_and_pass_a_page() {
        let logs: Vec<u8> = (0..=255).map(align_log2_from).collect();
        assert!(logs.iter().filter(|&&log| log <= 4).count() > 220);
        assert_eq!(logs.iter().max(), Some(&22));
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn every_kind_of_operation_has_a_code() {
        let ops = (0..=255).map(|tag| Op::from_bytes([tag, 0, 0, 0, 0, 0, 0]));
        let kinds: std::collections::HashSet<_> =
            ops.map(|op| core::mem::discriminant(&op)).collect();
        assert_eq!(kinds.len(), 14);
    }
}
