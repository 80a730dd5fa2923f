//! The heap below: what it tells of its size classes, and how blocks are taken from it and given back.
#![expect(unsafe_code, reason = "the heap's blocks are raw memory")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_traits::{AllocResult, ByteAllocator};

/// A size class of the heap below.
///
/// # Invariants
///
/// - **K1 (bounded)**: the number is from 1 to [`COUNT_MAX`](Self::COUNT_MAX). It is the byte of a live block in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class(u8);

impl Class {
    /// How many classes a heap may have.
    pub const COUNT_MAX: usize = 32;

    /// Returns the class with an index below [`COUNT_MAX`](Self::COUNT_MAX); larger indexes wrap around.
    pub const fn new(index: usize) -> Self {
        Self((index % Self::COUNT_MAX) as u8 + 1)
    }

    /// Returns the index.
    #[inline(always)]
    pub const fn index(self) -> usize {
        // SAFETY: by K1.
        unsafe { core::hint::assert_unchecked(self.0 >= 1 && self.0 as usize <= Self::COUNT_MAX) };
        self.0 as usize - 1
    }

    /// Returns the number, which is not zero.
    #[inline(always)]
    pub(crate) const fn number(self) -> u8 {
        self.0
    }

    /// Returns all classes that a heap may have.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT_MAX).map(Self::new)
    }
}

/// A heap whose blocks magazines can keep.
///
/// A block that waits in a magazine is live for the heap.
///
/// # Safety
///
/// - If `class_of(layout)` is `Some(class)`, each block of the layout `class_layout(class)` is large enough for
///   `layout` and aligned for it.
/// - Blocks start at multiples of 16 bytes, and no two within the same 16 bytes.
/// - Both functions answer the same whenever they are called.
pub unsafe trait Backing: ByteAllocator {
    /// Whether two frees of one block at the same time are found, which takes an atomic exchange per free.
    const FINDS_RACES: bool = false;

    /// Returns the class of the blocks that serve a layout, or `None` if magazines keep no blocks for it.
    fn class_of(layout: Layout) -> Option<Class>;

    /// Returns the layout with which blocks of a class are allocated and freed; `None` if there is no such class.
    fn class_layout(class: Class) -> Option<Layout>;

    /// Takes up to `count` blocks of a class and passes them to `take`, blocks that lie side by side in a row as far
    /// as possible. Returns how many there were. *O*(`count`).
    fn refill(&mut self, class: Class, count: usize, mut take: impl FnMut(NonNull<u8>)) -> usize {
        let Some(layout) = Self::class_layout(class) else { return 0 };
        let blocks = core::iter::from_fn(|| self.alloc(layout).ok()).take(count);
        blocks.map(&mut take).count()
    }

    /// Frees a block of a class.
    ///
    /// # Errors
    ///
    /// Those of [`try_dealloc`](ByteAllocator::try_dealloc).
    ///
    /// # Safety
    ///
    /// The block was taken by [`refill`](Self::refill) with this class, and is not used any more.
    unsafe fn give_back(&mut self, class: Class, block: NonNull<u8>) -> AllocResult {
        let Some(layout) = Self::class_layout(class) else { return Ok(()) };
        // SAFETY: `refill` allocated the block with this layout, and the caller has given it up.
        unsafe { self.try_dealloc(block, layout) }
    }
}
