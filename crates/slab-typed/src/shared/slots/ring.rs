//! A bounded stack of slots that its owner thread pushes to and pops from, and that other threads can empty.

use super::sync::{AtomicU32, Ordering, array};

/// The slots that a ring can hold.
pub const RING_SLOTS: u32 = if cfg!(loom) { 2 } else { 64 };

/// A stack of slot indices. The owner thread works at both ends; other threads [`steal`](Self::steal).
///
/// # Invariants
///
/// - **R1 (cells)**: a cell outside `first..end` is zero. Inside, a cell is zero if its slot was stolen, else the index of
///   the slot plus one. Only the owner makes a cell nonzero.
#[derive(Debug)]
pub struct Ring {
    /// The position of the oldest cell. Positions wrap; the cell of a position is its remainder. Only the owner uses
    /// `first` and `end`.
    first: AtomicU32,
    end: AtomicU32,
    cells: [AtomicU32; RING_SLOTS as usize],
}

impl Ring {
    pub fn new() -> Self {
        Self {
            first: AtomicU32::new(0),
            end: AtomicU32::new(0),
            cells: array(|| AtomicU32::new(0)),
        }
    }

    fn cell(&self, position: u32) -> &AtomicU32 {
        &self.cells[(position % RING_SLOTS) as usize]
    }

    /// Takes what a cell holds. The Acquire pairs with the Release of `push`: the last use of the slot happens before
    /// the next.
    #[inline]
    fn empty(&self, position: u32) -> Option<u32> {
        let cell = self.cell(position);
        // A stolen cell stays zero, by R1, so it needs no swap.
        if cell.load(Ordering::Relaxed) == 0 {
            return None;
        }
        cell.swap(0, Ordering::Acquire).checked_sub(1)
    }

    /// Takes the newest slot. For the owner. *O*(1), and *O*(stolen) once.
    #[inline]
    pub fn pop(&self) -> Option<u32> {
        let first = self.first.load(Ordering::Relaxed);
        let mut end = self.end.load(Ordering::Relaxed);
        while end != first {
            end = end.wrapping_sub(1);
            let index = self.empty(end);
            self.end.store(end, Ordering::Relaxed);
            if index.is_some() {
                return index;
            }
        }
        None
    }

    /// Takes the oldest slot. For the owner.
    pub fn pop_oldest(&self) -> Option<u32> {
        let mut first = self.first.load(Ordering::Relaxed);
        let end = self.end.load(Ordering::Relaxed);
        while first != end {
            let index = self.empty(first);
            first = first.wrapping_add(1);
            self.first.store(first, Ordering::Relaxed);
            if index.is_some() {
                return index;
            }
        }
        None
    }

    /// Adds a slot, or returns `false` if the ring is full. For the owner. *O*(1).
    #[inline]
    pub fn push(&self, index: u32) -> bool {
        let end = self.end.load(Ordering::Relaxed);
        if end.wrapping_sub(self.first.load(Ordering::Relaxed)) == RING_SLOTS {
            return false;
        }
        // The cell is zero by R1, so no slot is lost.
        self.cell(end).store(index + 1, Ordering::Release);
        self.end.store(end.wrapping_add(1), Ordering::Relaxed);
        true
    }

    /// Returns the number of cells in use, stolen ones included. For the owner.
    #[inline]
    pub fn len(&self) -> u32 {
        self.end.load(Ordering::Relaxed).wrapping_sub(self.first.load(Ordering::Relaxed))
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
    fn the_newest_and_the_oldest_slot_come_first() {
        let ring = Ring::new();
        for round in 0..3 {
            for index in 0..RING_SLOTS {
                assert!(ring.push(index + round));
            }
            assert!(!ring.push(99));
            assert_eq!(ring.pop(), Some(RING_SLOTS - 1 + round));
            assert_eq!(ring.pop_oldest(), Some(round));
            assert_eq!(ring.len(), RING_SLOTS - 2);
            while ring.pop_oldest().is_some() {}
            assert_eq!((ring.len(), ring.pop()), (0, None));
        }
    }

    #[test]
    fn stolen_slots_are_skipped() {
        let ring = Ring::new();
        (0..10).for_each(|index| assert!(ring.push(index)));
        let mut stolen = Vec::new();
        ring.steal(|index| stolen.push(index));
        assert_eq!(stolen, (0..10).collect::<Vec<_>>());
        assert!(ring.push(77));
        assert_eq!(ring.pop(), Some(77));
        assert_eq!(ring.pop(), None);
        assert_eq!(ring.len(), 0);
    }
}
