//! The heap's other face: runs of whole pages.
#![expect(unsafe_code, reason = "hands out raw memory, and implements an unsafe trait")]

use core::ptr::NonNull;

use slab_core::Mode;
use slab_traits::{AllocError, AllocResult, PageAllocator, PageCounts};

use crate::class::GRANULE_BYTES;
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, LineRef};
use crate::slack::{self, Content};

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Returns the granules of `count` pages.
    fn page_granules(count: usize) -> AllocResult<u32> {
        let granules = count.checked_mul(PAGE / GRANULE_BYTES).ok_or(AllocError::InvalidParam)?;
        match u32::try_from(granules) {
            Ok(granules @ 1..) => Ok(granules),
            _ => Err(AllocError::InvalidParam),
        }
    }

    /// Makes pages of a run.
    ///
    /// # Errors
    ///
    /// [`AllocError::Damaged`] if the memory was written after it was freed; it is never handed out then.
    fn hand_out(&mut self, head: LineRef, len: u32) -> AllocResult<NonNull<u8>> {
        let run = self.start_of(head);
        if slack::is_watched::<M>() {
            let bytes = len as usize * GRANULE_BYTES;
            // SAFETY: the run was free, hence poisoned, and is ours until it is returned.
            let outcome = unsafe { slack::make_accessible::<M>(run, bytes, Content::Unknown) };
            if let Err(offset) = outcome {
                // Pages have no canary, by which a free of withheld memory is refused.
                head.set_kind(Kind::Block);
                return Err(self.withhold(run, bytes, offset));
            }
        }
        Ok(run)
    }

    /// Counts a refused free of pages, stores its fault and returns the error.
    #[cold]
    fn refuse_pages(&mut self, address: usize, count: usize) -> AllocError {
        self.refused_frees += 1;
        let fault = self.fault_of_pages(address, count.saturating_mul(PAGE));
        self.store(fault).into()
    }

    /// Takes fresh granules into use up to `len` granules behind an address, if they are its region's.
    fn advance_to(&mut self, address: usize, len: u32) {
        let Some(region) = self.regions.region_at(address) else { return };
        let offset = address.wrapping_sub(region.granules().addr().get()) / GRANULE_BYTES;
        let used = region.granule_count() - region.fresh_count();
        let end = u32::try_from(offset).ok().and_then(|first| first.checked_add(len));
        if let Some(more @ 1..) = end.and_then(|end| end.checked_sub(used))
            && more <= region.fresh_count()
        {
            self.advance(region, more);
        }
    }

    /// Returns the free run that covers a granule, and how far behind its head that lies.
    fn free_run_over(&mut self, address: usize) -> Option<(LineRef, u32)> {
        let (view, offset) = self.regions.locate(address)?;
        let wanted = (offset / GRANULE_BYTES) as u32;
        let mut first = 0;
        loop {
            // SAFETY: `first <= wanted`, a granule of this region.
            let head = unsafe { view.line(first as usize) };
            let len = head.len();
            if first + len > wanted {
                return (head.kind() == Kind::Free).then_some((head, wanted - first));
            }
            first += len;
        }
    }
}

// SAFETY: runs are carved from the bins, hence disjoint from each other and from every block; their
// alignment is that of the granule the search chose.
unsafe impl<M: Mode, const PAGE: usize> PageAllocator for SlabByteAllocator<M, PAGE> {
    fn page_size(&self) -> usize {
        PAGE
    }

    /// Returns a run of pages. *O*(1), the bounded scan before `NoMemory` included.
    ///
    /// # Errors
    ///
    /// As the trait says; [`AllocError::Damaged`] as [`alloc`](slab_traits::ByteAllocator::alloc).
    fn alloc_pages(&mut self, count: usize, align: usize) -> AllocResult<NonNull<u8>> {
        let len = Self::page_granules(count)?;
        if !align.is_power_of_two() {
            return Err(AllocError::InvalidParam);
        }
        self.reclaim_if_empty();
        let has_quarantined = self.has_quarantined();
        let mut head = self.take_run(len, align.max(PAGE), Kind::Pages);
        if head.is_none() && has_quarantined {
            self.empty_quarantine();
            head = self.take_run(len, align.max(PAGE), Kind::Pages);
        }
        let head = head.ok_or(AllocError::NoMemory)?;
        self.hand_out(head, len)
    }

    /// Takes pages back. *O*(1).
    ///
    /// # Errors
    ///
    /// [`AllocError::NotAllocated`] if no run of pages starts at `run`,
    /// [`AllocError::InvalidParam`] if it has not `count` pages. In every mode, and with a stored
    /// [`Fault`](slab_traits::Fault).
    unsafe fn dealloc_pages(&mut self, run: NonNull<u8>, count: usize) -> AllocResult {
        let len = Self::page_granules(count)?;
        let address = run.addr().get();
        let Some((view, offset)) = self.regions.locate(address) else {
            return Err(self.refuse_pages(address, count));
        };
        // SAFETY: the offset lies in a granule of this region.
        let head = unsafe { view.line(offset / GRANULE_BYTES) };
        let starts = head.kind() == Kind::Pages && address.is_multiple_of(GRANULE_BYTES);
        if !starts || head.len() != len {
            return Err(self.refuse_pages(address, count));
        }
        let bytes = len as usize * GRANULE_BYTES;
        if slack::is_watched::<M>() {
            let own = self.start_of(head);
            // SAFETY: the caller has given up the run.
            unsafe { slack::mark_dead::<M>(own, bytes) };
        }
        self.freed_bytes = self.freed_bytes.wrapping_add(bytes);
        // SAFETY: the run was one of pages, which has just ended.
        unsafe { self.runs.give_back(head, len) };
        Ok(())
    }

    /// Returns how many aligned pages the regions have, and how many the memory in use would fill.
    /// A byte heap on the same regions counts as using them.
    fn page_counts(&self) -> PageCounts {
        let free_granules = self.runs.free_granules() + self.runs.cached_granules();
        let used_granules = self.granules_in_use() - free_granules;
        let used = (used_granules * GRANULE_BYTES).div_ceil(PAGE);
        PageCounts { total: self.page_total, used: used.min(self.page_total) }
    }

    /// Returns the pages at an address. *O*(runs and segments of the region before it): meant for
    /// setting up, not for a hot path.
    fn alloc_pages_at(
        &mut self,
        start: usize,
        count: usize,
        align: usize,
    ) -> AllocResult<NonNull<u8>> {
        let len = Self::page_granules(count)?;
        if !align.is_power_of_two() || !start.is_multiple_of(align.max(PAGE)) {
            return Err(AllocError::InvalidParam);
        }
        self.empty_quarantine();
        self.reclaim();
        self.advance_to(start, len);
        let (head, skip) = self.free_run_over(start).ok_or(AllocError::NoMemory)?;
        if head.len() - skip < len {
            return Err(AllocError::NoMemory);
        }
        // SAFETY: the run is free and reaches `len` beyond what is skipped.
        let first = unsafe { self.runs.carve(head, skip, len) };
        self.occupy(first, len, Kind::Pages);
        self.hand_out(first, len)
    }
}
