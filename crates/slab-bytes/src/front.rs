//! The front of a class: the slots that the next allocations get, held in one word, and the
//! segments of the class that have slots left.
#![expect(unsafe_code, reason = "turns a slot number into a pointer")]

use core::ptr::NonNull;

use slab_core::VacantWord;

use crate::class::SizeClass;
use crate::line::{LineList, LineRef};

/// Where a class allocates from.
///
/// # Invariants
///
/// - **F1 (held)**: `vacant` holds slots of `segment`, a segment of this class that starts at
///   `start`; they are not in the segment's own `vacant`.
/// - **F2 (partial)**: `partial` holds exactly the class's segments that have a vacant slot, but for
///   `segment`, which is in no list.
#[derive(Debug)]
pub struct Front {
    pub vacant: VacantWord,
    start: NonNull<u8>,
    slot_bytes: u32,
    /// Segments of the class, full ones included.
    pub segment_count: u32,
    pub segment: Option<LineRef>,
    pub partial: LineList,
}

impl Front {
    /// Returns a front without a segment.
    pub const fn new(class: SizeClass) -> Self {
        Self {
            vacant: VacantWord::new(0),
            start: NonNull::dangling(),
            slot_bytes: class.slot_bytes() as u32,
            segment_count: 0,
            segment: None,
            partial: LineList::EMPTY,
        }
    }

    /// Returns the bytes of a slot.
    #[inline]
    pub const fn slot_bytes(&self) -> usize {
        self.slot_bytes as usize
    }

    /// Takes a slot that the front holds. *O*(1).
    #[inline]
    pub fn take(&mut self) -> Option<NonNull<u8>> {
        let slot = self.vacant.take()?;
        // SAFETY: by F1 the slot lies in the segment that starts here.
        Some(unsafe { self.start.add(slot as usize * self.slot_bytes()) })
    }

    /// Returns whether the front holds this slot of this segment.
    #[inline]
    pub fn holds(&self, segment: LineRef, slot: u32) -> bool {
        self.segment == Some(segment) && self.vacant.contains(slot)
    }

    /// Moves the vacant slots of a segment into the front, and returns how many bytes they have.
    ///
    /// # Safety
    ///
    /// `segment` is a segment of this class, in no list, and starts at `start`. The front holds no
    /// slot of any other segment.
    pub unsafe fn adopt(&mut self, segment: LineRef, start: NonNull<u8>) -> usize {
        debug_assert!(self.vacant.is_empty());
        self.vacant = segment.edit(|line| core::mem::take(&mut line.vacant));
        self.start = start;
        self.segment = Some(segment);
        self.held_bytes()
    }

    /// Returns the bytes of the slots that the front holds.
    pub fn held_bytes(&self) -> usize {
        self.vacant.len() as usize * self.slot_bytes()
    }
}
