//! Code that interrupts the heap on its own thread or CPU, and memory that is refused at every request.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "implements a lock, a CPU and a heap")]

mod common;

use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{alloc, free, layout, region};
use lock_api::RawMutex;
use slab_bytes::SlabByteAllocator;
use slab_local::{Backing, Class, Cpu, CpuSeat, LocalHeap, Seat};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, Fault, RegionError};

thread_local! {
    /// Runs while the lock is about to be taken, and while it is held.
    static INTERRUPT: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// A lock that is interrupted before it is taken and while it is held.
struct Interrupted(AtomicBool);

impl Interrupted {
    fn interrupt() {
        // An interrupt is not interrupted itself.
        if let Some(interrupt) = INTERRUPT.take() {
            interrupt();
            INTERRUPT.set(Some(interrupt));
        }
    }
}

// SAFETY: one caller changes the flag from `false` to `true`.
unsafe impl RawMutex for Interrupted {
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = lock_api::GuardNoSend;

    fn lock(&self) {
        Self::interrupt();
        assert!(self.try_lock(), "an interrupt does not wait for the lock");
        Self::interrupt();
    }

    fn try_lock(&self) -> bool {
        self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The only CPU of the test, whose interrupts cannot be masked.
struct OneCpu;

// SAFETY: one thread of the test uses it. Code that interrupts it returns to where it interrupted.
unsafe impl Cpu for OneCpu {
    type State = ();

    fn mask() {}

    unsafe fn restore(_: ()) {}

    fn current() -> Option<usize> {
        Some(0)
    }
}

type Heap<S> = LocalHeap<Interrupted, SlabByteAllocator, S>;

static SERVED: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// Allocates and frees as an interrupt of `heap`.
fn interrupt<S: Seat>(heap: &Heap<S>) {
    for size in [100, 5000] {
        match alloc(heap, layout(size, 8)) {
            Some(block) => {
                SERVED.fetch_add(1, Ordering::Relaxed);
                // SAFETY: the block has so many bytes.
                unsafe { block.write_bytes(0xEE, size) };
                free(heap, block, layout(size, 8));
            }
            None => _ = REFUSED.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Uses a heap that is interrupted at every lock.
fn use_heap<S: Seat>(heap: &Heap<S>, interrupt: fn()) {
    // SAFETY: the heap alone uses the memory, which is never freed.
    unsafe { heap.add_region(region(128 << 10)) }.expect("a fresh region");
    INTERRUPT.set(Some(interrupt));
    for round in 0..if cfg!(miri) { 2 } else { 50 } {
        let blocks: Vec<_> = (0..100)
            .map(|index| {
                let layout = layout(16 + (index * 7 + round) % 200, 8);
                let block = alloc(heap, layout).expect("room");
                // SAFETY: the block has so many bytes.
                unsafe { block.write_bytes(index as u8, layout.size()) };
                (block, layout)
            })
            .collect();
        for (index, (block, layout)) in blocks.into_iter().enumerate() {
            // SAFETY: the block was filled.
            let bytes = unsafe { NonNull::slice_from_raw_parts(block, layout.size()).as_ref() };
            assert!(bytes.iter().all(|&byte| byte == index as u8), "a block has one owner");
            free(heap, block, layout);
        }
    }
    INTERRUPT.set(None);
    heap.reclaim();
    // SAFETY: the heap is only looked at.
    unsafe { heap.with_inner(|heap| heap.validate()) }.expect("consistent");
}

#[test]
fn code_that_interrupts_a_request_is_served_or_refused() {
    slab_local::thread_seat! {
        struct TestSeat;
    }
    static THREADS: Heap<TestSeat> = LocalHeap::new(SlabByteAllocator::new(), TestSeat);
    static CPUS: Heap<CpuSeat<OneCpu, 1>> =
        LocalHeap::new(SlabByteAllocator::new(), CpuSeat::new());
    use_heap(&THREADS, || interrupt(&THREADS));
    use_heap(&CPUS, || interrupt(&CPUS));
    assert!(SERVED.load(Ordering::Relaxed) > 0, "while the lock is not held");
    assert!(REFUSED.load(Ordering::Relaxed) > 0, "while it is");
}

/// A heap that refuses one request for memory.
struct Failing {
    inner: SlabByteAllocator,
    requests: usize,
    refused: usize,
}

impl BaseAllocator for Failing {
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: passed on.
        unsafe { self.inner.add_region(region) }
    }
}

// SAFETY: passes requests on, or refuses them.
unsafe impl ByteAllocator for Failing {
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        self.requests += 1;
        if self.requests == self.refused {
            return Err(AllocError::NoMemory);
        }
        self.inner.alloc(layout)
    }

    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: passed on.
        unsafe { self.inner.dealloc(block, layout) };
    }

    fn total_bytes(&self) -> usize {
        self.inner.total_bytes()
    }

    fn used_bytes(&self) -> usize {
        self.inner.used_bytes()
    }

    unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
        // SAFETY: passed on.
        unsafe { self.inner.try_dealloc(block, layout) }
    }

    fn take_fault(&mut self) -> Option<Fault> {
        self.inner.take_fault()
    }
}

// SAFETY: the classes of the heap inside.
unsafe impl Backing for Failing {
    fn class_of(layout: Layout) -> Option<Class> {
        SlabByteAllocator::<slab_core::Checked>::class_of(layout)
    }

    fn class_layout(class: Class) -> Option<Layout> {
        SlabByteAllocator::<slab_core::Checked>::class_layout(class)
    }
}

#[test]
fn a_request_that_is_refused_loses_no_block() {
    let mut requests = usize::MAX;
    let mut refused = 0;
    while refused < requests {
        refused += if cfg!(miri) { 40 } else { 1 };
        let inner = Failing { inner: SlabByteAllocator::new(), requests: 0, refused };
        let heap = LocalHeap::<spin::Mutex<()>, _, _>::new(inner, CpuSeat::<OneCpu, 1>::new());
        let memory = region(64 << 10);
        // SAFETY: the heap alone uses the memory, which is never freed.
        unsafe { heap.add_region(memory) }.expect("a fresh region");
        for _ in 0..2 {
            let blocks: Vec<_> = (0..150)
                .map(|index| {
                    let layout = layout(if index % 50 == 0 { 5000 } else { 64 }, 8);
                    let block = alloc(&heap, layout).or_else(|| alloc(&heap, layout));
                    (block.expect("one request is refused"), layout)
                })
                .collect();
            for (block, layout) in blocks {
                free(&heap, block, layout);
            }
        }
        heap.reclaim();
        // SAFETY: the heap is only looked at.
        unsafe {
            heap.with_inner(|heap| {
                heap.inner.validate().expect("consistent");
                // The memory of the depot of one class stays.
                assert!(heap.used_bytes() <= 9 << 10, "{} bytes in use", heap.used_bytes());
                requests = heap.requests;
            });
        }
    }
    assert!(refused > 150, "{refused} requests");
}
