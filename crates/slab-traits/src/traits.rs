//! The three traits. Each has at most four required methods; the rest is provided in terms of
//! them and overridden by an allocator that can do better.
#![expect(
    unsafe_code,
    reason = "the traits hand out raw memory; the provided methods move bytes between blocks"
)]

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use crate::{AllocError, AllocResult, Fault, RegionError};

/// Turns an address range into a region pointer.
///
/// The provenance is the one *exposed* for `start`: kernels and firmware, whose memory never was a
/// Rust object, have no other. Where a pointer to the memory exists, pass that to
/// [`BaseAllocator::add_region`] instead; strict-provenance tools then stay exact.
///
/// # Errors
///
/// [`RegionError::Null`] for `start == 0`; [`RegionError::AddressOverflow`] if the range passes the
/// end of the address space or `isize::MAX` bytes.
///
/// # Examples
///
/// ```
/// use slab_traits::{RegionError, region_at};
///
/// assert_eq!(region_at(0, 64), Err(RegionError::Null { size: 64 }));
/// assert_eq!(
///     region_at(usize::MAX - 15, 64),
///     Err(RegionError::AddressOverflow { start: usize::MAX - 15, size: 64 }),
/// );
/// ```
pub fn region_at(start: usize, size: usize) -> Result<NonNull<[u8]>, RegionError> {
    let overflows = size > isize::MAX as usize || start.checked_add(size).is_none();
    match NonNull::new(ptr::with_exposed_provenance_mut::<u8>(start)) {
        None => Err(RegionError::Null { size }),
        Some(_) if overflows => Err(RegionError::AddressOverflow { start, size }),
        Some(first) => Ok(NonNull::slice_from_raw_parts(first, size)),
    }
}

/// An allocator that lives on memory its user gives it.
pub trait BaseAllocator {
    /// Takes over a memory region, of any start and any size. A region may be added at any time;
    /// none is ever given back, and regions that touch stay separate.
    ///
    /// # Errors
    ///
    /// A [`RegionError`] with the offending numbers. The allocator and the region are untouched.
    ///
    /// # Safety
    ///
    /// Unless an error is returned: the region is readable and writable through `region`, and for
    /// as long as the allocator or any block from it is used, nobody else reads or writes it.
    unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError>;

    /// Takes over the first memory region, given by address. The same as
    /// [`add_memory`](Self::add_memory); a kernel calls it once at start.
    ///
    /// # Errors
    ///
    /// As [`add_memory`](Self::add_memory).
    ///
    /// # Safety
    ///
    /// As [`add_memory`](Self::add_memory).
    unsafe fn init(&mut self, start: usize, size: usize) -> AllocResult {
        // SAFETY: the caller's promise is the same.
        unsafe { self.add_memory(start, size) }
    }

    /// Takes over a further memory region, given by address. May also be the first call.
    ///
    /// # Errors
    ///
    /// [`AllocError::MemoryOverlap`] if the region shares bytes with one already owned,
    /// [`AllocError::InvalidParam`] for every other refusal; [`add_region`](Self::add_region) names
    /// the numbers. The allocator and the region are untouched.
    ///
    /// # Safety
    ///
    /// As [`add_region`](Self::add_region), through the provenance exposed for `start`.
    unsafe fn add_memory(&mut self, start: usize, size: usize) -> AllocResult {
        let region = region_at(start, size)?;
        // SAFETY: the caller vouches for the range, and `region` is that range.
        unsafe { self.add_region(region) }.map_err(AllocError::from)
    }
}

