//! Free runs: which one serves a request, how it is cut, and how freed units merge with their neighbours.
#![expect(unsafe_code, reason = "cuts and merges rows of units")]

use core::ptr::NonNull;

use slab_core::poison;
use slab_traits::{AllocError, AllocResult, Fault};

use super::bins::{BINS, Bins, EXACT};
use super::heap::UnitByteAllocator;
use super::links::{LinkRef, link_at};
use super::map::{Run, State};
use super::parked::Parked;
use super::policy::Policy;
use super::region::RegionRef;
use crate::small::UNIT_BYTES;

impl<P: Policy> UnitByteAllocator<P> {
    /// Returns the free run that a link leads to. `None` if none starts there, because the program wrote to memory
    /// that it had freed.
    #[cfg_attr(target_pointer_width = "64", inline)]
    fn run_of(&mut self, link: LinkRef) -> Option<Run> {
        let run = self.run_at(link.address())?;
        // SAFETY: `run_at` returned a run.
        (unsafe { run.region.state(run.first) } == State::Free).then_some(run)
    }

    /// Returns the parked block of a length that a link leads to; `None` as [`run_of`](Self::run_of).
    fn parked_run(&mut self, link: LinkRef, len: u32) -> Option<Run> {
        let run = self.run_at(link.address())?;
        // SAFETY: `run_at` returned a run, and blocks are parked.
        (unsafe { Parked::contains(run.region, run.first) } && run.len == len).then_some(run)
    }

