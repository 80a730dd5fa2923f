//! Slabs in the memory of a `core::alloc::Allocator`, where the compiler has that trait.
#![cfg(core_allocator)]
#![cfg_attr(unstable_allocator, feature(allocator_api))]
#![expect(unsafe_code, reason = "implements an unsafe trait")]

use std::alloc::{AllocError, Allocator, Layout, System};
use std::cell::Cell;
use std::ptr::NonNull;

use slab_traits::StdSource;
use slab_typed::{SlabAllocator, SlotHandle};

/// A source that counts its live blocks.
#[derive(Default)]
struct Counting(Cell<usize>);

// SAFETY: blocks come from the system's allocator and go back there.
unsafe impl Allocator for Counting {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.set(self.0.get() + 1);
        System.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.0.set(self.0.get() - 1);
        // SAFETY: `System` has the same preconditions, and allocated the block.
        unsafe { System.deallocate(block, layout) };
    }
}

#[test]
fn slabs_come_from_an_allocator_of_core_and_go_back_there() {
    let source = Counting::default();
    let mut names: SlabAllocator<String, SlotHandle, _> =
        SlabAllocator::new_in(8, StdSource(&source));
    let handles: Vec<_> =
        (0..100).map(|n| names.allocate(n.to_string()).expect("there is memory")).collect();
    let held = source.0.get();
    assert!(held > 100 / 8, "{held} blocks");
    assert!(handles.iter().enumerate().all(|(n, &handle)| names[handle] == n.to_string()));
    handles[1..].iter().for_each(|&handle| names.free(handle).expect("live"));
    names.compact();
    assert!(source.0.get() < held, "empty slabs go back");
    assert_eq!(names[handles[0]], "0");
    drop(names);
    assert_eq!(source.0.get(), 0);
}

#[test]
fn a_source_may_be_owned() {
    let mut numbers: SlabAllocator<u64, SlotHandle, _> =
        SlabAllocator::new_in(8, StdSource(System));
    let handle = numbers.allocate(7).expect("there is memory");
    assert_eq!(numbers.take(handle), Some(7));
}
