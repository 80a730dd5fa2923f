//! The heap as a page allocator.
#![expect(unsafe_code, reason = "uses raw memory")]

use std::alloc::Layout;

use slab_bytes::SlabByteAllocator;
use slab_testkit::Arena;
use slab_traits::{AllocError, BaseAllocator, ByteAllocator, PageAllocator};

const PAGE: usize = 4096;

fn heap(arena: &Arena) -> SlabByteAllocator {
    let mut heap = SlabByteAllocator::new();
    // SAFETY: every test keeps its arena longer than its heap.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    heap
}

#[test]
fn every_page_can_be_had_and_is_aligned() {
    let pages = if cfg!(miri) { 5 } else { 40 };
    let places = [(0, 0), (1, 0), (1024, 0), (4095, 0), (1024, 1024), (2048, 3072), (3072, 2048)];
    for (offset, more) in places {
        let arena = Arena::new(pages * PAGE + more, offset);
        let mut heap = heap(&arena);
        let total = heap.total_pages();
        assert!((pages - 3..=pages).contains(&total), "{total} pages at offset {offset}");
        let mut pages = Vec::new();
        while let Ok(page) = heap.alloc_pages(1, 1) {
            assert!(page.addr().get().is_multiple_of(PAGE));
            pages.push(page);
        }
        assert_eq!(pages.len(), total, "offset {offset}");
        assert_eq!(heap.available_pages(), 0);
        for page in pages {
            // SAFETY: live, and forgotten here.
            unsafe { heap.dealloc_pages(page, 1) }.expect("live");
        }
        assert_eq!(heap.used_pages(), 0);
        heap.validate().expect("consistent");
    }
}

#[test]
fn pages_and_bytes_share_one_heap() {
    let arena = Arena::new(16 * PAGE, 0);
    let mut heap = heap(&arena);
    let run = heap.alloc_pages(4, 4 * PAGE).expect("room");
    assert!(run.addr().get().is_multiple_of(4 * PAGE));
    let block = heap.alloc(Layout::new::<[u8; 100]>()).expect("room");
    assert_eq!(heap.used_bytes(), 4 * PAGE + 112);
    assert!(heap.used_pages() >= 5);

    // SAFETY: a checked heap refuses what does not fit.
    let as_bytes = unsafe { heap.try_dealloc(run, Layout::new::<[u8; 4 * PAGE]>()) };
    assert_eq!(as_bytes, Err(AllocError::NotAllocated));
    // SAFETY: a checked heap refuses what does not fit.
    assert_eq!(unsafe { heap.dealloc_pages(run, 3) }, Err(AllocError::InvalidParam));
    // SAFETY: a checked heap refuses what does not fit.
    assert_eq!(unsafe { heap.dealloc_pages(block, 1) }, Err(AllocError::NotAllocated));
    // SAFETY: live, and forgotten here.
    unsafe { heap.dealloc_pages(run, 4) }.expect("live");
    // SAFETY: a checked heap refuses what is not live.
    assert_eq!(unsafe { heap.dealloc_pages(run, 4) }, Err(AllocError::NotAllocated));
    heap.validate().expect("consistent");
}

#[test]
fn pages_at_an_address_are_had_if_they_are_free() {
    let arena = Arena::new(32 * PAGE, 0);
    let mut heap = heap(&arena);
    let first = heap.alloc_pages(1, PAGE).expect("room");
    let start = first.addr().get() + 8 * PAGE;
    let run = heap.alloc_pages_at(start, 4, PAGE).expect("free");
    assert_eq!(run.addr().get(), start);
    for (at, count) in [(start, 1), (start - PAGE, 2), (start + 3 * PAGE, 1)] {
        assert_eq!(heap.alloc_pages_at(at, count, PAGE), Err(AllocError::NoMemory));
    }
    assert_eq!(heap.alloc_pages_at(start + 1, 1, PAGE), Err(AllocError::InvalidParam));
    assert_eq!(heap.alloc_pages_at(start, 0, PAGE), Err(AllocError::InvalidParam));
    assert_eq!(heap.alloc_pages_at(PAGE, 1, PAGE), Err(AllocError::NoMemory));
    heap.validate().expect("consistent");
    // SAFETY: live, and forgotten here.
    unsafe { heap.dealloc_pages(run, 4) }.expect("live");
    heap.alloc_pages_at(start - PAGE, 6, PAGE).expect("free again, on both sides");
}

#[test]
fn impossible_requests_are_refused() {
    let arena = Arena::new(8 * PAGE, 0);
    let mut heap = heap(&arena);
    assert_eq!(heap.page_size(), PAGE);
    assert_eq!(heap.alloc_pages(0, PAGE), Err(AllocError::InvalidParam));
    assert_eq!(heap.alloc_pages(1, 3), Err(AllocError::InvalidParam));
    assert_eq!(heap.alloc_pages(usize::MAX, PAGE), Err(AllocError::InvalidParam));
    assert_eq!(heap.alloc_pages(9, PAGE), Err(AllocError::NoMemory));
    assert_eq!(heap.alloc_pages(1, 1 << (usize::BITS - 2)), Err(AllocError::NoMemory));
    heap.validate().expect("consistent");
}
