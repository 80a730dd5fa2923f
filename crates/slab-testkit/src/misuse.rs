//! Wrong frees of a block of a byte allocator: the rows of the misuse matrices.
#![expect(unsafe_code, reason = "makes pointers into blocks and regions")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use crate::child::mistake;

/// A wrong free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// The block was freed before.
    DoubleFree,
    /// The block was freed before, and another block has its memory now.
    DoubleFreeAfterReuse,
    /// A pointer into the block, to its eighth byte.
    Interior,
    /// A pointer into the block, to its sixteenth byte, which is aligned as blocks are.
    AlignedInterior,
    /// A block of another allocator.
    Foreign,
    /// An address that no block can have.
    Unaligned,
    /// A pointer to a local variable.
    Stack,
    /// The middle of the region, where no block was handed out yet.
    NeverHandedOut,
    /// Half of the block's size.
    SmallerLayout,
    /// Twice the block's size.
    LargerLayout,
    /// An alignment that the block does not have.
    StricterLayout,
}

impl Misuse {
    /// All wrong frees.
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

    /// Prepares a wrong free on a heap over `region` with `alloc` and `free`, and returns its pointer and layout.
    /// `other` is a block of another heap.
    ///
    /// # Panics
    ///
    /// If `2 * size` is too large for a layout.
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
                // Allocates until the memory is handed out again.
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

    /// Makes the wrong free on the heap of a whole program, which may end the program, as a child's [`mistake`].
    /// `region` is the memory of `heap`, and `other` is another heap.
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
        // SAFETY: not met; this is the mistake that the heap must find.
        mistake(|| unsafe { heap.dealloc(pointer.as_ptr(), layout) });
    }
}

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a valid layout")
}
