//! `Locked`: a `ByteAllocator` behind a lock, which is a `GlobalAlloc` and, in `allocator`, an `Allocator`.
//!
//! The lock is a type parameter, so the same code serves several threads and one thread. No safe function
//! gives access to the inner allocator, because safe code could replace it while its blocks are live.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait, and its methods take raw blocks")]

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::{self, NonNull};

use lock_api::{Mutex, MutexGuard, RawMutex};

use crate::report::{AbortOnUnwind, FaultHandler, report};
use crate::{AllocError, AllocResult, ByteAllocator, Fault, LocalMutex, RegionError};

/// A function that is called, without the lock, when a request finds no memory. It may add a region or free
/// blocks, and returns whether to try the request again.
pub type OomHook<R, A> = fn(heap: &Locked<R, A>, layout: Layout) -> bool;

/// A [`ByteAllocator`] shared behind a lock: a [`GlobalAlloc`] and an `Allocator`.
///
/// `R` is any [`RawMutex`]; the module [`locks`](crate::locks) has some. `Locked` is `Sync` if `R` is and
/// `A: Send`. A global allocator needs a lock that does not allocate: `parking_lot`'s allocates its queues of
/// waiting threads.
///
/// `Locked` implements the `Allocator` of allocator-api2 0.2, which hashbrown and bumpalo use, and since Rust
/// 1.100 also that of [`core::alloc`], which `Box::new_in` and `Vec::new_in` take. A reference to it
/// implements both traits, and an `Arc` or `Rc` of it implements that of `core`.
///
/// # Faults
///
/// A [`Fault`] is a mistake of the program: a block freed twice or with a wrong layout, or free memory that
/// was written. The program cannot continue after it. `Locked` releases its lock and calls the handler that
/// [`with_fault_handler`](Self::with_fault_handler) has set. The default handler
///
/// - with the feature `std` writes one line to standard error and aborts. It does not allocate, panic or
///   take a lock, so it works for the heap of the whole program, even if no memory is left. The panic hook
///   does not run.
/// - without `std` panics.
///
/// ```text
/// slabworks: double free of block 0x7f31c6e004b0 (80 bytes)
/// ```
///
/// # Panics
///
/// No method of [`GlobalAlloc`] or of an `Allocator` unwinds, because the contracts of those traits forbid
/// it. A panic in the inner allocator, in the lock or in a hook that would leave such a method ends the
/// program instead. If the inner allocator panics, it does so under the lock: a panic handler that allocates
/// from the same heap, as that of `std` does for its message, then deadlocks.
///
/// # After a fork
///
/// If a program with several threads forks, the lock may be held in the child by a thread that does not
/// exist there, and every method may deadlock. Such a child must call `exec` or `_exit`, or the program must
/// take another lock around `fork` and around every use of the heap. A program with one thread may fork.
///
/// # Examples
///
/// A heap over a static array, as in firmware:
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
/// // SAFETY: no other code uses `ARENA`.
/// unsafe { HEAP.add_region(arena) }?;
/// # Ok::<(), RegionError>(())
/// ```
pub struct Locked<R, A> {
    hook: OomHook<R, A>,
    fault_handler: FaultHandler,
    inner: Mutex<R, A>,
}

/// A [`ByteAllocator`] for one thread: not `Sync`, without atomic instructions.
pub type Local<A> = Locked<LocalMutex, A>;

impl<R: RawMutex, A> Locked<R, A> {
    /// Wraps an allocator. A request that finds no memory fails.
    pub const fn new(inner: A) -> Self {
        Self::with_hook(inner, |_, _| false)
    }

    /// Wraps an allocator and sets a hook that is called when a request finds no memory.
    ///
    /// The hook runs without the lock, so it may use this heap. If it returns `true`, the request is tried
    /// again. If it returns `true` but total and used bytes are unchanged, the retry is the last one; there
    /// is no endless loop.
    ///
    /// A hook that panics ends the program: see [Panics](Self#panics).
    pub const fn with_hook(inner: A, hook: OomHook<R, A>) -> Self {
        Self { hook, fault_handler: report, inner: Mutex::from_raw(R::INIT, inner) }
    }

