//! Pointers to allocators forward every method, the provided ones too. Provided methods that are not
//! overridden derive their result or refuse.
#![expect(unsafe_code, reason = "implements and calls unsafe traits")]

use std::alloc::Layout;
use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;

use allocator_api2::alloc::Allocator;
use slab_traits::{
    AllocError, AllocResult, BaseAllocator, ByteAllocator, Local, LocalMutex, PageAllocator,
    PageCounts, RegionError,
};

type Calls = Rc<RefCell<Vec<&'static str>>>;

/// Notes which of its methods are called.
struct Noting(Calls);

impl Noting {
    fn note<T>(&self, name: &'static str, answer: T) -> T {
        self.0.borrow_mut().push(name);
        answer
    }
}

impl BaseAllocator for Noting {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        self.note("add_region", Err(RegionError::TooManyRegions { limit: 7 }))
    }

    unsafe fn init(&mut self, _: usize, _: usize) -> AllocResult {
        self.note("init", Err(AllocError::MemoryOverlap))
    }

    unsafe fn add_memory(&mut self, _: usize, _: usize) -> AllocResult {
        self.note("add_memory", Err(AllocError::InvalidParam))
    }
}

const REFUSED: AllocResult<NonNull<u8>> = Err(AllocError::NotAllocated);

// SAFETY: no block is ever handed out.
unsafe impl ByteAllocator for Noting {
    fn alloc(&mut self, _: Layout) -> AllocResult<NonNull<u8>> {
        self.note("alloc", REFUSED)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {
        self.note("dealloc", ());
    }

    fn total_bytes(&self) -> usize {
        self.note("total_bytes", 100)
    }

    fn used_bytes(&self) -> usize {
        self.note("used_bytes", 20)
    }

    fn metadata_bytes(&self) -> usize {
        self.note("metadata_bytes", 3)
    }

    fn available_bytes(&self) -> usize {
        self.note("available_bytes", 70)
    }

    fn alloc_zeroed(&mut self, _: Layout) -> AllocResult<NonNull<u8>> {
        self.note("alloc_zeroed", REFUSED)
    }

    unsafe fn resize_in_place(
        &mut self,
        _: NonNull<u8>,
        _: Layout,
        _: Layout,
    ) -> AllocResult<NonNull<u8>> {
        self.note("resize_in_place", Err(AllocError::NotAllocated))
    }

    unsafe fn alloc_for_move(
        &mut self,
        _: NonNull<u8>,
        _: Layout,
        _: Layout,
    ) -> AllocResult<NonNull<u8>> {
        self.note("alloc_for_move", REFUSED)
    }

    unsafe fn grow(&mut self, _: NonNull<u8>, _: Layout, _: Layout) -> AllocResult<NonNull<u8>> {
        self.note("grow", REFUSED)
    }

    unsafe fn shrink(&mut self, _: NonNull<u8>, _: Layout, _: Layout) -> AllocResult<NonNull<u8>> {
        self.note("shrink", REFUSED)
    }

    unsafe fn realloc(&mut self, _: NonNull<u8>, _: Layout, _: usize) -> AllocResult<NonNull<u8>> {
        self.note("realloc", REFUSED)
    }

    unsafe fn usable_size(&self, _: NonNull<u8>, _: Layout) -> usize {
        self.note("usable_size", 64)
    }

    unsafe fn try_dealloc(&mut self, _: NonNull<u8>, _: Layout) -> AllocResult {
        self.note("try_dealloc", Err(AllocError::NotAllocated))
    }
}

/// Calls every method once and compares the results.
fn call_all(mut heap: impl ByteAllocator, calls: &Calls) {
    let layout = Layout::new::<u64>();
    let block = NonNull::<u64>::dangling().cast();
    let region = NonNull::slice_from_raw_parts(block, 8);
    // SAFETY: the allocator accesses no memory.
    let refusal = unsafe { heap.add_region(region) };
    assert_eq!(refusal, Err(RegionError::TooManyRegions { limit: 7 }));
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.init(8, 8) }, Err(AllocError::MemoryOverlap));
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.add_memory(8, 8) }, Err(AllocError::InvalidParam));
    assert_eq!(heap.alloc(layout), REFUSED);
    assert_eq!(heap.alloc_zeroed(layout), REFUSED);
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.resize_in_place(block, layout, layout) }.ok(), None);
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.alloc_for_move(block, layout, layout) }, REFUSED);
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.grow(block, layout, layout) }, REFUSED);
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.shrink(block, layout, layout) }, REFUSED);
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.realloc(block, layout, 9) }, REFUSED);
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.usable_size(block, layout) }, 64);
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.try_dealloc(block, layout) }, Err(AllocError::NotAllocated));
    // SAFETY: the allocator accesses no memory.
    unsafe { heap.dealloc(block, layout) };
    let statistics =
        (heap.total_bytes(), heap.used_bytes(), heap.metadata_bytes(), heap.available_bytes());
    assert_eq!(statistics, (100, 20, 3, 70));
    assert_eq!(
        calls.take(),
        [
            "add_region",
            "init",
            "add_memory",
            "alloc",
            "alloc_zeroed",
            "resize_in_place",
            "alloc_for_move",
            "grow",
            "shrink",
            "realloc",
            "usable_size",
            "try_dealloc",
            "dealloc",
            "total_bytes",
            "used_bytes",
            "metadata_bytes",
            "available_bytes",
        ]
    );
}

