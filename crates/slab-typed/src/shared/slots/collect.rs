//! Removed slots: their values are dropped once nothing reads them.
#![expect(unsafe_code, reason = "drops values in place, or moves them out")]

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::chunk::{Chunk, WORD_SLOTS, bits};
use super::record::{Record, UNPINNED};
use super::sync::{Ordering, fence};
use super::{Place, Slots};
use crate::geometry::{chunk_of, first_index, slot_of};

impl<T, A: Allocator> Slots<T, A> {
    /// Puts the token of a removed slot into the record's ring. Its value has no destructor.
    #[inline]
    pub(super) fn put_removed(&self, record: &Record, index: u32) {
        if !record.own.ring.put_removed(index) {
            self.put_removed_slow(record, index);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_removed_slow(&self, record: &Record, index: u32) {
        self.make_room(record);
        if !record.own.ring.put_removed(index) {
            self.drop_removed(None, &self.place(index));
        }
    }

    /// Makes the removed slots of a record vacant, but for those that may be read, which become pending.
    #[cold]
    #[inline(never)]
    pub(super) fn sweep(&self, record: &Record) {
        if record.own.ring.removed_len() == 0 {
            return;
        }
        // S4, for all slots of the ring.
        fence(Ordering::SeqCst);
        if self.may_read_any() {
            let may_read = |index| self.may_read(index);
            record.own.ring.sweep(may_read, |index| self.defer(&self.place(index)));
        } else {
            record.own.ring.sweep_all();
        }
        if self.deferred.load(Ordering::Relaxed) != 0 {
            self.collect();
        }
    }

    /// Drops the value of a removed slot, or makes the slot pending if it may be read.
    pub(super) fn drop_removed(&self, record: Option<&Record>, place: &Place<'_, T>) {
        // S4.
        fence(Ordering::SeqCst);
        if self.may_read(place.index()) {
            self.defer(place);
        } else {
            self.drop_value(record, place);
        }
        if self.deferred.load(Ordering::Relaxed) != 0 {
            self.collect();
        }
    }

    /// Moves the value of a removed slot out, or makes the slot pending if it may be read.
    pub(super) fn take_removed(&self, record: Option<&Record>, place: &Place<'_, T>) -> Option<T> {
        // S4.
        fence(Ordering::SeqCst);
        let value = if self.may_read(place.index()) {
            self.defer(place);
            None
        } else {
            // SAFETY: the caller has the token of a removed slot, so the memory is held and has a value. By S4 nothing
            // reads it, and it is not used again, because the slot becomes vacant.
            let value = unsafe { place.value().read() };
            self.put_vacant(record, place.index());
            Some(value)
        };
        if self.deferred.load(Ordering::Relaxed) != 0 {
            self.collect();
        }
        value
    }

    /// Drops the value of a removed slot, and makes the slot vacant, also if the destructor panics.
    ///
    /// The caller has the token, and knows by S4 that nothing reads the value.
    #[inline]
    fn drop_value(&self, record: Option<&Record>, place: &Place<'_, T>) {
        let _vacate = OnDrop::new(place.index(), |index| self.put_vacant(record, *index));
        if Self::NEEDS_DROP {
            // SAFETY: the caller has the token of a removed slot, so the memory is held and has a value, which nothing else
            // uses, by S2 and S4.
            unsafe { place.value().drop_in_place() };
        }
    }

    /// Returns whether an announcement stands for a slot. The caller executed a SeqCst fence after the removal.
    fn may_read(&self, index: u32) -> bool {
        self.crowd.load(Ordering::Acquire) != 0
            || self.memory.records().any(|record| record.may_read(index))
    }

    /// Returns whether there is any announcement.
    fn may_read_any(&self) -> bool {
        self.crowd.load(Ordering::Acquire) != 0 || self.memory.records().any(Record::may_read_any)
    }

    /// Makes a removed slot pending.
    #[cold]
    fn defer(&self, place: &Place<'_, T>) {
        let (word, bit) = place.bit();
        self.deferred.fetch_add(1, Ordering::Relaxed);
        // Release: S2.
        place.chunk.pending[word].fetch_or(bit, Ordering::Release);
        self.to_collect.offer(place.number, &place.chunk.to_collect);
    }

    /// Drops the deferred values that nothing reads any more, unless another thread does so; that one then looks again.
    #[cold]
    #[inline(never)]
    pub(super) fn collect(&self) {
        // Acquire and Release: only one thread at a time is the collector, and it sees what the last one left.
        if self.deferred.load(Ordering::Relaxed) == 0
            || self.collecting.fetch_add(1, Ordering::AcqRel) != 0
        {
            return;
        }
        let rest = OnDrop::new(self, |slots| slots.collect_rounds());
        rest.collect_rounds();
        rest.disarm();
    }

    fn collect_rounds(&self) {
        loop {
            let calls = self.collecting.load(Ordering::Relaxed);
            self.collect_round();
            let done =
                self.collecting.compare_exchange(calls, 0, Ordering::AcqRel, Ordering::Relaxed);
            if done.is_ok() {
                return;
            }
        }
    }

    fn collect_round(&self) {
        // Slots that guards read become pending again, so a third time would begin with them.
        if self.collect_waiting() {
            self.begin_to_wait();
            self.collect_waiting();
        }
    }

    /// Drops the values that wait, but for those that guards read. Returns `false` if a pin may read them.
    fn collect_waiting(&self) -> bool {
        // S4, for all slots that wait.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) != 0 && self.is_pinned_since_tag() {
            return false;
        }
        while let Some(number) = self.waiting.load(Ordering::Relaxed).checked_sub(1) {
            let chunk = self.memory.chunk(number).expect("a chunk that waits has a number");
            self.collect_chunk(chunk, number);
            // Not before, so that a panic leaves the rest of the chunk waiting.
            chunk.waits.store(false, Ordering::Relaxed);
            self.waiting.store(chunk.next_waiting.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        true
    }

    /// Returns whether a pin is an announcement for the slots that wait.
    fn is_pinned_since_tag(&self) -> bool {
        // S5.
        let tag = self.tag.load(Ordering::Relaxed);
        self.crowd.load(Ordering::Acquire) != 0
            || self.memory.records().any(|record| {
                let pinned = record.pinned.load(Ordering::Acquire);
                pinned != UNPINNED && pinned <= tag
            })
    }

    /// Lets all pending slots wait, and raises the clock.
    fn begin_to_wait(&self) {
        let link =
            |number| &self.memory.chunk(number).expect("a listed chunk has a number").to_collect;
        while let Some(number) = self.to_collect.take(link) {
            let chunk = self.memory.chunk(number).expect("a listed chunk has a number");
            self.to_collect.unlist(&chunk.to_collect);
            for (pending, waiting) in chunk.pending.iter().zip(&chunk.waiting) {
                // Acquire: S2, and S5: the fence of each removal happens before the clock rises.
                let slots = pending.swap(0, Ordering::Acquire);
                let waited = waiting.load(Ordering::Relaxed);
                waiting.store(waited | slots, Ordering::Relaxed);
            }
            // A chunk may be listed again while this loop runs.
            if !chunk.waits.swap(true, Ordering::Relaxed) {
                let first = self.waiting.load(Ordering::Relaxed);
                chunk.next_waiting.store(first, Ordering::Relaxed);
                self.waiting.store(number + 1, Ordering::Relaxed);
            }
        }
        // Relaxed: S5 needs only the order of this change after the swaps above.
        self.tag.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Drops the waiting values of a chunk that no guard reads.
    fn collect_chunk(&self, chunk: &Chunk<T>, number: u32) {
        for (word, waiting) in chunk.waiting.iter().enumerate() {
            let first = first_index(number) as usize + word * WORD_SLOTS;
            let read = self.slots_read(number, word);
            let kept = waiting.load(Ordering::Relaxed) & read;
            if kept != 0 {
                // Release: S2.
                chunk.pending[word].fetch_or(kept, Ordering::Release);
                self.to_collect.offer(number, &chunk.to_collect);
            }
            let mut left = waiting.load(Ordering::Relaxed) & !read;
            waiting.store(left, Ordering::Relaxed);
            while let Some(bit) = bits(left).next() {
                // Out of the set first: a destructor may panic.
                left &= !(1 << bit);
                waiting.store(left, Ordering::Relaxed);
                self.deferred.fetch_sub(1, Ordering::Relaxed);
                self.drop_value(self.memory.record(), &self.place((first + bit) as u32));
            }
        }
    }

    /// Returns the slots of one word of a chunk's sets that guards read.
    fn slots_read(&self, number: u32, word: usize) -> u64 {
        let read = self.memory.records().flat_map(Record::read_slots);
        read.filter(|&index| chunk_of(index) == number)
            .map(|index| slot_of(index) as usize)
            .filter(|slot| slot / WORD_SLOTS == word)
            .fold(0, |read, slot| read | 1 << (slot % WORD_SLOTS))
    }
}
