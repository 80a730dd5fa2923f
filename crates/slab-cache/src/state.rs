//! The policy of a cache: which slab serves next, and which can leave. Safe code; whoever calls it
//! holds the cache's lock.
//!
//! There are two ways to keep count of a slab's used slots, and a cache has one of them:
//!
//! * *Counted*: each free comes here, under the lock or on the cache's only thread.
//! * *Remote*: frees go to the slab's [`remote`] word, without the lock. The count is brought up to
//!   date by collecting that word.
//!
//! Either way a slab calls for attention when its count falls to the floor of its place: the full one
//! at the first free, the partial one at the border of its bucket, the last one when it is empty.

use slab_core::Mode;

use crate::chunk::ChunkRef;
use crate::chunks::Chunks;
use crate::error::CacheError;
use crate::exits::Exit;
use crate::front::Front;
use crate::geometry::{Geometry, SLOTS_PER_WORD};
use crate::partial::Partial;
use crate::remote;
use crate::slab::{Place, SlabRef};
use crate::stats::Stats;

/// What a free made of its slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freed {
    /// Nothing to do.
    Quietly,
    /// The slab calls for [`State::attend`].
    Calling,
    /// The slot was not live. Nothing has changed.
    NotLive,
}

/// What a thread that has entered the cache does after it has released the lock.
#[derive(Debug)]
pub struct Deferred {
    /// A chunk to give back to the source. Then [`State::next`] says what follows.
    pub chunk: Option<ChunkRef>,
    /// How many empty slabs go back although they would be kept. It falls to zero even where the source
    /// uses the cache, and makes a chunk empty, each time that it gets one back.
    pub slabs_reclaimed: u32,
    /// To be recorded last: the core may be freed afterwards.
    pub exit: Exit,
    /// To be reported.
    pub fault: Option<CacheError>,
}

/// What the lock of a cache guards.
#[derive(Debug)]
pub struct State {
    pub front: Front,
    pub chunks: Chunks,
    partial: Partial,
    geometry: Geometry,
    /// Whether slots come back to their slabs without the lock.
    is_remote: bool,
    /// Handles of the cache.
    pub handles: usize,
    /// How often a thread entered without a handle; see [`exits`](crate::exits). It may wrap.
    entries: usize,
    /// Whether a thread has found the cache dead.
    is_dead: bool,
    slabs_used: usize,
    slabs_used_peak: usize,
    slabs_held_peak: u32,
    /// The first thing found that only a caller's mistake explains.
    fault: Option<CacheError>,
}

impl State {
    pub const fn new(geometry: Geometry, is_remote: bool) -> Self {
        Self {
            front: Front::new(),
            chunks: Chunks::new(),
            partial: Partial::new(),
            geometry,
            is_remote,
            handles: 1,
            entries: 0,
            is_dead: false,
            slabs_used: 0,
            slabs_used_peak: 0,
            slabs_held_peak: 0,
            fault: None,
        }
    }

    /// Takes a slot back, in a cache that counts. *O*(1).
    #[inline(always)]
    pub fn free<M: Mode>(&mut self, slab: SlabRef, slot: u32) -> Freed {
        let (word, bit) = (slot / SLOTS_PER_WORD, slot % SLOTS_PER_WORD);
        let mut live = slab.live(word);
        let was_live = live.remove(bit);
        if M::CHECKED && (!was_live || self.front.holds(slab, slot)) {
            return Freed::NotLive;
        }
        slab.set_live(word, live);
        let used = slab.used().wrapping_sub(1);
        slab.set_used(used);
        if used == slab.floor() { Freed::Calling } else { Freed::Quietly }
    }

    /// Brings a slab to where it belongs by now, after it called.
    #[inline(never)]
    pub fn attend(&mut self, slab: SlabRef) {
        if self.is_remote {
            let newest = remote::attend(slab);
            self.count(slab, newest);
        }
        if slab.place() != Place::Front {
            self.partial.remove(slab);
            self.settle(slab);
        }
    }

    /// Gives the empty front slots to allocate from, out of slabs that are attached; `false` if all
    /// are full. *O*(1), or *O*(slots) of one slab where frees went without the lock.
    pub fn refill(&mut self, init: impl FnOnce(ChunkRef) -> SlabRef) -> bool {
        if let Some(slab) = self.front.slab() {
            self.collect(slab);
            if self.front.regain(&self.geometry) {
                return true;
            }
        }
        let next = match self.partial.pop_fullest() {
            Some(slab) => slab,
            None => {
                let Some(slab) = self.chunks.take(init) else { return false };
                self.slabs_used += 1;
                self.slabs_used_peak = self.slabs_used_peak.max(self.slabs_used);
                slab
            }
        };
        next.set_place(Place::Front);
        next.set_floor(u32::MAX);
        self.collect(next);
        if let Some(full) = self.front.replace(next) {
            self.settle(full);
        }
        self.front.regain(&self.geometry)
    }

    /// Adds an empty chunk.
    pub fn attach(&mut self, chunk: ChunkRef) {
        self.chunks.attach(chunk);
        self.slabs_held_peak = self.slabs_held_peak.max(self.chunks.slabs_held);
    }

    /// Brings all counts up to date. *O*(slabs) and a step for each slot freed without the lock.
    pub fn sweep(&mut self) {
        if !self.is_remote {
            return;
        }
        for chunk in self.chunks.iter() {
            for slab in chunk.used_slabs(self.geometry.slab_bytes) {
                self.refresh(slab);
            }
        }
    }

