//! The unit heap: which run serves a request, and what becomes of a block that is freed.
#![expect(unsafe_code, reason = "hands out raw memory, and implements an unsafe trait")]

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

use slab_core::poison;
use slab_traits::{AllocError, AllocResult, ByteAllocator, Fault};

use super::bins::Bins;
use super::links::LinkRef;
use super::map::{Run, State};
use super::parked::Parked;
use super::policy::{Compact, Policy};
use super::region::RegionRef;
use crate::region_index::RegionIndex;
use crate::small::UNIT_BYTES;

/// A byte heap without size classes, as small as can be.
///
/// A block is a row of *units* of 16 bytes. Two bits per unit (three in `Compact`) outside the memory that users see say where blocks
/// and free runs start and end, so that each free is checked exactly: the address, and the size to 16 bytes. See the
/// [crate documentation](crate#a-heap-without-classes).
///
/// `P` is the policy: [`Compact`] keeps short freed blocks for a while, [`Bounded`](super::Bounded) merges each block with its
/// free neighbours at once.
///
/// | | steps |
/// |---|---|
/// | `alloc`, `dealloc`, resizing in place | *O*(1) with up to 16 regions, else *O*(log regions) expected |
/// | `Compact`: before `NoMemory`, and the first `alloc` of an empty heap | merges all parked blocks, a thousand at most |
/// | `Compact`: a large block that takes fresh memory | *O*(size): initialises its part of the map |
/// | `Bounded`: `add_region` | *O*(size): initialises the map |
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// use slab_bytes::{Bounded, UnitByteAllocator};
/// use slab_traits::{BaseAllocator, ByteAllocator};
///
/// // Room for 10,000 bytes in 100 blocks, none of them larger than 1000 bytes or aligned beyond 16.
/// const BYTES: usize = UnitByteAllocator::<Bounded>::region_for(10_000, 100, 1000, 16).unwrap();
/// let mut memory = [0u8; BYTES];
/// let mut heap = UnitByteAllocator::<Bounded>::with_policy();
/// // SAFETY: `memory` outlives `heap` and is used through it alone.
/// unsafe { heap.add_region(NonNull::from(&mut memory[..])) }?;
///
/// let layout = Layout::new::<[u8; 100]>();
/// let block = heap.alloc(layout).expect("the region is large enough");
/// assert_eq!(heap.used_bytes(), 112);
/// // SAFETY: `block` is live, came from `heap` with `layout`, and is not used again.
/// unsafe { heap.try_free(block, layout) }.expect("it is live");
/// // SAFETY: the block is not in use; the heap detects the second free.
/// unsafe { heap.try_free(block, layout) }.expect_err("it was freed already");
/// # Ok::<(), slab_traits::RegionError>(())
/// ```
#[derive(Debug)]
pub struct UnitByteAllocator<P: Policy = Compact> {
    pub(super) bins: Bins,
    pub(super) parked: Parked,
    pub(super) regions: RegionIndex<RegionRef>,
    /// The region used last.
    pub(super) hot: Option<RegionRef>,
    /// The free run from which the last small block was cut, which is in no bin.
    pub(super) victim: Option<Run>,
    /// The only region that has fresh units.
    pub(super) fresh: Option<RegionRef>,
    pub(super) total_bytes: usize,
    pub(super) unit_bytes: usize,
    pub(super) used_bytes: usize,
    refused_frees: usize,
    pub(super) fault: Option<Fault>,
    policy: PhantomData<P>,
}

// SAFETY: the heap is the only user of its regions, wherever it is sent, and holds no pointer to itself.
unsafe impl<P: Policy> Send for UnitByteAllocator<P> {}
// SAFETY: through a shared reference the heap is only read.
unsafe impl<P: Policy> Sync for UnitByteAllocator<P> {}

impl UnitByteAllocator {
    /// Returns a heap without memory that wastes least.
    pub const fn new() -> Self {
        Self::with_policy()
    }
}

/// Returns the units of a block of a layout.
#[inline]
pub(super) fn units_for(layout: Layout) -> Option<u32> {
    // A layout's size is at most `isize::MAX`, so the sum does not overflow.
    let units = layout.size().saturating_sub(1) / UNIT_BYTES + 1;
    if units <= u32::MAX as usize { Some(units as u32) } else { None }
}

impl<P: Policy> UnitByteAllocator<P> {
    pub(super) const PARKS: bool = P::PARKED_MAX > 0;

    /// Returns a heap without memory.
    pub const fn with_policy() -> Self {
        Self {
            bins: Bins::EMPTY,
            parked: Parked::EMPTY,
            regions: RegionIndex::new(),
            hot: None,
            victim: None,
            fresh: None,
            total_bytes: 0,
            unit_bytes: 0,
            used_bytes: 0,
            refused_frees: 0,
            fault: None,
            policy: PhantomData,
        }
    }

    /// Returns the region and the unit whose first byte is at an address, if the unit lies before the frontier.
    #[inline]
    pub(super) fn locate(&mut self, address: usize) -> Option<(RegionRef, u32)> {
        match self.locate_hot(address) {
            None => self.locate_elsewhere(address),
            found => found,
        }
    }

