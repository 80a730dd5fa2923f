//! The trait of byte heaps. Four methods are required; the rest is provided in terms of them, and an allocator
//! overrides what it can do better.
#![expect(
    unsafe_code,
    reason = "the trait hands out raw memory; its provided methods move bytes between blocks"
)]

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::{AllocError, AllocResult, BaseAllocator, Fault};

/// An allocator of blocks of any [`Layout`].
///
/// A zero-sized layout is served as one byte, so that every live block has a distinct address. Before any
/// memory was added, `alloc` returns [`AllocError::NoMemory`] and every statistic is zero.
///
/// # Safety
///
/// Every block that an implementation hands out has at least the requested size and alignment, lies in the
/// regions that it was given, and overlaps no other live block and no bookkeeping. Blocks stay valid until
/// they are freed, even if the allocator itself is moved. Dropping the allocator does not unwind.
pub unsafe trait ByteAllocator: BaseAllocator {
    /// Returns a block for `layout`. Its content is unspecified and may be uninitialised.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if no free memory fits; [`AllocError::InvalidParam`] if no memory could ever
    /// fit; [`AllocError::Damaged`] if the allocator finds that free memory was written to.
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>>;

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this allocator, and `layout` is the layout that it was last allocated or
    /// resized with. The block is not used afterwards.
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout);

    /// Returns the bytes of all regions given to the allocator.
    fn total_bytes(&self) -> usize;

    /// Returns the usable bytes of all live blocks, rounding included.
    fn used_bytes(&self) -> usize;

    /// Returns the bytes that the allocator uses itself and that can never be part of a block.
    fn metadata_bytes(&self) -> usize {
        0
    }

    /// Returns the bytes that are free. Because of fragmentation, a single request may not get all of them.
    /// It is 0 if used bytes and metadata exceed the total.
    fn available_bytes(&self) -> usize {
        let spent = self.used_bytes().saturating_add(self.metadata_bytes());
        self.total_bytes().saturating_sub(spent)
    }

    /// Returns a block for `layout` whose first `layout.size()` bytes are zero.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Self::alloc).
    fn alloc_zeroed(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let block = self.alloc(layout)?;
        // SAFETY: `alloc` has returned at least `layout.size()` writable bytes.
        unsafe { block.write_bytes(0, layout.size()) };
        Ok(block)
    }

    /// Changes a live block from layout `old` to layout `new` without moving it. Returns a pointer to the same
    /// address that is derived from the region, because the caller's `block` may be valid for the old length
    /// only.
    ///
    /// The provided method always returns [`AllocError::NoMemory`]. [`grow`](Self::grow),
    /// [`shrink`](Self::shrink) and [`realloc`](Self::realloc) call it before they move a block.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if the block must move, also because its address is not a multiple of
    /// `new.align()`. An allocator that checks returns [`AllocError::NotAllocated`] and
    /// [`AllocError::InvalidParam`] as [`try_dealloc`](Self::try_dealloc) does. The block is unchanged.
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

    /// Returns the block to which a live block moves that [`resize_in_place`](Self::resize_in_place) could not
    /// change: a new block for `new`, or the block itself, which then stays and has layout `new`.
    ///
    /// [`grow`](Self::grow), [`shrink`](Self::shrink) and [`realloc`](Self::realloc) call it after
    /// `resize_in_place` has returned [`AllocError::NoMemory`]. Unless the address is the same, they copy the
    /// content and free the old block. The provided method calls [`alloc`](Self::alloc). An allocator
    /// overrides it if a block may occupy more memory than `new` needs, so that a shrink never fails because
    /// memory is short.
    ///
    /// # Errors
    ///
    /// Those of [`alloc`](Self::alloc), and those of [`resize_in_place`](Self::resize_in_place) if the
    /// allocator checks. The block is unchanged.
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

    /// Makes a live block larger and returns its new address. Its content up to `old.size()` is kept; the
    /// alignment may change too.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `new.size() < old.size()`; those of
    /// [`resize_in_place`](Self::resize_in_place) and [`alloc`](Self::alloc). The block is unchanged.
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
        // SAFETY: `resize` has the same preconditions.
        unsafe { resize(self, block, old, new) }
    }

    /// Makes a live block smaller and returns its new address. Its content up to `new.size()` is kept; the
    /// alignment may change too.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `new.size() > old.size()`; those of
    /// [`resize_in_place`](Self::resize_in_place) and [`alloc`](Self::alloc). The block is unchanged.
    ///
    /// # Safety
    ///
    /// That of [`grow`](Self::grow).
    unsafe fn shrink(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        if new.size() > old.size() {
            return Err(AllocError::InvalidParam);
        }
        // SAFETY: `resize` has the same preconditions.
        unsafe { resize(self, block, old, new) }
    }

    /// Changes the size of a live block to `new_size` bytes and returns its new address. Its content up to the
    /// smaller size is kept.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidParam`] if `new_size`, rounded up to the alignment, overflows `isize`; those of
    /// [`resize_in_place`](Self::resize_in_place) and [`alloc`](Self::alloc). The block is unchanged.
    ///
    /// # Safety
    ///
    /// That of [`grow`](Self::grow), with `layout` for `old`.
    unsafe fn realloc(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> AllocResult<NonNull<u8>> {
        let new = Layout::from_size_align(new_size, layout.align())
            .map_err(|_| AllocError::InvalidParam)?;
        // SAFETY: `resize` has the same preconditions.
        unsafe { resize(self, block, layout, new) }
    }

    /// Returns how many bytes of a live block may be used, at least `layout.size()`.
    ///
    /// # Safety
    ///
    /// `block` is a live block of this allocator, last allocated or resized with `layout`.
    unsafe fn usable_size(&self, block: NonNull<u8>, layout: Layout) -> usize {
        let _ = block;
        layout.size()
    }

    /// Frees a block, or refuses a wrong request.
    ///
    /// The provided method checks nothing. The documentation of an allocator that checks says which misuse
    /// it refuses; for such misuse the safety contract need not hold.
    ///
    /// # Errors
    ///
    /// [`AllocError::NotAllocated`] if `block` is not a live block of this allocator;
    /// [`AllocError::InvalidParam`] if `layout` cannot be the layout that it was allocated with. The
    /// allocator is unchanged.
    ///
    /// # Safety
    ///
    /// That of [`dealloc`](Self::dealloc), unless the implementation requires less.
    unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
        // SAFETY: `dealloc` has the same preconditions.
        unsafe { self.dealloc(block, layout) };
        Ok(())
    }

    /// Removes and returns the [`Fault`] for which the allocator last refused a request. *O*(1), without an
    /// allocation.
    ///
    /// An allocator that checks stores the fault before it returns
    /// [`NotAllocated`](AllocError::NotAllocated), [`Damaged`](AllocError::Damaged), or
    /// [`InvalidParam`](AllocError::InvalidParam) for a layout that does not fit a block. A request that
    /// succeeds does not change the stored fault. [`Locked`](crate::Locked) reports it. The provided method
    /// returns `None`.
    fn take_fault(&mut self) -> Option<Fault> {
        None
    }
}

