//! What a program can do wrong with a block of a byte allocator: the rows of the misuse matrices.
#![expect(unsafe_code, reason = "makes pointers into blocks and regions")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use crate::child::mistake;

/// A wrong free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// The block was freed before.
    DoubleFree,
    /// Another block has the memory by then.
    DoubleFreeAfterReuse,
    /// A pointer into the block, to its eighth byte.
    Interior,
    /// To its sixteenth byte: aligned as blocks are.
    AlignedInterior,
    /// A block of another allocator.
    Foreign,
    /// An address that no block could have.
    Unaligned,
    /// A pointer to a local variable.
    Stack,
    /// The middle of the region, which no block has reached.
    NeverHandedOut,
    /// Half of the block's size.
    SmallerLayout,
    /// Twice the block's size.
    LargerLayout,
    /// An alignment that the block does not have.
    StricterLayout,
}

impl Misuse {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::DoubleFree,
        Self::DoubleFreeAfterReuse,
        Self::Interior,
        Self::AlignedInterior,
        Self::Foreign,
        Self::Unaligned,
        Self::Stack,
        Self::NeverHandedOut,
        Self::SmallerLayout,
        Self::LargerLayout,
        Self::StricterLayout,
    ];

    /// Allocates what it takes from a heap over `region` with `alloc` and `free`, and returns the
    /// pointer and the layout of the wrong free; `other` is a block of another heap.
    ///
    /// # Panics
    ///
    /// If a layout twice as large as `size` is none.
    pub fn prepare(
        self,
        size: usize,
        region: NonNull<[u8]>,
        other: NonNull<u8>,
        mut alloc: impl FnMut(Layout) -> NonNull<u8>,
        mut free: impl FnMut(NonNull<u8>, Layout),
    ) -> (NonNull<u8>, Layout) {
        let layout = bytes(size);
        let block = alloc(layout);
        let inside = |offset| {
            // SAFETY: within the block.
            unsafe { block.add(offset) }
        };
        match self {
            Self::DoubleFree => {
                free(block, layout);
                (block, layout)
            }
            Self::DoubleFreeAfterReuse => {
                free(block, layout);
                // Blocks of the class until the memory is taken again.
                while alloc(layout) != block {}
                (block, layout)
            }
            Self::Interior => (inside(8), layout),
            Self::AlignedInterior => (inside(16), layout),
            Self::Foreign => (other, layout),
            Self::Unaligned => (inside(1), layout),
            Self::Stack => {
                let local = 0_u64;
                (NonNull::from(&local).cast(), layout)
            }
            Self::NeverHandedOut => {
                // SAFETY: within the region.
                (unsafe { region.cast().add(region.len() / 2) }, layout)
            }
            Self::SmallerLayout => (block, bytes(size / 2)),
            Self::LargerLayout => (block, bytes(size * 2)),
            Self::StricterLayout => {
                let align = 2 << block.addr().get().trailing_zeros();
                (block, Layout::from_size_align(size, align).expect("valid"))
            }
        }
    }

    /// Acts it out on the heap of a whole program, which may end it: a child's [`mistake`]. `region` is
    /// the memory of `heap`, and `other` another heap.
    ///
    /// # Panics
    ///
    /// If a heap has no room for a few blocks of `size`.
    pub fn act_out<H: GlobalAlloc>(self, size: usize, heap: &H, region: NonNull<[u8]>, other: &H) {
        let alloc = |heap: &H, layout| {
            // SAFETY: the layout is not empty.
            NonNull::new(unsafe { heap.alloc(layout) }).expect("room")
        };
        let foreign = alloc(other, bytes(size));
        let (pointer, layout) = self.prepare(
            size,
            region,
            foreign,
            |layout| alloc(heap, layout),
            // SAFETY: live, with this layout.
            |block, layout| unsafe { heap.dealloc(block.as_ptr(), layout) },
        );
        // SAFETY: none: the misuse.
        mistake(|| unsafe { heap.dealloc(pointer.as_ptr(), layout) });
    }
}

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a valid layout")
}