    /// As [`locate`](Self::locate), in the region used last only.
    #[inline(always)]
    fn locate_hot(&self, address: usize) -> Option<(RegionRef, u32)> {
        self.hot.and_then(|hot| Some((hot, hot.unit_at(address)?)))
    }

    #[cold]
    #[inline(never)]
    fn locate_elsewhere(&mut self, address: usize) -> Option<(RegionRef, u32)> {
        let region = self.regions.find(address)?;
        let unit = region.unit_at(address)?;
        self.hot = Some(region);
        Some((region, unit))
    }

    /// Returns the live block of a layout at an address.
    fn find_block(&mut self, address: usize, layout: Layout) -> Option<Run> {
        let (region, first) = self.locate(address)?;
        // SAFETY: `locate` returned a unit before the frontier.
        if unsafe { region.state(first) } != State::Block {
            return None;
        }
        // SAFETY: the unit lies before the frontier, and the region has the bits if blocks are parked.
        if Self::PARKS && unsafe { Parked::contains(region, first) } {
            return None;
        }
        // SAFETY: a block starts there.
        let len = unsafe { region.len_at(first) };
        let fits = units_for(layout) == Some(len) && address & (layout.align() - 1) == 0;
        fits.then_some(Run { region, first, len })
    }

    /// Takes a block back, or reports with all numbers what is wrong with the request.
    ///
    /// The pointer may be anything: it is only compared, never read through. *O*(1) in the region used last, else
    /// *O*(log regions) expected. A refusal looks at 2048 words of the map at most.
    ///
    /// # Errors
    ///
    /// A [`Fault`], which [`take_fault`](slab_traits::ByteAllocator::take_fault) returns too; the heap is unchanged
    /// but for [`refused_frees`](Self::refused_frees).
    ///
    /// * [`DoubleFree`](Fault::DoubleFree): a free run or a parked block starts there.
    /// * [`Interior`](Fault::Interior): into the first mebibyte of a live block.
    /// * [`Foreign`](Fault::Foreign): outside the units of every region.
    /// * [`WrongLayout`](Fault::WrongLayout): the block is live, and has not as many units as the layout needs, or its
    ///   address is no multiple of the alignment.
    /// * [`NotLive`](Fault::NotLive): anything else among the units of a region.
    ///
    /// # Safety
    ///
    /// If `block` is the address of a live block of this heap, that block is not used any more.
    #[inline]
    pub unsafe fn try_free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), Fault> {
        match self.find_block(block.addr().get(), layout) {
            Some(run) => {
                self.free(run);
                Ok(())
            }
            None => Err(self.refuse(block.addr().get(), layout)),
        }
    }

    /// As [`try_free`](Self::try_free), but for what is returned. A call that needs no stack frame in most cases: a
    /// block is parked that lies in the region used last and ends in the group where it starts.
    #[inline]
    fn free_or_refuse(&mut self, address: usize, layout: Layout) {
        if !Self::PARKS || self.parked.is_full() {
            return self.free_or_refuse_slow(address, layout);
        }
        let Some((region, first)) = self.locate_hot(address) else {
            return self.free_or_refuse_slow(address, layout);
        };
        // SAFETY: the unit lies before the frontier.
        let Some(len) = (unsafe { region.short_block(first) }) else {
            return self.free_or_refuse_slow(address, layout);
        };
        // SAFETY: the unit lies before the frontier, and the region has the bits.
        let is_parked = unsafe { Parked::contains(region, first) };
        if is_parked || units_for(layout) != Some(len) || address & (layout.align() - 1) != 0 {
            return self.free_or_refuse_slow(address, layout);
        }
        let block = Run { region, first, len };
        let pointer = self.end_block(block);
        // SAFETY: the block has ended, and this is its first byte.
        unsafe { self.parked.park(block, pointer) };
    }

    #[inline(never)]
    fn free_or_refuse_slow(&mut self, address: usize, layout: Layout) {
        match self.find_block(address, layout) {
            Some(run) => self.free(run),
            None => _ = self.refuse(address, layout),
        }
    }

    /// Counts a block that its user has given up, and returns its first byte.
    #[inline(always)]
    fn end_block(&mut self, block: Run) -> NonNull<u8> {
        let bytes = block.len as usize * UNIT_BYTES;
        self.used_bytes -= bytes;
        // SAFETY: the units are the region's.
        let pointer = unsafe { block.region.pointer(block.first) };
        // SAFETY: the block has ended.
        unsafe { poison::deny_access(pointer, bytes) };
        pointer
    }

    /// Frees a live block that its user has given up.
    #[inline]
    fn free(&mut self, run: Run) {
        let pointer = self.end_block(run);
        if Self::PARKS && Parked::takes(run.len) && self.has_room_to_park() {
            // SAFETY: the block has ended, and this is its first byte.
            return unsafe { self.parked.park(run, pointer) };
        }
        // SAFETY: the map has the block.
        unsafe { run.end_run(true) };
        // SAFETY: the block has ended.
        unsafe { self.release(run.region, run.first, run.len) };
    }

    #[cold]
    #[inline(never)]
    fn refuse(&mut self, address: usize, layout: Layout) -> Fault {
        self.refused_frees += 1;
        let fault = self.fault_of(address, layout);
        self.fault = Some(fault);
        fault
    }

    /// Returns the newest parked block of a length, in units. *O*(1).
    #[inline(always)]
    fn alloc_parked(&mut self, link: LinkRef, len: u32) -> AllocResult<NonNull<u8>> {
        let Some((region, first)) = self.locate_hot(link.address()) else {
            return self.alloc_parked_slow(link, len);
        };
        // SAFETY: the unit lies before the frontier.
        let own = unsafe { region.short_block(first) };
        // SAFETY: the unit lies before the frontier, and the region has the bits.
        if own != Some(len) || !unsafe { Parked::contains(region, first) } {
            return self.alloc_parked_slow(link, len);
        }
        // SAFETY: the block is parked.
        unsafe { self.parked.pop(Run { region, first, len }, link) };
        // SAFETY: the map has the block, which is parked no more.
        Ok(unsafe { self.block(Run { region, first, len }) })
    }

    /// As [`alloc_parked`](Self::alloc_parked), for a block of another region, or one that ends in another group.
    #[cold]
    #[inline(never)]
    fn alloc_parked_slow(&mut self, link: LinkRef, len: u32) -> AllocResult<NonNull<u8>> {
        let block = self.take_parked(link, len)?;
        // SAFETY: the map has the block, which is parked no more.
        Ok(unsafe { self.block(block) })
    }

    /// Returns how many frees were refused, through any method. Behind [`Locked`](slab_traits::Locked) the first one
    /// ends the program.
    pub fn refused_frees(&self) -> usize {
        self.refused_frees
    }
}

