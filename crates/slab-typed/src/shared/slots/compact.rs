//! Releases the memory of chunks without values.
#![expect(unsafe_code, reason = "releases memory whose tokens it has")]

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::Slots;
use super::chunk::{Chunk, WORDS, slots_per_chunk};
use super::sync::Ordering;

impl<T, A: Allocator> Slots<T, A> {
    /// Releases the memory of chunks without values, and returns how many there were. *O*(slots).
    pub fn compact(&self) -> usize {
        // First, because it puts slots into the ring of this thread.
        self.collect();
        self.take_from_records();
        let chunks = 0..self.memory.count();
        chunks.filter(|&number| self.release_chunk(number)).count()
    }

    /// Puts all tokens that threads have at hand into the sets of their chunks.
    fn take_from_records(&self) {
        for record in self.memory.records() {
            record.own.ring.steal(|index| {
                if Self::NEEDS_DROP {
                    // The rings have no removed slots: their values were dropped.
                    self.give_back(index);
                } else {
                    self.drop_removed(None, &self.place(index));
                }
            });
        }
    }

    /// Releases the memory of a chunk if all its slots are vacant or retired and in its set.
    fn release_chunk(&self, number: u32) -> bool {
        let Some(chunk) = self.memory.chunk(number).filter(|chunk| chunk.is_held()) else {
            return false;
        };
        let mut taken = [0; WORDS];
        for word in 0..WORDS {
            match self.take_whole_word(chunk, word) {
                Some(tokens) => taken[word] = tokens,
                None => {
                    for (word, &tokens) in
                        taken.iter().enumerate().filter(|(_, tokens)| **tokens != 0)
                    {
                        self.give_back_word(chunk, number, word, tokens);
                    }
                    return false;
                }
            }
        }
        let tokens = taken.iter().map(|tokens| tokens.count_ones() as usize).sum();
        // SAFETY: the tokens of all slots that are not retired were just taken.
        unsafe { self.release(number, tokens) }
    }

    /// Releases the memory of the values of a chunk, and returns whether it was held.
    ///
    /// # Safety
    ///
    /// The caller has the tokens of all slots of the chunk that are not retired, which are so many, and gives them up. If
    /// there are none, any number of callers may do so.
    pub(super) unsafe fn release(&self, number: u32, tokens: usize) -> bool {
        let counted = OnDrop::new(slots_per_chunk::<T>() - tokens, |retired| {
            self.retired.fetch_sub(*retired, Ordering::Relaxed);
        });
        // SAFETY: the caller gives up the tokens.
        let was_held = unsafe { self.memory.release(number, tokens > 0) };
        if !was_held {
            counted.disarm();
        }
        was_held
    }

    /// Takes the tokens of all slots of a word that are not retired, if all are in the set.
    fn take_whole_word(&self, chunk: &Chunk<T>, word: usize) -> Option<u64> {
        let vacant = &chunk.vacant[word];
        let tokens = self.usable(chunk, word);
        // Acquire: S2.
        let taken = vacant.compare_exchange(tokens, 0, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then_some(tokens)
    }
}
