//! Policies: how long a unit heap waits before it merges a freed block with its neighbours.

/// Parked blocks have at most one byte for so many bytes of live blocks. Over the recorded programs, half this number saves 4 % of
/// the instructions and costs 1 % of the memory.
const PARKED_SHARE: usize = 64;

/// So many bytes may be parked in any heap, however small. With twice as many the smallest program needs a sixteenth more memory.
const PARKED_MIN: usize = 256;

/// A policy of a [`UnitByteAllocator`](super::UnitByteAllocator): [`Compact`] or [`Bounded`].
pub trait Policy: sealed::Sealed {
    /// Bytes of freed blocks that are parked at most: kept whole for the next request of their length. Zero means that
    /// each block is merged at once.
    const PARKED_MAX: usize;
    /// Free runs that a request looks at, at most, where it is not certain that they are long enough.
    const SCAN_MAX: u32;

    /// Returns the bytes that are parked at most while so many are in live blocks.
    fn parked_max(used_bytes: usize) -> usize {
        (used_bytes / PARKED_SHARE).clamp(PARKED_MIN.min(Self::PARKED_MAX), Self::PARKED_MAX)
    }
}

/// The smallest heap: blocks to 512 bytes are parked when they are freed. Parked blocks have about a 64th of the live bytes at most,
/// and never more than 16 KiB.
///
/// Before a request is refused, all parked blocks are merged, a thousand at most: that takes up to 400,000 instructions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compact;

/// Each request takes a bounded number of instructions with up to 16 regions: a freed block is merged at once. With more regions
/// it takes *O*(log regions) expected.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounded;

impl Policy for Compact {
    const PARKED_MAX: usize = 16 << 10;
    const SCAN_MAX: u32 = 8;
}

impl Policy for Bounded {
    const PARKED_MAX: usize = 0;
    const SCAN_MAX: u32 = 2;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Compact {}
    impl Sealed for super::Bounded {}
}