impl<P: Policy> Default for UnitByteAllocator<P> {
    fn default() -> Self {
        Self::with_policy()
    }
}

// SAFETY: a block is a row of units that are free or fresh until the map says that it is live. Blocks do not overlap,
// because a run leaves its bin and the map before it is cut. They lie in the units of the regions, and none moves.
unsafe impl<P: Policy> ByteAllocator for UnitByteAllocator<P> {
    /// Returns a block.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if no free run is sure to fit: of those less than an eighth longer than the request, or of
    /// more than 896 MiB, two are looked at, eight in `Compact`. [`AllocError::Damaged`] if the program wrote zeros or
    /// addresses of readable memory where the heap keeps the links of freed blocks: free memory of about that length is
    /// given up, and the next request gets other memory. Other words written there are undefined behaviour.
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let len = units_for(layout).ok_or(AllocError::NoMemory)?;
        if Self::PARKS && self.used_bytes == 0 {
            self.reclaim_if_idle(len);
        }
        if Self::PARKS
            && Parked::takes(len)
            && layout.align() <= UNIT_BYTES
            && let Some(link) = self.parked.first(len)
        {
            return self.alloc_parked(link, len);
        }
        self.alloc_run(len, layout.align())
    }

    /// Takes a block back; see [`try_free`](Self::try_free). A refused free changes nothing but
    /// [`refused_frees`](Self::refused_frees), and is to be had from [`take_fault`](Self::take_fault).
    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        // A refusal is counted and its fault stored.
        self.free_or_refuse(block.addr().get(), layout);
    }

    fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// Returns the bytes of the units of all live blocks.
    fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Returns the bytes of headers and maps, and what lies before and behind the units of each region.
    fn metadata_bytes(&self) -> usize {
        self.total_bytes - self.unit_bytes
    }

    /// Changes a block by taking or leaving units behind it. *O*(1), but for the map of fresh units in `Compact`.
    ///
    /// # Errors
    ///
    /// [`AllocError::NoMemory`] if the block has to move. [`AllocError::NotAllocated`] and
    /// [`AllocError::InvalidParam`] for what [`try_free`](Self::try_free) refuses. The block is unchanged.
    unsafe fn resize_in_place(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        let address = block.addr().get();
        let Some(run) = self.find_block(address, old) else {
            let fault = self.fault_of(address, old);
            self.fault = Some(fault);
            return Err(fault.into());
        };
        let len = units_for(new).ok_or(AllocError::NoMemory)?;
        if !address.is_multiple_of(new.align()) {
            return Err(AllocError::NoMemory);
        }
        self.resize(run, len)
    }

    unsafe fn usable_size(&self, _: NonNull<u8>, layout: Layout) -> usize {
        layout.size().max(1).next_multiple_of(UNIT_BYTES)
    }

    /// Takes a block back or reports what is wrong; [`try_free`](Self::try_free) says it with numbers. The safety
    /// contract is the one of `try_free`.
    #[inline]
    unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
        // SAFETY: the caller guarantees the contract of `try_free`.
        unsafe { self.try_free(block, layout) }.map_err(AllocError::from)
    }

    /// Returns the last [`Fault`] for which a request was refused, once.
    fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }
}
