//! The work of the bench `local` and of the example `local_pairs`, and its contenders: heaps for many threads.
#![allow(dead_code, reason = "each program uses a part")]
#![expect(unsafe_code, reason = "allocates and frees raw memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::sync::Once;

use mimalloc::MiMalloc;
use slab_bytes::SlabByteAllocator;
use slab_local::{LocalHeap, ThreadSeat};
use slab_traits::Locked;

/// Bytes of each of our heaps: reserved, not used.
const REGION_BYTES: usize = 1 << 30;

/// Blocks of a batch, and of the table of a churn.
const COUNT: usize = 1000;

type Magazines = LocalHeap<spin::Mutex<()>, SlabByteAllocator, ThreadSeat>;
type OneLock = Locked<spin::Mutex<()>, SlabByteAllocator>;

static MAGAZINES: Magazines = LocalHeap::new(SlabByteAllocator::new(), ThreadSeat);
static ONE_LOCK: OneLock = Locked::new(SlabByteAllocator::new());
static START: Once = Once::new();

/// The harness alone: hands out one block.
#[derive(Clone, Copy)]
pub struct Nothing;
/// slab-bytes behind slab-local.
#[derive(Clone, Copy)]
pub struct Local;
/// slab-bytes behind one lock.
#[derive(Clone, Copy)]
pub struct Lock;

static mut BLOCK: [u64; 128] = [0; 128];

// SAFETY: the work writes only the first bytes of a block, and reads none.
unsafe impl GlobalAlloc for Nothing {
    #[inline]
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        black_box((&raw mut BLOCK).cast())
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        black_box((block, layout.size()));
    }
}

// SAFETY: passes all requests on.
unsafe impl GlobalAlloc for Local {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { MAGAZINES.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { MAGAZINES.dealloc(block, layout) }
    }
}

// SAFETY: passes all requests on.
unsafe impl GlobalAlloc for Lock {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { ONE_LOCK.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { ONE_LOCK.dealloc(block, layout) }
    }
}

/// Gives our heaps their memory, once.
pub fn start() {
    START.call_once(|| {
        let map = || {
            let (access, kind) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            );
            // SAFETY: maps new memory.
            let memory = unsafe { libc::mmap(ptr::null_mut(), REGION_BYTES, access, kind, -1, 0) };
            assert_ne!(memory, libc::MAP_FAILED, "the system has addresses");
            let start = NonNull::new(memory.cast::<u8>()).expect("not null");
            NonNull::slice_from_raw_parts(start, REGION_BYTES)
        };
        // SAFETY: new zeroed memory that each heap uses alone.
        unsafe { MAGAZINES.add_zeroed_region(map()) }.expect("a fresh region");
        // SAFETY: new memory that the heap uses alone.
        unsafe { ONE_LOCK.add_region(map()) }.expect("a fresh region");
    });
}

/// Allocates, and writes the first byte.
#[inline]
fn alloc<H: GlobalAlloc>(heap: H, size: usize) -> *mut u8 {
    // SAFETY: the size is not zero and small.
    unsafe {
        let block = heap.alloc(Layout::from_size_align_unchecked(size, 8));
        block.write(1);
        block
    }
}

/// Frees a block of so many bytes.
#[inline]
fn free<H: GlobalAlloc>(heap: H, block: *mut u8, size: usize) {
    // SAFETY: the callers free live blocks of this size.
    unsafe { heap.dealloc(block, Layout::from_size_align_unchecked(size, 8)) };
}

/// A pattern of allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A block of 64 bytes is allocated and freed at once.
    Pair,
    /// 1000 blocks of 64 bytes are allocated, then freed in the same order.
    Batch,
    /// A random block of a table of 1000 is freed and replaced by one of 16 to 512 bytes.
    Churn,
}

impl Work {
    pub const ALL: [Self; 3] = [Self::Pair, Self::Batch, Self::Churn];

    /// Returns the work with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|work| format!("{work:?}").eq_ignore_ascii_case(name))
    }

    /// Allocates and frees so many blocks.
    #[inline(never)]
    pub fn run<H: GlobalAlloc + Copy>(self, heap: H, pairs: usize, seed: u64) {
        match self {
            Self::Pair => {
                for _ in 0..pairs {
                    let size = black_box(64);
                    free(heap, black_box(alloc(heap, size)), size);
                }
            }
            Self::Batch => {
                let mut blocks = [ptr::null_mut(); COUNT];
                for _ in 0..pairs / COUNT {
                    let size = black_box(64);
                    for block in &mut blocks {
                        *block = alloc(heap, size);
                    }
                    for block in black_box(&blocks) {
                        free(heap, *block, size);
                    }
                }
            }
            Self::Churn => {
                let mut table = Table::new(heap, seed);
                (0..pairs).for_each(|_| table.replace());
                table.clear();
            }
        }
    }
}

/// The blocks of a churn.
pub struct Table<H> {
    heap: H,
    blocks: [(*mut u8, usize); COUNT],
    random: u64,
}

// SAFETY: the blocks belong to the table.
unsafe impl<H: Send> Send for Table<H> {}

impl<H: GlobalAlloc + Copy> Table<H> {
    pub fn new(heap: H, seed: u64) -> Self {
        let mut table = Self { heap, blocks: [(ptr::null_mut(), 0); COUNT], random: seed | 1 };
        for index in 0..COUNT {
            let size = table.size();
            table.blocks[index] = (alloc(heap, size), size);
        }
        table
    }

    #[inline]
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    #[inline]
    fn size(&mut self) -> usize {
        16 + (self.next() >> 32) as usize % 497
    }

    #[inline]
    pub fn replace(&mut self) {
        let index = (self.random >> 20) as usize % COUNT;
        let size = self.size();
        let (block, old) = self.blocks[index];
        free(self.heap, block, old);
        self.blocks[index] = (alloc(self.heap, size), size);
    }

    pub fn clear(&mut self) {
        for (block, size) in &mut self.blocks {
            free(self.heap, *block, *size);
        }
    }
}

/// Blocks of 64 bytes that another thread frees.
pub struct Blocks<H: GlobalAlloc + Copy> {
    heap: H,
    blocks: Vec<*mut u8>,
}

// SAFETY: the blocks belong to this value.
unsafe impl<H: GlobalAlloc + Copy + Send> Send for Blocks<H> {}

impl<H: GlobalAlloc + Copy> Blocks<H> {
    pub fn new(heap: H, count: usize) -> Self {
        Self { heap, blocks: (0..count).map(|_| alloc(heap, black_box(64))).collect() }
    }

    pub fn free(self) {
        for &block in &self.blocks {
            free(self.heap, block, black_box(64));
        }
    }
}

/// Calls a generic function with the contender of a name.
macro_rules! with_heap {
    ($name:expr, $heap:ident => $action:expr) => {
        match $name {
            "harness" => {
                let $heap = $crate::local_work::Nothing;
                $action
            }
            "slab-local" => {
                let $heap = $crate::local_work::Local;
                $action
            }
            "slab-bytes" => {
                let $heap = $crate::local_work::Lock;
                $action
            }
            "mimalloc" => {
                let $heap = $crate::local_work::Mi;
                $action
            }
            "glibc" => {
                let $heap = std::alloc::System;
                $action
            }
            other => panic!("there is no heap `{other}`"),
        }
    };
}
pub(crate) use with_heap;

/// mimalloc.
#[derive(Clone, Copy)]
pub struct Mi;

// SAFETY: passes all requests on.
unsafe impl GlobalAlloc for Mi {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}
