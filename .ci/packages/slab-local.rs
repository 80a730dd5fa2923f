//! The whole program on a heap with magazines for each thread.

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::SlabByteAllocator;
use slab_local::{LocalHeap, ThreadSeat};

/// slab-bytes behind a spin lock, with magazines for each thread.
type Heap = LocalHeap<spin::Mutex<()>, SlabByteAllocator, ThreadSeat>;

static mut ARENA: [u8; 16 << 20] = [0; 16 << 20];

#[global_allocator]
static HEAP: Heap = LocalHeap::with_hook(SlabByteAllocator::new(), ThreadSeat, add_arena);

/// The heap calls this when an allocation finds no memory. `true` means: try again.
fn add_arena(heap: &Heap, _layout: Layout) -> bool {
    let arena = NonNull::new(&raw mut ARENA as *mut [u8]).expect("a static is never null");
    // SAFETY: `ARENA` lives as long as the program, only the heap uses it, and its bytes are zero. A second call is
    // refused, because the heap has the array already.
    unsafe { heap.add_zeroed_region(arena) }.is_ok()
}

fn main() {
    let threads: Vec<_> = (0..4)
        .map(|number| std::thread::spawn(move || vec![number; 1000].iter().sum::<u32>()))
        .collect();
    let sum: u32 = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    println!("{sum}, {} bytes in use", HEAP.used_bytes());
}
