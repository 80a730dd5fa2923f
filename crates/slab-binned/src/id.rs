//! The name of a block.

use core::fmt;
use core::num::NonZeroU32;

/// The name of a block: an index that is used again, and a generation that is not. `Option<BlockId>`
/// is as large as `BlockId`, eight bytes.
///
/// An id names one block only: once the block is freed, every use of the id is refused, also when the index
/// belongs to another block. An id of another allocator is refused unless an equal id is live here too: the
/// two cannot be told apart.
///
/// # Examples
///
/// ```
/// use slab_binned::{BinnedAllocator, BlockId};
///
/// let mut blocks = BinnedAllocator::new();
/// let id = blocks.alloc(100)?;
/// assert_eq!((id.index(), id.generation()), (0, 1));
/// assert_eq!(BlockId::from_bits(id.to_bits()), Some(id));
/// assert_eq!(BlockId::from_bits(2 << 32), None, "live generations are odd");
/// # Ok::<(), slab_binned::BinnedError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId {
    index: u32,
    /// Odd.
    generation: NonZeroU32,
}

impl BlockId {
    #[inline]
    pub(crate) const fn new(index: u32, generation: u32) -> Option<Self> {
        match NonZeroU32::new(generation) {
            Some(generation) if generation.get() & 1 == 1 => Some(Self { index, generation }),
            _ => None,
        }
    }

    /// As [`new`](Self::new), for a generation that is odd.
    #[inline]
    pub(crate) const fn of_live(index: u32, generation: u32) -> Self {
        // The lowest bit is set anyway; said again here, no branch is left.
        let generation = match NonZeroU32::new(generation | 1) {
            Some(generation) => generation,
            None => NonZeroU32::MIN,
        };
        Self { index, generation }
    }

    /// Returns the index: below the allocator's `total_blocks`, and used again.
    #[inline]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Returns the generation: odd, and two higher with each use of the index.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation.get()
    }

    /// Returns the id as a number: the generation above the index.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.generation.get() as u64) << 32 | self.index as u64
    }

    /// Returns the id that a number stands for, or `None` for a number that never was an id.
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        Self::new(bits as u32, (bits >> 32) as u32)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockId({self})")
    }
}

/// `index:generation`, as operation logs write it.
impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.index, self.generation)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for BlockId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_bits().serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for BlockId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = u64::deserialize(deserializer)?;
        Self::from_bits(bits).ok_or_else(|| {
            let unexpected = serde::de::Unexpected::Unsigned(bits);
            serde::de::Error::invalid_value(unexpected, &"a block id, whose generation is odd")
        })
    }
}
