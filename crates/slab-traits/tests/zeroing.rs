//! Zeroed blocks on memory that was used before: fresh memory may be zero by chance.
#![expect(unsafe_code, reason = "implements and calls unsafe traits")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, Local, RegionError};

/// Cuts blocks of 64 bytes from a buffer that is full of ones, and never takes one back.
struct Dirty {
    buffer: Vec<u8>,
    spent: usize,
}

impl Dirty {
    fn heap() -> Local<Self> {
        Local::new(Self { buffer: vec![0xFF; 512], spent: 0 })
    }
}

impl BaseAllocator for Dirty {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        unreachable!("it has its memory")
    }
}

// SAFETY: blocks are disjoint parts of the buffer, which never moves; bytes need no alignment.
unsafe impl ByteAllocator for Dirty {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        assert!(layout.size() <= 64 && layout.align() == 1);
        if self.spent + 64 > self.buffer.len() {
            return Err(AllocError::NoMemory);
        }
        // SAFETY: 64 bytes of the buffer start there. No reference to the buffer is made, which would invalidate
        // the pointers to other blocks.
        let block = unsafe { self.buffer.as_mut_ptr().add(self.spent) };
        self.spent += 64;
        NonNull::new(block).ok_or(AllocError::NoMemory)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {}

    fn total_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn used_bytes(&self) -> usize {
        self.spent
    }
}

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a valid layout")
}

/// Returns how many of a block's first bytes are zero.
fn zeroes(block: NonNull<u8>, size: usize) -> usize {
    // SAFETY: the tests pass blocks of at least `size` bytes, all of which are initialised.
    let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), size) };
    bytes.iter().filter(|&&byte| byte == 0).count()
}

#[test]
fn a_zeroed_block_is_zero_to_its_last_byte() {
    let heap = Dirty::heap();
    let block = heap.allocate_zeroed(bytes(50)).expect("room").cast();
    assert_eq!(zeroes(block, 64), 50);
    // SAFETY: the layout is not empty.
    let block = NonNull::new(unsafe { heap.alloc_zeroed(bytes(33)) }).expect("room");
    assert_eq!(zeroes(block, 64), 33);
    // SAFETY: the layout is not empty.
    let block = NonNull::new(unsafe { heap.alloc(bytes(33)) }).expect("room");
    assert_eq!(zeroes(block, 64), 0, "the memory must be dirty, or the test proves nothing");
}

#[test]
fn the_bytes_that_a_block_gains_are_zeroed() {
    let heap = Dirty::heap();
    let block = heap.allocate(bytes(10)).expect("room").cast::<u8>();
    // SAFETY: live, with this layout.
    let grown = unsafe { heap.grow_zeroed(block, bytes(10), bytes(60)) }.expect("room");
    assert_eq!(grown.len(), 60);
    assert_eq!(zeroes(grown.cast(), 64), 50);
}
