//! All requests that the hot paths leave: empty and full magazines, other regions, large blocks, code without magazines,
//! resizing, and faults.
#![expect(unsafe_code, reason = "takes raw blocks of callers")]

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use lock_api::RawMutex;
use slab_traits::{AllocError, Fault, RegionError, abort_on_unwind};

use crate::backing::{Backing, Class};
use crate::block_map::Mark;
use crate::heap::LocalHeap;
use crate::magazines::Magazines;
use crate::regions::Unit;
use crate::seat::{Attachment, Seat};

/// How often code that must not wait tries the lock of the heap.
const TRIES: usize = 100;

/// Why a request was refused.
enum Refused {
    /// Memory is short.
    NoMemory,
    /// No memory could ever serve the layout, or the caller must not wait for the lock.
    Never,
    Fault(Fault),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl<R: RawMutex, A: Backing, S: Seat> LocalHeap<R, A, S> {
    /// Takes over a region.
    ///
    /// # Safety
    ///
    /// That of [`add_region`](Self::add_region); all bytes of the region are zero if `is_zero`.
    pub(crate) unsafe fn add(
        &self,
        region: NonNull<[u8]>,
        is_zero: bool,
    ) -> Result<(), RegionError> {
        // SAFETY: the caller guarantees the region. Only its last bytes are not the heap's, and nothing else uses them.
        // Under the lock no other region is planned or added.
        unsafe {
            self.locked.with_inner(|heap| {
                let plan = self.is_claimed().then(|| self.regions.plan(region)).flatten();
                let Some(plan) = plan else { return heap.add_region(region) };
                heap.add_region(NonNull::slice_from_raw_parts(region.cast(), plan.heap_bytes))?;
                self.regions.add(region, &plan, is_zero);
                Ok(())
            })
        }
    }

    /// Returns whether the seat is this heap's, and claims it if that was not tried yet. Under the lock.
    fn is_claimed(&self) -> bool {
        if !self.is_seated.load(Ordering::Relaxed) && self.seat.claim() {
            self.is_seated.store(true, Ordering::Relaxed);
        }
        self.is_seated.load(Ordering::Relaxed)
    }

    /// Runs an action with the magazines of the caller, if there are any or can be had. The action may wait for the lock
    /// of the heap.
    fn with_magazines<T>(
        &self,
        mut action: impl FnMut(&mut Magazines) -> T,
    ) -> Result<T, Attachment> {
        if !self.is_seated.load(Ordering::Relaxed) {
            return Err(Attachment::Absent);
        }
        if let Some(outcome) = self.seat.with(&mut action) {
            return Ok(outcome);
        }
        let mut allocate = |layout| {
            // SAFETY: memory is allocated.
            let block = unsafe { self.locked.with_inner(|heap| heap.alloc(layout)) }.ok()?;
            self.mark_internal(block);
            Some(block)
        };
        match self.seat.attach(&mut allocate) {
            Attachment::Attached => self.seat.with(action).ok_or(Attachment::Absent),
            refusal => Err(refusal),
        }
    }

    /// Returns whether the caller interrupts code that uses the magazines or the heap, and must not wait.
    fn is_busy(&self) -> bool {
        self.with_magazines(|_| ()) == Err(Attachment::Busy)
    }

    /// Runs an action on the heap below, or returns `None` if the caller must not wait for its lock and it is held.
    ///
    /// The magazines are kept from code that interrupts this, so that it does not wait for a lock that this holds.
    ///
    /// # Safety
    ///
    /// That of [`with_inner`](Self::with_inner).
    unsafe fn with_heap<T>(&self, mut action: impl FnMut(&mut A) -> T) -> Option<T> {
        // SAFETY: the caller guarantees the contract of `with_inner`.
        match self.with_magazines(|_| unsafe { self.locked.with_inner(&mut action) }) {
            Ok(outcome) => Some(outcome),
            Err(Attachment::Busy) => (0..TRIES).find_map(|_| {
                core::hint::spin_loop();
                // SAFETY: the caller guarantees the contract of `with_inner`.
                unsafe { self.locked.try_with_inner(&mut action) }
            }),
            // SAFETY: the caller guarantees the contract of `with_inner`.
            Err(_) => Some(unsafe { self.locked.with_inner(action) }),
        }
    }

    /// Allocates without the hot path. Does not unwind, and does not return after a fault.
    #[cold]
    #[inline(never)]
    pub(crate) fn alloc_slow(&self, layout: Layout) -> Option<NonNull<u8>> {
        abort_on_unwind(|| self.retry(layout, || self.try_alloc(layout)))
    }

    /// Tries a request, and again after memory was made free and as often as the hook wants.
    fn retry(
        &self,
        layout: Layout,
        mut attempt: impl FnMut() -> Result<NonNull<u8>, Refused>,
    ) -> Option<NonNull<u8>> {
        let mut may_reclaim = true;
        let mut is_last = false;
        loop {
            match attempt() {
                Ok(block) => return Some(block),
                Err(Refused::Never) => return None,
                Err(Refused::Fault(fault)) => self.report_fault(&fault),
                Err(Refused::NoMemory) if is_last || self.is_busy() => return None,
                Err(Refused::NoMemory) => {}
            }
            if may_reclaim && self.reclaim() > 0 {
                may_reclaim = false;
                continue;
            }
            let before = (self.total_bytes(), self.used_bytes());
            if !(self.hook)(self, layout) {
                return None;
            }
            may_reclaim = true;
            is_last = (self.total_bytes(), self.used_bytes()) == before;
        }
    }

    /// Gives blocks that wait back to the heap, where they serve all sizes, and returns their bytes: those in the
    /// magazines of the caller and of ended threads, and those in the depot. Does not return after a fault.
    pub fn reclaim(&self) -> usize {
        if !self.is_seated.load(Ordering::Relaxed) {
            return 0;
        }
        let emptied = match self.with_magazines(|own| self.empty_all(Some(own))) {
            Ok(emptied) => emptied,
            Err(Attachment::Busy) => Ok(0),
            Err(_) => self.empty_all(None),
        };
        emptied.unwrap_or_else(|fault| self.report_fault(&fault))
    }

    /// Ends the program because of a fault.
    #[cold]
    fn report_fault(&self, fault: &Fault) -> ! {
        match self.fault_handler {
            Some(handler) => handler(fault),
            None => self.locked.report_fault(fault),
        }
    }

    fn try_alloc(&self, layout: Layout) -> Result<NonNull<u8>, Refused> {
        if let Some(class) = A::class_of(layout)
            && let Ok(taken) = self.with_magazines(|magazines| self.take_or_fill(magazines, class))
            && let Some(block) = taken?
        {
            return Ok(block);
        }
        // SAFETY: memory is allocated.
        let outcome = unsafe {
            self.with_heap(|heap| heap.alloc(layout).map_err(|error| refused(heap, None, error)))
        };
        outcome.unwrap_or(Err(Refused::Never))
    }

    /// Frees without the hot path. Does not unwind, and does not return after a fault.
    ///
    /// # Safety
    ///
    /// That of [`GlobalAlloc::dealloc`](core::alloc::GlobalAlloc::dealloc).
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn free_slow(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        abort_on_unwind(|| {
            // Registers the thread first: its new magazines must not get the memory of a block that is freed twice
            // between the check and the free.
            let _ = self.with_magazines(|_| ());
            let outcome = match self.waiting_unit(block, layout) {
                Ok(Some((unit, class))) => self.free_of_class(unit, class),
                // SAFETY: the caller guarantees a live block and its layout; the heap below knows it.
                Ok(None) => unsafe { self.free_below(block, layout) },
                Err(fault) => Err(fault),
            };
            if let Err(fault) = outcome {
                self.report_fault(&fault);
            }
        });
    }

    /// Returns the unit and the class of a live block that magazines keep, or `None` for one that the heap below knows.
    ///
    /// # Errors
    ///
    /// The fault, if the map says that no block of this layout is live there.
    fn waiting_unit(
        &self,
        block: NonNull<u8>,
        layout: Layout,
    ) -> Result<Option<(Unit, Class)>, Fault> {
        let address = block.addr().get();
        let Some(unit) = self.regions.unit_at_anywhere(address) else { return Ok(None) };
        // SAFETY: the unit is one of its region.
        match unsafe { unit.map.get(unit.index) } {
            Mark::None => Ok(None),
            Mark::Internal => Err(Fault::NotLive { address }),
            // The class of a block that waits is not known here; that of the layout is most likely.
            Mark::Waiting => {
                let block_bytes = A::class_of(layout).map_or(layout.size(), Self::block_bytes);
                Err(Fault::DoubleFree { address, block_bytes })
            }
            Mark::Live(class) if A::class_of(layout) == Some(class) => Ok(Some((unit, class))),
            Mark::Live(class) => {
                let below = class.index().checked_sub(1);
                let size_min = below.map_or(0, |below| Self::block_bytes(Class::new(below)) + 1);
                let (size, align) = (layout.size(), layout.align());
                let size_max = Self::block_bytes(class);
                Err(Fault::WrongLayout { address, size, align, size_min, size_max })
            }
        }
    }

    fn free_of_class(&self, unit: Unit, class: Class) -> Result<(), Fault> {
        let ended =
            match self.with_magazines(|magazines| self.end_or_hand_over(magazines, class, unit)) {
                Ok(ended) => ended?,
                Err(_) => {
                    let is_live = Self::end(unit, class);
                    if is_live {
                        self.give_back_alone(unit, class)?;
                    }
                    is_live
                }
            };
        if ended {
            return Ok(());
        }
        // Another thread has freed it since the map was read.
        let (address, block_bytes) = (unit.block.addr().get(), Self::block_bytes(class));
        Err(Fault::DoubleFree { address, block_bytes })
    }

    /// Gives a block back that was just freed by code without magazines.
    fn give_back_alone(&self, unit: Unit, class: Class) -> Result<(), Fault> {
        // SAFETY: the caller has ended the block, and no magazine has it.
        let given = unsafe { self.with_heap(|heap| Self::give_back_unit(heap, class, unit)) };
        given.unwrap_or_else(|| {
            self.count_lost_block();
            Ok(())
        })
    }

    #[cold]
    fn count_lost_block(&self) {
        #[cfg(target_has_atomic = "ptr")]
        self.lost_blocks.fetch_add(1, Ordering::Relaxed);
        // Only interrupts of one core count here.
        #[cfg(not(target_has_atomic = "ptr"))]
        self.lost_blocks.store(self.lost_blocks() + 1, Ordering::Relaxed);
    }

    /// Frees a block that the heap below knows.
    ///
    /// # Safety
    ///
    /// That of [`ByteAllocator::try_dealloc`](slab_traits::ByteAllocator::try_dealloc).
    unsafe fn free_below(&self, block: NonNull<u8>, layout: Layout) -> Result<(), Fault> {
        // SAFETY: the caller guarantees a block of the heap below and its layout.
        let outcome = unsafe {
            self.with_heap(|heap| {
                let outcome = heap.try_dealloc(block, layout);
                outcome.map_err(|error| refused_free(heap, block, layout, error))
            })
        };
        outcome.unwrap_or_else(|| {
            self.count_lost_block();
            Ok(())
        })
    }

    /// Resizes a block. Does not unwind, and does not return after a fault.
    ///
    /// # Safety
    ///
    /// That of [`GlobalAlloc::realloc`](core::alloc::GlobalAlloc::realloc); `new` has the alignment of `old`.
    pub(crate) unsafe fn realloc_block(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Option<NonNull<u8>> {
        let found = abort_on_unwind(|| match self.waiting_unit(block, old) {
            Ok(found) => found,
            Err(fault) => self.report_fault(&fault),
        });
        let new_class = A::class_of(new);
        match found {
            // By a pointer derived from the region: the caller's may be valid for the old size alone.
            Some((unit, class)) if new_class == Some(class) => return Some(unit.block),
            // SAFETY: the heap below knows the block, if the caller's guarantee holds.
            None if new_class.is_none() || new_class == A::class_of(old) => unsafe {
                return self.realloc_below(block, old, new);
            },
            _ => {}
        }
        let moved = self.alloc_block(new)?;
        // SAFETY: both blocks are live and have so many bytes, and live blocks do not overlap. The caller does not use
        // the old one again.
        unsafe {
            moved.copy_from_nonoverlapping(block, old.size().min(new.size()));
            self.free_block(block.as_ptr(), old);
        }
        Some(moved)
    }

    /// Resizes a block that the heap below knows.
    ///
    /// # Safety
    ///
    /// That of [`realloc_block`](Self::realloc_block).
    #[cold]
    unsafe fn realloc_below(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Option<NonNull<u8>> {
        let attempt = || {
            // SAFETY: the caller guarantees a live block and its layout; refusals change nothing.
            let outcome = unsafe {
                self.with_heap(|heap| {
                    let outcome = heap.realloc(block, old, new.size());
                    outcome.map_err(|error| refused(heap, Some((block, old)), error))
                })
            };
            outcome.unwrap_or(Err(Refused::Never))
        };
        abort_on_unwind(|| self.retry(new, attempt))
    }
}

/// Says why the heap below refused to allocate or to resize.
fn refused<A: Backing>(
    heap: &mut A,
    resized: Option<(NonNull<u8>, Layout)>,
    error: AllocError,
) -> Refused {
    if error == AllocError::NoMemory {
        return Refused::NoMemory;
    }
    let fault = heap.take_fault().filter(|fault| AllocError::from(*fault) == error);
    match (fault, error, resized) {
        (Some(fault), ..) => Refused::Fault(fault),
        (None, AllocError::NotAllocated | AllocError::Damaged, Some((block, old))) => {
            Refused::Fault(refused_free(heap, block, old, error))
        }
        _ => Refused::Never,
    }
}

/// Says why the heap below refused a free.
fn refused_free<A: Backing>(
    heap: &mut A,
    block: NonNull<u8>,
    layout: Layout,
    error: AllocError,
) -> Fault {
    match heap.take_fault().filter(|fault| AllocError::from(*fault) == error) {
        Some(fault) => fault,
        None => Fault::Refused {
            address: block.addr().get(),
            size: layout.size(),
            align: layout.align(),
            error,
        },
    }
}