    /// Sets the function that is called when the allocator finds a [`Fault`]. [`Locked`](Self#faults)
    /// describes the default.
    ///
    /// The handler runs without the lock, on the thread that made the request, and never returns. It may use
    /// this heap, unless the fault says that its memory was written, which may have damaged it. A handler
    /// that panics ends the program.
    ///
    /// # Examples
    ///
    /// ```
    /// # use core::ptr::NonNull;
    /// # use core::alloc::Layout;
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
    /// use slab_traits::{Fault, Locked};
    ///
    /// /// Writes to the serial port and stops this core.
    /// fn halt(fault: &Fault) -> ! {
    ///     # struct Serial;
    ///     # impl core::fmt::Write for Serial {
    ///     #     fn write_str(&mut self, _: &str) -> core::fmt::Result { Ok(()) }
    ///     # }
    ///     let _ = core::fmt::write(&mut Serial, format_args!("heap: {fault}"));
    ///     loop {
    ///         core::hint::spin_loop();
    ///     }
    /// }
    ///
    /// static HEAP: Locked<spin::Mutex<()>, Heap> =
    ///     Locked::new(Heap::new()).with_fault_handler(halt);
    /// ```
    #[must_use]
    pub const fn with_fault_handler(mut self, handler: FaultHandler) -> Self {
        self.fault_handler = handler;
        self
    }
}

impl<R: RawMutex, A: ByteAllocator> Locked<R, A> {
    /// Takes over a memory region; see [`BaseAllocator::add_region`](crate::BaseAllocator::add_region).
    ///
    /// # Errors
    ///
    /// A [`RegionError`] with the offending numbers; the heap is unchanged.
    ///
    /// # Safety
    ///
    /// That of [`BaseAllocator::add_region`](crate::BaseAllocator::add_region).
    pub unsafe fn add_region(&self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: `BaseAllocator::add_region` has the same preconditions.
        unsafe { self.inner.lock().add_region(region) }
    }

