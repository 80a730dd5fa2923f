//! Blocks in the memory of a `core::alloc::Allocator`, where the compiler has that trait.
#![cfg(core_allocator)]
#![cfg_attr(unstable_allocator, feature(allocator_api))]

use std::alloc::System;

use slab_binned::{BinnedAllocator, Config};
use slab_traits::StdSource;

#[test]
fn blocks_lie_in_memory_of_an_allocator_of_core() {
    let mut blocks = BinnedAllocator::new_in(Config::new(), StdSource(System));
    let id = blocks.alloc(100).expect("there is memory");
    blocks.write(id, b"hello").expect("it has 100 bytes");
    assert_eq!(&blocks.get(id).expect("live")[..5], b"hello");
    blocks.free(id).expect("live");
    assert_eq!(blocks.live_count(), 0);
}
