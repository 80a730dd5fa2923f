//! A whole program, as the README has it: a static arena, a heap behind a lock as its global allocator, and
//! a hook that gives the arena. Each program runs itself many times and makes another mistake each time;
//! every one must end within two seconds, with one line that names the mistake, whatever backtraces were
//! asked for.
//!
//! These are programs without the test harness, which would need more memory than the smallest arena has.
//! Run as a test, a program gives its heap another region first, for what it does with its children.

#![expect(unsafe_code, reason = "makes mistakes with raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::hint::black_box;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};

use allocator_api2::boxed::Box as BoxIn;
use allocator_api2::vec::Vec as VecIn;
use slab_bytes::SlabByteAllocator;
use slab_core::Mode;
use slab_testkit::Misuse;
use slab_testkit::child::{self, Child, mistake};
use slab_traits::Locked;

pub type Heap<M> = Locked<spin::Mutex<()>, SlabByteAllocator<M>>;

/// Bytes of the region that a program has besides when it acts as the test.
pub const TEST_BYTES: usize = 16 << 20;

/// The sizes of blocks that are misused: one is a slot, the other a run.
const SMALL: usize = 100;
const LARGE: usize = 9000;

/// The variable that says whether a panic prints a backtrace, for which it allocates, and its values; a
/// program without it is run as well.
const BACKTRACE: &str = "RUST_BACKTRACE";
const BACKTRACES: [Option<&str>; 4] = [None, Some("0"), Some("1"), Some("full")];

/// A heap and its memory.
#[derive(Clone, Copy)]
pub struct Place<M: Mode> {
    pub heap: &'static Heap<M>,
    pub region: NonNull<[u8]>,
}

/// The container that has a block and frees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Box,
    Vec,
    /// These two name their heap; the others use the global allocator.
    BoxIn,
    VecIn,
}

/// Aligned as no block of a smaller type is.
#[repr(align(65_536))]
struct Wide(#[expect(dead_code, reason = "gives the type a size")] MaybeUninit<[u8; 65_536]>);

impl Container {
    const ALL: [Self; 4] = [Self::Box, Self::Vec, Self::BoxIn, Self::VecIn];

    /// Returns the block of a new container of so many bytes, which is forgotten.
    fn block<M: Mode>(self, heap: &'static Heap<M>, layout: Layout) -> NonNull<u8> {
        let size = layout.size();
        let block = match self {
            Self::Box => Box::into_raw(vec![0_u8; size].into_boxed_slice()).cast(),
            Self::Vec => ManuallyDrop::new(Vec::<u8>::with_capacity(size)).as_mut_ptr(),
            Self::BoxIn => {
                let mut vector = VecIn::with_capacity_in(size, heap);
                vector.resize(size, 0_u8);
                BoxIn::into_raw(vector.into_boxed_slice()).cast()
            }
            Self::VecIn => {
                ManuallyDrop::new(VecIn::<u8, _>::with_capacity_in(size, heap)).as_mut_ptr()
            }
        };
        // The compiler may not see that a block is freed twice.
        NonNull::new(black_box(block)).expect("a container has a block")
    }

    /// Makes a container of a block that would have this layout, and drops it.
    ///
    /// # Safety
    ///
    /// Such a container was forgotten; or else this is the mistake.
    unsafe fn free<M: Mode>(self, heap: &'static Heap<M>, block: NonNull<u8>, layout: Layout) {
        let (block, size) = (black_box(block).as_ptr(), layout.size());
        let slice = ptr::slice_from_raw_parts_mut(block, size);
        let wide = block.cast::<Wide>();
        // A type has its alignment, and that of the mistake is larger than any block's.
        match (self, layout.align() == 1) {
            // SAFETY: as the caller promises.
            (Self::Box, true) => drop(unsafe { Box::from_raw(slice) }),
            // SAFETY: as the caller promises.
            (Self::Box, false) => drop(unsafe { Box::from_raw(wide) }),
            // SAFETY: as the caller promises.
            (Self::Vec, true) => drop(unsafe { Vec::from_raw_parts(block, 0, size) }),
            // SAFETY: as the caller promises.
            (Self::Vec, false) => drop(unsafe { Vec::from_raw_parts(wide, 0, 1) }),
            // SAFETY: as the caller promises.
            (Self::BoxIn, true) => drop(unsafe { BoxIn::from_raw_in(slice, heap) }),
            // SAFETY: as the caller promises.
            (Self::BoxIn, false) => drop(unsafe { BoxIn::from_raw_in(wide, heap) }),
            // SAFETY: as the caller promises.
            (Self::VecIn, true) => drop(unsafe { VecIn::from_raw_parts_in(block, 0, size, heap) }),
            // SAFETY: as the caller promises.
            (Self::VecIn, false) => drop(unsafe { VecIn::from_raw_parts_in(wide, 0, 1, heap) }),
        }
    }

    /// Makes a vector of a block of so many bytes, and makes it longer.
    ///
    /// # Safety
    ///
    /// As [`free`](Self::free).
    unsafe fn grow<M: Mode>(self, heap: &'static Heap<M>, block: NonNull<u8>, size: usize) {
        let block = black_box(block).as_ptr();
        match self {
            Self::Box | Self::Vec => {
                // SAFETY: as the caller promises.
                let mut vector = unsafe { Vec::from_raw_parts(block, size, size) };
                vector.reserve_exact(3 * size);
                black_box(vector);
            }
            Self::BoxIn | Self::VecIn => {
                // SAFETY: as the caller promises.
                let mut vector = unsafe { VecIn::from_raw_parts_in(block, size, size, heap) };
                vector.reserve_exact(3 * size);
                black_box(vector);
            }
        }
    }
}

/// A mistake of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    /// A wrong free.
    Free(Misuse),
    /// A block that is free is made longer.
    GrowDead,
    /// Only a `Hardened` heap finds these.
    WriteAfterFree,
    WritePastEndThenFree,
    WritePastEndThenGrow,
}