    /// Returns the block or free run that starts at an address.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn run_at(&mut self, address: usize) -> Option<Run> {
        let (region, first) = self.locate(address)?;
        // SAFETY: `locate` returned a unit before the frontier.
        if !matches!(unsafe { region.state(first) }, State::Block | State::Free) {
            return None;
        }
        // SAFETY: a block or a free run starts there.
        Some(Run { region, first, len: unsafe { region.len_at(first) } })
    }

    /// Returns the free run of the bins with which a request is served, and how many of its units are skipped for the
    /// alignment.
    ///
    /// Runs of the bins before the sure one may be too short, or end too early behind an aligned address: so
    /// many are looked at as the policy permits.
    fn find_run(&mut self, len: u32, align: usize) -> Option<(Run, u32)> {
        let mut looks = P::SCAN_MAX;
        let mut bin = self.bins.next_from(Bins::bin_of(len))?;
        loop {
            let mut link = self.bins.list(bin).first();
            while let Some(at) = link {
                let Some(run) = self.run_of(at) else { return self.lose_bin(bin, at) };
                if let Some(skip) = run.skip_for(len, align) {
                    return Some((run, skip));
                }
                looks = looks.saturating_sub(1);
                link = if looks == 0 { None } else { at.get().next };
            }
            bin += 1;
            if looks == 0 {
                let padding =
                    (align.max(UNIT_BYTES) / UNIT_BYTES - 1).min(u32::MAX as usize) as u32;
                bin = bin.max(len.checked_add(padding).map_or(BINS, Bins::sure_bin));
            }
            bin = self.bins.next_from(bin)?;
        }
    }

    /// Returns a block of so many units.
    pub(super) fn alloc_run(&mut self, len: u32, align: usize) -> AllocResult<NonNull<u8>> {
        if align <= UNIT_BYTES {
            if len <= EXACT
                && let Some(link) = self.bins.list(len - 1).first()
            {
                return self.alloc_exact(link, len);
            }
            if let Some(victim) = self.victim
                && victim.len >= len
            {
                return Ok(self.cut_victim(victim, 0, len));
            }
        }
        self.alloc_fitting(len, align)
    }

    /// Returns a free run as a block, the newest one of its bin, which has exactly the length.
    #[cfg_attr(target_pointer_width = "64", inline)]
    fn alloc_exact(&mut self, link: LinkRef, len: u32) -> AllocResult<NonNull<u8>> {
        let run = self.run_of(link).filter(|run| run.len == len);
        let Some(run) = run.filter(|_| self.bins.unlink(len, link)) else {
            self.bins.clear(len - 1);
            return Err(self.written(link.address(), len));
        };
        // SAFETY: the map has the run as a free one, and it has left its bin.
        unsafe { run.make_block() };
        // SAFETY: the map has the block.
        Ok(unsafe { self.block(run) })
    }

    /// Returns a block cut out of the victim behind so many skipped units. The rest stays the victim.
    #[cfg_attr(target_pointer_width = "64", inline)]
    fn cut_victim(&mut self, victim: Run, skip: u32, len: u32) -> NonNull<u8> {
        // SAFETY: the map has the victim.
        unsafe { victim.end_run(false) };
        self.victim = None;
        // SAFETY: the units were free until now.
        unsafe { self.cut(victim, skip, len, true) }
    }

    /// Returns a block cut out of a free run of the bins or fresh units.
    #[inline(never)]
    fn alloc_fitting(&mut self, len: u32, align: usize) -> AllocResult<NonNull<u8>> {
        if let Some((run, skip)) = self.find_run(len, align) {
            // SAFETY: the map has the run, which is in a bin and so not the victim.
            unsafe { run.end_run(false) };
            self.unlist(run)?;
            // SAFETY: the units were free until now.
            return Ok(unsafe { self.cut(run, skip, len, len <= EXACT) });
        }
        if let Some(victim) = self.victim
            && let Some(skip) = victim.skip_for(len, align)
        {
            return Ok(self.cut_victim(victim, skip, len));
        }
        self.alloc_beyond(len, align)
    }

    /// Makes part of a row of units a block, and the rest free. The units behind the block become the victim, if that
    /// is wished.
    ///
    /// # Safety
    ///
    /// The map says nothing of these units, which are free, and have no free neighbours.
    #[cfg_attr(target_pointer_width = "64", inline)]
    unsafe fn cut(&mut self, run: Run, skip: u32, len: u32, as_victim: bool) -> NonNull<u8> {
        let Run { region, first, .. } = run;
        if skip > 0 {
            // SAFETY: the units were free until now.
            unsafe { self.insert(region, first, skip) };
        }
        let block = Run { region, first: first + skip, len };
        let rest = Run { region, first: block.end(), len: run.end() - block.end() };
        if rest.len > 0 {
            if as_victim {
                if let Some(old) = self.victim.replace(rest) {
                    // SAFETY: a free run starts there, which is in no bin.
                    unsafe { self.list(old.region, old.first, old.len) };
                }
                // SAFETY: the units were free until now.
                unsafe { rest.begin(false) };
            } else {
                // SAFETY: the units were free until now.
                unsafe { self.insert(region, rest.first, rest.len) };
            }
        }
        // SAFETY: the units were free until now.
        unsafe { block.begin(true) };
        // SAFETY: the map has the block.
        unsafe { self.block(block) }
    }

    /// Returns a block where no free run serves.
    fn alloc_beyond(&mut self, len: u32, align: usize) -> AllocResult<NonNull<u8>> {
        match self.alloc_fresh(len, align) {
            Err(AllocError::NoMemory) if Self::PARKS && self.reclaim() > 0 => {
                self.alloc_run(len, align)
            }
            outcome => outcome,
        }
    }

    /// Returns a block of fresh units.
    fn alloc_fresh(&mut self, len: u32, align: usize) -> AllocResult<NonNull<u8>> {
        let region = self.fresh.ok_or(AllocError::NoMemory)?;
        let first = region.frontier();
        let run = Run { region, first, len: region.count() - first };
        let skip = run.skip_for(len, align).ok_or(AllocError::NoMemory)?;
        let run = Run { len: skip + len, ..run };
        // SAFETY: the units behind the block are fresh.
        unsafe { self.move_frontier(region, run.end()) };
        // SAFETY: the units were fresh until now; a free run before them would be fresh too.
        Ok(unsafe { self.cut(run, skip, len, false) })
    }

    /// Counts a new block and returns it.
    ///
    /// # Safety
    ///
    /// The map has the block.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) unsafe fn block(&mut self, block: Run) -> NonNull<u8> {
        let bytes = block.len as usize * UNIT_BYTES;
        self.used_bytes += bytes;
        // SAFETY: the units are the region's.
        let pointer = unsafe { block.region.pointer(block.first) };
        // SAFETY: they belong to a new block.
        unsafe { poison::allow_access(pointer, bytes) };
        pointer
    }

    /// Adds a free run that has no free neighbour.
    ///
    /// # Safety
    ///
    /// The map says nothing of these units, and no block lies there.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) unsafe fn insert(&mut self, region: RegionRef, first: u32, len: u32) {
        // SAFETY: as the caller promises.
        unsafe { Run { region, first, len }.begin(false) };
        // SAFETY: a free run starts there.
        unsafe { self.list(region, first, len) };
    }

    /// Adds a free run to its bin.
    ///
    /// # Safety
    ///
    /// The map has the run, and no list does.
    pub(super) unsafe fn list(&mut self, region: RegionRef, first: u32, len: u32) {
        // SAFETY: the units are the region's.
        let pointer = unsafe { region.pointer(first) };
        // SAFETY: as the caller promises.
        unsafe { self.bins.push(Bins::bin_of(len), pointer) };
    }

    /// Takes a free run out of its bin and out of the map.
    ///
    /// # Errors
    ///
    /// [`AllocError::Damaged`] if the program wrote to the run, which is withheld.
    pub(super) fn remove(&mut self, region: RegionRef, first: u32, len: u32) -> AllocResult {
        let run = Run { region, first, len };
        // SAFETY: the map has the run.
        unsafe { run.end_run(false) };
        if let Some(victim) = self.victim
            && (victim.region, victim.first) == (region, first)
        {
            self.victim = None;
            return Ok(());
        }
        self.unlist(run)
    }

    /// Takes a free run out of its bin that has left the map.
    ///
    /// # Errors
    ///
    /// [`AllocError::Damaged`] if the program wrote to the run, which is withheld.
    #[cfg_attr(target_pointer_width = "64", inline)]
    fn unlist(&mut self, run: Run) -> AllocResult {
        // SAFETY: the units are the region's.
        let pointer = unsafe { run.region.pointer(run.first) };
        // SAFETY: a free run started there that is in a bin.
        let link = unsafe { link_at(pointer) };
        if self.bins.unlink(run.len, link) { Ok(()) } else { Err(self.withhold(run)) }
    }

    /// Makes a free run that the program wrote to a block that was never allocated.
    #[cold]
    fn withhold(&mut self, run: Run) -> AllocError {
        // SAFETY: the run has left the map.
        unsafe { run.begin(true) };
        self.used_bytes += run.len as usize * UNIT_BYTES;
        self.written(run.region.address_of(run.first), run.len)
    }

    /// Gives up the free runs of a bin, in which a link leads to no free run.
    #[cold]
    fn lose_bin<T>(&mut self, bin: u32, link: LinkRef) -> Option<T> {
        self.bins.clear(bin);
        self.written(link.address(), 1);
        None
    }

    /// Stores a fault: the program wrote to memory that it had freed.
    #[cold]
    fn written(&mut self, address: usize, len: u32) -> AllocError {
        let block_bytes = len as usize * UNIT_BYTES;
        let fault = Fault::WrittenAfterFree { address, block_bytes, offset: 0 };
        self.fault = Some(fault);
        fault.into()
    }

    /// Frees a row of units, and merges it with its free neighbours.
    ///
    /// # Safety
    ///
    /// The map says nothing of these units, and no block lies there.
    pub(super) unsafe fn release(&mut self, region: RegionRef, mut first: u32, mut len: u32) {
        let had_victim = self.victim.is_some();
        let next = first + len;
        if first > 0 {
            // SAFETY: the unit before a run is the last one of another, before the frontier.
            if let Some(start) = unsafe { region.free_start_before(first) }
                && self.remove(region, start, first - start).is_ok()
            {
                (first, len) = (start, next - start);
            }
        }
        // SAFETY: behind a run there is another, or the frontier.
        if unsafe { region.is_free_start(next) } {
            if next == region.frontier() {
                // SAFETY: the units from the run on are free.
                return unsafe { self.move_frontier(region, first) };
            }
            // SAFETY: a free run starts there.
            let more = unsafe { region.len_at(next) };
            if self.remove(region, next, more).is_ok() {
                len += more;
            }
        }
        if had_victim && self.victim.is_none() {
            // The run has absorbed the victim, and takes its place.
            let run = Run { region, first, len };
            self.victim = Some(run);
            // SAFETY: neighbours that were free have become part of the run.
            return unsafe { run.begin(false) };
        }
        // SAFETY: neighbours that were free have become part of the run.
        unsafe { self.insert(region, first, len) };
    }

    /// Makes the units of a region from one on the fresh ones.
    ///
    /// # Safety
    ///
    /// The map says nothing of these units, but for the frontier as it was, and no block lies there.
    pub(super) unsafe fn move_frontier(&mut self, region: RegionRef, unit: u32) {
        let old = Run { region, first: region.frontier(), len: 1 };
        // SAFETY: the map has the frontier, as if it were a free run of one unit, or as if it were a block at the end.
        unsafe { old.end_run(old.first == region.count()) };
        region.set_frontier(unit, Self::PARKS);
        let new = Run { region, first: unit, len: 1 };
        // SAFETY: as the caller promises.
        unsafe { new.begin(unit == region.count()) };
    }

    /// Takes a parked block of a length out of its list. To the map it is still a block.
    ///
    /// # Errors
    ///
    /// [`AllocError::Damaged`] if the link leads to none. The parked blocks of that length are given up.
    pub(super) fn take_parked(&mut self, link: LinkRef, len: u32) -> AllocResult<Run> {
        let Some(block) = self.parked_run(link, len) else {
            self.parked.lose(len);
            return Err(self.written(link.address(), len));
        };
        // SAFETY: the block is parked.
        unsafe { self.parked.pop(block, link) };
        Ok(block)
    }

    /// Merges one parked block with its free neighbours. Returns its bytes, or `None` if no block is parked.
    fn merge_parked(&mut self) -> Option<usize> {
        let (link, len) = self.parked.next_in_turn()?;
        let Ok(block) = self.take_parked(link, len) else { return Some(0) };
        // SAFETY: the map has the block.
        unsafe { block.end_run(true) };
        // SAFETY: the block has ended.
        unsafe { self.release(block.region, block.first, block.len) };
        Some(len as usize * UNIT_BYTES)
    }

    /// Returns whether another block may be parked. If not, now and then merges one of those that are, so that
    /// lengths that are not asked for any more give way to others.
    pub(super) fn has_room_to_park(&mut self) -> bool {
        self.parked.set_limit(P::parked_max(self.used_bytes));
        if self.parked.is_full() && self.parked.is_due() {
            self.merge_parked();
        }
        !self.parked.is_full()
    }

    /// Merges all parked blocks of an empty heap, so that it serves what a fresh one serves. One block alone, which has
    /// the length of the request, is not worth it.
    #[cold]
    pub(super) fn reclaim_if_idle(&mut self, len: u32) {
        let is_alone = self.parked.bytes() == len as usize * UNIT_BYTES
            && Parked::takes(len)
            && self.parked.first(len).is_some();
        if !is_alone {
            self.reclaim();
        }
    }

    /// Merges all parked blocks with their free neighbours, so that requests of any size can have their memory, and
    /// returns how many bytes that were. An allocation that finds no memory does this by itself, and so
    /// does the first one of an empty heap. *O*(parked blocks), of which there are at most a thousand.
    pub fn reclaim(&mut self) -> usize {
        core::iter::from_fn(|| self.merge_parked()).sum()
    }
}

impl Run {
    /// Returns how many units of the run are skipped for a block of a length and an alignment, if it fits then.
    #[cfg_attr(target_pointer_width = "64", inline)]
    fn skip_for(self, len: u32, align: usize) -> Option<u32> {
        let address = self.region.address_of(self.first);
        let skip = (address.wrapping_neg() & (align - 1)) / UNIT_BYTES;
        let room = (self.len as usize).checked_sub(skip)?;
        (room >= len as usize).then_some(skip as u32)
    }
}