/// An allocator of blocks of any [`Layout`].
///
/// A zero-sized layout is served as if it asked for one byte, so that every block has an address
/// of its own. Before any memory was added, `alloc` answers [`AllocError::NoMemory`] and every
/// statistic is zero.
///
/// # Safety
///
/// An implementation hands out blocks that are aligned as asked, at least as long as asked, that
/// lie in the regions it was given, and that overlap no other live block and no bookkeeping. They
/// stay valid, wherever the allocator itself is moved, until they are freed. Dropping the allocator
/// does not unwind.
pub unsafe trait ByteAllocator: BaseAllocator {
    /// Returns a block for `layout`. Its content is unspecified and may be uninitialised.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if nothing free fits; [`AllocError::InvalidParam`] if nothing ever
    /// could; [`AllocError::Damaged`] if the allocator finds that its memory was written.
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>>;

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this allocator and `layout` is the one it was last allocated or
    /// resized with. The block is not used afterwards.
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout);

    /// Returns the bytes of all regions given to the allocator.
    fn total_bytes(&self) -> usize;

    /// Returns the usable bytes of all live blocks, rounding included.
    fn used_bytes(&self) -> usize;

    /// Returns the bytes that serve the allocator itself and can never be part of a block.
    fn metadata_bytes(&self) -> usize {
        0
    }

    /// Returns the bytes that are free. Fragmentation may keep a single request from getting them
    /// all. An allocator whose three statistics overlap counts as having none.
    fn available_bytes(&self) -> usize {
        let spent = self.used_bytes().saturating_add(self.metadata_bytes());
        self.total_bytes().saturating_sub(spent)
    }

    /// Returns a block for `layout` whose first `layout.size()` bytes are zero.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let block = self.alloc(layout)?;
        // SAFETY: `alloc` returned at least `layout.size()` writable bytes.
        unsafe { block.write_bytes(0, layout.size()) };
        Ok(block)
    }

    /// Changes a live block from layout `old` to layout `new` without moving it. Returns a pointer to
    /// the same address that is derived from the region: the caller's `block` may have permission
    /// for the old length only.
    ///
    /// The provided method never can; [`grow`](Self::grow), [`shrink`](Self::shrink) and
    /// [`realloc`](Self::realloc) call it before they move a block.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if the block has to move, also because its address is no multiple of
    /// `new.align()`. Where the allocator checks, [`AllocError::NotAllocated`] and
    /// [`AllocError::InvalidParam`] as [`try_dealloc`](Self::try_dealloc). The block is unchanged.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this allocator, last allocated or resized with `old`.
    unsafe fn resize_in_place(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        let _ = (block, old, new);
        Err(AllocError::NoMemory)
    }

    /// Returns where a live block continues that [`resize_in_place`](Self::resize_in_place) could not
    /// change: a new block for `new`, or the block itself, which then has layout `new` and stays.
    ///
    /// [`grow`](Self::grow), [`shrink`](Self::shrink) and [`realloc`](Self::realloc) call it after
    /// `resize_in_place` returned [`AllocError::NoMemory`]; they copy the content and free the old
    /// block unless the address is the same. The provided method is [`alloc`](Self::alloc). An
    /// allocator overrides it if a block may occupy more memory than `new` needs: a shrink then never
    /// fails because memory is short.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc), and as [`resize_in_place`](Self::resize_in_place) where the allocator
    /// checks. The block is unchanged.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this allocator, last allocated or resized with `old`.
    unsafe fn alloc_for_move(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        let _ = (block, old);
        self.alloc(new)
    }

    /// Makes a live block larger and returns where it lies now. Its content up to `old.size()` is
    /// kept; the alignment may change too.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `new.size() < old.size()`, else as [`alloc`](Self::alloc).
    /// The block is unchanged.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this allocator, last allocated or resized with `old`. On success
    /// only the returned pointer is used afterwards.
    unsafe fn grow(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        if new.size() < old.size() {
            return Err(AllocError::InvalidParam);
        }
        // SAFETY: the caller's promise is the same.
        unsafe { resize(self, block, old, new) }
    }

    /// Makes a live block smaller and returns where it lies now. Its content up to `new.size()` is
    /// kept; the alignment may change too.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `new.size() > old.size()`, else as [`alloc`](Self::alloc).
    /// The block is unchanged.
    ///
    /// # Safety
    ///
    /// As [`grow`](Self::grow).
    unsafe fn shrink(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        if new.size() > old.size() {
            return Err(AllocError::InvalidParam);
        }
        // SAFETY: the caller's promise is the same.
        unsafe { resize(self, block, old, new) }
    }

    /// Makes a live block `new_size` bytes long, its alignment unchanged, and returns where it lies
    /// now. Its content up to the smaller size is kept.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `new_size` overflows `isize` at this alignment, else as
    /// [`alloc`](Self::alloc). The block is unchanged.
    ///
    /// # Safety
    ///
    /// As [`grow`](Self::grow), with `layout` for `old`.
    unsafe fn realloc(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        let new = Layout::from_size_align(new_size, layout.align())
            .map_err(|_| AllocError::InvalidParam)?;
        // SAFETY: the caller's promise is the same.
        unsafe { resize(self, block, layout, new) }
    }

    /// Returns how many bytes of a live block may be used: at least `layout.size()`.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this allocator, last allocated or resized with `layout`.
    unsafe fn usable_size(&self, block: NonNull<u8>, layout: Layout) -> usize {
        let _ = block;
        layout.size()
    }

    /// Takes a block back, or reports what is wrong with the request.
    ///
    /// The provided method checks nothing. An allocator that checks says in its documentation which
    /// misuse it finds, and that the promise below is not needed for that.
    ///
    /// # Errors
    ///
    /// [`AllocError::NotAllocated`] if `block` is no live block of this allocator,
    /// [`AllocError::InvalidParam`] if `layout` cannot be the one it was allocated with. The
    /// allocator is unchanged.
    ///
    /// # Safety
    ///
    /// As [`dealloc`](Self::dealloc), unless the implementation promises more.
    unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
        // SAFETY: the caller's promise is the same.
        unsafe { self.dealloc(block, layout) };
        Ok(())
    }

    /// Returns the [`Fault`] that made the allocator refuse its last request, once: a second call
    /// returns `None`. *O*(1), without an allocation.
    ///
    /// An allocator that checks stores the fault before it returns
    /// [`NotAllocated`](AllocError::NotAllocated), [`Damaged`](AllocError::Damaged), or
    /// [`InvalidParam`](AllocError::InvalidParam) for a layout that does not fit a block. A request that
    /// succeeds leaves a stored fault as it is. [`Locked`](crate::Locked) reports it. The provided
    /// method knows of no fault.
    fn take_fault(&mut self) -> Option<Fault> {
        None
    }
}

