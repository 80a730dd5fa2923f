//! A kernel for two harts of a 32-bit RISC-V whose global allocator is a heap with magazines for each hart. Both harts
//! allocate, each frees what the other one allocated, and timer interrupts do the same on both. It exits with status 0 if
//! every check passed, 1 after a panic and 2 after a trap that was not expected.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "hands static arrays over to the heap, and frees twice on purpose")]

extern crate alloc;

mod hart;
/// The part of the machine that `semihosting` needs.
#[path = "../machine/riscv_semihost.rs"]
mod imp;
#[path = "../machine/semihosting.rs"]
mod semihosting;
mod work;

use core::alloc::Layout;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::ptr::NonNull;

use hart::Harts;
use slab_bytes::SlabByteAllocator;
use slab_local::{CpuSeat, LocalHeap};
use slab_traits::Fault;

/// The heap's type.
pub type Heap = LocalHeap<spin::Mutex<()>, SlabByteAllocator, CpuSeat<Harts, 2>>;

/// Bytes of each of two regions: the heap gets the second one when the first one is full.
const REGION_BYTES: usize = 64 << 10;

#[expect(dead_code, reason = "read and written through the heap alone")]
struct Region([u64; REGION_BYTES / 8]);

static mut REGIONS: [Region; 2] = [const { Region([0; REGION_BYTES / 8]) }; 2];

#[global_allocator]
static HEAP: Heap = LocalHeap::with_hook(SlabByteAllocator::new(), CpuSeat::new(), more_memory)
    .with_fault_handler(found);

/// Gives the heap its next region, if there is one.
fn more_memory(heap: &Heap, _: Layout) -> bool {
    let next = heap.total_bytes().div_ceil(REGION_BYTES);
    if next >= 2 {
        return false;
    }
    // SAFETY: the second array starts there.
    let start = unsafe { (&raw mut REGIONS).cast::<u8>().add(next * REGION_BYTES) };
    let region = NonNull::new(start).expect("statics are not null");
    // SAFETY: only the heap uses the arrays, which live until the program ends. It refuses memory that it has.
    unsafe { heap.add_region(NonNull::slice_from_raw_parts(region, REGION_BYTES)) }.is_ok()
}

/// The host's terminal.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        semihosting::write(text);
        Ok(())
    }
}

/// The start-up code calls this on each hart.
#[unsafe(no_mangle)]
extern "C" fn start(hart: usize) -> ! {
    work::run(hart);
    if hart != 0 {
        hart::halt();
    }
    let report = work::check(&HEAP);
    writeln!(Console, "{report}").expect("a write to the console succeeds");
    // The last check: a block that the other hart has freed is freed again, which ends the program.
    work::free_again(&HEAP);
    panic!("a double free was not found");
}

/// The heap calls this for a fault: the one that is expected is the end.
fn found(fault: &Fault) -> ! {
    writeln!(Console, "found: {fault}").expect("a write to the console succeeds");
    let is_expected = matches!(fault, Fault::DoubleFree { .. }) && work::is_done();
    semihosting::exit(if is_expected { 0 } else { 1 })
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    writeln!(Console, "{info}").expect("a write to the console succeeds");
    semihosting::exit(1)
}
