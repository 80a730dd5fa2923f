//! One adapter that turns a `ByteAllocator` into a `GlobalAlloc` and an `Allocator`.
//!
//! The lock is a type parameter, so sharing between threads and use by one thread are the same
//! code; only the lock differs. There is deliberately no safe way to the inner allocator: whoever
//! could swap it would pull the heap from under live boxes.
#![expect(unsafe_code, reason = "GlobalAlloc, Allocator and RawMutex are unsafe traits")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::fmt;
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError as OutOfMemory, Allocator};
use lock_api::{GuardNoSend, Mutex, RawMutex};

use crate::{AllocError, AllocResult, ByteAllocator, RegionError};

/// Called without the lock when a request found no memory: it may add a region or free blocks, and
/// returns whether the request should be tried again.
pub type OomHook<R, A> = fn(heap: &Locked<R, A>, layout: Layout) -> bool;

/// A [`ByteAllocator`] shared behind a lock: a [`GlobalAlloc`], and by reference an [`Allocator`].
///
/// `R` is any [`RawMutex`]: `spin`'s, one that masks interrupts, or [`LocalMutex`] for one thread.
/// `Locked` is `Sync` where `R` is and `A: Send`. As the global allocator it needs a lock that does
/// not allocate: `parking_lot`'s does, for its queues of waiting threads.
///
/// A free that the inner allocator refuses is a panic, and in a global allocator ends the program: a
/// double free is never passed over. It is reported without the lock. An inner allocator that panics
/// itself does so under the lock: a panic handler that allocates, as that of `std` does for its
/// message, then waits for that lock for ever, or in [`Local`] panics again.
///
/// # After a fork
///
/// In the child of a fork of a program with threads the lock may be held by a thread that is not there
/// any more: every method may then wait for ever. Such a child calls `exec` or `_exit`, or the
/// program takes a lock of its own around `fork` and every use of the heap. A program with one thread
/// may fork.
///
/// # Examples
///
/// A heap over a static array, as a firmware would set it up:
///
/// ```
/// # use core::alloc::{GlobalAlloc, Layout};
/// # use core::ptr::NonNull;
/// # use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, RegionError};
/// # struct Heap;
/// # impl Heap { const fn new() -> Self { Heap } }
/// # impl BaseAllocator for Heap {
/// #     unsafe fn add_region(&mut self, _: NonNull<[u8]>) -> Result<(), RegionError> { Ok(()) }
/// # }
/// # unsafe impl ByteAllocator for Heap {
/// #     fn alloc(&mut self, _: Layout) -> AllocResult<NonNull<u8>> { Err(AllocError::NoMemory) }
/// #     unsafe fn dealloc(&mut self, _: NonNull<u8>, _: Layout) {}
/// #     fn total_bytes(&self) -> usize { 0 }
/// #     fn used_bytes(&self) -> usize { 0 }
/// # }
/// use slab_traits::Locked;
///
/// static HEAP: Locked<spin::Mutex<()>, Heap> = Locked::new(Heap::new());
///
/// static mut ARENA: [u8; 4096] = [0; 4096];
/// let arena = NonNull::new(&raw mut ARENA as *mut [u8]).expect("statics are not null");
/// // SAFETY: nobody else names `ARENA`.
/// unsafe { HEAP.add_region(arena) }?;
/// # Ok::<(), RegionError>(())
/// ```
pub struct Locked<R, A> {
    hook: OomHook<R, A>,
    inner: Mutex<R, A>,
}

/// A [`ByteAllocator`] for one thread: not `Sync`, no atomic instruction.
pub type Local<A> = Locked<LocalMutex, A>;

impl<R: RawMutex, A> Locked<R, A> {
    /// Wraps an allocator whose refusals are final.
    pub const fn new(inner: A) -> Self {
        Self::with_hook(inner, |_, _| false)
    }

    /// Wraps an allocator and names what to do when it has no memory for a request.
    ///
    /// The hook runs without the lock, so it may use this very heap. While it answers `true` the
    /// request is retried, until it succeeds or a retry finds total and used bytes as they were
    /// before the hook ran: a hook that promises and does not deliver ends in a refusal.
    pub const fn with_hook(inner: A, hook: OomHook<R, A>) -> Self {
        Self { hook, inner: Mutex::from_raw(R::INIT, inner) }
    }
}

