//! The state of a size class: the segment whose vacant slots the next allocations get, and the other segments of the
//! class that have vacant slots. All that a hot path reads of a class lies in one cache line.
#![expect(unsafe_code, reason = "turns a slot number into a pointer")]

use core::ops::{Index, IndexMut};
use core::ptr::NonNull;

use slab_core::VacantWord;
use slab_core::layout::ExactDivisor;

use crate::class::{GRANULE_BYTES, SizeClass};
use crate::line::{Kind, LineList, LineRef};

/// So many segments that were made for a class count as one that it has: the recorded `git` takes 58.4
/// instructions an operation instead of 60.8, and no program needs more memory. A count of 8 costs 0.3 %
/// of memory, 64 saves half as much time.
const MADE_SHARE: u32 = 16;

/// The state of a class. Allocations get vacant slots of the *active segment*.
///
/// # Invariants
///
/// - **F1 (active)**: `active` is a segment of this class that starts at `start` and has the slots `slots`.
/// - **F2 (kinds)**: `active` is the class's only segment of kind `Active`, `spare` the only one of kind
///   `Spare`, and neither is in a list; `partial` holds exactly those of kind `Partial`.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct ClassState {
    /// All slots of the active segment.
    slots: VacantWord,
    start: NonNull<u8>,
    /// The active segment.
    pub active: Option<LineRef>,
    pub partial: LineList,
    pub spare: Option<LineRef>,
    divisor: ExactDivisor,
    slot_bytes: u32,
    /// Segments of the class, full ones included.
    pub segment_count: u32,
    /// Segments that were made for the class, less an eighth whenever memory was reclaimed.
    made_count: u32,
    /// The smallest size that belongs to the class.
    size_min: u16,
    /// How many sizes belong to the class.
    size_count: u16,
}

impl ClassState {
    /// Returns the state of a class without segments.
    pub const fn new(class: SizeClass) -> Self {
        let slot_bytes = class.slot_bytes() as u32;
        let size_min = class.size_min(1) as u16;
        Self {
            slots: VacantWord::new(0),
            start: NonNull::dangling(),
            active: None,
            partial: LineList::EMPTY,
            spare: None,
            divisor: ExactDivisor::new(slot_bytes).unwrap(),
            slot_bytes,
            segment_count: 0,
            made_count: 0,
            size_min,
            size_count: slot_bytes as u16 - size_min + 1,
        }
    }

    /// Returns the bytes of a slot.
    #[inline]
    pub const fn slot_bytes(&self) -> usize {
        self.slot_bytes as usize
    }

    /// Returns the slot that starts `offset` bytes into a segment, if one can.
    #[inline]
    pub const fn slot_at(&self, offset: usize) -> Option<u32> {
        // A segment is shorter than 64 KiB.
        self.divisor.index_of(offset as u16)
    }

    /// Returns whether this is the class for blocks of `size` bytes at `align`.
    #[inline]
    pub const fn takes(&self, size: usize, align: usize) -> bool {
        match SizeClass::rounded(size, align) {
            Some(size) => size.wrapping_sub(self.size_min as usize) < self.size_count as usize,
            None => false,
        }
    }

    /// Takes a slot of the active segment. *O*(1).
    #[inline]
    pub fn take(&mut self) -> Option<NonNull<u8>> {
        let segment = self.active?;
        let mut live = segment.live();
        let slot = live.take(self.slots)?;
        segment.set_live(live);
        // SAFETY: by F1 the slot lies in the segment that starts here.
        Some(unsafe { self.start.add(slot as usize * self.slot_bytes()) })
    }

    /// Takes a slot of the active segment, the first vacant one from `from` on if there is one. *O*(1).
    pub fn take_from(&mut self, from: u32) -> Option<NonNull<u8>> {
        let segment = self.active?;
        let mut live = segment.live();
        let slot = live.take_from(self.slots, from)?;
        segment.set_live(live);
        // SAFETY: by F1 the slot lies in the segment that starts here.
        Some(unsafe { self.start.add(slot as usize * self.slot_bytes()) })
    }

    /// Returns whether no segment of the class has a vacant slot.
    pub fn needs_segment(&self) -> bool {
        !self.has_vacant() && self.partial.is_empty() && self.spare.is_none()
    }

    /// Returns whether a block lies in the active segment.
    #[inline]
    pub fn is_active_over(&self, block: NonNull<u8>) -> bool {
        let offset = block.addr().get().wrapping_sub(self.start.addr().get());
        self.active.is_some_and(|segment| offset < segment.len() as usize * GRANULE_BYTES)
    }

