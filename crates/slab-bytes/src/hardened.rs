//! Allocation and free in hardened modes: canaries, fills, and the quarantine.
//!
//! The short ways are those of `Hardened` mode for slots. Everything else, and `Exhaustive` mode, goes the long
//! ways that builds for Miri and the sanitizers go in every mode.
#![expect(unsafe_code, reason = "fills, inspects and hands out raw memory")]

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_core::{Initial, Mode, Optional, mix64, poison};
use slab_traits::{AllocError, AllocResult, ByteAllocator, Fault};

use crate::block::{self, Fitting};
use crate::class::{GRANULE_BYTES, SizeClass};
use crate::free::Place;
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, LineRef};
use crate::quarantine::{Entry, HALF, Quarantine};
use crate::slack::{self, Content, Secret};

/// The alignment that every slot keeps.
const ALIGN_KEPT: usize = 16;

/// The state of a heap that only hardened modes have.
#[derive(Debug)]
pub struct Guard {
    secret: Secret,
    /// Whether no entropy was given and no damage is to be reported, so that the short way may be taken.
    is_plain: bool,
    /// The state of a generator of numbers; 0 if no entropy was given.
    choice: u64,
    /// Damage that was found when no request could be refused for it.
    damage: Option<Fault>,
    quarantine: Quarantine,
}

impl Initial for Guard {
    const INITIAL: Self = Self {
        secret: Secret(0x2545_F491_4F6C_DD1D),
        is_plain: true,
        choice: 0,
        damage: None,
        quarantine: Quarantine::EMPTY,
    };
}

impl Guard {
    /// Returns the slot from which on a vacant one is taken, if entropy was given.
    fn first_choice(&mut self) -> Option<u32> {
        if self.choice == 0 {
            return None;
        }
        // A Weyl sequence, mixed: SplitMix64.
        self.choice = self.choice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        Some((mix64(self.choice) >> 58) as u32)
    }

    /// Returns the quarantined blocks.
    pub fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }
}

