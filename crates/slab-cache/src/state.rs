//! The state behind the lock of a cache: which slab is allocated from next, and which chunks leave. Safe code.
//!
//! A cache counts the used slots of a slab in one of two ways:
//!
//! * *counted*: each free comes here, under the lock or on the cache's only thread;
//! * *remote*: frees push to the slab's [`remote`] free list without the lock, and collecting that list
//!   updates the count.
//!
//! Either way a slab is relisted when its count falls to a threshold: a full slab at its first free, a partial
//! one where it leaves its bucket, and the last time when it is empty.

use slab_core::Mode;

use crate::active::ActiveSlots;
use crate::chunk::ChunkRef;
use crate::chunks::Chunks;
use crate::error::CacheError;
use crate::exits::Exit;
use crate::geometry::Geometry;
use crate::partial::Partial;
use crate::remote;
use crate::slab::{Place, SLOTS_PER_WORD, SlabRef};
use crate::stats::Stats;

/// The result of a free in a cache that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freed {
    /// The slot is free, and there is nothing else to do.
    Done,
    /// The slot is free, and its slab has to be [relisted](State::relist).
    Relist,
    /// The slot was not live. Nothing has changed.
    NotLive,
}

/// The work of a thread that has entered the cache, after it has released the lock.
#[derive(Debug)]
pub struct Deferred {
    /// A chunk to return to the source. Afterwards [`State::next_deferred`] finds the next one.
    pub chunk: Option<ChunkRef>,
    /// How many empty slabs to return although the cache would keep them. It falls to zero even if the source
    /// uses the cache and empties a chunk each time that it gets one back.
    pub slabs_trimmed: u32,
    /// To be recorded last: the core may be freed afterwards.
    pub exit: Exit,
    /// Misuse to report.
    pub fault: Option<CacheError>,
}

/// The state of a cache.
#[derive(Debug)]
pub struct State {
    pub active: ActiveSlots,
    pub chunks: Chunks,
    partial: Partial,
    geometry: Geometry,
    /// Whether slots are freed without the lock.
    is_remote: bool,
    /// Handles of the cache.
    pub handles: usize,
    /// How often a thread entered without a handle; see [`exits`](crate::exits). It may wrap.
    entries: usize,
    /// Whether a thread has found the cache dead.
    is_dead: bool,
    slabs_used: usize,
    slabs_used_peak: usize,
    slabs_in_blocks_peak: u32,
    /// The first misuse that was detected and not reported yet.
    fault: Option<CacheError>,
}

impl State {
    /// Returns the state of a cache with one handle and no slab.
    pub const fn new(geometry: Geometry, is_remote: bool) -> Self {
        Self {
            active: ActiveSlots::new(),
            chunks: Chunks::new(),
            partial: Partial::new(),
            geometry,
            is_remote,
            handles: 1,
            entries: 0,
            is_dead: false,
            slabs_used: 0,
            slabs_used_peak: 0,
            slabs_in_blocks_peak: 0,
            fault: None,
        }
    }

    /// Frees a slot, in a cache that counts. *O*(1).
    #[inline(always)]
    pub fn free<M: Mode>(&mut self, slab: SlabRef, slot: u32) -> Freed {
        let (word, bit) = (slot / SLOTS_PER_WORD, slot % SLOTS_PER_WORD);
        let mut live = slab.live(word);
        let was_live = live.remove(bit);
        if M::CHECKED && (!was_live || self.active.contains(slab, slot)) {
            return Freed::NotLive;
        }
        slab.set_live(word, live);
        let used = slab.used().wrapping_sub(1);
        slab.set_used(used);
        if used == slab.relist_at() { Freed::Relist } else { Freed::Done }
    }

    /// Moves a slab to the list of its fullness, by the thread whose free brought it to its threshold.
    #[inline(never)]
    pub fn relist(&mut self, slab: SlabRef) {
        if self.is_remote {
            let newest = slab.remote().collect_claimed();
            self.count(slab, newest);
        }
        if slab.place() != Place::Active {
            self.partial.remove(slab);
            self.list(slab);
        }
    }

    /// Refills the active slots, which are used up, from attached slabs; `false` if all slabs are full.
    /// *O*(1), or *O*(slots) of one slab where frees do not take the lock.
    pub fn refill(&mut self, take_slab: impl FnOnce(ChunkRef) -> SlabRef) -> bool {
        if let Some(slab) = self.active.slab() {
            self.collect(slab);
            if self.active.refill(&self.geometry) {
                return true;
            }
        }
        let next = match self.partial.pop_fullest() {
            Some(slab) => slab,
            None => {
                let Some(slab) = self.chunks.take(take_slab) else { return false };
                self.slabs_used += 1;
                self.slabs_used_peak = self.slabs_used_peak.max(self.slabs_used);
                slab
            }
        };
        next.set_place(Place::Active);
        next.set_relist_at(u32::MAX);
        self.collect(next);
        if let Some(full) = self.active.replace(next) {
            self.list(full);
        }
        self.active.refill(&self.geometry)
    }

    /// Adds an empty chunk.
    pub fn attach(&mut self, chunk: ChunkRef) {
        self.chunks.attach(chunk);
        self.slabs_in_blocks_peak = self.slabs_in_blocks_peak.max(self.chunks.slabs_in_blocks);
    }

    /// Collects all remote free lists. *O*(slabs) and a step for each slot on the lists.
    pub fn collect_all(&mut self) {
        if !self.is_remote {
            return;
        }
        for chunk in self.chunks.iter() {
            for slab in chunk.used_slabs(self.geometry.slab_bytes) {
                self.collect_and_relist(slab);
            }
        }
    }