impl Mistake {
    fn all<M: Mode>() -> impl Iterator<Item = Self> {
        let damage = [Self::WriteAfterFree, Self::WritePastEndThenFree, Self::WritePastEndThenGrow];
        let found = if M::HARDENED { &damage[..] } else { &[] };
        let frees = Misuse::ALL.into_iter().map(Self::Free);
        frees.chain([Self::GrowDead]).chain(found.to_vec())
    }

    /// The program's report of it.
    fn name(self) -> &'static str {
        match self {
            Self::Free(Misuse::DoubleFree | Misuse::DoubleFreeAfterReuse) => "double free of block",
            Self::GrowDead => "double free of block",
            Self::Free(Misuse::Interior | Misuse::AlignedInterior | Misuse::Unaligned) => {
                "pointer into a block"
            }
            Self::Free(Misuse::Foreign | Misuse::Stack) => "foreign pointer",
            Self::Free(Misuse::NeverHandedOut) => "not allocated",
            Self::Free(_) => "wrong layout: block",
            Self::WriteAfterFree => "written after it was freed, at offset 5",
            Self::WritePastEndThenFree | Self::WritePastEndThenGrow => "written past its end",
        }
    }

    /// Does it, to a block of a container of so many bytes.
    fn act_out<M: Mode>(self, container: Container, size: usize, place: Place<M>) {
        let Place { heap, region } = place;
        let layout = Layout::from_size_align(size, 1).expect("a valid layout");
        // SAFETY: the layout is not empty.
        let foreign = NonNull::new(unsafe { System.alloc(layout) }).expect("the host has memory");
        let alloc = |layout| container.block(heap, layout);
        let free = |block, layout| {
            // SAFETY: the block of such a container, or the mistake.
            unsafe { container.free(heap, block, layout) }
        };
        match self {
            Self::Free(misuse) => {
                let (block, layout) = misuse.prepare(size, region, foreign, alloc, free);
                mistake(|| {
                    free(block, layout);
                    if misuse == Misuse::DoubleFreeAfterReuse {
                        // That was taken for the free of the block that has the memory now. Its own is
                        // the second.
                        free(block, layout);
                    }
                });
            }
            Self::GrowDead => {
                let block = alloc(layout);
                free(block, layout);
                // SAFETY: none: the mistake.
                mistake(|| unsafe { container.grow(heap, block, size) });
            }
            Self::WriteAfterFree => {
                let block = alloc(layout);
                free(block, layout);
                mistake(|| {
                    flip(block, 5);
                    // The freed block is handed out again after the others of its segment.
                    (0..100).for_each(|_| _ = black_box(alloc(layout)));
                });
            }
            Self::WritePastEndThenFree => {
                let block = alloc(layout);
                flip(block, size);
                mistake(|| free(block, layout));
            }
            Self::WritePastEndThenGrow => {
                let block = alloc(layout);
                flip(block, size);
                // SAFETY: the block of such a container.
                mistake(|| unsafe { container.grow(heap, block, size) });
            }
        }
    }
}