/// The work that the fast path of a free leaves in `Hardened` mode.
enum Left {
    Nothing,
    /// The block is quarantined; older ones are to be released.
    Release,
    /// The block is dead, and its slot of this segment is to be freed.
    End(LineRef, u32),
    /// Everything: the block is a run, or refused.
    Run,
    /// Everything: the block lies in another region, or is refused.
    All,
}

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Makes hardened modes choose slots, and write canaries, in a way that depends on `entropy` and on all
    /// entropy given before: without it both are the same in each run. Other modes ignore it.
    ///
    /// The canaries stay as they are while a block is live. Which run a large block gets is not chosen so.
    pub fn add_entropy(&mut self, entropy: u64) {
        self.empty_quarantine();
        let is_unused = self.used_bytes() == 0;
        let Some(guard) = self.guard.get_mut() else { return };
        guard.choice = mix64(guard.choice ^ mix64(entropy)) | 1 << 63;
        guard.is_plain = false;
        if is_unused {
            guard.secret = Secret(mix64(!guard.choice));
        }
    }

    /// Returns the bytes of freed blocks whose memory is not used again yet, which count as available. In modes
    /// that are not hardened there are none.
    pub fn quarantined_bytes(&self) -> usize {
        let blocks = self.guard.get().into_iter().flat_map(|guard| guard.quarantine.iter());
        blocks.map(|entry| self.span_of(entry).1).sum()
    }

    /// Returns the number on which canaries depend.
    #[inline]
    pub(crate) fn secret(&self) -> Secret {
        self.guard.get().map_or(Secret::default(), |guard| guard.secret)
    }

    /// Returns a block, in `Hardened` mode.
    #[inline]
    pub(crate) fn alloc_sampled(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let (Some(guard), Fitting::Class(class)) =
            (self.guard.get_mut(), block::fitting::<M>(layout))
        else {
            return self.alloc_watched(layout);
        };
        if !guard.is_plain {
            return self.alloc_watched(layout);
        }
        let Some(block) = self.class_states[class].take() else {
            return self.alloc_sampled_slow(class, layout);
        };
        self.hand_out_slot(class, block, layout.size())
    }

    /// Takes a slot of a class whose active segment is full, in `Hardened` mode.
    #[inline(never)]
    fn alloc_sampled_slow(&mut self, class: SizeClass, layout: Layout) -> AllocResult<NonNull<u8>> {
        if self.class_states[class].needs_segment() || !self.refill(class) {
            return self.alloc_watched(layout);
        }
        match self.class_states[class].take() {
            Some(block) => self.hand_out_slot(class, block, layout.size()),
            None => Err(AllocError::NoMemory),
        }
    }

    /// Returns a slot just taken as a block of `size` bytes, in `Hardened` mode.
    #[inline(always)]
    fn hand_out_slot(
        &mut self,
        class: SizeClass,
        block: NonNull<u8>,
        size: usize,
    ) -> AllocResult<NonNull<u8>> {
        let slot_bytes = self.class_states[class].slot_bytes();
        self.allocated_bytes = self.allocated_bytes.wrapping_add(slot_bytes);
        // SAFETY: a dead slot, both ends of which were filled when it died or its segment was made.
        if !unsafe { slack::are_ends_filled(block, slot_bytes) } {
            return self.withhold_dead(block, slot_bytes);
        }
        // SAFETY: the slot has so many bytes.
        unsafe { poison::allow_access(block, slot_bytes) };
        let secret = self.secret();
        // SAFETY: the slot is accessible, in no use, and of the class of the layout with a canary.
        unsafe { slack::watch_slack::<M>(secret, block, size, slot_bytes) };
        Ok(block)
    }

    /// Returns a block whose slack is poisoned, with the canary in it in hardened modes.
    ///
    /// # Errors
    ///
    /// As [`alloc`](ByteAllocator::alloc), which is the same.
    #[cold]
    #[inline(never)]
    pub(crate) fn alloc_watched(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        if let Some(guard) = self.guard.get_mut()
            && let Some(damage) = guard.damage.take()
        {
            guard.is_plain = guard.choice == 0;
            return Err(self.store(damage).into());
        }
        if self.used_bytes() == 0 {
            self.empty_quarantine();
        }
        let has_quarantined = self.has_quarantined();
        let mut outcome = self.alloc_dead(layout);
        // The request may have emptied the quarantine after it looked where a block is free now.
        if has_quarantined && outcome == Err(AllocError::NoMemory) {
            self.empty_quarantine();
            outcome = self.alloc_dead(layout);
        }
        let (block, usable_bytes, content) = outcome?;
        let (secret, size) = (self.secret(), layout.size());
        // SAFETY: the block is poisoned, has so many bytes and this content, and is ours until it is returned.
        match unsafe { slack::make_live::<M>(secret, block, size, usable_bytes, content) } {
            Ok(()) => Ok(block),
            Err(offset) => Err(self.withhold(block, usable_bytes, offset)),
        }
    }

    /// Returns a block that is poisoned still, its usable bytes, and what is known of its content.
    #[inline]
    fn alloc_dead(&mut self, layout: Layout) -> AllocResult<(NonNull<u8>, usize, Content)> {
        match block::fitting::<M>(layout) {
            Fitting::Class(class) => {
                // Quarantined memory is used again before the class grows.
                if self.class_states[class].needs_segment() {
                    self.empty_quarantine();
                }
                if let Some(block) = self.alloc_chosen(class) {
                    return Ok((block, class.slot_bytes(), Content::Filled));
                }
                let block = self.alloc_block(layout)?;
                if self.class_states[class].is_active_over(block) {
                    return Ok((block, class.slot_bytes(), Content::Filled));
                }
                let address = block.addr().get();
                let is_slot = self.regions.look_up(address).is_some();
                let content = if is_slot { Content::Filled } else { Content::Unknown };
                let usable_bytes = self.usable_bytes_at(address).unwrap_or(layout.size());
                Ok((block, usable_bytes, content))
            }
            Fitting::Run { len, .. } => {
                let cached = self.runs.cached(len);
                let block = self.alloc_block(layout)?;
                // No other head becomes one of a block here.
                let is_cached = cached.is_some_and(|head| head.kind() == Kind::Block);
                let content = if is_cached { Content::Filled } else { Content::Unknown };
                Ok((block, len as usize * GRANULE_BYTES, content))
            }
            Fitting::Never => Err(AllocError::InvalidParam),
        }
    }

    /// Takes a slot that is chosen by the entropy given, if there is any.
    fn alloc_chosen(&mut self, class: SizeClass) -> Option<NonNull<u8>> {
        let from = self.guard.get_mut()?.first_choice()?;
        self.reclaim_if_empty();
        if !self.refill(class) && !self.grow(class) {
            return None;
        }
        let block = self.class_states[class].take_from(from)?;
        self.allocated_bytes = self.allocated_bytes.wrapping_add(class.slot_bytes());
        Some(block)
    }

    /// Fills the ends of the slots of a new segment, none of which was dead before.
    pub(crate) fn fill_slots(&mut self, head: LineRef, class: SizeClass) {
        let start = self.start_of(head);
        for slot in 0..head.slots().count() {
            // SAFETY: a slot of the segment.
            let block = unsafe { start.add(slot as usize * class.slot_bytes()) };
            // SAFETY: the slot is vacant.
            unsafe { slack::fill_ends(block, class.slot_bytes()) };
        }
    }

    /// Fills the ends of a run that was a segment and is cached now.
    pub(crate) fn fill_run(&mut self, head: LineRef) {
        let start = self.start_of(head);
        // SAFETY: the run is in no use, and the region's.
        unsafe { slack::fill_ends(start, head.len() as usize * GRANULE_BYTES) };
    }

    /// Quarantines a freed block of `Hardened` mode if it is a slot in the region used last and its canary is intact.
    /// Returns the work that remains.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline(always)]
    unsafe fn free_sampled_fast(&mut self, address: usize, layout: Layout) -> Left {
        let hot = self.regions.hot();
        let Some(offset) = hot.offset_of(address) else { return Left::All };
        let (head, in_run) = Self::line_over(hot, offset);
        if !head.kind().is_segment() {
            return Left::Run;
        }
        let state = self.class_states.of_line(head.class_index());
        let size = layout.size();
        // The canary tells the size, and every slot keeps the smaller alignments.
        if layout.align() > ALIGN_KEPT
            && !state.takes(size + block::canary_bytes::<M>(), layout.align())
        {
            return Left::All;
        }
        let Some(slot) = state.slot_at(in_run) else { return Left::All };
        // A slot that is not live may lie behind the last one, unfilled.
        if !head.live().contains(slot) {
            return Left::All;
        }
        let slot_bytes = state.slot_bytes();
        // SAFETY: the offset lies in a granule of this region.
        let block = unsafe { hot.pointer(offset) };
        let Some(guard) = self.guard.get_mut() else { return Left::All };
        // SAFETY: a slot that is live or quarantined, so that its last word is canary or fill.
        if !unsafe { slack::is_intact(guard.secret, block, size, slot_bytes) } {
            return Left::All;
        }
        // SAFETY: the live block found, whose slack starts at this size.
        unsafe { slack::unpoison_slack(block, size, slot_bytes) };
        // SAFETY: the caller has given up the block.
        unsafe { slack::mark_dead::<M>(block, slot_bytes) };
        self.freed_bytes = self.freed_bytes.wrapping_add(slot_bytes);
        if !guard.quarantine.takes(slot_bytes) {
            Left::End(head, slot)
        } else if guard.quarantine.push(Entry { head, slot }) {
            Left::Release
        } else {
            Left::Nothing
        }
    }

    /// Frees a block of `Hardened` mode and counts a refusal.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline(always)]
    pub(crate) unsafe fn free_sampled_or_count(&mut self, address: usize, layout: Layout) {
        // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
        match unsafe { self.free_sampled_fast(address, layout) } {
            Left::Nothing => {}
            Left::Release => self.release_older(),
            Left::End(head, slot) => self.end_slot_apart(head, slot),
            Left::Run => {
                // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
                unsafe { self.free_sampled_run_or_count(address, layout) }
            }
            Left::All => {
                // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
                unsafe { self.free_slow_or_count(address, layout) }
            }
        }
    }

    /// Frees a block of `Hardened` mode if that needs no slow path. Returns whether it did.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline]
    pub(crate) unsafe fn free_sampled(&mut self, address: usize, layout: Layout) -> bool {
        // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
        match unsafe { self.free_sampled_fast(address, layout) } {
            Left::Nothing => {}
            Left::Release => self.release_older(),
            Left::End(head, slot) => self.end_slot_apart(head, slot),
            // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
            Left::Run => return unsafe { self.free_sampled_run(address, layout) },
            Left::All => return false,
        }
        true
    }

    /// Frees a run of `Hardened` mode and counts a refusal.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline(never)]
    unsafe fn free_sampled_run_or_count(&mut self, address: usize, layout: Layout) {
        // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
        if !unsafe { self.free_sampled_run(address, layout) } {
            // SAFETY: the caller guarantees the contract of `try_free`, which is the callee's too.
            unsafe { self.free_slow_or_count(address, layout) };
        }
    }

    /// Frees a block of `Hardened` mode if it is a run in the region used last and its canary is intact. Returns
    /// whether it did.
    ///
    /// # Safety
    ///
    /// As [`try_free`](Self::try_free).
    #[inline]
    unsafe fn free_sampled_run(&mut self, address: usize, layout: Layout) -> bool {
        let hot = self.regions.hot();
        let Some(offset) = hot.offset_of(address) else { return false };
        let (head, in_run) = Self::line_over(hot, offset);
        let len = head.len();
        let is_whole = head.kind() == Kind::Block && in_run == 0;
        if !is_whole || !block::fits_run::<M>(layout, address, len) {
            return false;
        }
        // SAFETY: the offset lies in a granule of this region.
        let block = unsafe { hot.pointer(offset) };
        let (size, run_bytes) = (layout.size(), len as usize * GRANULE_BYTES);
        // SAFETY: a block that is live or quarantined, which a layout of its length leaves room for a canary.
        if !unsafe { slack::is_intact(self.secret(), block, size, run_bytes) } {
            return false;
        }
        // SAFETY: the live block found, whose slack starts at this size.
        unsafe { slack::unpoison_slack(block, size, run_bytes) };
        // SAFETY: the caller has given up the block.
        unsafe { slack::mark_dead::<M>(block, run_bytes) };
        self.freed_bytes = self.freed_bytes.wrapping_add(run_bytes);
        if !self.quarantine(Place::Run { head, len }) {
            // SAFETY: the run is a block's, which has just ended.
            unsafe { self.runs.give_back(head, len) };
        }
        true
    }

    /// Quarantines the freed block at a place, which is dead and filled. Returns whether it did: other modes have no
    /// quarantine, and a block may be too large.
    pub(crate) fn quarantine(&mut self, place: Place) -> bool {
        let Some(guard) = self.guard.get_mut() else { return false };
        if !guard.quarantine.takes(place.usable_bytes()) {
            return false;
        }
        let entry = match place {
            Place::Slot { head, slot, .. } => Entry { head, slot },
            Place::Run { head, .. } => Entry { head, slot: 0 },
            Place::Units(_) => return false,
        };
        if guard.quarantine.push(entry) {
            self.release_older();
        }
        true
    }

    /// Ends the blocks that were quarantined longest ago.
    #[inline(never)]
    fn release_older(&mut self) {
        let bytes_in_use = self.granules_in_use() * GRANULE_BYTES;
        let Some(guard) = self.guard.get_mut() else { return };
        guard.quarantine.bound(bytes_in_use);
        let older = guard.quarantine.older();
        self.release(older);
    }

    /// Returns whether a block is quarantined.
    pub(crate) fn has_quarantined(&self) -> bool {
        self.guard.get().is_some_and(|guard| !guard.quarantine.is_empty())
    }

    /// Ends all quarantined blocks, so that their memory is free. Returns whether there were any.
    #[cold]
    pub(crate) fn empty_quarantine(&mut self) -> bool {
        let Some(guard) = self.guard.get_mut() else { return false };
        if guard.quarantine.is_empty() {
            return false;
        }
        let older = guard.quarantine.older();
        self.release(older);
        self.release(1 - older);
        if let Some(guard) = self.guard.get_mut() {
            guard.quarantine.restart();
        }
        true
    }

    /// Ends the blocks in a half of the quarantine: their memory is free.
    #[inline]
    fn release(&mut self, half: usize) {
        for place in 0..HALF {
            let entry = self.guard.get_mut().and_then(|guard| guard.quarantine.take(half, place));
            // By Q2 no block follows a vacant place.
            let Some(Entry { head, slot }) = entry else { return };
            let kind = head.kind();
            if !kind.is_segment() {
                self.release_run(head);
                continue;
            }
            let mut live = head.live();
            live.remove(slot);
            head.set_live(live);
            if Self::is_relist_due(kind, live) {
                self.relist(head);
            }
        }
    }

    /// As [`end_slot`](Self::end_slot), which it keeps out of the fast path.
    #[inline(never)]
    fn end_slot_apart(&mut self, head: LineRef, slot: u32) {
        self.end_slot(head, slot);
    }

    /// Makes a slot that ended vacant.
    #[inline]
    fn end_slot(&mut self, head: LineRef, slot: u32) {
        let mut live = head.live();
        live.remove(slot);
        head.set_live(live);
        if Self::is_relist_due(head.kind(), live) {
            self.relist(head);
        }
    }

    /// Ends a run that was quarantined: its memory is free, unless it was written.
    #[cold]
    #[inline(never)]
    fn release_run(&mut self, head: LineRef) {
        let (block, len) = (self.start_of(head), head.len());
        let block_bytes = len as usize * GRANULE_BYTES;
        // `Exhaustive` mode looks at all memory that it hands out.
        // SAFETY: by Q1 a dead block, both ends of which were filled.
        if slack::is_sampled::<M>() && !unsafe { slack::are_ends_filled(block, block_bytes) } {
            return self.withhold_released(block, block_bytes);
        }
        // SAFETY: by Q1 nothing uses the run.
        unsafe { self.end_block(Place::Run { head, len }) };
    }

    /// Withholds a block that was written while it was quarantined. The next request is refused for it.
    #[cold]
    #[inline(never)]
    fn withhold_released(&mut self, block: NonNull<u8>, block_bytes: usize) {
        // SAFETY: by Q1 a dead block, both ends of which were filled.
        let offset = unsafe { slack::first_written(block, block_bytes) }.unwrap_or(0);
        // SAFETY: by Q1 nothing uses the block.
        unsafe { slack::withhold(block, block_bytes) };
        // The block counts as used from now on.
        self.freed_bytes = self.freed_bytes.wrapping_sub(block_bytes);
        if let Some(guard) = self.guard.get_mut() {
            let address = block.addr().get();
            guard.damage = Some(Fault::WrittenAfterFree { address, block_bytes, offset });
            guard.is_plain = false;
        }
    }

    /// Returns the quarantined block that covers an address: where it starts, and its bytes.
    pub(crate) fn quarantined_at(&self, address: usize) -> Option<(usize, usize)> {
        self.guard
            .get()?
            .quarantine
            .iter()
            .map(|entry| self.span_of(entry))
            .find(|&(start, bytes)| address.wrapping_sub(start) < bytes)
    }

    /// Returns where a quarantined block starts, and its bytes.
    pub(crate) fn span_of(&self, entry: &Entry) -> (usize, usize) {
        let Entry { head, slot } = *entry;
        let start = self.start_of(head).addr().get();
        if !head.kind().is_segment() {
            return (start, head.len() as usize * GRANULE_BYTES);
        }
        let bytes = SizeClass::at(head.class_index()).slot_bytes();
        (start + slot as usize * bytes, bytes)
    }

    /// Withholds a dead slot, the ends of which were written, and returns the error.
    #[cold]
    #[inline(never)]
    fn withhold_dead(
        &mut self,
        block: NonNull<u8>,
        block_bytes: usize,
    ) -> AllocResult<NonNull<u8>> {
        // SAFETY: a dead slot, both ends of which were filled.
        let offset = unsafe { slack::first_written(block, block_bytes) }.unwrap_or(0);
        Err(self.withhold(block, block_bytes, offset))
    }

    /// Keeps a block that was written after it was freed out of circulation: it stays taken, and a free of
    /// it is refused. Stores the fault and returns the error.
    pub(crate) fn withhold(
        &mut self,
        block: NonNull<u8>,
        block_bytes: usize,
        offset: usize,
    ) -> AllocError {
        // SAFETY: the block was taken for a request that gets another answer, and is longer than a canary.
        unsafe { slack::withhold(block, block_bytes) };
        let address = block.addr().get();
        self.store(Fault::WrittenAfterFree { address, block_bytes, offset }).into()
    }
}
