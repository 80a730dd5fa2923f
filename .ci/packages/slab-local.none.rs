//! A heap without magazines, as a kernel's early boot has it.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use slab_bytes::SlabByteAllocator;
use slab_local::{Cpu, CpuSeat, LocalHeap};
use slab_traits::locks::LocalMutex;

/// Early boot: no CPU has a number.
struct Boot;

// SAFETY: there is one thread and no interrupt.
unsafe impl Cpu for Boot {
    type State = ();

    fn mask() {}

    unsafe fn restore(_: ()) {}

    fn current() -> Option<usize> {
        None
    }
}

static mut ARENA: [u8; 1 << 16] = [0; 1 << 16];

/// A heap for one thread.
type Heap = LocalHeap<LocalMutex, SlabByteAllocator, CpuSeat<Boot, 1>>;

fn main() {
    let heap = Heap::new(SlabByteAllocator::new(), CpuSeat::new());
    let arena = NonNull::new(&raw mut ARENA as *mut [u8]).unwrap();
    // SAFETY: no other code names `ARENA`.
    unsafe { heap.add_region(arena) }.unwrap();
    let layout = Layout::new::<u64>();
    // SAFETY: the block is freed with its layout.
    unsafe { heap.dealloc(heap.alloc(layout), layout) };
    assert_eq!(heap.used_bytes(), 0);
}
