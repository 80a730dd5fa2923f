//! The byte heap: its parts, and the paths that most blocks take.
#![expect(unsafe_code, reason = "implements the unsafe traits over raw memory")]

use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

use slab_core::{Checked, FreeList, poison};
use slab_traits::{AllocError, AllocResult, BaseAllocator, ByteAllocator, Fault, RegionError};

use super::code;
use super::region::{DeadBlocks, NearBlocks, Regions};
use crate::classes::{ClassMap, GRANULE_BYTES, PAGE_BYTES, SizeClasses};
use crate::small_page::SmallPage;
use crate::space::Runs;

/// Bins that there are, used or not: the number of a class, cut to six bits, is one of them.
pub(super) const BINS: usize = 64;

/// One class: its dead blocks, the one freed last first, and how large they are.
#[derive(Debug, Clone, Copy)]
pub struct Bin {
    pub dead: FreeList<u32>,
    pub bytes: u32,
}

/// Bytes at the start of a dead block that keep their content: the link to the next one, and what
/// else the sanitizer cannot tell from it.
const LINK_BYTES: usize = 8;

/// The deterministic allocator over raw memory regions: the same operations give blocks at the same
/// offsets, for regions of equal sizes at addresses that are equal modulo 4096 and the largest
/// alignment asked for.
///
/// It has the size classes, the LIFO bins and the best-fit runs of
/// [`BinnedAllocator`](crate::BinnedAllocator). Differences: blocks have addresses instead of ids; the
/// classes are the fine ones unless chosen otherwise; the bookkeeping lies in the regions, 6.6 % of
/// them: 16 bytes a page, and one for each 16 that can start a block, which is what makes every free
/// checkable; and before a request is refused, or served with a dead block of a larger class, the dead
/// blocks of all bins are merged ([`reclaim`](Self::reclaim)). After everything was freed, a heap serves
/// what a fresh one serves.
///
/// Every free and every resize is checked in constant time: double frees, pointers into blocks, foreign
/// pointers and layouts larger than the block are refused with a [`Fault`]. A link between dead blocks that
/// was overwritten is found before it is followed; that bin is then given up until the next reclaim, which
/// finds its blocks again.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// use slab_binned::BinnedByteAllocator;
/// use slab_traits::{BaseAllocator, ByteAllocator};
///
/// let mut memory = vec![0_u64; 8192];
/// let first = NonNull::from(&mut memory[0]).cast::<u8>();
/// let mut heap = BinnedByteAllocator::new();
/// // SAFETY: the vector outlives the heap and is used through it alone.
/// unsafe { heap.add_region(NonNull::slice_from_raw_parts(first, 65_536)) }?;
///
/// let layout = Layout::new::<[u64; 5]>();
/// let block = heap.alloc(layout).expect("48 bytes of 64 KiB");
/// assert_eq!(heap.used_bytes(), 48);
/// // SAFETY: the block is live, has this layout, and is forgotten.
/// unsafe { heap.dealloc(block, layout) };
/// // SAFETY: a checked free accepts any pointer.
/// assert!(unsafe { heap.try_dealloc(block, layout) }.is_err());
/// # Ok::<(), slab_traits::RegionError>(())
/// ```
pub struct BinnedByteAllocator {
    pub(super) regions: Regions,
    pub(super) classes: &'static ClassMap,
    pub(super) bins: [Bin; BINS],
    pub(super) runs: Runs,
    /// Its `start` is the number of a granule; its chunk is not used.
    pub(super) small_page: SmallPage,
    /// Bytes ever allocated and ever freed. Numbers of 64 bits on every platform: they never wrap.
    pub(super) allocated_bytes: u64,
    pub(super) freed_bytes: u64,
    pub(super) total_bytes: usize,
    pub(super) page_total: usize,
    pub(super) refused_frees: usize,
    pub(super) corrupt_links: usize,
    /// Bit of each class whose bin was given up since the last reclaim: some of its dead blocks are in no
    /// list.
    pub(super) torn: u64,
    /// `freed_bytes` at the last reclaim. While it is the same, another reclaim gains nothing.
    pub(super) freed_at_reclaim: Option<u64>,
    /// Why the last request was refused, until somebody asks.
    pub(super) fault: Option<Fault>,
}

impl BinnedByteAllocator {
    /// Returns a heap of the 37 fine classes, without memory yet.
    pub const fn new() -> Self {
        Self::with_classes(SizeClasses::Fine)
    }