impl<R: RawMutex, A: ByteAllocator> Locked<R, A> {
    /// Takes over a memory region; see [`BaseAllocator::add_region`](crate::BaseAllocator::add_region).
    ///
    /// # Errors
    ///
    /// A [`RegionError`] with the offending numbers; nothing has changed.
    ///
    /// # Safety
    ///
    /// As [`BaseAllocator::add_region`](crate::BaseAllocator::add_region).
    pub unsafe fn add_region(&self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.lock().add_region(region) }
    }

    /// Takes over a memory region given by address; see
    /// [`BaseAllocator::add_memory`](crate::BaseAllocator::add_memory).
    ///
    /// # Errors
    ///
    /// As [`BaseAllocator::add_memory`](crate::BaseAllocator::add_memory); nothing has changed.
    ///
    /// # Safety
    ///
    /// As [`BaseAllocator::add_memory`](crate::BaseAllocator::add_memory).
    pub unsafe fn add_memory(&self, start: usize, size: usize) -> AllocResult {
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.lock().add_memory(start, size) }
    }

    /// Returns the bytes of all regions given to the allocator.
    pub fn total_bytes(&self) -> usize {
        self.inner.lock().total_bytes()
    }

    /// Returns the usable bytes of all live blocks.
    pub fn used_bytes(&self) -> usize {
        self.inner.lock().used_bytes()
    }

    /// Returns the bytes that are free.
    pub fn available_bytes(&self) -> usize {
        self.inner.lock().available_bytes()
    }

    /// Returns the bytes that serve the allocator itself.
    pub fn metadata_bytes(&self) -> usize {
        self.inner.lock().metadata_bytes()
    }

    /// Runs `action` on the inner allocator, under the lock. For what the adapter does not offer:
    /// statistics of a certain allocator, `reclaim`, `validate`.
    ///
    /// `action` must not come back to this heap: it would wait for its own lock.
    ///
    /// # Safety
    ///
    /// `action` leaves in place an allocator that still owns every live block: it neither replaces
    /// nor moves out the value, and frees no block that is in use.
    pub unsafe fn with_inner<T>(&self, action: impl FnOnce(&mut A) -> T) -> T {
        action(&mut self.inner.lock())
    }

    /// Runs a request under the lock, then as often as the hook asks for it.
    #[inline]
    fn request(
        &self,
        layout: Layout,
        mut attempt: impl FnMut(&mut A) -> AllocResult<NonNull<u8>>,
    ) -> AllocResult<NonNull<u8>> {
        let first = attempt(&mut self.inner.lock());
        match first {
            Err(AllocError::NoMemory) => self.request_slow(layout, &mut attempt),
            outcome => outcome,
        }
    }

    #[cold]
    fn request_slow(
        &self,
        layout: Layout,
        attempt: &mut dyn FnMut(&mut A) -> AllocResult<NonNull<u8>>,
    ) -> AllocResult<NonNull<u8>> {
        loop {
            let before = self.totals();
            if !(self.hook)(self, layout) {
                return Err(AllocError::NoMemory);
            }
            let mut heap = self.inner.lock();
            let changed = (heap.total_bytes(), heap.used_bytes()) != before;
            match attempt(&mut heap) {
                Err(AllocError::NoMemory) if changed => {}
                outcome => return outcome,
            }
        }
    }

    /// Frees a block under the lock.
    ///
    /// # Panics
    ///
    /// If the allocator checks and refuses: once the lock is free again, so that a panic handler that
    /// allocates can say so.
    ///
    /// # Safety
    ///
    /// As [`ByteAllocator::dealloc`].
    #[inline]
    unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        let outcome = unsafe { self.inner.lock().try_dealloc(block, layout) };
        if let Err(error) = outcome {
            refused(block, layout, error);
        }
    }

    fn totals(&self) -> (usize, usize) {
        let heap = self.inner.lock();
        (heap.total_bytes(), heap.used_bytes())
    }
}

#[cold]
fn refused(block: NonNull<u8>, layout: Layout, error: AllocError) -> ! {
    let (address, size, align) = (block.addr(), layout.size(), layout.align());
    panic!("a free of {size} bytes aligned to {align} at {address:#x} was refused: {error}");
}

/// Turns an unwinding out of a `GlobalAlloc` method, which the language forbids, into an abort: a
/// panic while panicking ends the program, also without `std`. It does not help a panic handler that
/// needs the lock: see [`Locked`].
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        panic!("a global allocator must not unwind");
    }
}

impl AbortOnUnwind {
    #[inline]
    fn guard<T>(action: impl FnOnce() -> T) -> T {
        let guard = Self;
        let value = action();
        core::mem::forget(guard);
        value
    }
}

