//! Blocks in a region: no global allocator is named.

use std::ptr::NonNull;

use slab_binned::{BinnedAllocator, BinnedError, Config};
use slab_bytes::SlabByteAllocator;
use slab_traits::Local;

fn main() -> Result<(), BinnedError> {
    // The first chunk has 256 KiB.
    let mut memory = vec![0_u8; 512 << 10];
    let heap: Local<SlabByteAllocator> = Local::new(SlabByteAllocator::new());
    // SAFETY: the memory outlives the heap and is used through it alone.
    unsafe { heap.add_region(NonNull::from(&mut memory[..])) }.expect("large enough");
    let mut blocks = BinnedAllocator::new_in(Config::new(), &heap);
    let id = blocks.alloc(100)?;
    blocks.write(id, b"spawn")?;
    assert_eq!(&blocks.try_get(id)?[..6], b"spawn\0");
    blocks.free(id)?;
    assert!(blocks.get(id).is_none());
    Ok(())
}
