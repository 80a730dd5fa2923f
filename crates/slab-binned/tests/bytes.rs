//! The byte face is slab-bytes' heap, which has its own tests. Here: that it is, and that equal operations give equal
//! offsets, as `slab-bytes/tests/offsets.rs` shows on all machines.
#![expect(unsafe_code, reason = "allocates raw memory")]

use std::alloc::Layout;

use slab_binned::BinnedByteAllocator;
use slab_testkit::Arena;
use slab_traits::{BaseAllocator, ByteAllocator};

#[test]
fn equal_operations_give_equal_offsets() {
    let offsets = |align: usize| -> Vec<usize> {
        let arena = Arena::aligned(64 * 1024, align, 0);
        let start = arena.region().cast::<u8>().addr().get();
        let mut heap = BinnedByteAllocator::new();
        // SAFETY: the arena outlives the heap, and no other code uses it.
        unsafe { heap.add_region(arena.region()) }.expect("large enough");
        let layouts = (1..40)
            .map(|nth: usize| Layout::from_size_align(nth * nth, 1 << (nth % 9)).expect("small"));
        layouts.map(|layout| heap.alloc(layout).expect("room").addr().get() - start).collect()
    };
    assert_eq!(offsets(4096), offsets(1 << 16));
}
