//! Acquires chunks before they are needed.
#![expect(unsafe_code, reason = "releases memory whose tokens it has")]

use allocator_api2::alloc::Allocator;
use slab_core::OnDrop;

use super::Slots;
use super::chunk::{WORDS, slots_per_chunk};
use super::sync::Ordering;
use crate::error::SlabError;

/// Chunks that were acquired and are not published: all their tokens are here.
struct Acquired<'a, T, A: Allocator> {
    slots: &'a Slots<T, A>,
    /// The first chunk plus one. `next_released` of a chunk has the next one: it is used under the lock only while the
    /// memory of the chunk is released.
    first: u32,
}

impl<T, A: Allocator> Slots<T, A> {
    /// Acquires chunks until the sets have `additional` tokens, as of some moment. *O*(slots).
    ///
    /// # Errors
    ///
    /// If so many slots cannot be named, before any request; or if memory is refused, after the memory acquired before was
    /// released.
    pub fn try_reserve(&self, additional: usize) -> Result<(), SlabError> {
        let chunks = (0..self.memory.count()).filter_map(|number| self.memory.chunk(number));
        let words = chunks.flat_map(|chunk| &chunk.vacant);
        let vacant: usize =
            words.map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum();
        let mut missing = additional.saturating_sub(vacant);
        self.memory.check_room(missing.div_ceil(slots_per_chunk::<T>()))?;
        // An insertion would request the record of this thread.
        let _ = self.memory.record();
        let mut acquired = OnDrop::new(Acquired { slots: self, first: 0 }, Acquired::release);
        while missing > 0 {
            let number = self.acquire()?;
            missing = missing.saturating_sub(acquired.add(number));
        }
        acquired.publish();
        acquired.disarm();
        Ok(())
    }
}

impl<T, A: Allocator> Acquired<'_, T, A> {
    /// Adds a chunk that was just acquired, and returns the number of its tokens.
    fn add(&mut self, number: u32) -> usize {
        let chunk = self.slots.memory.chunk(number).expect("it was just acquired");
        chunk.next_released.store(self.first, Ordering::Relaxed);
        self.first = number + 1;
        self.slots.usable_count(chunk)
    }

    /// Takes the chunk that was added last.
    fn pop(&mut self) -> Option<u32> {
        let number = self.first.checked_sub(1)?;
        let chunk = self.slots.memory.chunk(number).expect("it was acquired");
        self.first = chunk.next_released.load(Ordering::Relaxed);
        Some(number)
    }

    /// Puts all tokens into the sets of their chunks.
    fn publish(&mut self) {
        while let Some(number) = self.pop() {
            let chunk = self.slots.memory.chunk(number).expect("it was acquired");
            for word in 0..WORDS {
                match self.slots.usable(chunk, word) {
                    0 => {}
                    tokens => self.slots.give_back_word(chunk, number, word, tokens),
                }
            }
        }
    }

    /// Releases the memory of the chunks.
    fn release(&mut self) {
        while let Some(number) = self.pop() {
            let chunk = self.slots.memory.chunk(number).expect("it was acquired");
            // SAFETY: the tokens of all slots that are not retired are here, and are given up with the chunk.
            unsafe { self.slots.release(number, self.slots.usable_count(chunk)) };
        }
    }
}