    /// Takes over a memory region given by address; see
    /// [`BaseAllocator::add_memory`](crate::BaseAllocator::add_memory).
    ///
    /// # Errors
    ///
    /// Those of [`BaseAllocator::add_memory`](crate::BaseAllocator::add_memory); the heap is unchanged.
    ///
    /// # Safety
    ///
    /// That of [`BaseAllocator::add_memory`](crate::BaseAllocator::add_memory).
    pub unsafe fn add_memory(&self, start: usize, size: usize) -> AllocResult {
        // SAFETY: `BaseAllocator::add_memory` has the same preconditions.
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

    /// Returns the bytes that the allocator uses itself.
    pub fn metadata_bytes(&self) -> usize {
        self.inner.lock().metadata_bytes()
    }

    /// Runs `action` on the inner allocator, under the lock: for methods that only one allocator has, such as
    /// `reclaim` or `validate`.
    ///
    /// `action` must not use this heap through `self`: it would deadlock.
    ///
    /// # Safety
    ///
    /// `action` does not replace or move the allocator, and frees no block that is in use.
    pub unsafe fn with_inner<T>(&self, action: impl FnOnce(&mut A) -> T) -> T {
        action(&mut self.inner.lock())
    }

    /// As [`with_inner`](Self::with_inner), unless the lock is held: then it returns `None` at once. For code
    /// that may interrupt the holder of the lock.
    ///
    /// # Safety
    ///
    /// That of [`with_inner`](Self::with_inner).
    pub unsafe fn try_with_inner<T>(&self, action: impl FnOnce(&mut A) -> T) -> Option<T> {
        Some(action(&mut *self.inner.try_lock()?))
    }

    /// Ends the program through the [fault handler](Self::with_fault_handler): for a layer above this heap that
    /// finds faults itself. Does not unwind.
    pub fn report_fault(&self, fault: &Fault) -> ! {
        let _guard = AbortOnUnwind;
        (self.fault_handler)(fault)
    }

    /// Serves a request. Does not unwind.
    ///
    /// # Safety
    ///
    /// The block of a resize is live, and was last allocated or resized with the old layout.
    // Always inlined, so that the fast path does not build the request in memory.
    #[inline(always)]
    pub(crate) unsafe fn request(&self, request: Request) -> AllocResult<NonNull<u8>> {
        let guard = AbortOnUnwind;
        let mut heap = self.inner.lock();
        // SAFETY: `attempt` has the same precondition.
        let outcome = match unsafe { request.attempt(&mut *heap) } {
            Ok(block) => {
                drop(heap);
                Ok(block)
            }
            // SAFETY: `request_slow` has the same precondition, and the refusal has changed nothing.
            Err(error) => unsafe { self.request_slow(heap, error, request) },
        };
        guard.disarm();
        outcome
    }

    /// Repeats a refused request as often as the hook wants. Does not return if a fault is the reason for the
    /// refusal.
    ///
    /// # Safety
    ///
    /// That of [`request`](Self::request).
    #[cold]
    unsafe fn request_slow<'a>(
        &'a self,
        mut heap: MutexGuard<'a, R, A>,
        mut error: AllocError,
        request: Request,
    ) -> AllocResult<NonNull<u8>> {
        loop {
            if error != AllocError::NoMemory {
                let fault = request.fault(&mut *heap, error);
                drop(heap);
                return fault.map_or(Err(error), |fault| (self.fault_handler)(&fault));
            }
            let before = totals(&*heap);
            drop(heap);
            if !(self.hook)(self, request.layout()) {
                return Err(AllocError::NoMemory);
            }
            heap = self.inner.lock();
            let changed = totals(&*heap) != before;
            // SAFETY: the caller guarantees a live block with the old layout, and refusals change nothing.
            match unsafe { request.attempt(&mut *heap) } {
                Ok(block) => return Ok(block),
                Err(AllocError::NoMemory) if !changed => return Err(AllocError::NoMemory),
                Err(refusal) => error = refusal,
            }
        }
    }

    /// Frees a block under the lock. Does not return if the allocator refuses, and does not unwind.
    ///
    /// # Safety
    ///
    /// That of [`ByteAllocator::dealloc`].
    #[inline]
    pub(crate) unsafe fn free(&self, block: NonNull<u8>, layout: Layout) {
        let guard = AbortOnUnwind;
        let mut heap = self.inner.lock();
        // SAFETY: `dealloc`, whose preconditions the caller guarantees, requires at least as much.
        if let Err(error) = unsafe { heap.try_dealloc(block, layout) } {
            self.free_refused(heap, error, block, layout);
        }
        drop(heap);
        guard.disarm();
    }

    #[cold]
    fn free_refused(
        &self,
        mut heap: MutexGuard<'_, R, A>,
        error: AllocError,
        block: NonNull<u8>,
        layout: Layout,
    ) -> ! {
        let fault =
            named_fault(&mut *heap, error).unwrap_or_else(|| refused(Some(block), layout, error));
        drop(heap);
        (self.fault_handler)(&fault)
    }
}

/// A request of an adapter to its allocator.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    Alloc(Layout),
    AllocZeroed(Layout),
    Grow(Resize),
    Shrink(Resize),
    Realloc(Resize),
}

/// A block, its layout, and its new layout.
#[derive(Clone, Copy)]
pub(crate) struct Resize {
    pub(crate) block: NonNull<u8>,
    pub(crate) old: Layout,
    pub(crate) new: Layout,
}

