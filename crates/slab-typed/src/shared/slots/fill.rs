//! Vacant slots: a thread takes them from its ring, which it fills from the set of its active chunk, and puts them back into
//! its ring, which overflows into the sets of the slots' own chunks.

use core::iter;

use allocator_api2::alloc::Allocator;

use super::Slots;
use super::chunk::{Chunk, WORD_SLOTS, WORDS, bits, full_word, slots_per_chunk};
use super::record::Record;
use super::ring::RING_SLOTS;
use super::sync::Ordering;
use crate::error::SlabError;
use crate::geometry::first_index;
use crate::storage::RETIRED;

/// The generation of a slot whose last value was removed. It is not [`RETIRED`] before that value was dropped.
pub(super) const LAST_VACANT: u32 = RETIRED - 2;

impl<T, A: Allocator> Slots<T, A> {
    /// Takes the token of a vacant slot.
    #[inline]
    pub(super) fn take_vacant(&self, record: Option<&Record>) -> Result<u32, SlabError> {
        match record.and_then(|record| record.own.ring.take_vacant()) {
            Some(index) => Ok(index),
            None => self.take_vacant_slow(record),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_vacant_slow(&self, record: Option<&Record>) -> Result<u32, SlabError> {
        let Some(record) = record else {
            return match self.take_from_any_chunk() {
                Some(index) => Ok(index),
                None => self.take_from_new_chunk(None),
            };
        };
        // One look at the announcements for many slots is cheaper than a look at sets; for few it is not.
        if record.own.ring.removed_len() >= RING_SLOTS / 4 {
            self.sweep(record);
        }
        if let Some(index) = record.own.ring.take_vacant().or_else(|| self.take_from_active(record))
        {
            return Ok(index);
        }
        self.sweep(record);
        self.collect();
        if let Some(index) = record.own.ring.take_vacant().or_else(|| self.take_from_active(record))
        {
            return Ok(index);
        }
        self.take_from_new_chunk(Some(record))
    }

    /// Puts the token of a slot whose value was dropped or never written. The token of a slot whose generations are used up
    /// ends here.
    #[inline]
    pub(super) fn put_vacant(&self, record: Option<&Record>, index: u32) {
        let place = self.place(index);
        if place.generation().load(Ordering::Relaxed) >= LAST_VACANT {
            // Release: the drop of the last value happens before the release of its memory.
            self.retired.fetch_add(1, Ordering::Relaxed);
            place.generation().store(RETIRED, Ordering::Release);
        } else if !record.is_some_and(|record| record.own.ring.put_vacant(index)) {
            self.put_vacant_slow(record, index);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_vacant_slow(&self, record: Option<&Record>, index: u32) {
        if let Some(record) = record {
            self.make_room(record);
            if record.own.ring.put_vacant(index) {
                return;
            }
        }
        self.give_back(index);
    }

    /// Puts half of the slots of a full ring into the sets of their chunks.
    #[cold]
    pub(super) fn make_room(&self, record: &Record) {
        self.sweep(record);
        for index in iter::from_fn(|| record.own.ring.take_oldest()).take(RING_SLOTS as usize / 2) {
            self.give_back(index);
        }
    }

    /// Puts the token of a vacant slot into the set of its chunk.
    pub(super) fn give_back(&self, index: u32) {
        let place = self.place(index);
        let (word, bit) = place.bit();
        self.give_back_word(place.chunk, place.number, word, bit);
    }

    pub(super) fn give_back_word(&self, chunk: &Chunk<T>, number: u32, word: usize, slots: u64) {
        // Release: S2.
        chunk.vacant[word].fetch_or(slots, Ordering::Release);
        self.available.offer(number, &chunk.available);
    }

    /// Takes tokens from the record's active chunk, or from a chunk with vacant slots, which becomes the active one.
    fn take_from_active(&self, record: &Record) -> Option<u32> {
        loop {
            if let Some(active) = record.own.active.load(Ordering::Relaxed).checked_sub(1) {
                let chunk = self.memory.chunk(active)?;
                if let Some(index) = self.take_word(record, chunk, active) {
                    return Some(index);
                }
                self.leave_active(record);
            }
            let active = self.available.take(|number| {
                &self.memory.chunk(number).expect("a listed chunk has a number").available
            })?;
            record.own.active.store(active + 1, Ordering::Relaxed);
        }
    }

    fn leave_active(&self, record: &Record) {
        let Some(active) = record.own.active.load(Ordering::Relaxed).checked_sub(1) else { return };
        record.own.active.store(0, Ordering::Relaxed);
        let Some(chunk) = self.memory.chunk(active) else { return };
        self.available.unlist(&chunk.available);
        if chunk.vacant.iter().any(|word| word.load(Ordering::Relaxed) != 0) {
            self.available.offer(active, &chunk.available);
        }
    }

    /// Takes all tokens of one word of a chunk's set into the ring, which has no vacant ones, and returns the lowest.
    fn take_word(&self, record: &Record, chunk: &Chunk<T>, number: u32) -> Option<u32> {
        for (word, vacant) in chunk.vacant.iter().enumerate() {
            if vacant.load(Ordering::Relaxed) != 0 {
                // Acquire: S2.
                let taken = vacant.swap(0, Ordering::Acquire);
                if let Some(index) = self.take_in(record, number, word, taken) {
                    return Some(index);
                }
            }
        }
        None
    }

    /// Puts tokens of one word into the ring, so that the lowest comes first, and returns the lowest.
    fn take_in(&self, record: &Record, number: u32, word: usize, taken: u64) -> Option<u32> {
        let first = first_index(number) + (word * WORD_SLOTS) as u32;
        let lowest = bits(taken).next()? as u32;
        let mut left = taken & (taken - 1);
        while left != 0 {
            let bit = left.ilog2();
            left &= !(1 << bit);
            if !record.own.ring.put_vacant(first + bit) {
                self.give_back(first + bit);
            }
        }
        Some(first + lowest)
    }

    /// Takes one token from the set of any chunk. *O*(chunks).
    pub(super) fn take_from_any_chunk(&self) -> Option<u32> {
        (0..self.memory.count()).find_map(|number| {
            let chunk = self.memory.chunk(number)?;
            chunk.vacant.iter().enumerate().find_map(|(word, vacant)| {
                let bit = bits(vacant.load(Ordering::Relaxed)).find(|bit| {
                    // Acquire: S2.
                    vacant.fetch_and(!(1 << bit), Ordering::Acquire) >> bit & 1 == 1
                })?;
                Some(first_index(number) + (word * WORD_SLOTS + bit) as u32)
            })
        })
    }

    #[cold]
    fn take_from_new_chunk(&self, record: Option<&Record>) -> Result<u32, SlabError> {
        let number = match self.acquire() {
            Ok(number) => number,
            // The active chunks of other threads are not listed.
            Err(error) => return self.take_from_any_chunk().ok_or(error),
        };
        let chunk = self.memory.chunk(number).expect("it was just acquired");
        if let Some(record) = record {
            self.leave_active(record);
            record.own.active.store(number + 1, Ordering::Relaxed);
            chunk.available.listed.store(true, Ordering::Relaxed);
        }
        let mut taken = None;
        for word in 0..WORDS {
            let mut tokens = self.usable(chunk, word);
            if let (None, Some(lowest)) = (taken, bits(tokens).next()) {
                taken = match record {
                    Some(record) => {
                        self.take_in(record, number, word, core::mem::take(&mut tokens))
                    }
                    None => {
                        tokens &= tokens - 1;
                        Some(first_index(number) + (word * WORD_SLOTS + lowest) as u32)
                    }
                };
            }
            if tokens != 0 {
                // Release: S2.
                chunk.vacant[word].fetch_or(tokens, Ordering::Release);
            }
        }
        if record.is_none() {
            self.available.offer(number, &chunk.available);
        }
        Ok(taken.expect("a chunk without usable slots is not acquired again"))
    }

    /// Acquires a chunk. The caller gets the tokens of all its slots that are not retired.
    pub(super) fn acquire(&self) -> Result<u32, SlabError> {
        let number = self.memory.acquire()?;
        let chunk = self.memory.chunk(number).expect("it was just acquired");
        let retired = slots_per_chunk::<T>() - self.usable_count(chunk);
        self.retired.fetch_add(retired, Ordering::Relaxed);
        Ok(number)
    }

    /// Returns the number of slots of a chunk that are not retired.
    pub(super) fn usable_count(&self, chunk: &Chunk<T>) -> usize {
        (0..WORDS).map(|word| self.usable(chunk, word).count_ones() as usize).sum()
    }

    /// Returns the slots of a word of a set that are not retired.
    pub(super) fn usable(&self, chunk: &Chunk<T>, word: usize) -> u64 {
        let slots = slots_per_chunk::<T>();
        if word * WORD_SLOTS >= slots {
            return 0;
        }
        let retired = bits(full_word(slots, word))
            .filter(|bit| {
                let slot = word * WORD_SLOTS + bit;
                // Acquire: pairs with the Release in `put_vacant`.
                chunk.generations[slot].load(Ordering::Acquire) == RETIRED
            })
            .fold(0, |retired, bit| retired | 1 << bit);
        full_word(slots, word) & !retired
    }
}