/// Resizes a block in place if the allocator can, else by moving it: the only implementation of
/// `grow`, `shrink` and `realloc`.
///
/// # Errors
///
/// As [`ByteAllocator::grow`]. Only [`AllocError::NoMemory`] from `resize_in_place` leads to a move.
///
/// # Safety
///
/// As [`ByteAllocator::grow`].
unsafe fn resize<A: ByteAllocator + ?Sized>(
    heap: &mut A,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> AllocResult<NonNull<u8>> {
    // SAFETY: the caller promises that `block` is live and was last given layout `old`.
    match unsafe { heap.resize_in_place(block, old, new) } {
        Err(AllocError::NoMemory) => {}
        outcome => return outcome,
    }
    // SAFETY: a refused `resize_in_place` has changed nothing, so the caller's promise still holds.
    let moved = unsafe { heap.alloc_for_move(block, old, new) }?;
    if moved.addr() == block.addr() {
        // Two live blocks never have the same address: the block stays.
        return Ok(moved);
    }
    let kept_bytes = old.size().min(new.size());
    // SAFETY: both blocks are live and hold `kept_bytes`; live blocks do not overlap.
    unsafe { moved.copy_from_nonoverlapping(block, kept_bytes) };
    // SAFETY: the caller promises that `block` is live with layout `old`, and does not use it again.
    if let Err(refusal) = unsafe { heap.try_dealloc(block, old) } {
        // SAFETY: `alloc_for_move` returned this block for `new`, and no other code has seen it.
        unsafe { heap.dealloc(moved, new) };
        return Err(refusal);
    }
    Ok(moved)
}

/// How many pages a [`PageAllocator`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageCounts {
    /// Pages that could ever be handed out.
    pub total: usize,
    /// Pages handed out now, to whatever use.
    pub used: usize,
}

/// An allocator of runs of whole pages.
///
/// # Safety
///
/// As [`ByteAllocator`]: a run is aligned as asked, holds `count` pages, lies in the regions given,
/// and overlaps no other live run or block.
pub unsafe trait PageAllocator: BaseAllocator {
    /// Returns the size of a page in bytes, a power of two.
    fn page_size(&self) -> usize;

