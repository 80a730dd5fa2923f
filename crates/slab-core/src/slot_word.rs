//! The slots of a segment of at most 64, in one word: which are vacant, or which are live.
//!
//! A word of vacant slots is a free list that needs no link: the lowest slot is found by counting
//! trailing zeros, and nothing is ever written into a dead slot, so a user who writes there after a
//! free damages no bookkeeping. A word of live slots sees a double free as a bit that is clear.
//!
//! Slots are numbered modulo 64: who has fewer, or more, compares with the count first.

/// The set of vacant slots among up to 64, to take from.
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
        Self(first(slot_count))
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

    /// Returns whether a slot is vacant. *O*(1).
    #[inline]
    pub const fn contains(self, slot: u32) -> bool {
        self.0 & bit(slot) != 0
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

/// The set of live slots among up to 64, to free from.
///
/// # Examples
///
/// ```
/// use slab_core::{LiveWord, VacantWord};
///
/// let mut slots = LiveWord::default();
/// assert_eq!(slots.fill(2), VacantWord::new(2), "both were vacant");
/// assert!(slots.remove(1));
/// assert!(!slots.remove(1), "a double free is seen");
/// assert_eq!(slots.fill(2).take(), Some(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct LiveWord(u64);

impl LiveWord {
    /// Makes slots `0..slot_count` live and returns those that were not; a count above 64 counts as 64.
    /// *O*(1).
    #[inline]
    pub const fn fill(&mut self, slot_count: u32) -> VacantWord {
        let vacant = self.vacant(slot_count);
        self.0 |= vacant.0;
        vacant
    }

    /// Returns those of the slots `0..slot_count` that are not live; a count above 64 counts as 64. *O*(1).
    #[inline]
    pub const fn vacant(self, slot_count: u32) -> VacantWord {
        VacantWord(!self.0 & first(slot_count))
    }

    /// Returns the live slots without some. *O*(1).
    #[inline]
    pub const fn without(self, vacant: VacantWord) -> Self {
        Self(self.0 & !vacant.0)
    }

    /// Removes a slot; `false` if it was not live. *O*(1).
    #[inline]
    pub const fn remove(&mut self, slot: u32) -> bool {
        let before = self.0;
        self.0 &= !bit(slot);
        self.0 != before
    }

    /// Returns whether a slot is live. *O*(1).
    #[inline]
    pub const fn contains(self, slot: u32) -> bool {
        self.0 & bit(slot) != 0
    }

    /// Returns whether no slot is live.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of live slots. *O*(1).
    #[inline]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }
}

#[inline]
const fn bit(slot: u32) -> u64 {
    1 << (slot % u64::BITS)
}

/// Returns the word of the slots `0..slot_count`, all 64 for a larger count.
#[inline]
const fn first(slot_count: u32) -> u64 {
    if slot_count < u64::BITS { (1 << slot_count) - 1 } else { u64::MAX }
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

    /// The same in a build that checks for overflow and in one that does not.
    #[test]
    fn a_count_above_the_slots_of_a_word_counts_as_all() {
        for count in [64, 65, 100, 128, u32::MAX] {
            let mut live = LiveWord::default();
            assert_eq!(live.vacant(count), VacantWord::new(64), "{count}");
            assert_eq!(live.fill(count).len(), 64, "{count}");
            assert_eq!(live.len(), 64, "{count}");
        }
    }

    #[test]
    fn sees_a_double_free_and_stays_as_it_was() {
        for count in 1..=VacantWord::SLOT_COUNT_MAX {
            let mut live = LiveWord::default();
            assert!(!live.remove(0), "never handed out");
            assert_eq!(live.fill(count), VacantWord::new(count));
            assert_eq!(live.fill(count), VacantWord::new(0), "none is left");
            let before = live;
            assert!(count == 64 || !live.remove(count), "it never was live");
            assert_eq!(live, before);
            assert!(live.contains(count - 1) && !live.is_empty());
            assert!(live.remove(count - 1));
            assert!(!live.remove(count - 1) && !live.contains(count - 1));
            assert_eq!(live.is_empty(), count == 1);
            assert_eq!(live.len(), count - 1);
            assert_eq!(live.vacant(count).take(), Some(count - 1));
            assert!(before.without(VacantWord::new(count)).is_empty());
        }
    }
}