    /// Returns how long the next segment of the class should be: longer ones for a class that has many, or for
    /// which many were made and given back.
    pub fn segment_granules(&self, class: SizeClass) -> u32 {
        class.segment_granules(self.segment_count + self.made_count / MADE_SHARE)
    }

    /// Counts a segment that was made for the class.
    pub fn count_segment(&mut self) {
        self.segment_count += 1;
        self.made_count = self.made_count.saturating_add(1);
    }

    /// Counts fewer of the segments that were made, because memory is short, and shorter segments leave more of it to
    /// others; none in a heap that is mostly idle, so that it serves what a fresh one serves.
    pub fn forget_made(&mut self, is_idle: bool) {
        self.made_count -= if is_idle { self.made_count } else { self.made_count / 8 };
    }

    /// Returns whether the active segment has a vacant slot.
    pub fn has_vacant(&self) -> bool {
        self.active.is_some_and(|segment| !segment.vacant().is_empty())
    }

    /// Makes a segment the active one. The former active segment is full.
    ///
    /// # Safety
    ///
    /// `segment` is a segment of this class that starts at `start`, in no list.
    pub unsafe fn adopt(&mut self, segment: LineRef, start: NonNull<u8>) {
        debug_assert!(!self.has_vacant());
        if let Some(old) = self.active.replace(segment) {
            old.set_kind(Kind::Full);
        }
        segment.set_kind(Kind::Active);
        self.slots = VacantWord::new(segment.slots().count());
        self.start = start;
    }

    /// Replaces the segments that the class refers to by what became of their lines. There is no spare one.
    pub fn moved(&mut self, moved: impl Fn(LineRef) -> LineRef) {
        self.active = self.active.map(&moved);
        self.partial.moved(moved);
    }

    /// Gives up a segment without live slots, if the class has one: the spare one, else the active one.
    pub fn abandon_unused(&mut self) -> Option<LineRef> {
        let unused = |segment: &mut LineRef| segment.live().is_empty();
        let abandoned = match self.spare.take() {
            Some(spare) => spare,
            None => self.active.take_if(unused)?,
        };
        self.segment_count -= 1;
        Some(abandoned)
    }
}

/// The states of all classes. An index from a line is masked instead of checked: the table is a
/// power of two long.
#[derive(Debug)]
pub struct ClassStates([ClassState; Self::LEN]);

impl ClassStates {
    const LEN: usize = SizeClass::COUNT.next_power_of_two();

    /// Returns states without segments. Those beyond the last class stay unused.
    pub const fn new() -> Self {
        let mut states = [const { ClassState::new(SizeClass::SMALLEST) }; Self::LEN];
        let mut index = 0;
        while index < SizeClass::COUNT {
            states[index] = ClassState::new(SizeClass::at(index));
            index += 1;
        }
        Self(states)
    }

    /// Returns the state of the class that a line names.
    #[inline]
    pub fn of_line(&mut self, class_index: usize) -> &mut ClassState {
        &mut self.0[class_index % Self::LEN]
    }

    /// Returns the states, smallest class first.
    pub fn iter(&self) -> impl Iterator<Item = &ClassState> {
        self.0[..SizeClass::COUNT].iter()
    }

    /// Returns the states, smallest class first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut ClassState> {
        self.0[..SizeClass::COUNT].iter_mut()
    }
}

impl Index<SizeClass> for ClassStates {
    type Output = ClassState;

    #[inline]
    fn index(&self, class: SizeClass) -> &ClassState {
        &self.0[class.index() % Self::LEN]
    }
}

impl IndexMut<SizeClass> for ClassStates {
    #[inline]
    fn index_mut(&mut self, class: SizeClass) -> &mut ClassState {
        &mut self.0[class.index() % Self::LEN]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn a_class_state_takes_what_its_class_serves_and_nothing_else() {
        let states = ClassStates::new();
        let mut taken = 0;
        for align in (0..12).map(|log2| 1usize << log2) {
            for size in (0..4200).chain([usize::MAX, usize::MAX - align + 1]) {
                for class in SizeClass::all() {
                    let takes = states[class].takes(size, align);
                    assert_eq!(takes, SizeClass::of(size, align) == Some(class), "{size} {align}");
                    taken += usize::from(takes);
                }
            }
        }
        assert!(taken > 11 * 4096 - GRANULE_BYTES, "{taken}");
    }
}