    /// Returns a run of `count` pages that starts at a multiple of `align` bytes. An `align` below
    /// the page size counts as the page size.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `count` is zero or `align` is not a power of two;
    /// [`AllocError::NoMemory`] if no free run fits.
    fn alloc_pages(&mut self, count: usize, align: usize) -> AllocResult<NonNull<u8>>;

    /// Takes a run back, or reports what is wrong with the request.
    ///
    /// # Errors
    ///
    /// [`AllocError::NotAllocated`] or [`AllocError::InvalidParam`] where the implementation checks;
    /// the allocator is then unchanged.
    ///
    /// # Safety
    ///
    /// `run` came from this allocator with the same `count`, and is not used afterwards.
    unsafe fn dealloc_pages(&mut self, run: NonNull<u8>, count: usize) -> AllocResult;

    /// Returns how many pages there are and how many are in use.
    fn page_counts(&self) -> PageCounts;

    /// Returns the run of `count` pages at exactly address `start`, which has to be a multiple of
    /// `align` and of the page size.
    ///
    /// The provided method cannot.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if the numbers do not fit together or the allocator cannot place
    /// runs; [`AllocError::NoMemory`] if one of the pages is taken or belongs to no region.
    fn alloc_pages_at(
        &mut self,
        start: usize,
        count: usize,
        align: usize,
    ) -> AllocResult<NonNull<u8>> {
        let _ = (start, count, align);
        Err(AllocError::InvalidParam)
    }

    /// Returns the pages that could ever be handed out.
    fn total_pages(&self) -> usize {
        self.page_counts().total
    }

    /// Returns the pages that are handed out now.
    fn used_pages(&self) -> usize {
        self.page_counts().used
    }

    /// Returns the pages that are free.
    fn available_pages(&self) -> usize {
        let counts = self.page_counts();
        counts.total - counts.used
    }
}

/// Forwards every method to what the pointer points to, the provided ones too: a default that
/// shadowed an override would lose speed and checks.
macro_rules! forward_byte_allocator {
    ($pointer:ty) => {
        impl<A: BaseAllocator + ?Sized> BaseAllocator for $pointer {
            unsafe fn add_region(&mut self, region: NonNull<[u8]>) -> Result<(), RegionError> {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).add_region(region) }
            }

            unsafe fn init(&mut self, start: usize, size: usize) -> AllocResult {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).init(start, size) }
            }

            unsafe fn add_memory(&mut self, start: usize, size: usize) -> AllocResult {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).add_memory(start, size) }
            }
        }

        // SAFETY: the allocator pointed to keeps the contract, and blocks do not move with it.
        unsafe impl<A: ByteAllocator + ?Sized> ByteAllocator for $pointer {
            fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
                (**self).alloc(layout)
            }

            unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).dealloc(block, layout) }
            }

            fn total_bytes(&self) -> usize {
                (**self).total_bytes()
            }

            fn used_bytes(&self) -> usize {
                (**self).used_bytes()
            }

            fn metadata_bytes(&self) -> usize {
                (**self).metadata_bytes()
            }

            fn available_bytes(&self) -> usize {
                (**self).available_bytes()
            }

            fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
                (**self).alloc_zeroed(layout)
            }

            unsafe fn resize_in_place(
                &mut self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).resize_in_place(block, old, new) }
            }

            unsafe fn alloc_for_move(
                &mut self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).alloc_for_move(block, old, new) }
            }

            unsafe fn grow(
                &mut self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).grow(block, old, new) }
            }

            unsafe fn shrink(
                &mut self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).shrink(block, old, new) }
            }

            unsafe fn realloc(
                &mut self,
                block: NonNull<u8>,
                layout: Layout,
                new_size: usize,
            ) -> AllocResult<NonNull<u8>> {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).realloc(block, layout, new_size) }
            }

            unsafe fn usable_size(&self, block: NonNull<u8>, layout: Layout) -> usize {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).usable_size(block, layout) }
            }

            unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
                // SAFETY: the caller's promise is the same.
                unsafe { (**self).try_dealloc(block, layout) }
            }

            fn take_fault(&mut self) -> Option<Fault> {
                (**self).take_fault()
            }
        }
    };
}

forward_byte_allocator!(&mut A);
#[cfg(feature = "alloc")]
forward_byte_allocator!(alloc::boxed::Box<A>);
