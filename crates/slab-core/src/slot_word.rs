//! The vacant or the live slots among at most 64, as the bits of one word.
//!
//! A word of vacant slots is a free list without links: the lowest slot is found by counting trailing
//! zeros, and nothing is written into dead slots, so that a write after free cannot damage it. In a word
//! of live slots a double free meets a bit that is clear.
//!
//! Slot numbers are taken modulo 64. A caller with another number of slots compares with the count first.

/// The set of vacant slots among at most 64.
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
    /// The number of slots in a word.
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

    /// Removes and returns the lowest vacant slot from `from` on, or the lowest of all if there is none.
    /// *O*(1).
    ///
    /// With an unpredictable `from` the slot is unpredictable.
    #[inline]
    pub const fn take_from(&mut self, from: u32) -> Option<u32> {
        let from_on = Self(self.0 & (u64::MAX << (from % u64::BITS)));
        let slot = if from_on.is_empty() { self.0 } else { from_on.0 }.trailing_zeros();
        if self.is_empty() {
            return None;
        }
        self.0 &= !bit(slot);
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

/// The set of live slots among at most 64.
///
/// # Examples
///
/// ```
/// use slab_core::{LiveWord, VacantWord};
///
/// let mut slots = LiveWord::default();
/// assert_eq!(slots.fill(2), VacantWord::new(2), "both were vacant");
/// assert!(slots.remove(1));
/// assert!(!slots.remove(1), "a double free is detected");
/// assert_eq!(slots.fill(2).take(), Some(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct LiveWord(u64);

impl LiveWord {
    /// Makes the slots `0..slot_count` live and returns those that were not. A count above 64 counts as 64.
    /// *O*(1).
    #[inline]
    pub const fn fill(&mut self, slot_count: u32) -> VacantWord {
        let vacant = self.vacant(slot_count);
        self.0 |= vacant.0;
        vacant
    }

    /// Makes the lowest slot of `slots` that is not live live, and returns it. *O*(1).
    #[inline]
    pub const fn take(&mut self, slots: VacantWord) -> Option<u32> {
        let slot = VacantWord(slots.0 & !self.0).take();
        if let Some(slot) = slot {
            self.0 |= bit(slot);
        }
        slot
    }

    /// Makes the lowest slot of `slots` from `from` on that is not live live, or the lowest of all if there is none,
    /// and returns it. *O*(1).
    #[inline]
    pub const fn take_from(&mut self, slots: VacantWord, from: u32) -> Option<u32> {
        let slot = VacantWord(slots.0 & !self.0).take_from(from);
        if let Some(slot) = slot {
            self.0 |= bit(slot);
        }
        slot
    }

    /// Returns the slots in `0..slot_count` that are not live. A count above 64 counts as 64. *O*(1).
    #[inline]
    pub const fn vacant(self, slot_count: u32) -> VacantWord {
        VacantWord(!self.0 & first(slot_count))
    }

    /// Returns the live slots that are not in `vacant`. *O*(1).
    #[inline]
    pub const fn without(self, vacant: VacantWord) -> Self {
        Self(self.0 & !vacant.0)
    }

    /// Removes a slot and returns whether it was live. *O*(1).
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

/// Returns the word of the slots `0..slot_count`, of all 64 if the count is larger.
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

    #[test]
    fn a_slot_is_taken_from_a_place_on_or_else_from_the_start() {
        let mut word = VacantWord::new(5);
        assert_eq!(word.take_from(3), Some(3));
        assert_eq!(word.take_from(3), Some(4));
        assert_eq!(word.take_from(3), Some(0));
        assert_eq!(word.take_from(64 + 2), Some(2));
        assert_eq!(word.take_from(63), Some(1));
        assert_eq!(word.take_from(0), None);
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
    fn a_double_free_is_detected_and_changes_nothing() {
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
            assert_eq!(live.take(VacantWord::new(count)), Some(count - 1));
            assert_eq!((live, live.take(VacantWord::new(count))), (before, None), "all are live");
            assert_eq!(live.take_from(VacantWord::new(count), 0), None);
            assert!(live.remove(0));
            assert_eq!(live.take_from(VacantWord::new(count), count / 2), Some(0));
        }
    }
}
