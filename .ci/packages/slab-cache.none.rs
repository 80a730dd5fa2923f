//! Boxes in a region: no global allocator is named, no lock is taken.

use std::ptr::NonNull;

use slab_bytes::SlabByteAllocator;
use slab_cache::{CacheError, SlabCache};
use slab_traits::Local;

fn main() -> Result<(), CacheError> {
    let mut memory = [0_u8; 64 << 10];
    let heap: Local<SlabByteAllocator> = Local::new(SlabByteAllocator::new());
    // SAFETY: the memory outlives the heap and is used through it alone.
    unsafe { heap.add_region(NonNull::from(&mut memory[..])) }.expect("large enough");
    let requests = SlabCache::new_in(&heap)?;
    let mut open = Vec::new();
    let refused = loop {
        match requests.alloc([7_u8; 200]) {
            Ok(request) => open.push(request),
            Err(full) => break full.0,
        }
    };
    assert!(refused == [7; 200] && open.len() > 100, "{} boxes in 64 KiB", open.len());
    drop((open, requests));
    assert_eq!(heap.used_bytes(), 0);
    Ok(())
}
