//! The whole program on a heap in a static array.

use std::collections::BTreeMap;
use std::ptr::NonNull;

use slab_bytes::SlabByteAllocator;
use slab_traits::Locked;

static mut ARENA: [u8; 1 << 20] = [0; 1 << 20];

#[global_allocator]
static HEAP: Locked<spin::Mutex<()>, SlabByteAllocator> =
    Locked::with_hook(SlabByteAllocator::new(), |heap, _layout| {
        let arena = NonNull::new(&raw mut ARENA as *mut [u8]).unwrap();
        // SAFETY: no other code names `ARENA`, and a region that is given twice is refused.
        unsafe { heap.add_region(arena) }.is_ok()
    });

fn main() {
    let squares: BTreeMap<u32, String> = (0..1000).map(|n| (n, (n * n).to_string())).collect();
    assert_eq!(squares[&999], "998001");
    let used_bytes = HEAP.used_bytes();
    drop(squares);
    assert!(HEAP.used_bytes() < used_bytes && HEAP.total_bytes() == 1 << 20);
}
