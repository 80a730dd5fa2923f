//! The adapters over a toy allocator that can run out of memory and get more.
#![expect(unsafe_code, reason = "implements and calls unsafe traits")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_testkit::implements;
use slab_traits::{
    AllocError, AllocResult, BaseAllocator, ByteAllocator, Local, Locked, RegionError,
};

type Spin = spin::Mutex<()>;

/// Hands out memory from the front of its newest region; takes back only the newest block.
#[derive(Debug, Default)]
struct Stack {
    free: Option<NonNull<[u8]>>,
    newest: Option<NonNull<u8>>,
    total_bytes: usize,
    used_bytes: usize,
}

// SAFETY: the stack is the only user of its regions.
unsafe impl Send for Stack {}

impl Stack {
    const fn new() -> Self {
        Self { free: None, newest: None, total_bytes: 0, used_bytes: 0 }
    }
}

impl BaseAllocator for Stack {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        self.free = Some(region);
        self.total_bytes += region.len();
        Ok(())
    }
}

// SAFETY: blocks are cut from the free rest of a region and returned to it newest first.
unsafe impl ByteAllocator for Stack {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let free = self.free.ok_or(AllocError::NoMemory)?;
        let start = free.cast::<u8>();
        let pad = start.align_offset(layout.align());
        let spent = pad.checked_add(layout.size().max(1)).ok_or(AllocError::NoMemory)?;
        let rest = free.len().checked_sub(spent).ok_or(AllocError::NoMemory)?;
        // SAFETY: `spent` bytes lie in the free rest.
        let after = unsafe { start.add(spent) };
        self.free = Some(NonNull::slice_from_raw_parts(after, rest));
        self.used_bytes += layout.size();
        // SAFETY: `pad <= spent`.
        let block = unsafe { start.add(pad) };
        self.newest = Some(block);
        Ok(block)
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        self.used_bytes -= layout.size();
        if self.newest.take_if(|newest| *newest == block).is_some()
            && let Some(free) = self.free
        {
            let regained = free.cast::<u8>().addr().get() - block.addr().get();
            self.free = Some(NonNull::slice_from_raw_parts(block, free.len() + regained));
        }
    }

    fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}

/// Returns memory for a heap. The process keeps it, so blocks may live until the end.
fn memory(size: usize) -> NonNull<[u8]> {
    /// Keeps the memory reachable, so that it is not reported as a leak.
    static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
    struct Kept(#[expect(dead_code, reason = "kept, not used")] *mut [u8]);
    // SAFETY: the pointers are never used.
    unsafe impl Send for Kept {}

    let memory = Box::into_raw(vec![0; size].into_boxed_slice());
    KEPT.lock().expect("no panic under the lock").push(Kept(memory));
    NonNull::new(memory).expect("boxes are not null")
}

fn heap_of<R: RawMutex>(size: usize) -> Locked<R, Stack> {
    let heap = Locked::new(Stack::new());
    // SAFETY: leaked memory that only the heap uses.
    unsafe { heap.add_region(memory(size)) }.expect("any region will do");
    heap
}

#[test]
fn containers_run_on_a_shared_heap() {
    let heap: Locked<Spin, Stack> = heap_of(1 << 16);
    let mut map = hashbrown::HashMap::new_in(&heap);
    for key in 0..500_u32 {
        map.insert(key, key * 2);
    }
    assert!((0..500).all(|key| map[&key] == key * 2));
    assert!(heap.used_bytes() >= 500 * size_of::<(u32, u32)>());
    drop(map);
    assert_eq!(heap.used_bytes(), 0);
}

#[test]
fn a_local_heap_needs_no_atomic_lock() {
    let heap: Local<Stack> = heap_of(1 << 12);
    let mut values = allocator_api2::vec::Vec::new_in(&heap);
    values.extend(0..100_u64);
    assert_eq!(values.iter().sum::<u64>(), 4950);
    assert_eq!(format!("{heap:?}"), "Locked { total_bytes: 4096, used_bytes: 800, .. }");
}

#[test]
fn threads_share_a_locked_heap() {
    let heap: Locked<Spin, Stack> = heap_of(1 << 20);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let heap = &heap;
            scope.spawn(move || {
                for size in 1..if cfg!(miri) { 20 } else { 400 } {
                    let mut bytes = allocator_api2::vec::Vec::new_in(heap);
                    bytes.resize(size, thread);
                    assert!(bytes.iter().all(|&byte| byte == thread));
                }
            });
        }
    });
    assert_eq!(heap.used_bytes(), 0);
}

#[test]
fn zero_sized_blocks_take_nothing() {
    let heap: Local<Stack> = Locked::new(Stack::new());
    let empty = Layout::from_size_align(0, 64).expect("valid");
    let block = heap.allocate(empty).expect("needs no memory");
    assert!(block.cast::<u8>().addr().get().is_multiple_of(64));
    let one = Layout::new::<u8>();
    // SAFETY: an empty block of this heap, with this layout.
    unsafe { heap.grow(block.cast(), empty, one) }.expect_err("there is no memory");
    // SAFETY: an empty block of this heap, with this layout.
    unsafe { heap.deallocate(block.cast(), empty) };
}