impl Request {
    /// # Safety
    ///
    /// The block of a resize is live, and was last allocated or resized with the old layout.
    #[inline(always)]
    unsafe fn attempt<A: ByteAllocator>(self, heap: &mut A) -> AllocResult<NonNull<u8>> {
        match self {
            Self::Alloc(layout) => heap.alloc(layout),
            Self::AllocZeroed(layout) => heap.alloc_zeroed(layout),
            // SAFETY: the caller guarantees a live block with layout `old`.
            Self::Grow(Resize { block, old, new }) => unsafe { heap.grow(block, old, new) },
            // SAFETY: the caller guarantees a live block with layout `old`.
            Self::Shrink(Resize { block, old, new }) => unsafe { heap.shrink(block, old, new) },
            Self::Realloc(Resize { block, old, new }) => {
                // SAFETY: the caller guarantees a live block with layout `old`.
                unsafe { heap.realloc(block, old, new.size()) }
            }
        }
    }

    /// Returns the layout of the requested block.
    fn layout(self) -> Layout {
        match self {
            Self::Alloc(layout) | Self::AllocZeroed(layout) => layout,
            Self::Grow(resize) | Self::Shrink(resize) | Self::Realloc(resize) => resize.new,
        }
    }

    /// Returns the block of a resize, and its layout.
    fn resized(self) -> Option<(NonNull<u8>, Layout)> {
        match self {
            Self::Alloc(_) | Self::AllocZeroed(_) => None,
            Self::Grow(resize) | Self::Shrink(resize) | Self::Realloc(resize) => {
                Some((resize.block, resize.old))
            }
        }
    }

    /// Returns the fault for which `heap` refused this request. A lack of memory and a layout that cannot be
    /// served are not faults.
    fn fault<A: ByteAllocator>(self, heap: &mut A, error: AllocError) -> Option<Fault> {
        match (error, self.resized()) {
            (AllocError::NotAllocated | AllocError::Damaged, Some((block, old))) => {
                named_fault(heap, error).or(Some(refused(Some(block), old, error)))
            }
            (AllocError::NotAllocated | AllocError::Damaged, None) => {
                named_fault(heap, error).or(Some(refused(None, self.layout(), error)))
            }
            // Either the block has another layout, which is a fault, or the new layout is too large.
            (AllocError::InvalidParam, Some(_)) => named_fault(heap, error),
            _ => None,
        }
    }
}

/// Returns the fault that the heap stored, unless it belongs to another error.
fn named_fault<A: ByteAllocator>(heap: &mut A, error: AllocError) -> Option<Fault> {
    heap.take_fault().filter(|fault| AllocError::from(*fault) == error)
}

/// Returns the fault of a heap that has stored none.
fn refused(block: Option<NonNull<u8>>, layout: Layout, error: AllocError) -> Fault {
    let address = block.map_or(0, |block| block.addr().get());
    Fault::Refused { address, size: layout.size(), align: layout.align(), error }
}

fn totals<A: ByteAllocator>(heap: &A) -> (usize, usize) {
    (heap.total_bytes(), heap.used_bytes())
}

// SAFETY: the contract of `ByteAllocator` includes that of `GlobalAlloc`: aligned, disjoint blocks that stay
// where they are. `request` and `free` do not unwind.
unsafe impl<R: RawMutex, A: ByteAllocator> GlobalAlloc for Locked<R, A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the request names no block.
        let outcome = unsafe { self.request(Request::Alloc(layout)) };
        outcome.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the request names no block.
        let outcome = unsafe { self.request(Request::AllocZeroed(layout)) };
        outcome.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        // SAFETY: the caller of `GlobalAlloc::dealloc` guarantees a live block and its layout.
        unsafe { self.free(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(block) = NonNull::new(block) else { return ptr::null_mut() };
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        let request = Request::Realloc(Resize { block, old: layout, new });
        // SAFETY: the caller of `GlobalAlloc::realloc` guarantees a live block and its layout.
        let outcome = unsafe { self.request(request) };
        outcome.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

impl<R: RawMutex, A: ByteAllocator> fmt::Debug for Locked<R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total_bytes, used_bytes) = totals(&*self.inner.lock());
        f.debug_struct("Locked")
            .field("total_bytes", &total_bytes)
            .field("used_bytes", &used_bytes)
            .finish_non_exhaustive()
    }
}
