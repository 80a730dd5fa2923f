//! The state of a size class: the vacant slots that the next allocations get, in one word, and the segments of the
//! class that have further vacant slots. All that a hot path reads of a class lies in one cache line.
#![expect(unsafe_code, reason = "turns a slot number into a pointer")]

use core::ops::{Index, IndexMut};
use core::ptr::NonNull;

use slab_core::VacantWord;
use slab_core::layout::ExactDivisor;

use crate::class::{GRANULE_BYTES, SizeClass};
use crate::line::{Kind, LineList, LineRef};

/// The state of a class. It *holds* vacant slots of the *active segment*: the segment counts them as live, and the
/// next allocations get them.
///
/// # Invariants
///
/// - **F1 (held)**: `vacant` holds slots of `segment`, a segment of this class that starts at
///   `start`; to the segment itself they are live.
/// - **F2 (kinds)**: `segment` is the class's only one of kind `Front`, `spare` the only one of kind
///   `Spare`, and neither is in a list; `partial` holds exactly those of kind `Partial`.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct ClassState {
    vacant: VacantWord,
    start: NonNull<u8>,
    /// The active segment.
    pub active: Option<LineRef>,
    pub partial: LineList,
    pub spare: Option<LineRef>,
    divisor: ExactDivisor,
    slot_bytes: u32,
    /// Segments of the class, full ones included.
    pub segment_count: u32,
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
            vacant: VacantWord::new(0),
            start: NonNull::dangling(),
            active: None,
            partial: LineList::EMPTY,
            spare: None,
            divisor: ExactDivisor::new(slot_bytes).unwrap(),
            slot_bytes,
            segment_count: 0,
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
        self.divisor.index_below(offset as u32, VacantWord::SLOT_COUNT_MAX)
    }

    /// Returns whether this is the class for blocks of `size` bytes at `align`.
    #[inline]
    pub const fn takes(&self, size: usize, align: usize) -> bool {
        match SizeClass::rounded(size, align) {
            Some(size) => size.wrapping_sub(self.size_min as usize) < self.size_count as usize,
            None => false,
        }
    }

    /// Takes a slot that the class holds. *O*(1).
    #[inline]
    pub fn take(&mut self) -> Option<NonNull<u8>> {
        let slot = self.vacant.take()?;
        // SAFETY: by F1 the slot lies in the segment that starts here.
        Some(unsafe { self.start.add(slot as usize * self.slot_bytes()) })
    }

    /// Takes a slot that the class holds, the first from `from` on if there is one. *O*(1).
    #[inline]
    pub fn take_from(&mut self, from: u32) -> Option<NonNull<u8>> {
        let slot = self.vacant.take_from(from)?;
        // SAFETY: by F1 the slot lies in the segment that starts here.
        Some(unsafe { self.start.add(slot as usize * self.slot_bytes()) })
    }

    /// Returns whether no segment of the class but the active one has a vacant slot.
    pub fn needs_segment(&self) -> bool {
        self.is_exhausted() && self.partial.is_empty() && self.spare.is_none()
    }

    /// Returns whether a block lies in the active segment.
    #[inline]
    pub fn is_active_over(&self, block: NonNull<u8>) -> bool {
        let offset = block.addr().get().wrapping_sub(self.start.addr().get());
        self.active.is_some_and(|segment| offset < segment.len() as usize * GRANULE_BYTES)
    }

    /// Returns whether the class holds this slot of its active segment.
    #[inline]
    pub const fn holds(&self, slot: u32) -> bool {
        self.vacant.contains(slot)
    }

    /// Returns the slots that the class holds.
    pub const fn held(&self) -> VacantWord {
        self.vacant
    }

    /// Returns whether the class holds no slot.
    #[inline]
    pub const fn is_exhausted(&self) -> bool {
        self.vacant.is_empty()
    }

    /// Takes hold of the slots that were freed in the active segment. The class held none before.
    /// *O*(1).
    #[inline]
    pub fn regain(&mut self) {
        let Some(segment) = self.active else { return };
        let mut live = segment.live();
        self.vacant = live.fill(segment.slots().count());
        segment.set_live(live);
    }

    /// Makes a segment the active one and takes hold of its vacant slots. The class held none before, so the
    /// former active segment is full.
    ///
    /// # Safety
    ///
    /// `segment` is a segment of this class that starts at `start`, in no list.
    pub unsafe fn adopt(&mut self, segment: LineRef, start: NonNull<u8>) {
        debug_assert!(self.is_exhausted());
        if let Some(old) = self.active.replace(segment) {
            old.set_kind(Kind::Full);
        }
        self.vacant = segment.edit(|line| {
            line.kind = Kind::Active;
            line.live.fill(line.slots.count())
        });
        self.start = start;
    }

    /// Replaces the segments that the class refers to by what became of their lines. There is no spare one.
    pub fn moved(&mut self, moved: impl Fn(LineRef) -> LineRef) {
        self.active = self.active.map(&moved);
        self.partial.moved(moved);
    }

    /// Gives up a segment without live slots, if the class has one: the spare one, else the active one.
    pub fn abandon_unused(&mut self) -> Option<LineRef> {
        let unused = |segment: &mut LineRef| segment.live().without(self.vacant).is_empty();
        let abandoned = match self.spare.take() {
            Some(spare) => spare,
            None => {
                let own = self.active.take_if(unused)?;
                self.vacant = VacantWord::default();
                own
            }
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
