//! One bit per slot that tells live slots from dead ones, in memory from the caller.
#![expect(unsafe_code, reason = "the words lie in memory from the caller")]

use core::fmt;
use core::ptr::NonNull;

/// One bit per slot: set while the slot is live.
///
/// A double free, a pointer into a block and a slot that was never handed out fail the same test of one
/// bit. The map does not own its words and knows nothing of the content of slots.
///
/// # Invariants
///
/// - **L1 (owned)**: `words` is valid for reads and writes of `words_for(slot_count)` words, and only the
///   map uses them while it lives.
/// - **L2 (tail)**: bits at and beyond `slot_count` are zero.
///
/// # Examples
///
/// ```
/// use core::ptr::NonNull;
/// use slab_core::LiveMap;
///
/// let mut words = [0u64; LiveMap::words_for(100)];
/// // SAFETY: the array has enough words and is used through the map alone.
/// let mut map = unsafe { LiveMap::new(NonNull::from(&mut words).cast(), 100) };
/// assert!(map.set_live(70));
/// assert!(!map.set_live(70), "it is live already");
/// assert_eq!(map.live_slots().collect::<Vec<_>>(), [70]);
/// assert!(map.set_dead(70));
/// assert!(map.is_empty());
/// ```
pub struct LiveMap {
    words: NonNull<u64>,
    slot_count: u32,
}

// SAFETY: by L1 only the map uses its words, whichever thread it is sent to.
unsafe impl Send for LiveMap {}
// SAFETY: a `&LiveMap` only reads the words.
unsafe impl Sync for LiveMap {}

impl LiveMap {
    /// Returns how many words a map of `slot_count` slots needs.
    #[inline]
    pub const fn words_for(slot_count: u32) -> usize {
        slot_count.div_ceil(u64::BITS) as usize
    }

    /// Returns a map in which every slot is dead. *O*(`slot_count` / 64).
    ///
    /// # Safety
    ///
    /// `words` is aligned and valid for reads and writes of `words_for(slot_count)` words, and no other code
    /// uses them for as long as the map is used.
    #[inline]
    pub unsafe fn new(words: NonNull<u64>, slot_count: u32) -> Self {
        // SAFETY: the caller guarantees that many writable words.
        unsafe { words.write_bytes(0, Self::words_for(slot_count)) };
        Self { words, slot_count }
    }

    /// Returns how many slots the map covers.
    #[inline]
    pub const fn slot_count(&self) -> u32 {
        self.slot_count
    }

    /// Returns whether a slot is live. A slot beyond the last one is not. *O*(1).
    #[inline]
    pub fn is_live(&self, slot: u32) -> bool {
        slot < self.slot_count && self.word(slot) & Self::bit(slot) != 0
    }

    /// Marks a slot live and returns whether it was dead. *O*(1).
    ///
    /// # Panics
    ///
    /// If `slot` is not below [`slot_count`](Self::slot_count).
    #[inline]
    pub fn set_live(&mut self, slot: u32) -> bool {
        let word = self.word(slot);
        self.set_word(slot, word | Self::bit(slot));
        word & Self::bit(slot) == 0
    }

    /// Marks a slot dead and returns whether it was live. *O*(1).
    ///
    /// # Panics
    ///
    /// If `slot` is not below [`slot_count`](Self::slot_count).
    #[inline]
    pub fn set_dead(&mut self, slot: u32) -> bool {
        let word = self.word(slot);
        self.set_word(slot, word & !Self::bit(slot));
        word & Self::bit(slot) != 0
    }

    /// Returns whether every slot is dead. *O*(`slot_count` / 64).
    pub fn is_empty(&self) -> bool {
        self.word_values().all(|word| word == 0)
    }

    /// Returns the number of live slots. *O*(`slot_count` / 64).
    pub fn live_count(&self) -> u32 {
        self.word_values().map(u64::count_ones).sum()
    }

    /// Returns the live slots, lowest first. *O*(`slot_count` / 64 + live slots).
    pub fn live_slots(&self) -> LiveSlots<'_> {
        let rest = if self.slot_count == 0 { 0 } else { self.word(0) };
        LiveSlots { map: self, first_of_word: 0, rest }
    }

    fn word_values(&self) -> impl Iterator<Item = u64> {
        (0..self.slot_count).step_by(u64::BITS as usize).map(|slot| self.word(slot))
    }

    #[inline]
    const fn bit(slot: u32) -> u64 {
        1 << (slot % u64::BITS)
    }

    /// Returns the word that holds `slot`'s bit.
    #[inline]
    fn word(&self, slot: u32) -> u64 {
        let cell = self.cell(slot);
        // SAFETY: `cell` is one of the words of L1, which `new` has zeroed.
        unsafe { cell.read() }
    }

    #[inline]
    fn set_word(&mut self, slot: u32, word: u64) {
        let cell = self.cell(slot);
        // SAFETY: `cell` is one of the words of L1.
        unsafe { cell.write(word) };
    }

    #[inline]
    fn cell(&self, slot: u32) -> NonNull<u64> {
        assert!(slot < self.slot_count, "slot {slot} of a map of {}", self.slot_count);
        // SAFETY: `slot / 64 < words_for(slot_count)`, so the result is one of the words of L1.
        unsafe { self.words.add((slot / u64::BITS) as usize) }
    }
}

impl fmt::Debug for LiveMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.live_slots()).finish()
    }
}

/// The live slots of a [`LiveMap`], lowest first. Made by [`LiveMap::live_slots`].
#[derive(Debug, Clone)]
pub struct LiveSlots<'a> {
    map: &'a LiveMap,
    first_of_word: u32,
    /// The bits of the current word that have not been returned yet.
    rest: u64,
}

impl Iterator for LiveSlots<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.rest == 0 {
            let next = self.first_of_word.checked_add(u64::BITS)?;
            if next >= self.map.slot_count {
                return None;
            }
            self.first_of_word = next;
            self.rest = self.map.word(next);
        }
        let slot = self.first_of_word + self.rest.trailing_zeros();
        self.rest &= self.rest - 1;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn with_map<T>(slot_count: u32, action: impl FnOnce(&mut LiveMap) -> T) -> T {
        let mut words = vec![u64::MAX; LiveMap::words_for(slot_count)];
        let start = NonNull::new(words.as_mut_ptr()).unwrap();
        // SAFETY: the vector holds this many words and is used through the map alone.
        let mut map = unsafe { LiveMap::new(start, slot_count) };
        action(&mut map)
    }

    #[test]
    fn follows_each_slot_across_word_boundaries() {
        for slot_count in [0, 1, 63, 64, 65, 128, 130] {
            with_map(slot_count, |map| {
                assert!(map.is_empty(), "fresh maps are empty");
                for slot in 0..slot_count {
                    assert!(map.set_live(slot));
                    assert!(!map.set_live(slot));
                    assert!(map.is_live(slot));
                }
                assert_eq!(map.live_count(), slot_count);
                assert_eq!(map.is_empty(), slot_count == 0);
                assert!(!map.is_live(slot_count));
                assert_eq!(map.live_slots().collect::<Vec<_>>(), Vec::from_iter(0..slot_count));
                for slot in (0..slot_count).step_by(2) {
                    assert!(map.set_dead(slot));
                    assert!(!map.set_dead(slot));
                }
                let odd = Vec::from_iter((1..slot_count).step_by(2));
                assert_eq!(map.live_slots().collect::<Vec<_>>(), odd);
            });
        }
    }

    #[test]
    #[should_panic(expected = "slot 64 of a map of 64")]
    fn refuses_a_slot_beyond_the_last() {
        with_map(64, |map| map.set_live(64));
    }
}
