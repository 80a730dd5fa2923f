//! Size classes of slots: 16-byte steps to 128, four per doubling to 4096, and twice as many from 256 to 512.
//!
//! Rounding up to a class wastes at most a fifth of a block above 128 bytes and at most 15 bytes
//! below. A class is found in one look into a table of 257 bytes.

use slab_core::VacantWord;
use slab_core::layout::{Reciprocal, align_up};

/// Bytes of a granule, the unit of segments and runs: 64 slots of the smallest class, so that one
/// [`VacantWord`] describes a granule of any class.
pub const GRANULE_BYTES: usize = CLASS_STEP * VacantWord::SLOT_COUNT_MAX as usize;

/// Bytes between the smallest classes, and the alignment that every block has.
pub const CLASS_STEP: usize = 16;

/// Bytes of the largest class. The next larger request takes a run of five granules, of which
/// rounding wastes less than a fifth, as it does of a class.
pub const SLOT_BYTES_MAX: usize = 4096;

/// Granules of the longest segment: longer ones keep more memory from other classes than they
/// save in bookkeeping.
const SEGMENT_GRANULES_MAX: u32 = 16;

/// A size class, below [`SizeClass::COUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeClass(u8);

impl SizeClass {
    /// How many classes there are.
    pub const COUNT: usize = SLOT_BYTES.len();

    /// Returns the smallest class whose slots hold `size` bytes at `align`, or `None` if only a run
    /// of granules does.
    ///
    /// A size rounded up to its alignment lands on a class that keeps it: classes between `2ⁿ` and
    /// `2ⁿ⁺¹` are multiples of `2ⁿ⁻²`, so a smaller alignment divides each of them, and a multiple
    /// of a larger one is a class itself.
    #[inline]
    pub const fn of(size: usize, align: usize) -> Option<Self> {
        match Self::rounded(size, align) {
            Some(size) if size <= SLOT_BYTES_MAX => Some(Self(BY_SIZE[size.div_ceil(CLASS_STEP)])),
            _ => None,
        }
    }

    /// Returns the size whose class serves `size` bytes at `align`; `None` if no slot is aligned so.
    #[inline]
    pub const fn rounded(size: usize, align: usize) -> Option<usize> {
        if align <= CLASS_STEP {
            return Some(size);
        }
        if align > GRANULE_BYTES {
            return None;
        }
        align_up(if size == 0 { 1 } else { size }, align)
    }

    /// The class of the smallest blocks.
    pub const SMALLEST: Self = Self(0);

    /// Returns the class with this index.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[inline]
    pub const fn at(index: usize) -> Self {
        assert!(index < Self::COUNT);
        Self(index as u8)
    }

    /// Returns whether every slot of the class starts at a multiple of `align`.
    pub const fn keeps_align(self, align: usize) -> bool {
        self.slot_bytes().is_multiple_of(align)
    }

    /// Returns every class, smallest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// Returns the classes above this one, smallest first.
    pub fn larger(self) -> impl Iterator<Item = Self> {
        (self.0 + 1..Self::COUNT as u8).map(Self)
    }

    /// Returns the class as an index below [`COUNT`](Self::COUNT).
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the bytes of a slot.
    #[inline]
    pub const fn slot_bytes(self) -> usize {
        BY_SLOT[self.index()].divisor() as usize
    }

    /// Returns the smallest size of a block of this class at an alignment; at another than the slots have,
    /// the smallest at an alignment to 16.
    pub const fn size_min(self, align: usize) -> usize {
        if self.index() == 0 {
            return 0;
        }
        let align = if self.keeps_align(align) && align > CLASS_STEP { align } else { CLASS_STEP };
        let below = Self::slot_bytes_of(self.index() - 1);
        // A size of zero takes the same as one of one.
        if below < align { 0 } else { below - below % align + 1 }
    }

    /// Returns the slot that covers the byte `offset` bytes into a segment.
    pub const fn slot_over(self, offset: usize) -> u32 {
        BY_SLOT[self.index()].quotient(offset as u32)
    }

    /// Returns how long a segment should be when the class has `segment_count` already: short ones
    /// first, so that a small heap is not spread over empty slots, and about twice as long each time
    /// the class has grown by as much again; of a length, where it is long enough, that slots fill to
    /// the last byte.
    #[inline]
    pub const fn segment_granules(self, segment_count: u32) -> u32 {
        let doublings = (segment_count / 2 + 1).ilog2() as usize;
        let last = SEGMENT_GRANULES[0].len() - 1;
        SEGMENT_GRANULES[self.index()][if doublings < last { doublings } else { last }] as u32
    }

