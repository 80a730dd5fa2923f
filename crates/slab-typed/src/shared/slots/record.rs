//! The record of one thread in one slab: announcements of the slots that it reads, and slots at hand.

use core::ptr;

use super::ring::Ring;
use super::sync::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, array};

/// The guards that a thread can hold in its record. Further ones are counted for the whole slab.
pub const CELLS: usize = if cfg!(loom) { 1 } else { 8 };

/// No pin.
pub const UNPINNED: u64 = 0;

/// The record of a thread. Only the thread that has its number uses it, but for reads of the announcements, the release
/// of cells, and [`Ring::steal`].
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Record {
    /// The clock when the thread was pinned, or [`UNPINNED`].
    pub pinned: AtomicU64,
    /// Each cell is zero, or the index plus one of a slot that a guard reads.
    cells: [AtomicU32; CELLS],
    /// The record announced before this one.
    pub next: AtomicPtr<Self>,
    pub own: Own,
}

/// The part of a record that other threads do not read at each removal. It has its own cache lines, so that they need not
/// fetch the announcements again after each insertion of the thread.
#[derive(Debug)]
#[repr(align(128))]
pub struct Own {
    /// Pins of the thread.
    depth: AtomicU32,
    /// The chunk plus one from which the thread takes slots, or zero.
    pub active: AtomicU32,
    /// Values stored minus values removed by the thread. It wraps.
    live: AtomicUsize,
    /// Slots at hand.
    pub ring: Ring,
}

impl Record {
    pub fn new() -> Self {
        Self {
            pinned: AtomicU64::new(UNPINNED),
            cells: array(|| AtomicU32::new(0)),
            next: AtomicPtr::new(ptr::null_mut()),
            own: Own {
                depth: AtomicU32::new(0),
                active: AtomicU32::new(0),
                live: AtomicUsize::new(0),
                ring: Ring::new(),
            },
        }
    }

    /// Announces that a guard reads a slot, in a free cell, or returns `None` if there is none. The caller fences.
    #[inline]
    pub fn announce(&self, index: u32) -> Option<&AtomicU32> {
        let cell = self.cells.iter().find(|cell| {
            // Acquire: a guard may end on another thread. Its reads happen before its store of zero, and so, through this
            // load and the store below, before a scan that finds the new announcement instead.
            cell.load(Ordering::Acquire) == 0
        })?;
        cell.store(index + 1, Ordering::Release);
        Some(cell)
    }

    /// Returns the slots that guards of the thread read.
    pub fn read_slots(&self) -> impl Iterator<Item = u32> {
        // Acquire: pairs with the Release at the end of a guard, and with that of `announce`.
        self.cells.iter().filter_map(|cell| cell.load(Ordering::Acquire).checked_sub(1))
    }

    /// Returns whether the thread may read a slot.
    #[inline]
    pub fn may_read(&self, index: u32) -> bool {
        // Acquire: pairs with the Release of `unpin` and `pin`.
        self.pinned.load(Ordering::Acquire) != UNPINNED
            || self.read_slots().any(|slot| slot == index)
    }

    /// Returns whether the thread may read any slot.
    pub fn may_read_any(&self) -> bool {
        self.pinned.load(Ordering::Acquire) != UNPINNED || self.read_slots().next().is_some()
    }

    /// Announces a pin at the time of the clock, unless there is one. The caller fences if it returns `true`.
    #[inline]
    pub fn pin(&self, clock: &AtomicU64) -> bool {
        let depth = self.own.depth.load(Ordering::Relaxed);
        self.own.depth.store(depth + 1, Ordering::Relaxed);
        if depth > 0 {
            return false;
        }
        // Relaxed: by S5 the caller's fence suffices. Release: the reads of the last pin happen before a scan that finds
        // this one.
        self.pinned.store(clock.load(Ordering::Relaxed), Ordering::Release);
        true
    }

    /// Ends a pin, and returns whether it was the last one.
    #[inline]
    pub fn unpin(&self) -> bool {
        let depth = self.own.depth.load(Ordering::Relaxed) - 1;
        self.own.depth.store(depth, Ordering::Relaxed);
        if depth == 0 {
            // Release: what was read happens before the drop of what was removed.
            self.pinned.store(UNPINNED, Ordering::Release);
        }
        depth == 0
    }

    /// Counts a value stored, or removed if `change` is minus one.
    #[inline]
    pub fn count(&self, change: usize) {
        let live = self.own.live.load(Ordering::Relaxed);
        self.own.live.store(live.wrapping_add(change), Ordering::Relaxed);
    }

    /// Ends the announcements of guards and pins that were forgotten. The caller knows that no others are left.
    pub fn end_announcements(&self) {
        self.cells.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
        self.pinned.store(UNPINNED, Ordering::Relaxed);
        self.own.depth.store(0, Ordering::Relaxed);
    }

    /// Makes the count zero. The caller counts the values elsewhere.
    pub fn reset_count(&self) {
        self.own.live.store(0, Ordering::Relaxed);
    }

    pub fn live(&self) -> usize {
        self.own.live.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_as_many_bytes_as_documented() {
        assert_eq!(size_of::<Record>(), 768);
    }
}