    /// Returns a heap with chosen size classes, without memory yet. [`SizeClasses::Standard`] is the default of
    /// a [`BinnedAllocator`](crate::BinnedAllocator).
    pub const fn with_classes(classes: SizeClasses) -> Self {
        let classes = classes.map();
        let mut bins = [Bin { dead: FreeList::new(), bytes: 0 }; BINS];
        let mut class = 0;
        while class < classes.sizes.len() {
            bins[class].bytes = classes.sizes[class];
            class += 1;
        }
        Self {
            regions: Regions::new(),
            classes,
            bins,
            runs: Runs::new(),
            small_page: SmallPage::NONE,
            allocated_bytes: 0,
            freed_bytes: 0,
            total_bytes: 0,
            page_total: 0,
            refused_frees: 0,
            corrupt_links: 0,
            torn: 0,
            freed_at_reclaim: None,
            fault: None,
        }
    }

    /// Takes the block of a class that was freed last out of its bin. *O*(1).
    #[inline]
    pub(super) fn pop(&mut self, class: usize) -> Option<u32> {
        let space = DeadBlocks { regions: &self.regions, class };
        // SAFETY: the list is only used with the dead blocks of this class in these regions.
        match unsafe { self.bins[class].dead.pop(&space) } {
            Ok(granule) => granule,
            Err(_) => self.give_up(class),
        }
    }

    /// Forgets a bin in which a link was overwritten. Its blocks stay dead; the next reclaim finds
    /// them.
    #[cold]
    fn give_up(&mut self, class: usize) -> Option<u32> {
        self.corrupt_links += 1;
        self.torn |= 1 << class;
        self.bins[class].dead = FreeList::new();
        None
    }

    /// Puts a dead block of a class, which is in no list, into its bin.
    #[inline]
    pub(super) fn push(&mut self, class: usize, granule: u32) {
        let mut dead = self.bins[class].dead;
        self.list(&mut dead, class, granule);
        self.bins[class].dead = dead;
    }

    /// Puts a dead block of a class, which is in no list, into a list of such blocks. A number that is not
    /// one of a dead block of the class is left out.
    #[inline]
    pub(super) fn list(&self, dead: &mut FreeList<u32>, class: usize, granule: u32) {
        let space = DeadBlocks { regions: &self.regions, class };
        if !slab_core::SlotSpace::may_link(&space, granule) {
            debug_assert!(false, "granule {granule} is no dead block of class {class}");
            return;
        }
        // SAFETY: `may_link` holds. The code of a dead block has just been written, or the block was just
        // popped, or no list is left that it could be in: so it is not listed. A dead block's bytes are used
        // by its list alone.
        unsafe { dead.push(&space, granule) };
    }

    /// Marks the bytes of a block as dead, but for its link.
    #[inline]
    pub(super) fn retire(&self, granule: u32, bytes: usize) {
        if !poison::is_active::<Checked>() {
            return;
        }
        let Some(start) = self.regions.start_of(granule) else { return };
        // SAFETY: every block has 16 bytes at least.
        let behind = unsafe { start.add(LINK_BYTES) };
        // SAFETY: the block is dead and its bytes lie in the pages.
        unsafe { poison::poison::<Checked>(behind, bytes - LINK_BYTES) };
        // SAFETY: the block is dead and its bytes lie in the pages; the link will be written into the first.
        unsafe { poison::allow_access(start, LINK_BYTES) };
    }

    /// Makes the bytes of a block usable that is about to be handed out.
    #[inline]
    pub(super) fn revive(&self, granule: u32, bytes: usize) {
        if !poison::is_active::<Checked>() {
            return;
        }
        let Some(start) = self.regions.start_of(granule) else { return };
        // SAFETY: the block's bytes lie in the pages; all were retired when they were freed, or never
        // handed out. `Checked` inspects nothing.
        unsafe { poison::unpoison::<Checked>(start, bytes) };
    }

    /// Takes a block back or says what is wrong. *O*(1); *O*(log free runs) for a block of more than
    /// 64 KiB.
    ///
    /// # Errors
    ///
    /// [`Fault`] with the numbers; nothing has changed.
    ///
    /// # Safety
    ///
    /// If the block is live and the layout fits it, the block is not used afterwards. Any other
    /// pointer and layout are refused and need no promise.
    #[inline]
    pub unsafe fn try_free(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), Fault> {
        let address = block.addr().get();
        if self.free_near(address, layout.size()) {
            Ok(())
        } else {
            self.free_slow(address, layout)
        }
    }