// SAFETY: `ByteAllocator` promises what `GlobalAlloc` asks for: aligned, disjoint blocks that stay
// where they are; the guard keeps every method from unwinding.
unsafe impl<R: RawMutex, A: ByteAllocator> GlobalAlloc for Locked<R, A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let outcome = AbortOnUnwind::guard(|| self.request(layout, |heap| heap.alloc(layout)));
        outcome.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let outcome =
            AbortOnUnwind::guard(|| self.request(layout, |heap| heap.alloc_zeroed(layout)));
        outcome.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        // SAFETY: the caller of `GlobalAlloc::dealloc` promises a live block and its layout.
        AbortOnUnwind::guard(|| unsafe { self.free(block, layout) });
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(block) = NonNull::new(block) else { return ptr::null_mut() };
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        let outcome = AbortOnUnwind::guard(|| {
            self.request(new, |heap| {
                // SAFETY: the caller of `GlobalAlloc::realloc` promises a live block and its
                // layout; a failed attempt leaves the block as it was, so it may be repeated.
                unsafe { heap.realloc(block, layout, new_size) }
            })
        });
        outcome.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// Gives a block the length it was asked for.
fn sized(block: AllocResult<NonNull<u8>>, layout: Layout) -> Result<NonNull<[u8]>, OutOfMemory> {
    Ok(NonNull::slice_from_raw_parts(block?, layout.size()))
}

/// Returns the empty block of a zero-sized layout, which no allocator needs to know of.
fn empty(layout: Layout) -> NonNull<[u8]> {
    let address = ptr::without_provenance_mut(layout.align());
    NonNull::slice_from_raw_parts(NonNull::new(address).unwrap_or(NonNull::dangling()), 0)
}

// SAFETY: blocks come from the one inner allocator, which nobody can take out or replace while the
// adapter is borrowed, and a copy of the reference names the same allocator.
unsafe impl<R: RawMutex, A: ByteAllocator> Allocator for &Locked<R, A> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, OutOfMemory> {
        if layout.size() == 0 {
            return Ok(empty(layout));
        }
        sized(self.request(layout, |heap| heap.alloc(layout)), layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, OutOfMemory> {
        if layout.size() == 0 {
            return Ok(empty(layout));
        }
        sized(self.request(layout, |heap| heap.alloc_zeroed(layout)), layout)
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: the caller promises a block of this allocator and a layout that fits it.
            unsafe { self.free(block, layout) };
        }
    }

    #[inline]
    unsafe fn grow(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, OutOfMemory> {
        if old.size() == 0 {
            return self.allocate(new);
        }
        // SAFETY: the caller promises a live block and its layout; a failed attempt changes nothing.
        sized(self.request(new, |heap| unsafe { heap.grow(block, old, new) }), new)
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, OutOfMemory> {
        // SAFETY: the caller's promise is the same.
        let grown = unsafe { self.grow(block, old, new) }?;
        let added_bytes = new.size() - old.size();
        // SAFETY: the grown block has `new.size()` bytes, so the added ones start inside it.
        let added = unsafe { grown.cast::<u8>().add(old.size()) };
        // SAFETY: they are ours to write and end where the block ends.
        unsafe { added.write_bytes(0, added_bytes) };
        Ok(grown)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, OutOfMemory> {
        if new.size() == 0 {
            // SAFETY: the caller gives the block up.
            unsafe { self.deallocate(block, old) };
            return Ok(empty(new));
        }
        // SAFETY: the caller promises a live block and its layout; a failed attempt changes nothing.
        sized(self.request(new, |heap| unsafe { heap.shrink(block, old, new) }), new)
    }
}

impl<R: RawMutex, A: ByteAllocator> fmt::Debug for Locked<R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total_bytes, used_bytes) = self.totals();
        f.debug_struct("Locked")
            .field("total_bytes", &total_bytes)
            .field("used_bytes", &used_bytes)
            .finish_non_exhaustive()
    }
}

/// The lock of [`Local`]: a flag that one thread sets and clears.
///
/// # Panics
///
/// Locking it twice, which would wait for ever, panics; it takes an allocator that calls back into
/// its own adapter.
pub struct LocalMutex {
    locked: Cell<bool>,
}

// SAFETY: the flag is not `Sync`, so only one thread at a time can reach it, and that thread gets
// the lock only while the flag is clear.
unsafe impl RawMutex for LocalMutex {
    const INIT: Self = Self { locked: Cell::new(false) };
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        assert!(self.try_lock(), "a single-threaded heap was entered while it was in use");
    }

    #[inline]
    fn try_lock(&self) -> bool {
        !self.locked.replace(true)
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.locked.set(false);
    }
}

impl fmt::Debug for LocalMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalMutex").field("locked", &self.locked.get()).finish()
    }
}
