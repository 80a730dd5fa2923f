//! A program in which allocator-api2's `Allocator` is that of `core`, because somebody switched on its feature
//! `nightly`: each crate that names the trait builds, and works.
#![cfg_attr(unstable_allocator, feature(allocator_api))]

use std::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use slab_binned::{BinnedAllocator, Config};
use slab_bytes::SlabByteAllocator;
use slab_cache::SlabCache;
use slab_traits::{Locked, StdSource};
use slab_typed::{SlabAllocator, SlotHandle};

fn work(source: impl Allocator + Copy + 'static) {
    let mut numbers = Vec::new_in(source);
    numbers.extend(0..100_u64);
    let mut slab: SlabAllocator<u64, SlotHandle, _> = SlabAllocator::new_in(16, source);
    let handles: Vec<_> =
        numbers.iter().map(|&number| slab.allocate(number).expect("there is memory")).collect();
    assert!(handles.iter().zip(&numbers).all(|(&handle, &number)| slab[handle] == number));
    let cache = SlabCache::new_in(source).expect("there is memory");
    assert_eq!(*cache.alloc(7_u64).expect("there is memory"), 7);
    let mut blocks = BinnedAllocator::new_in(Config::new(), source);
    let id = blocks.alloc(100).expect("there is memory");
    blocks.free(id).expect("live");
}

fn main() {
    let heap: Locked<spin::Mutex<()>, SlabByteAllocator> = Locked::new(SlabByteAllocator::new());
    let region = NonNull::from(Box::leak(vec![0_u8; 1 << 20].into_boxed_slice()));
    // SAFETY: leaked memory that no code else uses.
    unsafe { heap.add_region(region) }.expect("large enough");
    let heap = &*Box::leak(Box::new(heap));
    work(heap);
    work(StdSource(heap));
    println!("one trait: {} bytes in use", heap.used_bytes());
}
