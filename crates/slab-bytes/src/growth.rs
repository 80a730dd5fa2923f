//! Regions that grow, shrink and leave, and free pages that are given back for a while.
#![expect(unsafe_code, reason = "takes over raw memory, and walks lines")]

use core::ptr::NonNull;

use slab_core::layout::align_up;
use slab_core::{Mode, poison};
use slab_traits::RegionError;

use crate::class::GRANULE_BYTES;
use crate::heap::SlabByteAllocator;
use crate::line::Kind;
use crate::region::RegionRef;
use crate::slack;

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Adds memory to the end of a region. Blocks may then span both parts. `memory` is all of it: it starts where the
    /// region starts, and is longer.
    ///
    /// The bookkeeping moves to the end of the memory, and where it lay before becomes free, except before the first
    /// granule. [`reclaim`](Self::reclaim) is called first. *O*(granules in use of the region).
    ///
    /// # Errors
    ///
    /// A [`RegionError`], and the heap is unchanged: [`NotExtensible`](RegionError::NotExtensible) if no shorter region
    /// starts there, [`Overlap`](RegionError::Overlap) and [`AddressOverflow`](RegionError::AddressOverflow) as
    /// [`add_region`](slab_traits::BaseAllocator::add_region), and [`TooSmall`](RegionError::TooSmall) if the granules in use and
    /// the bookkeeping do not fit.
    ///
    /// # Safety
    ///
    /// Unless an error is returned: what [`add_region`](slab_traits::BaseAllocator::add_region) requires, for all of `memory`. One
    /// provenance covers it, and the memory of the region is still valid through the pointer that it was given with.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use core::ptr::NonNull;
    /// use slab_bytes::SlabByteAllocator;
    /// use slab_traits::{BaseAllocator, ByteAllocator};
    ///
    /// let mut memory = vec![0u8; 64 * 1024];
    /// let all = NonNull::from(&mut memory[..]);
    /// let half = NonNull::slice_from_raw_parts(all.cast::<u8>(), 32 * 1024);
    /// let mut heap: SlabByteAllocator = SlabByteAllocator::new();
    /// // SAFETY: `memory` outlives `heap` and is used through it alone.
    /// unsafe { heap.add_region(half) }?;
    /// // SAFETY: so does the other half; both are one array.
    /// unsafe { heap.extend_region(all) }?;
    /// heap.alloc(Layout::new::<[u8; 50_000]>()).expect("it spans both halves");
    /// # Ok::<(), slab_traits::RegionError>(())
    /// ```
    pub unsafe fn extend_region(&mut self, memory: NonNull<[u8]>) -> Result<(), RegionError> {
        let (start, size) = (memory.cast::<u8>().addr().get(), memory.len());
        if size > isize::MAX as usize || start.checked_add(size).is_none() {
            return Err(RegionError::AddressOverflow { start, size });
        }
        let region = self.region_from(start).filter(|region| region.size() < size);
        let Some(region) = region else { return Err(RegionError::NotExtensible { start, size }) };
        let old_size = region.size();
        if let Some((other_start, other_size)) = self.overlapping(start + old_size, size - old_size)
        {
            return Err(RegionError::Overlap { start, size, other_start, other_size });
        }
        self.reclaim();
        // SAFETY: the caller guarantees the memory, all of which nothing but the heap and its blocks uses.
        if unsafe { self.resize_region(region, memory) } {
            Ok(())
        } else {
            let required = region.bytes_to_extend().max(size + 1);
            Err(RegionError::TooSmall { start, size, required })
        }
    }

    /// Takes the free end of a region away from the heap and returns it: whole pages at a multiple of `PAGE`, as many
    /// as are free. At least `size_min` bytes stay. Returns `None` if no region starts at this address, or no page at its
    /// end is free. [`reclaim`](Self::reclaim) is called first. *O*(granules in use of the region).
    pub fn shrink_region(&mut self, start: usize, size_min: usize) -> Option<NonNull<[u8]>> {
        let region = self.region_from(start)?;
        self.reclaim();
        let size = region.size();
        // SAFETY: the line behind the last granule in use.
        let free = unsafe { self.runs.free_before(region.frontier()) };
        let used = region.granule_count() - region.fresh_count() - free;
        let kept = region.bytes_for(used)?.max(size_min);
        let kept = align_up(start.checked_add(kept)?, PAGE)? - start;
        if kept >= size {
            return None;
        }
        let memory = region.memory();
        let smaller = NonNull::slice_from_raw_parts(memory.cast::<u8>(), kept);
        // SAFETY: a part of the region's memory, with its pointer.
        if !unsafe { self.resize_region(region, smaller) } {
            return None;
        }
        // SAFETY: within the memory.
        let tail = unsafe { memory.cast::<u8>().add(kept) };
        // SAFETY: the tail is no longer the heap's.
        unsafe { poison::allow_access(tail, size - kept) };
        Some(NonNull::slice_from_raw_parts(tail, size - kept))
    }

    /// Takes a region away from the heap and returns its memory. Returns `None` if no region starts at this address, or
    /// a block or page in it is live. [`reclaim`](Self::reclaim) is called first. *O*(log regions) expected, and *O*(regions
    /// with fresh granules).
    pub fn remove_region(&mut self, start: usize) -> Option<NonNull<[u8]>> {
        let Some(region) = self.region_from(start) else {
            let memory = self.small.remove(start)?;
            self.total_bytes -= memory.len();
            return Some(memory);
        };
        self.reclaim();
        let used = region.granule_count() - region.fresh_count();
        // SAFETY: the line behind the last granule in use.
        let free = unsafe { self.runs.free_before(region.frontier()) };
        if free != used {
            return None;
        }
        self.take_tail(region, free);
        self.forget_region(region);
        let memory = region.memory();
        // SAFETY: the memory is no longer the heap's.
        unsafe { poison::allow_access(memory.cast(), memory.len()) };
        Some(memory)
    }

    /// Calls `visit` with the free memory of all regions, in ranges of whole pages of at least `bytes_min` bytes, and
    /// returns how many bytes that were. `visit` may change the content of a range, as returning its pages to the
    /// operating system does, so long as they can be written again later. [`reclaim`](Self::reclaim) is called first.
    /// *O*(free runs + regions).
    ///
    /// In `Exhaustive` mode nothing is visited, because free memory has the fill there.
    pub fn decommit(&mut self, bytes_min: usize, mut visit: impl FnMut(NonNull<[u8]>)) -> usize {
        if M::EXHAUSTIVE {
            return 0;
        }
        self.reclaim();
        let mut visited_bytes = 0;
        let mut visit = |first: NonNull<u8>, granule_count: u32| {
            let bytes = granule_count as usize * GRANULE_BYTES;
            let lead = first.addr().get().wrapping_neg() & (PAGE - 1);
            let pages_bytes = bytes.saturating_sub(lead) & !(PAGE - 1);
            if pages_bytes >= bytes_min.max(1) {
                // SAFETY: within the free memory.
                let pages = unsafe { first.add(lead) };
                // SAFETY: the memory is free.
                unsafe { poison::allow_access(pages, pages_bytes) };
                visit(NonNull::slice_from_raw_parts(pages, pages_bytes));
                // SAFETY: the memory is free.
                unsafe { poison::deny_access(pages, pages_bytes) };
                visited_bytes += pages_bytes;
            }
        };
        for run in self.runs.iter() {
            // SAFETY: at worst the closing edge.
            let behind = unsafe { run.forward(run.len() as usize) };
            // The fresh granules follow, and are visited together with it.
            if behind.kind() != Kind::Frontier {
                visit(self.start_of(run), run.len());
            }
        }
        for region in self.regions.fresh() {
            // SAFETY: the line behind the last granule in use.
            let before = unsafe { self.runs.free_before(region.frontier()) };
            let used = region.granule_count() - region.fresh_count();
            let offset = (used - before) as usize * GRANULE_BYTES;
            // SAFETY: by G2 the granules reach that far.
            let first = unsafe { region.granules().add(offset) };
            visit(first, before + region.fresh_count());
        }
        visited_bytes
    }

    /// Returns the start and the size of a region that shares bytes with `size` bytes from `start`.
    pub(crate) fn overlapping(&self, start: usize, size: usize) -> Option<(usize, usize)> {
        let other = self.regions.overlapping(start, size);
        let other = other.map(|region| (region.start(), region.size()));
        other.or_else(|| self.small.overlapping(start, size))
    }

    /// Returns the region that starts at an address.
    fn region_from(&self, start: usize) -> Option<RegionRef> {
        self.regions.region_at(start).filter(|region| region.start() == start)
    }

    /// Takes the last free run of a region, of so many granules, out of its bin: they are fresh again.
    fn take_tail(&mut self, region: RegionRef, free: u32) {
        if free > 0 {
            // SAFETY: the free run before the frontier has that length.
            let head = unsafe { region.frontier().backward(free) };
            // SAFETY: the run is free and has so many granules.
            unsafe { self.runs.carve(head, 0, free) };
        }
        self.regions.remove(region);
        // SAFETY: the granules are in no run any more, and the set has no view of the region.
        unsafe { region.retreat(free) };
        self.regions.insert(region);
    }

    /// Takes a region out of the set and out of all sums.
    fn forget_region(&mut self, region: RegionRef) {
        self.total_bytes -= region.size();
        self.granule_total -= region.granule_count() as usize;
        self.page_total -= Self::pages_of(region);
        self.regions.remove(region);
    }

    /// Adds a region to the set and to all sums.
    pub(crate) fn enter_region(&mut self, region: RegionRef) {
        self.total_bytes += region.size();
        self.granule_total += region.granule_count() as usize;
        self.page_total += Self::pages_of(region);
        self.regions.insert(region);
    }

    /// Returns how many whole pages the granules of a region have.
    fn pages_of(region: RegionRef) -> usize {
        let bytes = region.granule_count() as usize * GRANULE_BYTES;
        let lead = region.granules().addr().get().wrapping_neg() & (PAGE - 1);
        bytes.saturating_sub(lead) / PAGE
    }

    /// Gives a region other memory that starts where its own does. Returns `false` if the granules in use, up to the last
    /// that is not free, do not fit.
    ///
    /// # Safety
    ///
    /// `memory` is valid for the heap alone, except where its blocks lie. There are no cached runs and no spare segments.
    unsafe fn resize_region(&mut self, region: RegionRef, memory: NonNull<[u8]>) -> bool {
        // SAFETY: the line behind the last granule in use.
        let free = unsafe { self.runs.free_before(region.frontier()) };
        self.take_tail(region, free);
        self.forget_region(region);
        // SAFETY: the caller guarantees the memory. The region is in no set and no view is left; all line references of
        // the heap are moved below.
        let Some((resized, moved)) = (unsafe { region.resize(memory) }) else {
            self.enter_region(region);
            return false;
        };
        moved.relink();
        self.runs.moved(|line| moved.of(line));
        self.class_states.iter_mut().for_each(|state| state.moved(|line| moved.of(line)));
        let used_bytes = (resized.granule_count() - resized.fresh_count()) as usize * GRANULE_BYTES;
        // SAFETY: by G2 the granules reach that far.
        let fresh = unsafe { resized.granules().add(used_bytes) };
        // SAFETY: fresh granules are not handed out before `advance` permits it.
        unsafe { poison::deny_access(fresh, resized.fresh_count() as usize * GRANULE_BYTES) };
        self.enter_region(resized);
        if let prepended_count @ 1.. = moved.prepended_count() {
            let (prepended, bytes) = (resized.granules(), prepended_count as usize * GRANULE_BYTES);
            if slack::is_watched::<M>() {
                // SAFETY: the old bookkeeping, which is read no more.
                unsafe { slack::mark_fresh::<M>(prepended, bytes) };
            }
            // SAFETY: the region has as many granules in use.
            let head = unsafe { resized.view().line(0) };
            // SAFETY: the granules are in no run yet.
            unsafe { self.runs.release(head, prepended_count) };
        }
        self.runs.bound_cache(self.granules_in_use());
        true
    }
}
