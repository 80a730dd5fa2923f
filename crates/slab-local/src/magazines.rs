//! The magazines of one thread or CPU: a bounded stack of blocks for each class.

use core::fmt;

use crate::backing::Class;
use crate::stack::Stack;

/// Blocks that a magazine has, at most.
const MAGAZINE_BLOCKS: usize = 63;

/// Blocks of a batch, at most: half of a full magazine.
const BATCH_BLOCKS: usize = 31;

/// Bytes of the blocks in a magazine, at most, if it has more than [`MAGAZINE_BLOCKS_MIN`].
const MAGAZINE_BYTES: usize = 32 << 10;

/// Blocks for which a magazine has room, at least.
const MAGAZINE_BLOCKS_MIN: usize = 8;

/// Bytes of the blocks that the depot keeps of a class, at most, if it keeps more than two batches.
const DEPOT_BYTES: usize = 512 << 10;

/// Batches that the depot keeps of a class, at most.
const DEPOT_BATCHES: usize = 64;

/// Units where blocks start, all of one class, as they change between magazines, depot and heap.
pub type Batch = Stack<u32, BATCH_BLOCKS>;

/// Units where blocks of one class start.
pub type Magazine = Stack<u32, MAGAZINE_BLOCKS>;

/// The magazines of one thread or CPU, one for each class.
///
/// They take 8 KiB. All are empty at first. [`LocalHeap`](crate::LocalHeap) fills them through a
/// [`Seat`](crate::Seat).
#[repr(align(64))]
pub struct Magazines {
    stacks: [Magazine; Class::COUNT_MAX],
}

impl Magazines {
    /// Returns empty magazines.
    pub const fn new() -> Self {
        // The heap sets the limits when it first fills a magazine.
        Self { stacks: [Stack::new(0); Class::COUNT_MAX] }
    }

    /// Returns the magazine of a class.
    #[inline(always)]
    pub(crate) fn of(&mut self, class: Class) -> &mut Magazine {
        &mut self.stacks[class.index()]
    }

    /// Sets how many blocks of so many bytes a magazine takes, if that was not done yet.
    pub(crate) fn set_limit(magazine: &mut Magazine, block_bytes: usize) {
        if magazine.limit() == 0 {
            let limit = MAGAZINE_BYTES / block_bytes.max(1);
            *magazine = Stack::new(limit.clamp(MAGAZINE_BLOCKS_MIN, MAGAZINE_BLOCKS));
        }
    }

    /// Returns how many blocks of so many bytes make a batch.
    pub(crate) fn batch_blocks(magazine: &Magazine) -> usize {
        (magazine.limit() / 2).min(BATCH_BLOCKS)
    }

    /// Returns how many batches of such blocks the depot keeps.
    pub(crate) fn depot_batches(block_bytes: usize) -> usize {
        (DEPOT_BYTES / (block_bytes.max(1) * BATCH_BLOCKS)).clamp(2, DEPOT_BATCHES)
    }

    /// Returns the bytes of all blocks that wait here, where a block of a class has so many bytes.
    pub(crate) fn idle_bytes(&self, block_bytes: impl Fn(Class) -> usize) -> usize {
        Class::all().map(|class| self.stacks[class.index()].len() * block_bytes(class)).sum()
    }
}

impl Default for Magazines {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Magazines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks: usize = self.stacks.iter().map(Stack::len).sum();
        f.debug_struct("Magazines").field("blocks", &blocks).finish_non_exhaustive()
    }
}
