//! A firmware whose global allocator is a heap over a static array. It works the heap, and ends with
//! status 0 if all was as it should be, 1 after a panic and 2 after a processor fault.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "gives a static array to the heap")]

extern crate alloc;

mod machine;
mod masked;
mod work;

use core::alloc::Layout;
use core::fmt::Write;
use core::panic::PanicInfo;
use core::ptr::NonNull;

use machine::{Console, exit};
use masked::Lock;
use slab_bytes::SlabByteAllocator;
use slab_traits::Locked;

/// The heap's type.
pub type Heap = Locked<Lock, SlabByteAllocator>;

/// Bytes given to the heap at the start, and where memory does not grow once more when a request finds
/// none. What fits the smallest of the machines, which has 16 KiB.
pub const REGION_BYTES: usize = 4608;

/// Aligned as granules are, so that a region holds as many on every machine.
#[repr(align(1024))]
#[expect(dead_code, reason = "read and written through the heap alone")]
struct Region([u8; REGION_BYTES]);

static mut FIRST: Region = Region([0; REGION_BYTES]);
#[global_allocator]
static HEAP: Heap = Locked::with_hook(SlabByteAllocator::new(), more_memory);

/// Gives the heap more memory when a request finds none.
fn more_memory(heap: &Heap, _: Layout) -> bool {
    let Some(spare) = spare_memory(heap) else { return false };
    // SAFETY: nobody else names the memory; the heap refuses what it has already.
    unsafe { heap.add_region(spare) }.is_ok()
}

/// A second array, as a firmware would have it for other plans.
#[cfg(not(target_arch = "wasm32"))]
fn spare_memory(heap: &Heap) -> Option<NonNull<[u8]>> {
    static mut SECOND: Region = Region([0; REGION_BYTES]);
    (heap.total_bytes() == REGION_BYTES).then(|| region(&raw mut SECOND))
}

/// A page after the other, right behind the one before, until the module's limit is reached.
#[cfg(target_arch = "wasm32")]
fn spare_memory(_: &Heap) -> Option<NonNull<[u8]>> {
    machine::grow()
}

fn region(array: *mut Region) -> NonNull<[u8]> {
    let start = NonNull::new(array.cast()).expect("statics are not null");
    NonNull::slice_from_raw_parts(start, REGION_BYTES)
}

/// Where the start-up code goes.
#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    // SAFETY: nobody else names the array.
    let given = unsafe { HEAP.add_region(region(&raw mut FIRST)) };
    given.expect("the array is large enough");
    let report = work::run(&HEAP);
    writeln!(Console, "{report}").expect("the console takes everything");
    exit(0)
}

/// Where the processor goes when it can go no further.
#[unsafe(no_mangle)]
extern "C" fn fault() -> ! {
    writeln!(Console, "the processor faulted").expect("the console takes everything");
    exit(2)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    writeln!(Console, "{info}").expect("the console takes everything");
    exit(1)
}
