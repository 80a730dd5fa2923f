//! The same operations give blocks at the same offsets, on every machine: for regions of equal sizes at bases that are
//! equal modulo the largest alignment.
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::Layout;
use std::ptr::NonNull;

use slab_bytes::{Bounded, Compact, Policy, SlabByteAllocator, UnitByteAllocator};
use slab_core::mix64;
use slab_testkit::Arena;
use slab_traits::ByteAllocator;

/// A heap under test.
trait Heap: ByteAllocator + Default {
    fn check(&self);
}

impl Heap for SlabByteAllocator {
    fn check(&self) {
        self.validate().expect("consistent");
    }
}

impl<P: Policy> Heap for UnitByteAllocator<P> {
    fn check(&self) {
        self.validate().expect("consistent");
    }
}

/// The largest alignment that the program asks for.
const ALIGN_MAX: usize = 1 << 14;

/// Small enough for Miri, large enough that the program meets full segments, cached runs and refusals.
const STEPS: u64 = 600;

const REGION_BYTES: [usize; 2] = [200_000, 90_001];

/// Runs one program over two regions that start `shift` bytes behind a multiple of `align`, and returns the offset of
/// each block.
fn offsets<H: Heap>(align: usize, shift: usize) -> Vec<usize> {
    let arenas = REGION_BYTES.map(|bytes| Arena::aligned(bytes, align, shift));
    let starts: Vec<usize> =
        arenas.iter().map(|arena| arena.region().cast::<u8>().addr().get()).collect();
    let mut heap = H::default();
    for arena in &arenas {
        // SAFETY: the arena outlives the heap, and no other code uses it.
        unsafe { heap.add_region(arena.region()) }.expect("large enough");
    }
    let mut live: Vec<(NonNull<u8>, Layout)> = Vec::new();
    let mut offsets = Vec::new();
    let mut place = |block: NonNull<u8>| {
        let address = block.addr().get();
        let within = |nth: usize| address.wrapping_sub(starts[nth]) < REGION_BYTES[nth];
        let nth = (0..2).find(|&nth| within(nth)).expect("in one of the regions");
        offsets.push(nth * REGION_BYTES[0] + address - starts[nth]);
    };
    let mut refused = 0;
    for step in 0..STEPS {
        let random = mix64(step);
        let pick = |shift: u32, count: u64| (random >> shift & 0xFFFF) % count;
        match pick(0, 8) {
            0..4 => {
                let size = 1 << pick(16, 15);
                let layout = Layout::from_size_align(
                    size + pick(32, size as u64) as usize,
                    1 << if pick(48, 9) == 0 { pick(40, 15) } else { 4 },
                );
                let layout = layout.expect("small");
                match heap.alloc(layout) {
                    Ok(block) => {
                        place(block);
                        live.push((block, layout));
                    }
                    Err(_) => refused += 1,
                }
            }
            4..7 if !live.is_empty() => {
                let (block, layout) = live.swap_remove(pick(16, live.len() as u64) as usize);
                // SAFETY: live, with this layout.
                unsafe { heap.dealloc(block, layout) };
            }
            _ if !live.is_empty() => {
                let nth = pick(16, live.len() as u64) as usize;
                let (block, layout) = live[nth];
                let size = 1 + pick(32, 20_000) as usize;
                // SAFETY: live, with this layout.
                if let Ok(moved) = unsafe { heap.realloc(block, layout, size) } {
                    place(moved);
                    let layout = Layout::from_size_align(size, layout.align()).expect("small");
                    live[nth] = (moved, layout);
                }
            }
            _ => {}
        }
    }
    assert!(refused > 0 && refused < STEPS / 4, "{refused} were refused");
    heap.check();
    offsets
}

/// Returns how many blocks there are, and one number for where they lie.
fn digest<H: Heap>() -> (usize, u64) {
    let first = offsets::<H>(ALIGN_MAX, 0);
    let mixed = first.iter().fold(0, |mixed: u64, &offset| mix64(mixed ^ offset as u64));
    (first.len(), mixed)
}

/// A change to a heap's policies changes its number, on all machines alike.
#[test]
fn offsets_are_those_of_every_machine() {
    assert_eq!(digest::<SlabByteAllocator>(), (373, 12015454993409548204));
    assert_eq!(digest::<UnitByteAllocator<Compact>>(), (373, 13540755365908623830));
    assert_eq!(digest::<UnitByteAllocator<Bounded>>(), (373, 4070315015369789879));
}

fn do_not_depend_on_the_place<H: Heap>() {
    for shift in [0, 16, 1040, 5000] {
        let near = offsets::<H>(ALIGN_MAX, shift);
        assert_eq!(near, offsets::<H>(ALIGN_MAX << 4, shift), "{shift}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "slow, and no other code than the first test's")]
fn offsets_do_not_depend_on_where_the_regions_lie() {
    do_not_depend_on_the_place::<SlabByteAllocator>();
    do_not_depend_on_the_place::<UnitByteAllocator<Compact>>();
    do_not_depend_on_the_place::<UnitByteAllocator<Bounded>>();
}