/// Changes a byte that is not the program's.
fn flip(block: NonNull<u8>, offset: usize) {
    // SAFETY: within the region.
    let byte = unsafe { block.add(offset) };
    // SAFETY: the byte lies within the region. The sanitizer must let the access pass.
    unsafe { slab_core::poison::allow_access(byte, 1) };
    // SAFETY: the byte lies within the region, and a hardened heap has initialised it.
    let before = unsafe { byte.read() };
    // SAFETY: none: the mistake.
    unsafe { byte.write(!before) };
}

/// Runs as the test, or as the program that makes one mistake.
pub fn run<M: Mode>(global: Place<M>, named: Place<M>, test_region: NonNull<[u8]>) {
    // SAFETY: a static array that no other heap has.
    unsafe { named.heap.add_region(named.region) }.expect("large enough");
    match child::cell_unhooked() {
        Some(cell) => act_out(&cell, global, named),
        None => test::<M>(global, test_region),
    }
}

fn name_of(mistake: Mistake, container: Container, size: usize) -> String {
    format!("{mistake:?} {container:?} {size}")
}

fn cells<M: Mode>() -> impl Iterator<Item = (Mistake, Container, usize)> {
    let of_size = |size| Mistake::all::<M>().map(move |mistake| (mistake, size));
    let of_sizes = of_size(SMALL).chain(of_size(LARGE));
    of_sizes.flat_map(|(mistake, size)| Container::ALL.map(|container| (mistake, container, size)))
}

fn act_out<M: Mode>(cell: &str, global: Place<M>, named: Place<M>) {
    let mut all = cells::<M>();
    let found = all.find(|&(mistake, container, size)| name_of(mistake, container, size) == cell);
    let (mistake, container, size) = found.expect("a cell of this program");
    let place =
        if matches!(container, Container::BoxIn | Container::VecIn) { named } else { global };
    mistake.act_out(container, size, place);
}

fn test<M: Mode>(global: Place<M>, test_region: NonNull<[u8]>) {
    // SAFETY: a static array that no other heap has.
    unsafe { global.heap.add_region(test_region) }.expect("large enough");
    // SAFETY: there is one thread yet.
    unsafe { env::remove_var(BACKTRACE) };
    let (mut ended, mut expected) = (0, 0);
    for (mistake, container, size) in cells::<M>() {
        // A large block is freed as a small one; backtraces need not be tried with both.
        let backtraces = if size == SMALL { &BACKTRACES[..] } else { &BACKTRACES[2..3] };
        expected += backtraces.len();
        for &backtrace in backtraces {
            let child = Child::new("whole", &name_of(mistake, container, size));
            let child = match backtrace {
                Some(value) => child.env(BACKTRACE, value),
                None => child,
            };
            child.run().assert_ended(&[mistake.name()]);
            ended += 1;
        }
    }
    let mistakes = Mistake::all::<M>().count();
    assert_eq!((ended, mistakes * 4 * 5), (expected, expected));
    println!("{ended} programs ended with one line each");
}

/// Declares the program: its arena, its allocator, and another heap for containers that name one.
macro_rules! whole_program {
    ($mode:ty, $arena_bytes:expr) => {
        mod program {
            #![expect(unsafe_code, reason = "gives static arrays to heaps")]

            use std::ptr::NonNull;

            use slab_bytes::SlabByteAllocator;
            use slab_traits::Locked;

            use crate::whole::{Heap, Place, TEST_BYTES};

            static mut ARENA: [u8; $arena_bytes] = [0; $arena_bytes];
            static mut NAMED_ARENA: [u8; $arena_bytes] = [0; $arena_bytes];
            static mut TEST_ARENA: [u8; TEST_BYTES] = [0; TEST_BYTES];

            #[global_allocator]
            static HEAP: Heap<$mode> =
                Locked::with_hook(SlabByteAllocator::new(), |heap, _layout| {
                    // SAFETY: nothing else names `ARENA`, and giving it twice is refused.
                    unsafe { heap.add_region(region(&raw mut ARENA)) }.is_ok()
                });

            static NAMED: Heap<$mode> = Locked::new(SlabByteAllocator::new());

            fn region(array: *mut [u8]) -> NonNull<[u8]> {
                NonNull::new(array).expect("statics are not null")
            }

            pub fn run() {
                let global = Place { heap: &HEAP, region: region(&raw mut ARENA) };
                let named = Place { heap: &NAMED, region: region(&raw mut NAMED_ARENA) };
                crate::whole::run(global, named, region(&raw mut TEST_ARENA));
            }
        }

        fn main() {
            // Miri runs no other program, and would take hours over the arenas.
            if !cfg!(miri) {
                program::run();
            }
        }
    };
}
pub(crate) use whole_program;
