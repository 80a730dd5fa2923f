//! A use after free *inside* a region, found at the line that did it.
//!
//! To a sanitizer and to Miri a region is one live allocation, and what happens within it is the
//! program's own affair. An allocator that says which of it is free makes them see more:
//!
//! ```sh
//! cargo +nightly miri run -p slab-bytes --example use_after_free
//! RUSTFLAGS='-Zsanitizer=address --cfg slab_sanitizer="address"' \
//!     cargo +nightly run -p slab-bytes --example use_after_free --target x86_64-unknown-linux-gnu
//! ```
//!
//! Both end at the line marked below. An ordinary build runs to the end and prints what it read.
#![expect(unsafe_code, reason = "uses a block after it was freed")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::SlabByteAllocator;
use slab_traits::{BaseAllocator, ByteAllocator};

fn main() {
    let mut region = vec![0_u8; 16 * 1024];
    let mut heap: SlabByteAllocator = SlabByteAllocator::new();
    let memory = NonNull::from(region.as_mut_slice());
    // SAFETY: the vector outlives the heap and is used through it alone.
    unsafe { heap.add_region(memory) }.expect("large enough");

    let layout = Layout::new::<u64>();
    let number = heap.alloc(layout).expect("room").cast::<u64>();
    // SAFETY: a block for one `u64`.
    unsafe { number.write(7) };
    // SAFETY: live, with this layout; that it is not used afterwards is what this program breaks.
    unsafe { heap.dealloc(number.cast(), layout) };

    // SAFETY: none: the block was freed.
    let stale = unsafe { number.read() }; // THE MISTAKE
    println!("the mistake went unnoticed, and {stale} was read from a freed block");
}