#[test]
fn every_method_reaches_the_allocator_pointed_to() {
    let calls = Calls::default();
    call_all(&mut Noting(Rc::clone(&calls)), &calls);
    call_all(Box::new(Noting(Rc::clone(&calls))), &calls);
    call_all(Box::new(Noting(Rc::clone(&calls))) as Box<dyn ByteAllocator>, &calls);
}

/// Implements the required methods only, and hands out nothing.
struct Least;

impl BaseAllocator for Least {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: no block is ever handed out.
unsafe impl ByteAllocator for Least {
    fn alloc(&mut self, _: Layout) -> AllocResult<NonNull<u8>> {
        Err(AllocError::NoMemory)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {}

    fn total_bytes(&self) -> usize {
        100
    }

    fn used_bytes(&self) -> usize {
        30
    }
}

// SAFETY: no page is ever handed out.
unsafe impl PageAllocator for Least {
    fn page_size(&self) -> usize {
        4096
    }

    fn alloc_pages(&mut self, _: usize, _: usize) -> AllocResult<NonNull<u8>> {
        Err(AllocError::NoMemory)
    }

    unsafe fn dealloc_pages(&mut self, _: NonNull<u8>, _: usize) -> AllocResult {
        Err(AllocError::NotAllocated)
    }

    fn page_counts(&self) -> PageCounts {
        PageCounts { total: 10, used: 4 }
    }
}

#[test]
fn provided_methods_derive_or_refuse() {
    let mut least = Least;
    assert_eq!((least.metadata_bytes(), least.available_bytes()), (0, 70));
    assert_eq!(least.alloc_pages_at(4096, 1, 4096), Err(AllocError::InvalidParam));
    assert_eq!((least.total_pages(), least.used_pages(), least.available_pages()), (10, 4, 6));
    let (short, long) = (Layout::new::<u8>(), Layout::new::<u64>());
    let block = NonNull::<u64>::dangling().cast();
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { least.grow(block, long, short) }, Err(AllocError::InvalidParam));
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { least.shrink(block, short, long) }, Err(AllocError::InvalidParam));
}

#[test]
fn the_adapter_returns_the_statistics_of_the_allocator() {
    let calls = Calls::default();
    let heap: Local<_> = Local::new(Noting(Rc::clone(&calls)));
    // SAFETY: the allocator accesses no memory.
    assert_eq!(unsafe { heap.add_memory(8, 8) }, Err(AllocError::InvalidParam));
    assert_eq!((heap.available_bytes(), heap.metadata_bytes()), (70, 3));
    assert_eq!(calls.take(), ["add_memory", "available_bytes", "metadata_bytes"]);
    assert_eq!(format!("{heap:?}"), "Locked { total_bytes: 100, used_bytes: 20, .. }");
    let lock = <LocalMutex as lock_api::RawMutex>::INIT;
    assert_eq!(format!("{lock:?}"), "LocalMutex { locked: false }");
}

#[test]
fn a_block_of_no_bytes_needs_no_memory() {
    let heap: Local<_> = Local::new(Least);
    let (none, page) = (Layout::from_size_align(0, 4096).unwrap(), Layout::new::<[u8; 4096]>());
    for empty in [heap.allocate(none), heap.allocate_zeroed(none)] {
        let empty = empty.expect("it needs no memory");
        assert_eq!((empty.len(), empty.cast::<u8>().addr().get() % 4096), (0, 0));
        // SAFETY: an empty block of this heap, with this layout.
        assert!(unsafe { heap.grow(empty.cast(), none, page) }.is_err());
        // SAFETY: an empty block of this heap, with this layout.
        let shrunk = unsafe { heap.shrink(empty.cast(), none, none) };
        assert_eq!(shrunk.expect("it needs no memory").len(), 0);
        // SAFETY: an empty block of this heap, with this layout.
        unsafe { heap.deallocate(empty.cast(), none) };
    }
    assert!(heap.allocate(page).is_err());
}

/// Hands out one block of its memory. `frees_others` says whether it accepts to free any other block.
struct OneBlock {
    memory: [u64; 8],
    live: bool,
    frees_others: bool,
}

impl BaseAllocator for OneBlock {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        unreachable!("it has its memory")
    }
}

// SAFETY: the block lies in `memory`, which does not move while it is used, and is handed out once.
unsafe impl ByteAllocator for OneBlock {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        assert!(!self.live && layout.size() <= 64 && layout.align() <= 8);
        self.live = true;
        Ok(NonNull::from(&mut self.memory).cast())
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, _: Layout) {
        assert_eq!(block.addr(), NonNull::from(&mut self.memory).addr());
        self.live = false;
    }

    unsafe fn try_dealloc(&mut self, _: NonNull<u8>, _: Layout) -> AllocResult {
        if self.frees_others { Ok(()) } else { Err(AllocError::NotAllocated) }
    }

    fn total_bytes(&self) -> usize {
        64
    }

    fn used_bytes(&self) -> usize {
        if self.live { 64 } else { 0 }
    }
}