    /// Brings the count of a slab with values up to date, and the slab to where it belongs.
    pub fn refresh(&mut self, slab: SlabRef) {
        if !self.is_remote {
            return;
        }
        if slab.place() == Place::Front || remote::is_called(slab) {
            // Whoever was called settles it.
            self.collect(slab);
        } else {
            self.partial.remove(slab);
            self.collect(slab);
            self.settle(slab);
        }
    }

    /// Lets the front's slab go if it has no values.
    pub fn release_front(&mut self) {
        if self.front.slab().is_some_and(|slab| slab.used() == self.front.held()) {
            self.abandon_front();
        }
    }

    /// Lets the slab go that the front allocates from.
    pub fn abandon_front(&mut self) {
        if let Some(slab) = self.front.abandon() {
            self.collect(slab);
            self.settle(slab);
        }
    }

    /// Counts a thread that uses the lock without a handle. It has nothing to do but to exit.
    pub fn enter(&mut self) -> Deferred {
        self.entries = self.entries.wrapping_add(1);
        Deferred { chunk: None, slabs_reclaimed: 0, exit: Exit::ordinary(), fault: None }
    }

    /// Counts a thread that uses the lock without a handle, and returns what it has to do.
    pub fn enter_and_defer(&mut self) -> Deferred {
        let mut deferred = self.enter();
        self.next(&mut deferred);
        deferred
    }

    /// Finds the next chunk that a thread inside the cache gives back. If there is none, finds out whether
    /// the cache is dead.
    pub fn next(&mut self, deferred: &mut Deferred) {
        let is_closed = self.handles == 0;
        let reclaims = is_closed || deferred.slabs_reclaimed > 0;
        deferred.chunk = if reclaims { self.chunks.reclaim() } else { self.chunks.surplus() };
        let slabs = deferred.chunk.map_or(0, ChunkRef::slabs);
        deferred.slabs_reclaimed = deferred.slabs_reclaimed.saturating_sub(slabs);
        deferred.fault = deferred.fault.take().or(self.fault.take());
        if deferred.chunk.is_none() && is_closed && self.slabs_used == 0 && !self.is_dead {
            self.is_dead = true;
            deferred.exit = Exit::of_finder(self.entries);
        }
    }

    /// Returns what was found and not reported yet.
    pub fn take_fault(&mut self) -> Option<CacheError> {
        self.fault.take()
    }

    /// Notes a caller's mistake, to be reported without the lock.
    pub fn note(&mut self, fault: CacheError) {
        self.fault.get_or_insert(fault);
    }

    /// Returns whether a slot is live, its slab's count being up to date.
    pub fn is_live(&self, slab: SlabRef, slot: u32) -> bool {
        slab.is_live(slot) && !self.front.holds(slab, slot)
    }

    /// Returns the numbers. *O*(slabs).
    pub fn stats(&mut self) -> Stats {
        self.sweep();
        let mut stats = Stats {
            slabs: self.chunks.slabs as usize,
            slabs_used: self.slabs_used,
            slabs_used_peak: self.slabs_used_peak,
            bytes_held: self.chunks.slabs_held as usize * self.geometry.slab_bytes,
            bytes_held_peak: self.slabs_held_peak as usize * self.geometry.slab_bytes,
            ..Stats::default()
        };
        for chunk in self.chunks.iter() {
            stats.slots += chunk.slots(&self.geometry);
            for slab in chunk.used_slabs(self.geometry.slab_bytes) {
                stats.live += u64::from(slab.used());
            }
        }
        stats.live -= u64::from(self.front.held());
        stats
    }

    /// Puts a slab that is neither the front nor in a list where it belongs.
    fn settle(&mut self, slab: SlabRef) {
        loop {
            let (used, slots) = (slab.used(), slab.slots());
            let called = self.is_remote && remote::is_called(slab);
            if used == 0 && !called {
                slab.set_place(Place::Vacant);
                self.chunks.vacate(slab);
                self.slabs_used -= 1;
                return;
            }
            let (bucket, floor) =
                if used == slots { (None, slots - 1) } else { bucket_of(used, slots) };
            if self.is_remote && !called && !remote::arm(slab, used - floor) {
                self.collect(slab);
                continue;
            }
            slab.set_floor(floor);
            match bucket {
                Some(bucket) => self.partial.push(slab, bucket),
                None => slab.set_place(Place::Full),
            }
            return;
        }
    }

    /// Brings a slab's count up to date.
    fn collect(&mut self, slab: SlabRef) {
        if self.is_remote {
            let newest = remote::collect(slab);
            self.count(slab, newest);
        }
    }

    /// Counts the slots of a list that was taken from a slab. A slot that cannot be in such a list ends
    /// it: what lies behind it is lost, and the slab with it.
    fn count(&mut self, slab: SlabRef, newest: u16) {
        let mut slot = newest;
        while slot != remote::NONE {
            let number = u32::from(slot);
            let sound = number < slab.slots()
                && (!self.geometry.checked || self.is_live(slab, number))
                && slab.used() > 0;
            if !sound {
                let address = slab.start().addr().get();
                self.note(CacheError::CorruptList { address });
                return;
            }
            slot = remote::link(slab, number, &self.geometry);
            let (word, bit) = (number / SLOTS_PER_WORD, number % SLOTS_PER_WORD);
            let mut live = slab.live(word);
            live.remove(bit);
            slab.set_live(word, live);
            slab.set_used(slab.used() - 1);
        }
    }
}

fn bucket_of(used: u32, slots: u32) -> (Option<u8>, u32) {
    // An empty slab that somebody was called to waits in the lowest bucket.
    let (bucket, floor) = Partial::bucket(used, slots);
    (Some(bucket), floor)
}