    /// Hands out the block of a class that was freed last, if it and the next one are in the region
    /// used last; a fresh one from the current page, if none is dead and the page is in that region.
    /// *O*(1).
    #[inline]
    fn alloc_near(&mut self, size: usize) -> Option<NonNull<u8>> {
        let class = self.classes.class_of(size)? % BINS;
        if self.bins[class].dead.is_empty() {
            self.carve_near(class)
        } else {
            self.reuse_near(class)
        }
    }

    #[inline]
    fn reuse_near(&mut self, class: usize) -> Option<NonNull<u8>> {
        let bin = &mut self.bins[class];
        let spot = self.regions.hot().spot(bin.dead.head()?)?;
        let space = NearBlocks { region: self.regions.hot(), class };
        // SAFETY: what is listed may link in `DeadBlocks`, and the head, as was just looked up, in this
        // region. The next one is looked up before it becomes the head; if it lies elsewhere the list
        // stays as it was.
        unsafe { bin.dead.pop(&space) }.ok()?;
        spot.set_code(code::live(class));
        let (start, granule, bytes) = (spot.start(), spot.granule(), bin.bytes as usize);
        self.allocated_bytes += bytes as u64;
        self.revive(granule, bytes);
        Some(start)
    }

    #[inline]
    fn carve_near(&mut self, class: usize) -> Option<NonNull<u8>> {
        let bytes = self.bins[class].bytes;
        let spot = self.regions.hot().spot(self.small_page.start + self.small_page.used)?;
        // A block of whole pages is longer than what is left of any page.
        let granule = self.small_page.cut(bytes / GRANULE_BYTES as u32)?;
        spot.set_code(code::live(class));
        let (start, bytes) = (spot.start(), bytes as usize);
        self.allocated_bytes += bytes as u64;
        self.revive(granule, bytes);
        Some(start)
    }

    /// Takes back a block of the class that its size says, if it is in the region used last; returns
    /// whether it did. *O*(1).
    #[inline]
    fn free_near(&mut self, address: usize, size: usize) -> bool {
        let Some(spot) = self.regions.hot().spot_at(address) else { return false };
        let Some(class) = self.classes.class_of(size) else { return false };
        let class = class % BINS;
        if spot.code() != code::live(class) {
            return false;
        }
        let (granule, bytes) = (spot.granule(), self.bins[class].bytes as usize);
        spot.set_code(code::dead(class));
        self.retire(granule, bytes);
        let space = NearBlocks { region: self.regions.hot(), class };
        // SAFETY: the block was live, so it is in no list; its new code says that it may link, here as
        // in `DeadBlocks`, and its owner does not use its bytes any more.
        unsafe { self.bins[class].dead.push(&space, granule) };
        self.freed_bytes += bytes as u64;
        true
    }

    /// Puts a live block of a class into its bin.
    #[inline]
    pub(super) fn free_binned(&mut self, granule: u32, class: usize) {
        let bytes = self.classes.bytes(class) as usize;
        self.regions.set_code(granule, code::dead(class));
        self.retire(granule, bytes);
        self.push(class, granule);
        self.freed_bytes += bytes as u64;
    }

    /// Returns how many calls of `dealloc` were refused.
    pub fn refused_frees(&self) -> usize {
        self.refused_frees
    }

    /// Returns how many bins were given up because somebody wrote into a dead block.
    pub fn corrupt_links(&self) -> usize {
        self.corrupt_links
    }

    /// Takes a block back that is not where most are, and counts a refusal.
    #[cold]
    #[inline(never)]
    fn free_far(&mut self, address: usize, layout: Layout) {
        if let Err(fault) = self.free_slow(address, layout) {
            self.refused_frees += 1;
            self.fault = Some(fault);
            debug_assert!(false, "{fault}");
        }
    }

    /// As [`free_far`](Self::free_far), but returns the refusal.
    #[cold]
    #[inline(never)]
    fn try_free_far(&mut self, address: usize, layout: Layout) -> AllocResult {
        self.free_slow(address, layout).map_err(|fault| self.refuse(fault))
    }

    /// Stores why a request is refused and returns the error without the numbers.
    #[cold]
    pub(super) fn refuse(&mut self, fault: Fault) -> AllocError {
        self.fault = Some(fault);
        fault.into()
    }
}

impl Default for BinnedByteAllocator {
    fn default() -> Self {
        Self::new()
    }
}

