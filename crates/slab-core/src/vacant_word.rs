//! The vacant slots of a segment of at most 64 slots, in one word.
//!
//! The word is the free list and the live map at once: the lowest vacant slot is found by counting
//! trailing zeros, a double free is a bit that is set already, and nothing is ever written into a
//! dead slot, so a user who writes there after a free damages no bookkeeping.

/// The set of vacant slots among up to 64; a set bit is a vacant slot.
///
/// # Examples
///
/// ```
/// use slab_core::VacantWord;
///
/// let mut slots = VacantWord::new(2);
/// assert_eq!(slots.take(), Some(0));
/// assert_eq!(slots.take(), Some(1));
/// assert_eq!(slots.take(), None);
/// assert!(slots.put(1));
/// assert!(!slots.put(1), "a double free is seen");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct VacantWord(u64);

impl VacantWord {
    /// The most slots one word can tell apart.
    pub const SLOT_COUNT_MAX: u32 = u64::BITS;

    /// Returns the set of slots `0..slot_count`, all vacant.
    ///
    /// # Panics
    ///
    /// If `slot_count` exceeds [`SLOT_COUNT_MAX`](Self::SLOT_COUNT_MAX).
    #[inline]
    pub const fn new(slot_count: u32) -> Self {
        assert!(slot_count <= Self::SLOT_COUNT_MAX);
        if slot_count == 0 { Self(0) } else { Self(u64::MAX >> (u64::BITS - slot_count)) }
    }

    /// Removes and returns the lowest vacant slot. *O*(1).
    #[inline]
    pub const fn take(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(slot)
    }

    /// Adds a slot; `false` if it was vacant already. *O*(1).
    ///
    /// The caller keeps `slot` below the count that the word was made with: no other bit says which
    /// slots exist.
    #[inline]
    pub const fn put(&mut self, slot: u32) -> bool {
        let bit = 1u64 << (slot % u64::BITS);
        let was_live = self.0 & bit == 0;
        self.0 |= bit;
        was_live
    }

    /// Returns whether a slot is vacant. *O*(1).
    #[inline]
    pub const fn contains(self, slot: u32) -> bool {
        self.0 & (1u64 << (slot % u64::BITS)) != 0
    }

    /// Returns whether no slot is vacant.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of vacant slots. *O*(1).
    #[inline]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_each_slot_once_and_lowest_first() {
        for count in 0..=VacantWord::SLOT_COUNT_MAX {
            let mut word = VacantWord::new(count);
            assert_eq!(word.len(), count);
            for expected in 0..count {
                assert!(word.contains(expected));
                assert_eq!(word.take(), Some(expected));
                assert!(!word.contains(expected));
            }
            assert_eq!(word.take(), None);
            assert!(word.is_empty());
        }
    }

    #[test]
    fn sees_a_double_free_and_stays_as_it_was() {
        let mut word = VacantWord::new(64);
        assert!(!word.put(63), "never handed out");
        let slot = word.take().unwrap();
        assert!(word.put(slot));
        assert!(!word.put(slot));
        assert_eq!(word, VacantWord::new(64));
    }
}
