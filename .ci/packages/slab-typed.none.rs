//! Handles that go stale, in a region: no global allocator is named.

use std::ptr::NonNull;

use slab_bytes::SlabByteAllocator;
use slab_traits::Local;
use slab_typed::{SlabAllocator, SlabError, SlotHandle};

fn main() -> Result<(), SlabError> {
    let mut memory = [0_u8; 64 << 10];
    let heap: Local<SlabByteAllocator> = Local::new(SlabByteAllocator::new());
    // SAFETY: the memory outlives the heap and is used through it alone.
    unsafe { heap.add_region(NonNull::from(&mut memory[..])) }.expect("large enough");
    let mut sessions: SlabAllocator<u64, SlotHandle, _> = SlabAllocator::new_in(64, &heap);
    let ada = sessions.allocate(7)?;
    assert!(heap.used_bytes() > 0);
    assert_eq!(sessions.take(ada), Some(7));
    assert_eq!(sessions.get(ada), None);
    drop(sessions);
    assert_eq!(heap.used_bytes(), 0);
    Ok(())
}