    const fn segment_granules_after(self, doublings: usize) -> u32 {
        let mut granules = SHORTEST_TIDY[self.index()] as u32;
        let mut doubled = 0;
        while doubled < doublings && self.fits_one_word(self.filled(granules * 2)) {
            granules *= 2;
            doubled += 1;
        }
        self.filled(granules)
    }

    /// Returns the longest length up to this one that slots fill without a rest, or this one if none
    /// is so short.
    const fn filled(self, granules: u32) -> u32 {
        // Slots are an odd factor of 1 to 15 times a power of two, granules a larger power of two or
        // the same: so many granules, or a multiple, are filled.
        let odd = (self.slot_bytes() >> self.slot_bytes().trailing_zeros()) as u32;
        if granules < odd { granules } else { granules - granules % odd }
    }

    const fn fits_one_word(self, granules: u32) -> bool {
        let slots = granules as usize * GRANULE_BYTES / self.slot_bytes();
        granules <= SEGMENT_GRANULES_MAX && slots <= VacantWord::SLOT_COUNT_MAX as usize
    }

    /// Returns the length of the shortest segment that holds one slot.
    pub const fn segment_granules_min(self) -> u32 {
        self.slot_bytes().div_ceil(GRANULE_BYTES) as u32
    }

    /// Returns how many slots a segment of `granules` has.
    pub const fn slot_count(self, granules: u32) -> u32 {
        self.slot_over(granules as usize * GRANULE_BYTES)
    }

    const fn slot_bytes_of(index: usize) -> usize {
        SLOT_BYTES[index] as usize
    }
}

/// The slot size of each class. The four classes between 256 and 512 that make eight of this doubling save 7 % of
/// the peak of a program of many such blocks; eight in every doubling would save 1 % more and cost 1 KiB of
/// the allocator's own value.
const SLOT_BYTES: [u16; 32] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 480, 512,
    640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096,
];

/// The class of each size, in steps of 16 bytes: four cache lines, of which small blocks touch one.
const BY_SIZE: [u8; SLOT_BYTES_MAX / CLASS_STEP + 1] = {
    let mut table = [0; SLOT_BYTES_MAX / CLASS_STEP + 1];
    let (mut steps, mut index) = (1, 0);
    while steps < table.len() {
        if SizeClass::slot_bytes_of(index) < steps * CLASS_STEP {
            index += 1;
        }
        table[steps] = index as u8;
        steps += 1;
    }
    table
};

/// The slot size of each class, ready to divide by.
const BY_SLOT: [Reciprocal; SizeClass::COUNT] = {
    let mut table = [Reciprocal::new(1).unwrap(); SizeClass::COUNT];
    let mut index = 0;
    while index < SizeClass::COUNT {
        table[index] = Reciprocal::new(SizeClass::slot_bytes_of(index) as u32).unwrap();
        index += 1;
    }
    table
};

/// For each class, the fewest granules that leave at most an eighth of a segment unused behind the
/// last slot.
const SHORTEST_TIDY: [u8; SizeClass::COUNT] = {
    let mut table = [0; SizeClass::COUNT];
    let mut index = 0;
    while index < SizeClass::COUNT {
        let slot_bytes = SizeClass::slot_bytes_of(index);
        let mut granules = slot_bytes.div_ceil(GRANULE_BYTES);
        while (granules * GRANULE_BYTES % slot_bytes) * 8 > granules * GRANULE_BYTES {
            granules += 1;
        }
        table[index] = granules as u8;
        index += 1;
    }
    table
};

/// For each class, the granules of a segment after no doubling, one, and so on; none doubles oftener.
const SEGMENT_GRANULES: [[u8; SEGMENT_GRANULES_MAX.ilog2() as usize + 1]; SizeClass::COUNT] = {
    let mut table = [[0; SEGMENT_GRANULES_MAX.ilog2() as usize + 1]; SizeClass::COUNT];
    let mut index = 0;
    while index < SizeClass::COUNT {
        let mut doublings = 0;
        while doublings < table[index].len() {
            table[index][doublings] = SizeClass::at(index).segment_granules_after(doublings) as u8;
            doublings += 1;
        }
        index += 1;
    }
    table
};

/// Returns how many granules hold `size` bytes, or `None` if no region could.
#[inline]
pub const fn granules_for(size: usize) -> Option<u32> {
    let granules = size.div_ceil(GRANULE_BYTES);
    if granules > u32::MAX as usize / 2 {
        return None;
    }
    // A zero-sized block needs its own address.
    Some(if granules == 0 { 1 } else { granules as u32 })
}

