//! The heap with magazines: its hot paths and its interface.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait, and its methods take raw blocks")]

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lock_api::RawMutex;
use slab_core::{Unchecked, poison};
use slab_traits::{FaultHandler, Locked, RegionError};

use crate::backing::{Backing, Class};
use crate::block_map::Mark;
use crate::depot::Depot;
use crate::magazines::{Batch, Magazines};
use crate::regions::{Regions, Unit};
use crate::seat::Seat;

/// A function that is called, without a lock and without magazines, when a request finds no memory. It may add a region
/// or free blocks, and returns whether to try the request again.
pub type OomHook<R, A, S> = fn(heap: &LocalHeap<R, A, S>, layout: Layout) -> bool;

/// A heap with magazines for each thread or CPU: a [`GlobalAlloc`].
///
/// `R` is the lock of the heap `A` below, `S` says whose magazines are used: `ThreadSeat` in a program, [`CpuSeat`] in a
/// kernel. The [crate documentation](crate) has the design.
///
/// | | steps | |
/// |---|---|---|
/// | `alloc`, `dealloc` of a size class | *O*(1) | no lock, no atomic exchange |
/// | one of about 31 of them | *O*(batch) | an exchange with the depot, or with the heap under its lock |
/// | all others | those of the heap | under its lock |
///
/// The map takes a byte for each 16 bytes of a region, 5.9 % of it. Blocks that wait in magazines are at most 32 KiB
/// (or eight blocks) for each class and thread or CPU, and 512 KiB (or two batches) for each class in the depot.
///
/// # Faults
///
/// A wrong free ends the program with one line, as in [`Locked`](Locked#faults), from any thread: a double free, a free
/// of a pointer into a block or of a foreign one, and a free with a layout of another class. Two frees of one block at
/// the very same time on two threads are found only if [`Backing::FINDS_RACES`]. A double free after the block was
/// handed out again is not found: it is the free of a live block.
///
/// # Signals and interrupts
///
/// Code that interrupts a request on its own thread or CPU, and uses the heap, gets no memory if the lock of the heap is
/// held. A block that it frees then is lost.
///
/// # Panics and forks
///
/// As [`Locked`](Locked#panics).
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "std")] {
/// use core::ptr::NonNull;
/// use slab_bytes::SlabByteAllocator;
/// use slab_local::{LocalHeap, ThreadSeat};
///
/// static HEAP: LocalHeap<spin::Mutex<()>, SlabByteAllocator, ThreadSeat> =
///     LocalHeap::new(SlabByteAllocator::new(), ThreadSeat);
///
/// static mut ARENA: [u8; 1 << 20] = [0; 1 << 20];
/// let arena = NonNull::new(&raw mut ARENA as *mut [u8]).expect("statics are not null");
/// // SAFETY: only the heap uses `ARENA`.
/// unsafe { HEAP.add_region(arena) }?;
/// # }
/// # Ok::<(), slab_traits::RegionError>(())
/// ```
///
/// [`CpuSeat`]: crate::CpuSeat
pub struct LocalHeap<R, A, S> {
    pub(crate) regions: Regions,
    pub(crate) seat: S,
    pub(crate) locked: Locked<R, A>,
    pub(crate) hook: OomHook<R, A, S>,
    /// `None` is the default of `Locked`.
    pub(crate) fault_handler: Option<FaultHandler>,
    pub(crate) depots: [Depot<Batch>; Class::COUNT_MAX],
    /// Whether this heap has claimed its seat. Without it no region gets a map, so no magazine is read.
    pub(crate) is_seated: AtomicBool,
    pub(crate) lost_blocks: AtomicUsize,
}

// SAFETY: the regions and the depots are atomics and memory behind locks; magazines are reached through the seat.
unsafe impl<R: Sync, A: Send, S: Sync> Sync for LocalHeap<R, A, S> where Locked<R, A>: Sync {}

impl<R: RawMutex, A, S> LocalHeap<R, A, S> {
    /// Returns a heap over `inner`, which has no memory yet. A request that finds no memory fails.
    ///
    /// If another heap has claimed the seat, this one works without magazines.
    pub const fn new(inner: A, seat: S) -> Self {
        Self::with_hook(inner, seat, |_, _| false)
    }

    /// Returns a heap that calls a hook when a request finds no memory.
    ///
    /// The hook may use this heap. If it returns `true`, the request is tried again. If it returns `true` but total and
    /// used bytes are unchanged, the retry is the last one.
    pub const fn with_hook(inner: A, seat: S, hook: OomHook<R, A, S>) -> Self {
        Self {
            regions: Regions::new(),
            seat,
            locked: Locked::new(inner),
            hook,
            fault_handler: None,
            depots: [const { Depot::new() }; Class::COUNT_MAX],
            is_seated: AtomicBool::new(false),
            lost_blocks: AtomicUsize::new(0),
        }
    }

    /// Sets the function that is called for a fault; see [`Locked::with_fault_handler`].
    #[must_use]
    pub const fn with_fault_handler(mut self, handler: FaultHandler) -> Self {
        self.fault_handler = Some(handler);
        self
    }
}

impl<R: RawMutex, A: Backing, S: Seat> LocalHeap<R, A, S> {
    /// Takes over a memory region. Its last seventeenth becomes the block map, except that a region of less than 4 KiB,
    /// and further ones after sixteen, get none: their blocks are not kept in magazines.
    ///
    /// *O*(region / 17): the map is zeroed.
    ///
    /// # Errors
    ///
    /// A [`RegionError`] with the offending numbers; the heap is unchanged.
    ///
    /// # Safety
    ///
    /// That of [`BaseAllocator::add_region`](slab_traits::BaseAllocator::add_region). The region stays valid as long as
    /// the heap is used.
    pub unsafe fn add_region(&self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: the caller guarantees the region.
        unsafe { self.add(region, false) }
    }

    /// As [`add_region`](Self::add_region), for memory that is zero. *O*(1) and what the heap below needs.
    ///
    /// # Errors
    ///
    /// Those of [`add_region`](Self::add_region).
    ///
    /// # Safety
    ///
    /// That of [`add_region`](Self::add_region), and all bytes of the region are zero.
    pub unsafe fn add_zeroed_region(&self, region: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: the caller guarantees the region and its bytes.
        unsafe { self.add(region, true) }
    }

    /// Returns the bytes of all regions, without their maps.
    pub fn total_bytes(&self) -> usize {
        self.locked.total_bytes()
    }

    /// Returns the usable bytes of all live blocks and of those that wait in magazines and in the depot.
    pub fn used_bytes(&self) -> usize {
        self.locked.used_bytes()
    }

    /// Returns how many blocks were lost, because code that interrupted the heap freed them while its lock was held.
    pub fn lost_blocks(&self) -> usize {
        self.lost_blocks.load(Ordering::Relaxed)
    }

    /// Runs `action` on the heap below, under its lock; see [`Locked::with_inner`].
    ///
    /// # Safety
    ///
    /// That of [`Locked::with_inner`]. Blocks that wait in magazines are in use.
    pub unsafe fn with_inner<T>(&self, action: impl FnOnce(&mut A) -> T) -> T {
        // SAFETY: the caller guarantees the contract of `with_inner`.
        unsafe { self.locked.with_inner(action) }
    }

    /// Returns a block of a magazine in the region that was added first.
    #[inline(always)]
    fn pop(&self, magazines: &mut Magazines, class: Class) -> Option<NonNull<u8>> {
        let unit = magazines.of(class).pop_if(
            #[inline(always)]
            |number| self.regions.unit(number),
        )?;
        Some(Self::start(unit, class))
    }

    /// Marks a waiting block as live.
    #[inline(always)]
    pub(crate) fn start(unit: Unit, class: Class) -> NonNull<u8> {
        // SAFETY: the unit is one of its region, and the caller has just taken the block out of a magazine.
        unsafe { unit.map.set(unit.index, Mark::Live(class)) };
        if poison::is_active::<Unchecked>() {
            // SAFETY: the block has the bytes of its class, and was poisoned by `end` if it was ever live.
            unsafe { poison::unpoison::<Unchecked>(unit.block, Self::block_bytes(class)) };
        }
        unit.block
    }

    /// Puts a block of the region that was added first into a magazine. Returns whether that was done; else nothing is
    /// changed.
    #[inline(always)]
    fn push(&self, magazines: &mut Magazines, class: Class, address: usize) -> bool {
        let Some(unit) = self.regions.unit_at(address) else { return false };
        let magazine = magazines.of(class);
        if magazine.is_full() || !Self::end(unit, class) {
            return false;
        }
        magazine.push(unit.number)
    }

    /// Marks a live block of a class as waiting. Returns whether there is one.
    #[inline(always)]
    pub(crate) fn end(unit: Unit, class: Class) -> bool {
        // SAFETY: the unit is one of its region.
        let was_live = unsafe {
            if A::FINDS_RACES {
                unit.map.free_racing(unit.index, class)
            } else {
                unit.map.free(unit.index, class)
            }
        };
        if poison::is_active::<Unchecked>() && was_live {
            // SAFETY: the block has the bytes of its class, and its user has given it up.
            unsafe { poison::poison::<Unchecked>(unit.block, Self::block_bytes(class)) };
        }
        was_live
    }

    /// Returns the bytes of a block of a class.
    pub(crate) fn block_bytes(class: Class) -> usize {
        A::class_layout(class).map_or(0, |layout| layout.size())
    }

    /// Returns a block.
    #[inline(always)]
    pub(crate) fn alloc_block(&self, layout: Layout) -> Option<NonNull<u8>> {
        if let Some(class) = A::class_of(layout)
            && let Some(Some(block)) = self.seat.with(
                #[inline(always)]
                |magazines| self.pop(magazines, class),
            )
        {
            return Some(block);
        }
        self.alloc_slow(layout)
    }

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// That of [`GlobalAlloc::dealloc`].
    #[inline(always)]
    pub(crate) unsafe fn free_block(&self, block: *mut u8, layout: Layout) {
        if let Some(class) = A::class_of(layout)
            && let Some(true) = self.seat.with(
                #[inline(always)]
                |magazines| self.push(magazines, class, block.addr()),
            )
        {
            return;
        }
        // SAFETY: the caller guarantees a live block and its layout.
        unsafe { self.free_slow(block, layout) };
    }
}

// SAFETY: blocks come from the heap below, which hands out disjoint blocks that fit and stay where they are. One that a
// magazine keeps is live for that heap, and is handed out to one user at a time: by S1 and M2 it lies in one magazine or
// batch, or is live. Its layout is one of its class. Only slow paths call code that might panic, and they do not unwind.
unsafe impl<R: RawMutex, A: Backing, S: Seat> GlobalAlloc for LocalHeap<R, A, S> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.alloc_block(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller guarantees a live block and its layout.
        unsafe { self.free_block(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(block) = NonNull::new(block) else { return ptr::null_mut() };
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        // SAFETY: the caller guarantees a live block and its layout.
        unsafe { self.realloc_block(block, layout, new) }.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

impl<R: RawMutex, A: Backing, S: Seat> fmt::Debug for LocalHeap<R, A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalHeap")
            .field("total_bytes", &self.total_bytes())
            .field("used_bytes", &self.used_bytes())
            .finish_non_exhaustive()
    }
}
