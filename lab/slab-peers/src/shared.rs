//! Heaps that several threads use at once: those that are made for it, and the others behind a lock.
#![expect(unsafe_code, reason = "a heap behind a lock is shared, and blocks are raw memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RawMutex;
use parking_lot::lock_api::RawMutex as _;
use slab_traits::{ByteAllocator, RegionError};

use crate::{Contender, Side, contenders};

/// A heap that several threads use at once.
pub trait SharedHeap: Sync {
    /// Allocates; null if there is no memory.
    ///
    /// # Safety
    ///
    /// The layout has a size.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8;

    /// Allocates zeroed bytes; null if there is no memory.
    ///
    /// # Safety
    ///
    /// The layout has a size.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8;

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// The block is live, of this heap, and has this layout.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout);

    /// Resizes a block; null if there is no memory.
    ///
    /// # Safety
    ///
    /// As [`dealloc`](Self::dealloc), and the new size makes a layout and is not zero.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8;

    /// Returns how often a request found the lock taken; `None` if there is no lock to look at.
    fn contended(&self) -> Option<u64>;
}

/// A thread-safe heap of a library.
struct Global<A>(A);

impl<A: GlobalAlloc + Sync> SharedHeap for Global<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the precondition is the caller's.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the precondition is the caller's.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the precondition is the caller's.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the precondition is the caller's.
        unsafe { self.0.realloc(block, layout, new_size) }
    }

    fn contended(&self) -> Option<u64> {
        None
    }
}

/// A heap behind parking_lot's mutex, which counts how often it was taken.
struct Behind {
    lock: RawMutex,
    contended: AtomicU64,
    heap: UnsafeCell<Box<dyn ByteAllocator>>,
}

// SAFETY: `locked` alone reaches the heap, one thread at a time. The heaps of the registry have no
// state that belongs to a thread.
unsafe impl Sync for Behind {}

impl Behind {
    fn locked<T>(&self, run: impl FnOnce(&mut dyn ByteAllocator) -> T) -> T {
        if !self.lock.try_lock() {
            self.contended.fetch_add(1, Ordering::Relaxed);
            self.lock.lock();
        }
        // SAFETY: the lock is held, so this is the only reference. If the heap unwinds, the lock stays taken.
        let result = run(unsafe { &mut **self.heap.get() });
        // SAFETY: the lock is held by this call.
        unsafe { self.lock.unlock() };
        result
    }
}

fn or_null<E>(block: Result<NonNull<u8>, E>) -> *mut u8 {
    block.map_or(ptr::null_mut(), NonNull::as_ptr)
}

impl SharedHeap for Behind {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        or_null(self.locked(|heap| heap.alloc(layout)))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        or_null(self.locked(|heap| heap.alloc_zeroed(layout)))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller passes a live block with its layout.
            self.locked(|heap| unsafe { heap.dealloc(block, layout) });
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(block) = NonNull::new(block) else { return ptr::null_mut() };
        // SAFETY: the caller passes a live block with its layout, and a valid new size.
        or_null(self.locked(|heap| unsafe { heap.realloc(block, layout, new_size) }))
    }

    fn contended(&self) -> Option<u64> {
        Some(self.contended.load(Ordering::Relaxed))
    }
}

/// A heap that can be compared with others on several threads.
#[derive(Clone, Copy)]
pub struct SharedContender {
    name: &'static str,
    side: Side,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Global(fn() -> Box<dyn SharedHeap>),
    Behind(&'static Contender),
}

impl SharedContender {
    /// Returns its name; that of the heap if it is behind a lock.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns whose heap it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Returns whether it is behind a lock.
    pub fn is_behind_lock(&self) -> bool {
        matches!(self.kind, Kind::Behind(_))
    }

    /// Returns the contender of this name.
    pub fn named(name: &str) -> Option<Self> {
        shared_contenders().find(|contender| contender.name == name)
    }

    /// Makes a fresh heap. One behind a lock allocates from `region`, the others from the system.
    ///
    /// # Errors
    ///
    /// A [`RegionError`] if the region is too small.
    ///
    /// # Safety
    ///
    /// As [`Contender::build`].
    pub unsafe fn build(&self, region: NonNull<[u8]>) -> Result<Box<dyn SharedHeap>, RegionError> {
        Ok(match self.kind {
            Kind::Global(make) => make(),
            Kind::Behind(contender) => Box::new(Behind {
                lock: RawMutex::INIT,
                contended: AtomicU64::new(0),
                // SAFETY: the precondition is the caller's.
                heap: UnsafeCell::new(unsafe { contender.build(region) }?),
            }),
        })
    }
}

impl fmt::Debug for SharedContender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedContender").field(&self.name).finish()
    }
}

/// Returns all heaps that can be compared on several threads, ours first.
pub fn shared_contenders() -> impl Iterator<Item = SharedContender> {
    let regions = contenders().iter().filter(|contender| contender.side() != Side::Reference);
    let behind = regions.map(|contender| SharedContender {
        name: contender.name(),
        side: contender.side(),
        kind: Kind::Behind(contender),
    });
    let global =
        |name, make| SharedContender { name, side: Side::Reference, kind: Kind::Global(make) };
    let globals = [
        #[cfg(feature = "mimalloc")]
        global("mimalloc", || Box::new(Global(mimalloc::MiMalloc))),
        global("system", || Box::new(Global(std::alloc::System))),
    ];
    behind.chain(globals)
}
