//! Heaps under test, with memory that lives as long as the program.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(unused_macros, unused_imports, reason = "each test uses a part")]
#![allow(unsafe_code, reason = "gives memory to heaps, and calls GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use slab_bytes::SlabByteAllocator;
use slab_core::{Checked, Mode};
use slab_local::{LocalHeap, Seat};
use slab_traits::ByteAllocator;

/// The heap under test.
pub type Heap<S, M = Checked> = LocalHeap<spin::Mutex<()>, SlabByteAllocator<M>, S>;

/// Makes a seat of the test in which it stands, and a static heap with it over so many bytes.
macro_rules! heap {
    ($bytes:expr) => {
        heap!($bytes, ::slab_core::Checked)
    };
    ($bytes:expr, $mode:ty) => {{
        slab_local::thread_seat! {
            /// The seat of this test.
            struct TestSeat;
        }
        static HEAP: $crate::common::Heap<TestSeat, $mode> =
            slab_local::LocalHeap::new(slab_bytes::SlabByteAllocator::new(), TestSeat);
        $crate::common::give(&HEAP, $bytes);
        &HEAP
    }};
}
pub(crate) use heap;

/// Returns so many bytes that live as long as the program.
pub fn region(bytes: usize) -> NonNull<[u8]> {
    /// Memory that a static knows, so that Miri does not take it for a leak.
    struct Known(#[expect(dead_code, reason = "only kept")] NonNull<u64>);
    // SAFETY: only kept.
    unsafe impl Send for Known {}
    static REGIONS: std::sync::Mutex<Vec<Known>> = std::sync::Mutex::new(Vec::new());

    let words = Box::leak(vec![0_u64; bytes / 8].into_boxed_slice());
    let start = NonNull::from(words).cast();
    REGIONS.lock().unwrap().push(Known(start));
    NonNull::slice_from_raw_parts(start.cast(), bytes / 8 * 8)
}

/// Gives a heap so many bytes.
pub fn give<S: Seat, M: Mode>(heap: &Heap<S, M>, bytes: usize) {
    // Miri takes its time over every byte.
    let bytes = if cfg!(miri) { bytes.min(128 << 10) } else { bytes };
    // SAFETY: the heap alone uses the memory, which is never freed.
    unsafe { heap.add_region(region(bytes)) }.expect("a fresh region is accepted");
}

/// Returns a layout.
pub fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

/// Allocates.
pub fn alloc(heap: &impl GlobalAlloc, layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: the tests ask for layouts that are not empty.
    NonNull::new(unsafe { heap.alloc(layout) })
}

/// Frees.
pub fn free(heap: &impl GlobalAlloc, block: NonNull<u8>, layout: Layout) {
    // SAFETY: the tests free live blocks with their layouts.
    unsafe { heap.dealloc(block.as_ptr(), layout) };
}

/// Checks that all blocks came back: after a reclaim only the memory of the depot and of magazines is in use.
pub fn assert_all_free<S: Seat, M: Mode>(heap: &Heap<S, M>, internal_max: usize) {
    heap.reclaim();
    assert!(heap.used_bytes() <= internal_max, "{} bytes in use", heap.used_bytes());
    // SAFETY: the heap is only looked at.
    unsafe {
        heap.with_inner(|inner| {
            inner.validate().expect("consistent");
            assert_eq!(
                inner.used_bytes() + inner.available_bytes() + inner.metadata_bytes(),
                inner.total_bytes()
            );
        });
    }
}
