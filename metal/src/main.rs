//! A firmware whose global allocator is a heap in a static array. It uses the heap and exits with status 0 if
//! every check passed, 1 after a panic and 2 after a processor fault.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "hands a static array over to the heap")]

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

/// Bytes of a region. The heap has one region at the start. When an allocation finds no memory, it gets a second one, or
/// on WebAssembly new pages. Two regions fit the smallest machine, which has 16 KiB.
pub const REGION_BYTES: usize = 4608;

/// Aligned to the heap's granules of 1 KiB, so that a region holds the same number of granules on every machine.
#[repr(align(1024))]
#[expect(dead_code, reason = "read and written through the heap alone")]
struct Region([u8; REGION_BYTES]);

static mut FIRST: Region = Region([0; REGION_BYTES]);
#[global_allocator]
static HEAP: Heap = Locked::with_hook(SlabByteAllocator::new(), more_memory);

/// Gives the heap more memory when an allocation finds none.
fn more_memory(heap: &Heap, _: Layout) -> bool {
    let Some(spare) = spare_memory(heap) else { return false };
    // SAFETY: only the heap uses the memory, which lives until the program ends. The heap refuses memory that it has.
    unsafe { heap.add_region(spare) }.is_ok()
}

/// Returns a second array, once.
#[cfg(not(target_arch = "wasm32"))]
fn spare_memory(heap: &Heap) -> Option<NonNull<[u8]>> {
    static mut SECOND: Region = Region([0; REGION_BYTES]);
    (heap.total_bytes() == REGION_BYTES).then(|| region(&raw mut SECOND))
}

/// Returns the next page of the module's memory, until its limit is reached. The pages are contiguous.
#[cfg(target_arch = "wasm32")]
fn spare_memory(_: &Heap) -> Option<NonNull<[u8]>> {
    machine::grow()
}

fn region(array: *mut Region) -> NonNull<[u8]> {
    let start = NonNull::new(array.cast()).expect("statics are not null");
    NonNull::slice_from_raw_parts(start, REGION_BYTES)
}

/// The start-up code calls this.
#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    // SAFETY: only the heap uses `FIRST`, which lives until the program ends.
    let given = unsafe { HEAP.add_region(region(&raw mut FIRST)) };
    given.expect("the array is large enough");
    let report = work::run(&HEAP);
    writeln!(Console, "{report}").expect("a write to the console succeeds");
    exit(0)
}

/// The processor jumps here on a fault.
#[unsafe(no_mangle)]
extern "C" fn fault() -> ! {
    writeln!(Console, "the processor faulted").expect("a write to the console succeeds");
    exit(2)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    writeln!(Console, "{info}").expect("a write to the console succeeds");
    exit(1)
}