impl BaseAllocator for BinnedByteAllocator {
    /// Takes over a region. *O*(`size`): a sixteenth of it is written. At most 32 regions, and 64 GiB
    /// of all of them, can be used.
    unsafe fn add_region(&mut self, memory: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: the caller guarantees that the memory is valid and used through the heap alone.
        let region = unsafe { self.regions.add(memory) }?;
        let page_bytes = region.page_count as usize * PAGE_BYTES;
        if let Some(first) =
            self.regions.start_of(region.first_page * (PAGE_BYTES / GRANULE_BYTES) as u32)
        {
            // SAFETY: the pages are the region's, and no block lies in them yet.
            unsafe { poison::poison::<Checked>(first, page_bytes) };
        }
        self.runs.release(&mut self.regions, region.first_page, region.page_count);
        self.total_bytes += memory.len();
        self.page_total += region.page_count as usize;
        self.freed_at_reclaim = None;
        Ok(())
    }
}

// SAFETY: a block is a stretch of granules whose code says where it starts. It is handed out when it
// is cut from a page or a run, which leave the free runs as they are taken (R1), or popped from a
// bin, in which only dead blocks are; so it overlaps no other live block. It lies in the pages of a
// region (G2) and never moves. Alignment is looked after where a block is placed.
unsafe impl ByteAllocator for BinnedByteAllocator {
    /// Returns a block. *O*(1) where one of its class was freed before or fits the current page, else
    /// *O*(log free runs); *O*(pages) before it is refused or served with a block of a larger class. Where it
    /// is aligned to more than a page and no free run is sure to hold it, *O*(free runs).
    #[inline]
    fn alloc(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        if layout.align() <= GRANULE_BYTES
            && let Some(block) = self.alloc_near(layout.size())
        {
            return Ok(block);
        }
        self.alloc_slow(layout)
    }

    /// Takes a block back; see [`try_free`](Self::try_free).
    ///
    /// # Panics
    ///
    /// In debug builds, if the request is refused. Else a refused free changes nothing but
    /// [`refused_frees`](Self::refused_frees).
    #[inline]
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        let address = block.addr().get();
        if !self.free_near(address, layout.size()) {
            self.free_far(address, layout);
        }
    }

    fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// Returns the bytes of the blocks in use, rounding included. *O*(1).
    fn used_bytes(&self) -> usize {
        (self.allocated_bytes - self.freed_bytes) as usize
    }

    /// Returns the bytes of lines and codes, and those before and behind the pages.
    fn metadata_bytes(&self) -> usize {
        self.total_bytes - self.page_total * PAGE_BYTES
    }

    /// Changes a block within its class's block, or a run of pages at its end. *O*(log free runs). Any
    /// pointer and any layout are accepted, and refused as by [`try_free`](Self::try_free).
    unsafe fn resize_in_place(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        let address = block.addr().get();
        let found = self.find_as(address, old).map_err(|fault| self.refuse(fault))?;
        self.resize(&found, address, new)
    }

    /// Returns a new block. A block that has room for the new size moves to a smaller one only if that is free
    /// without a reclaim, and stays otherwise. A shrink so fails only for an alignment that the block's address
    /// does not have.
    unsafe fn alloc_for_move(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> AllocResult<NonNull<u8>> {
        let address = block.addr().get();
        let found = self.find_as(address, old).map_err(|fault| self.refuse(fault))?;
        if new.size() > found.usable_bytes || !address.is_multiple_of(new.align()) {
            return self.alloc(new);
        }
        let moved = self.alloc_at_once(new);
        moved
            .or_else(|| self.regions.start_of(found.granule + found.pad))
            .ok_or(AllocError::NoMemory)
    }

    /// Returns the bytes from the block's address to its end. *O*(1).
    unsafe fn usable_size(&self, block: NonNull<u8>, layout: Layout) -> usize {
        let found = self.find(block.addr().get());
        found.map_or(layout.size(), |found| found.usable_bytes)
    }

    /// Takes a block back or reports what is wrong; [`try_free`](Self::try_free) says it with
    /// numbers. The safety contract is the one of `try_free`.
    #[inline]
    unsafe fn try_dealloc(&mut self, block: NonNull<u8>, layout: Layout) -> AllocResult {
        let address = block.addr().get();
        if self.free_near(address, layout.size()) {
            Ok(())
        } else {
            self.try_free_far(address, layout)
        }
    }

    fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }
}

impl fmt::Debug for BinnedByteAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BinnedByteAllocator")
            .field("total_bytes", &self.total_bytes)
            .field("used_bytes", &self.used_bytes())
            .field("free_pages", &self.runs.free_pages())
            .finish_non_exhaustive()
    }
}