#[test]
fn grow_zeroed_clears_only_what_was_added() {
    let heap: Local<Stack> = heap_of(4096);
    let (small, large) = (Layout::new::<[u8; 10]>(), Layout::new::<[u8; 100]>());
    let block = heap.allocate(small).expect("room").cast::<u8>();
    // SAFETY: the block has ten bytes.
    unsafe { block.write_bytes(7, 10) };
    // SAFETY: live, with this layout.
    let grown = unsafe { heap.grow_zeroed(block, small, large) }.expect("room");
    // SAFETY: ten bytes were copied and ninety cleared.
    let bytes = unsafe { grown.as_ref() };
    assert!(bytes[..10].iter().all(|&byte| byte == 7));
    assert!(bytes[10..].iter().all(|&byte| byte == 0));
}

#[test]
fn the_hook_adds_memory_outside_the_lock_and_the_request_is_retried() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let heap: Locked<Spin, Stack> = Locked::with_hook(Stack::new(), |heap, layout| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        assert_eq!(layout.size(), 3000);
        // Another request of the same heap would deadlock if the lock were held.
        assert_eq!(heap.used_bytes(), 0);
        // SAFETY: leaked memory that only the heap uses.
        unsafe { heap.add_region(memory(1000 << CALLS.load(Ordering::Relaxed))) }.is_ok()
    });
    let layout = Layout::from_size_align(3000, 8).expect("valid");
    // SAFETY: the layout is not empty.
    let block = unsafe { heap.alloc(layout) };
    assert!(!block.is_null());
    assert_eq!(CALLS.load(Ordering::Relaxed), 2, "2000 bytes were not enough, 4000 are");
    // SAFETY: live, with this layout.
    unsafe { heap.dealloc(block, layout) };
}

#[test]
fn a_hook_that_adds_no_memory_is_called_once() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let heap: Locked<Spin, Stack> = Locked::with_hook(Stack::new(), |_, _| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        true
    });
    // SAFETY: the layout is not empty.
    assert!(unsafe { heap.alloc(Layout::new::<u64>()) }.is_null());
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
}

/// Refuses every request with one error, and counts the requests.
struct Refusing(AllocError, &'static AtomicUsize);

impl BaseAllocator for Refusing {
    unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> {
        Ok(())
    }
}

// SAFETY: it hands out nothing.
unsafe impl ByteAllocator for Refusing {
    fn alloc(&mut self, _: Layout) -> AllocResult<NonNull<u8>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Err(self.0)
    }

    unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {}

    fn total_bytes(&self) -> usize {
        0
    }

    fn used_bytes(&self) -> usize {
        0
    }
}

#[test]
fn a_request_is_repeated_only_if_the_hook_wants_and_memory_is_the_reason() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let layout = Layout::new::<u64>();
    let final_refusal: Local<Refusing> = Locked::new(Refusing(AllocError::NoMemory, &ASKED));
    final_refusal.allocate(layout).expect_err("there is no memory");
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);

    let refusing = Refusing(AllocError::InvalidParam, &ASKED);
    let hopeless: Local<Refusing> = Locked::with_hook(refusing, |_, _| unreachable!());
    hopeless.allocate(layout).expect_err("no memory would do");
    assert_eq!(ASKED.load(Ordering::Relaxed), 2);
}

#[test]
fn realloc_keeps_the_block_when_it_fails() {
    let heap: Local<Stack> = heap_of(256);
    let layout = Layout::from_size_align(100, 4).expect("valid");
    // SAFETY: the layout is not empty.
    let block = unsafe { heap.alloc_zeroed(layout) };
    for size in [10_000, usize::MAX] {
        // SAFETY: live, with this layout.
        assert!(unsafe { heap.realloc(block, layout, size) }.is_null());
    }
    assert_eq!(heap.used_bytes(), 100);
    // SAFETY: live, with this layout.
    let moved = unsafe { heap.realloc(block, layout, 120) };
    // SAFETY: moved with its content.
    assert_eq!(unsafe { moved.read() }, 0);
}

#[test]
#[should_panic(expected = "entered while it was in use")]
fn entering_a_local_heap_twice_panics() {
    let heap: Local<Stack> = heap_of(256);
    // SAFETY: the inner allocator is not moved.
    unsafe { heap.with_inner(|_| heap.used_bytes()) };
}

#[test]
fn trait_objects_and_references_forward_every_method() {
    let mut stack = Stack::new();
    {
        let mut heap: Box<dyn ByteAllocator> = Box::new(&mut stack);
        assert_eq!(heap.alloc(Layout::new::<u64>()), Err(AllocError::NoMemory));
        // SAFETY: leaked memory that only the heap uses.
        unsafe { heap.add_region(memory(64)) }.expect("any region will do");
        let layout = Layout::new::<u64>();
        let block = heap.alloc_zeroed(layout).expect("room");
        // SAFETY: live, with this layout.
        assert_eq!(unsafe { heap.usable_size(block, layout) }, 8);
        let smaller = Layout::new::<u32>();
        // SAFETY: live, with this layout.
        assert_eq!(unsafe { heap.grow(block, layout, smaller) }, Err(AllocError::InvalidParam));
        // SAFETY: live, with this layout.
        unsafe { heap.try_dealloc(block, layout) }.expect("nothing is checked");
    }
    assert_eq!((stack.total_bytes, stack.used_bytes), (64, 0));
}

#[test]
fn an_adapter_goes_where_its_lock_and_its_heap_go() {
    type Unsent = *const u8;
    assert!(implements!(Locked<Spin, Stack>: Send) && implements!(Locked<Spin, Stack>: Sync));
    assert!(implements!(Local<Stack>: Send) && !implements!(Local<Stack>: Sync));
    assert!(!implements!(Locked<Spin, Unsent>: Send) && !implements!(Locked<Spin, Unsent>: Sync));
}