const _: () = {
    assert!(SizeClass::slot_bytes_of(SizeClass::COUNT - 1) == SLOT_BYTES_MAX);
    assert!(SLOT_BYTES_MAX / GRANULE_BYTES <= SEGMENT_GRANULES_MAX as usize);
    assert!(SEGMENT_GRANULES_MAX as usize * GRANULE_BYTES <= u16::MAX as usize);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn a_class_is_the_smallest_that_holds_its_size() {
        for size in 0..=SLOT_BYTES_MAX {
            let class = SizeClass::of(size, 1).unwrap();
            assert!(class.slot_bytes() >= size.max(1));
            if let Some(below) = class.index().checked_sub(1) {
                assert!(SizeClass::slot_bytes_of(below) < size, "size {size}");
            }
            if size > 128 {
                assert!((class.slot_bytes() - size) * 5 < class.slot_bytes() * 2, "size {size}");
            }
        }
        assert_eq!(SizeClass::of(SLOT_BYTES_MAX + 1, 1), None);
        assert_eq!(SizeClass::of(usize::MAX, 1024), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn slots_of_a_class_keep_every_alignment_it_is_chosen_for() {
        let mut checked = 0;
        for align in (0..=10).map(|log2| 1usize << log2) {
            for size in 0..=SLOT_BYTES_MAX {
                if let Some(class) = SizeClass::of(size, align) {
                    assert!(class.slot_bytes() >= size, "size {size} align {align}");
                    assert!(class.slot_bytes().is_multiple_of(align), "size {size} align {align}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 40_000);
        assert_eq!(SizeClass::of(8, 2048), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn the_smallest_size_of_a_class_is_the_first_that_it_serves() {
        let mut checked = 0;
        for align in (0..=10).map(|log2| 1usize << log2) {
            for class in SizeClass::all().filter(|class| class.keeps_align(align)) {
                let first =
                    (0..=SLOT_BYTES_MAX).find(|&size| SizeClass::of(size, align) == Some(class));
                assert_eq!(class.size_min(align), first.unwrap(), "{class:?} {align}");
                checked += 1;
            }
        }
        assert!(checked > 150, "{checked}");
        assert_eq!(SizeClass::of(100, 1).unwrap().size_min(4096), 97);
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn segments_grow_with_their_class_and_fit_one_word() {
        for class in SizeClass::all() {
            let mut previous = 0;
            for segment_count in 0..200 {
                let granules = class.segment_granules(segment_count);
                assert!(granules >= previous && granules >= class.segment_granules_min());
                assert!(granules <= SEGMENT_GRANULES_MAX);
                let slots = class.slot_count(granules);
                assert!((1..=VacantWord::SLOT_COUNT_MAX).contains(&slots), "{class:?}");
                let tail = granules as usize * GRANULE_BYTES - slots as usize * class.slot_bytes();
                assert!(tail * 8 <= granules as usize * GRANULE_BYTES, "{class:?}: {tail}");
                previous = granules;
            }
            // Up to 14 granules are cut off for a length that slots fill.
            let twice = 2 * (class.segment_granules(1 << 20) + 14);
            let slots = twice as usize * GRANULE_BYTES / class.slot_bytes();
            assert!(
                twice > SEGMENT_GRANULES_MAX || slots > VacantWord::SLOT_COUNT_MAX as usize,
                "{class:?} could grow further"
            );
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn the_class_table_is_the_documented_one() {
        let table = SizeClass::all().map(SizeClass::slot_bytes);
        assert!(table.eq([
            16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
            480, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096,
        ]));
    }

    #[test]
    fn a_class_that_has_grown_by_as_much_again_gets_segments_twice_as_long() {
        let class = SizeClass::of(512, 1).unwrap();
        let granules = (0..16).map(|count| class.segment_granules(count));
        assert!(granules.eq([1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4, 8, 8]));
    }

    /// Where an eighth of a segment would be left behind the last slot, it is long enough.
    #[test]
    fn the_shortest_segments_are_no_longer_than_they_have_to_be() {
        let granules = SizeClass::all().map(|class| SHORTEST_TIDY[class.index()]);
        assert!(granules.eq([
            1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 3, 2, 3, 1, 1, 1, 2, 3, 1, 1, 4, 3, 2, 2, 5,
            3, 4, 4,
        ]));
    }

    #[test]
    fn a_size_takes_as_many_granules_as_it_begins() {
        for (size, granules) in [(0, 1), (1, 1), (1024, 1), (1025, 2), (9000, 9)] {
            assert_eq!(granules_for(size), Some(granules), "size {size}");
        }
        #[cfg(target_pointer_width = "64")]
        {
            assert_eq!(granules_for(usize::MAX), None);
            let most = u32::MAX as usize / 2;
            assert_eq!(granules_for(most * GRANULE_BYTES), Some(u32::MAX / 2));
            assert_eq!(granules_for(most * GRANULE_BYTES + 1), None);
        }
    }
}
