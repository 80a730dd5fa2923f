//! Boxes in the memory of a `core::alloc::Allocator`, where the compiler has that trait.
#![cfg(all(core_allocator, not(loom)))]
#![cfg_attr(unstable_allocator, feature(allocator_api))]
#![expect(unsafe_code, reason = "implements an unsafe trait")]

mod config;

use std::alloc::{AllocError, Allocator, Layout, System};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use config::With;
use slab_cache::SlabCache;
use slab_traits::StdSource;

/// Counts the blocks that it has handed out.
#[derive(Default)]
struct Counting(AtomicUsize);

// SAFETY: blocks come from the system's allocator and go back there.
unsafe impl Allocator for Counting {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        System.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the caller passes a live block with its layout, and the system allocated it.
        unsafe { System.deallocate(block, layout) };
    }
}

#[test]
fn boxes_come_from_an_allocator_of_core_and_go_back_there() {
    let source = Arc::new(Counting::default());
    let cache =
        SlabCache::<u64, With<spin::Mutex<()>, _>>::with_config_in(StdSource(source.clone()))
            .expect("there is memory");
    let boxes: Vec<_> = (0..1000).map(|n| cache.alloc(n).expect("there is memory")).collect();
    assert!(source.0.load(Ordering::Relaxed) > 1);
    drop(cache);
    let sum: u64 = std::thread::spawn(move || boxes.iter().map(|number| **number).sum())
        .join()
        .expect("no panic");
    assert_eq!(sum, 499_500);
    assert_eq!(source.0.load(Ordering::Relaxed), 0);
}