/// Resizes a block in place if the allocator can, else by moving it: the only implementation of
/// `grow`, `shrink` and `realloc`.
///
/// # Errors
///
/// Those of [`ByteAllocator::grow`]. Only [`AllocError::NoMemory`] from `resize_in_place` leads to a move.
///
/// # Safety
///
/// That of [`ByteAllocator::grow`].
unsafe fn resize<A: ByteAllocator + ?Sized>(
    heap: &mut A,
    block: NonNull<u8>,
    old: Layout,
    new: Layout,
) -> AllocResult<NonNull<u8>> {
    // SAFETY: the caller guarantees that `block` is live with layout `old`.
    match unsafe { heap.resize_in_place(block, old, new) } {
        Err(AllocError::NoMemory) => {}
        outcome => return outcome,
    }
    // SAFETY: the caller guarantees that `block` is live with layout `old`; the refusal has not changed that.
    let moved = unsafe { heap.alloc_for_move(block, old, new) }?;
    if moved.addr() == block.addr() {
        // Two live blocks never have the same address: the block stays.
        return Ok(moved);
    }
    let kept_bytes = old.size().min(new.size());
    // SAFETY: both blocks are live and hold `kept_bytes`; live blocks do not overlap.
    unsafe { moved.copy_from_nonoverlapping(block, kept_bytes) };
    // SAFETY: the caller guarantees that `block` is live with layout `old`, and that it is not used again.
    if let Err(refusal) = unsafe { heap.try_dealloc(block, old) } {
        // SAFETY: `alloc_for_move` returned this block for `new`, and no other code has seen it.
        unsafe { heap.dealloc(moved, new) };
        return Err(refusal);
    }
    Ok(moved)
}
