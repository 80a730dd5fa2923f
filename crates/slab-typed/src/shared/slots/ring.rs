//! The slots that a thread has at hand. The owner thread works at both ends; other threads can take all.

use super::sync::{AtomicU32, Ordering, array};

/// The slots that a ring can hold.
pub const RING_SLOTS: u32 = if cfg!(loom) {
    2
} else if cfg!(miri) {
    16
} else {
    128
};

/// Vacant slots, newest first, and behind them removed slots, oldest first.
///
/// # Invariants
///
/// - **R1 (cells)**: a cell outside `first..end` is zero. Inside, a cell is zero if its slot was stolen, else the index of
///   the slot plus one. Only the owner makes a cell nonzero.
/// - **R2 (swept)**: the cells of `first..swept` have vacant slots, those of `swept..end` removed ones.
#[derive(Debug)]
pub struct Ring {
    /// Positions wrap; the cell of a position is its remainder. Only the owner uses them.
    first: AtomicU32,
    swept: AtomicU32,
    end: AtomicU32,
    cells: [AtomicU32; RING_SLOTS as usize],
}

impl Ring {
    pub fn new() -> Self {
        Self {
            first: AtomicU32::new(0),
            swept: AtomicU32::new(0),
            end: AtomicU32::new(0),
            cells: array(|| AtomicU32::new(0)),
        }
    }

    #[inline]
    fn cell(&self, position: u32) -> &AtomicU32 {
        &self.cells[(position % RING_SLOTS) as usize]
    }

    /// Takes what a cell holds. The Acquire pairs with the Release of `put`: the last use of the slot happens before the
    /// next.
    #[inline]
    fn empty(&self, position: u32) -> Option<u32> {
        let cell = self.cell(position);
        // A stolen cell stays zero, by R1, so it needs no exchange.
        if cell.load(Ordering::Relaxed) == 0 {
            return None;
        }
        cell.swap(0, Ordering::Acquire).checked_sub(1)
    }

    /// Puts a slot into a cell that is zero, by R1 or because it was just emptied.
    #[inline]
    fn put(&self, position: u32, index: u32) {
        self.cell(position).store(index + 1, Ordering::Release);
    }

    /// Returns whether all cells are in use, by stolen slots too. For the owner.
    #[inline]
    fn is_full(&self) -> bool {
        let first = self.first.load(Ordering::Relaxed);
        self.end.load(Ordering::Relaxed).wrapping_sub(first) == RING_SLOTS
    }

    /// Takes the newest vacant slot. For the owner. *O*(1), and *O*(stolen) once.
    #[inline]
    pub fn take_vacant(&self) -> Option<u32> {
        let mut first = self.first.load(Ordering::Relaxed);
        while first != self.swept.load(Ordering::Relaxed) {
            let index = self.empty(first);
            first = first.wrapping_add(1);
            self.first.store(first, Ordering::Relaxed);
            if index.is_some() {
                return index;
            }
        }
        None
    }

    /// Takes the vacant slot that was put first, if there are no removed ones. For the owner.
    pub fn take_oldest(&self) -> Option<u32> {
        let first = self.first.load(Ordering::Relaxed);
        let mut end = self.end.load(Ordering::Relaxed);
        if self.swept.load(Ordering::Relaxed) != end {
            return None;
        }
        while end != first {
            end = end.wrapping_sub(1);
            let index = self.empty(end);
            self.swept.store(end, Ordering::Relaxed);
            self.end.store(end, Ordering::Relaxed);
            if index.is_some() {
                return index;
            }
        }
        None
    }

    /// Adds a vacant slot, or returns `false` if the ring is full. For the owner. *O*(1).
    #[inline]
    pub fn put_vacant(&self, index: u32) -> bool {
        if self.is_full() {
            return false;
        }
        let first = self.first.load(Ordering::Relaxed).wrapping_sub(1);
        self.put(first, index);
        self.first.store(first, Ordering::Relaxed);
        true
    }

    /// Adds a removed slot, or returns `false` if the ring is full. For the owner. *O*(1).
    #[inline]
    pub fn put_removed(&self, index: u32) -> bool {
        if self.is_full() {
            return false;
        }
        let end = self.end.load(Ordering::Relaxed);
        self.put(end, index);
        self.end.store(end.wrapping_add(1), Ordering::Relaxed);
        true
    }

    /// Returns the number of removed slots, stolen ones included. For the owner.
    #[inline]
    pub fn removed_len(&self) -> u32 {
        self.end.load(Ordering::Relaxed).wrapping_sub(self.swept.load(Ordering::Relaxed))
    }

    /// Makes the removed slots vacant, but for those for which `keep` returns `true`, which it takes out and passes on. For
    /// the owner.
    pub fn sweep(&self, keep: impl Fn(u32) -> bool, mut kept: impl FnMut(u32)) {
        let end = self.end.load(Ordering::Relaxed);
        let mut position = self.swept.load(Ordering::Relaxed);
        while position != end {
            let index = self.cell(position).load(Ordering::Relaxed).checked_sub(1);
            if index.is_some_and(&keep)
                && let Some(index) = self.empty(position)
            {
                kept(index);
            }
            position = position.wrapping_add(1);
        }
        self.swept.store(end, Ordering::Relaxed);
    }

    /// Makes all removed slots vacant. For the owner. *O*(1).
    pub fn sweep_all(&self) {
        self.swept.store(self.end.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Takes all slots, from any thread.
    pub fn steal(&self, mut each: impl FnMut(u32)) {
        for position in 0..RING_SLOTS {
            if let Some(index) = self.empty(position) {
                each(index);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn vacant_slots_come_back_newest_first_and_removed_ones_after_a_sweep() {
        let ring = Ring::new();
        for round in 0..3 {
            assert!(ring.put_removed(7 + round));
            for index in 1..RING_SLOTS {
                assert!(ring.put_vacant(index + 100));
            }
            assert!(!ring.put_vacant(99) && !ring.put_removed(99));
            assert_eq!(ring.take_vacant(), Some(RING_SLOTS + 99));
            assert_eq!((ring.removed_len(), ring.take_oldest()), (1, None));
            assert!(ring.put_removed(5));
            let mut kept = Vec::new();
            ring.sweep(|index| index == 5, |index| kept.push(index));
            assert_eq!((kept, ring.removed_len()), (Vec::from([5]), 0));
            assert_eq!(ring.take_oldest(), Some(7 + round));
            while ring.take_oldest().is_some() {}
            assert_eq!(ring.take_vacant(), None);
        }
    }

    #[test]
    fn stolen_slots_are_skipped() {
        let ring = Ring::new();
        (0..10).for_each(|index| assert!(ring.put_vacant(index)));
        (10..13).for_each(|index| assert!(ring.put_removed(index)));
        let mut stolen = Vec::new();
        ring.steal(|index| stolen.push(index));
        stolen.sort_unstable();
        assert_eq!(stolen, (0..13).collect::<Vec<_>>());
        assert!(ring.put_vacant(77) && ring.put_removed(78));
        ring.sweep_all();
        assert_eq!([77, 78].map(|_| ring.take_vacant()), [Some(77), Some(78)]);
        assert_eq!((ring.take_vacant(), ring.removed_len()), (None, 0));
    }
}