    /// Collects the remote free list of a slab in use, and moves the slab to the list of its fullness.
    pub fn collect_and_relist(&mut self, slab: SlabRef) {
        if !self.is_remote {
            return;
        }
        if slab.place() == Place::Active || slab.remote().is_claimed() {
            // The claimant relists it.
            self.collect(slab);
        } else {
            self.partial.remove(slab);
            self.collect(slab);
            self.list(slab);
        }
    }

    /// Releases the active slab if it has no values.
    pub fn release_empty_active(&mut self) {
        if self.active.slab().is_some_and(|slab| slab.used() == self.active.len()) {
            self.release_active();
        }
    }

    /// Releases the active slab, so that there is none.
    pub fn release_active(&mut self) {
        if let Some(slab) = self.active.release() {
            self.collect(slab);
            self.list(slab);
        }
    }

    /// Counts a thread that uses the lock without a handle, and has nothing to do but to exit.
    pub fn enter(&mut self) -> Deferred {
        self.entries = self.entries.wrapping_add(1);
        Deferred { chunk: None, slabs_trimmed: 0, exit: Exit::ordinary(), fault: None }
    }

    /// Counts a thread that uses the lock without a handle, and returns its deferred work.
    pub fn enter_and_defer(&mut self) -> Deferred {
        let mut deferred = self.enter();
        self.next_deferred(&mut deferred);
        deferred
    }

    /// Finds the next chunk to return to the source. If there is none, finds out whether the cache is dead.
    pub fn next_deferred(&mut self, deferred: &mut Deferred) {
        let is_closed = self.handles == 0;
        let keeps_none = is_closed || deferred.slabs_trimmed > 0;
        deferred.chunk =
            if keeps_none { self.chunks.pop_empty() } else { self.chunks.pop_surplus() };
        let slabs = deferred.chunk.map_or(0, ChunkRef::slabs);
        deferred.slabs_trimmed = deferred.slabs_trimmed.saturating_sub(slabs);
        deferred.fault = deferred.fault.take().or(self.fault.take());
        if deferred.chunk.is_none() && is_closed && self.slabs_used == 0 && !self.is_dead {
            self.is_dead = true;
            deferred.exit = Exit::of_finder(self.entries);
        }
    }

    /// Returns the misuse that was detected and not reported yet.
    pub fn take_fault(&mut self) -> Option<CacheError> {
        self.fault.take()
    }

    /// Stores misuse, to be reported without the lock.
    pub fn set_fault(&mut self, fault: CacheError) {
        self.fault.get_or_insert(fault);
    }

    /// Returns whether a slot is live. The remote free list of its slab has been collected.
    pub fn is_live(&self, slab: SlabRef, slot: u32) -> bool {
        slab.is_live(slot) && !self.active.contains(slab, slot)
    }

    /// Returns the statistics. *O*(slabs).
    pub fn stats(&mut self) -> Stats {
        self.collect_all();
        let mut stats = Stats {
            slabs: self.chunks.slabs as usize,
            slabs_used: self.slabs_used,
            slabs_used_peak: self.slabs_used_peak,
            held_bytes: self.chunks.slabs_in_blocks as usize * self.geometry.slab_bytes,
            held_bytes_peak: self.slabs_in_blocks_peak as usize * self.geometry.slab_bytes,
            ..Stats::default()
        };
        for chunk in self.chunks.iter() {
            stats.slots += chunk.slots(&self.geometry);
            for slab in chunk.used_slabs(self.geometry.slab_bytes) {
                stats.live += u64::from(slab.used());
            }
        }
        stats.live -= u64::from(self.active.len());
        stats
    }

    /// Puts a slab that is not active and in no list where it belongs.
    fn list(&mut self, slab: SlabRef) {
        loop {
            let (used, slots) = (slab.used(), slab.slots());
            let claimed = self.is_remote && slab.remote().is_claimed();
            if used == 0 && !claimed {
                slab.set_place(Place::Vacant);
                self.chunks.vacate(slab);
                self.slabs_used -= 1;
                return;
            }
            // An empty slab that is claimed waits for its claimant in the lowest bucket.
            let (bucket, relist_at) = if used == slots {
                (None, slots - 1)
            } else {
                let (bucket, relist_at) = Partial::bucket(used, slots);
                (Some(bucket), relist_at)
            };
            if self.is_remote && !claimed && !slab.remote().start(used - relist_at) {
                self.collect(slab);
                continue;
            }
            slab.set_relist_at(relist_at);
            match bucket {
                Some(bucket) => self.partial.push(slab, bucket),
                None => slab.set_place(Place::Full),
            }
            return;
        }
    }

    /// Collects the remote free list of a slab.
    fn collect(&mut self, slab: SlabRef) {
        if self.is_remote {
            let newest = slab.remote().collect();
            self.count(slab, newest);
        }
    }

    /// Frees the slots of a list that was collected. A number that cannot be in the list ends it: the slots
    /// behind it are lost, and the slab with them.
    fn count(&mut self, slab: SlabRef, newest: u16) {
        let mut slot = newest;
        while slot != remote::NONE {
            let number = u32::from(slot);
            let sound = number < slab.slots()
                && (!self.geometry.checked || self.is_live(slab, number))
                && slab.used() > 0;
            if !sound {
                let address = slab.start().addr().get();
                self.set_fault(CacheError::CorruptList { address });
                return;
            }
            slot = self.geometry.link_of(slab, number);
            let (word, bit) = (number / SLOTS_PER_WORD, number % SLOTS_PER_WORD);
            let mut live = slab.live(word);
            live.remove(bit);
            slab.set_live(word, live);
            slab.set_used(slab.used() - 1);
        }
    }
}