#[test]
fn a_move_reports_that_the_old_block_cannot_be_freed() {
    let mut heap = OneBlock { memory: [0; 8], live: false, frees_others: false };
    let mut foreign = [7_u8; 16];
    let block = NonNull::from(&mut foreign).cast();
    let (old, new) = (Layout::new::<[u8; 16]>(), Layout::new::<[u8; 32]>());
    // SAFETY: the block is readable, and the allocator refuses to free it.
    let outcome = unsafe { heap.grow(block, old, new) };
    assert_eq!(outcome, Err(AllocError::NotAllocated));
    assert_eq!(heap.used_bytes(), 0, "the copy is given back");
}

#[test]
fn a_move_copies_what_both_blocks_hold() {
    for (old_size, new_size) in [(32, 16), (16, 32), (16, 16)] {
        let mut heap = OneBlock { memory: [u64::MAX; 8], live: false, frees_others: true };
        let mut other = [7_u8; 32];
        let block = NonNull::from(&mut other).cast();
        let layout = |size| Layout::from_size_align(size, 1).expect("valid");
        // SAFETY: the block has 32 bytes, and the heap takes it for a block of this heap.
        let moved = unsafe { heap.realloc(block, layout(old_size), new_size) };
        assert_eq!(moved, Ok(NonNull::from(&mut heap.memory).cast()));
        let copied = heap.memory.iter().filter(|&&word| word == 0x0707_0707_0707_0707).count();
        let untouched = heap.memory.iter().filter(|&&word| word == u64::MAX).count();
        assert_eq!((copied, untouched), (2, 6), "{old_size} to {new_size}");
    }
}

/// An allocator that has no memory for a move: a smaller block stays where it is.
struct Staying {
    outcome: AllocResult,
    calls: Vec<&'static str>,
}

impl BaseAllocator for Staying {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: no block is ever handed out; the tests pass blocks from elsewhere.
unsafe impl ByteAllocator for Staying {
    fn alloc(&mut self, _: Layout) -> AllocResult<NonNull<u8>> {
        self.calls.push("alloc");
        Err(AllocError::NoMemory)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {
        self.calls.push("dealloc");
    }

    unsafe fn resize_in_place(
        &mut self,
        block: NonNull<u8>,
        _: Layout,
        _: Layout,
    ) -> AllocResult<NonNull<u8>> {
        self.calls.push("resize_in_place");
        self.outcome.map(|()| block)
    }

    unsafe fn alloc_for_move(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        self.calls.push("alloc_for_move");
        if new.size() <= old.size() { Ok(block) } else { self.alloc(new) }
    }

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}

#[test]
fn a_block_that_may_stay_is_neither_copied_nor_freed() {
    let mut memory = [7_u8; 8];
    let block = NonNull::from(&mut memory).cast::<u8>();
    let (small, large) = (Layout::new::<[u8; 2]>(), Layout::new::<[u8; 8]>());
    let mut heap = Staying { outcome: Err(AllocError::NoMemory), calls: Vec::new() };
    // SAFETY: the block has 8 bytes, and the heap takes it for a block of this heap.
    let shrunk = unsafe { heap.shrink(block, large, small) };
    // SAFETY: the block has 8 bytes, and the heap takes it for a block of this heap.
    let reallocated = unsafe { heap.realloc(block, large, 2) };
    assert_eq!((shrunk, reallocated), (Ok(block), Ok(block)));
    assert_eq!(heap.calls, ["resize_in_place", "alloc_for_move"].repeat(2));
    heap.calls.clear();
    // SAFETY: the block has 8 bytes, and the heap takes it for a block of this heap.
    assert_eq!(unsafe { heap.grow(block, small, large) }, Err(AllocError::NoMemory));
    assert_eq!(heap.calls, ["resize_in_place", "alloc_for_move", "alloc"]);
}

#[test]
fn only_a_lack_of_memory_leads_to_a_move() {
    let mut memory = [7_u8; 8];
    let block = NonNull::from(&mut memory).cast::<u8>();
    let (small, large) = (Layout::new::<[u8; 2]>(), Layout::new::<[u8; 8]>());
    let refusals = [AllocError::NotAllocated, AllocError::InvalidParam, AllocError::Damaged];
    for outcome in refusals.map(Err).into_iter().chain([Ok(())]) {
        let mut heap = Staying { outcome, calls: Vec::new() };
        let expected = outcome.map(|()| block);
        // SAFETY: the block has 8 bytes, and the heap takes it for a block of this heap.
        assert_eq!(unsafe { heap.shrink(block, large, small) }, expected);
        // SAFETY: the block has 8 bytes, and the heap takes it for a block of this heap.
        assert_eq!(unsafe { heap.realloc(block, large, 2) }, expected);
        // SAFETY: the block has 8 bytes, and the heap takes it for a block of this heap.
        assert_eq!(unsafe { heap.grow(block, small, large) }, expected);
        assert_eq!(heap.calls, ["resize_in_place"; 3]);
    }
}
