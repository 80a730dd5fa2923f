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
use masked::Masked;
use slab_bytes::SlabByteAllocator;
use slab_traits::Locked;

/// The heap's type.
pub type Heap = Locked<Masked, SlabByteAllocator>;

/// Bytes given to the heap at the start, and once more when a request finds no memory. What fits the
/// smallest of the machines, which has 16 KiB.
pub const REGION_BYTES: usize = 4608;

/// Aligned as granules are, so that a region holds as many on every machine.
#[repr(align(1024))]
struct Region([u8; REGION_BYTES]);

static mut FIRST: Region = Region([0; REGION_BYTES]);
static mut SECOND: Region = Region([0; REGION_BYTES]);

#[global_allocator]
static HEAP: Heap = Locked::with_hook(SlabByteAllocator::new(), more_memory);

/// Gives the heap its second region, as a firmware would a memory that it had other plans for.
fn more_memory(heap: &Heap, _: Layout) -> bool {
    // SAFETY: nobody else names the array; the heap refuses it if it has it already.
    heap.total_bytes() != 0 && unsafe { heap.add_region(region(&raw mut SECOND.0)) }.is_ok()
}

fn region(array: *mut [u8; REGION_BYTES]) -> NonNull<[u8]> {
    NonNull::new(array as *mut [u8]).expect("statics are not null")
}

/// Where the start-up code goes.
#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    // SAFETY: nobody else names the array.
    unsafe { HEAP.add_region(region(&raw mut FIRST.0)) }.expect("the array is large enough");
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
