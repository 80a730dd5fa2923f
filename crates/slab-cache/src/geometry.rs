//! How a slab is divided: arithmetic without pointers.
//!
//! A slab is a header, one bit per slot, in `Hardened` mode a seal, and the slots. A slot is the value,
//! in `Hardened` mode with a canary behind it.

use core::marker::PhantomData;

use slab_core::Mode;
use slab_core::layout::align_up;

use crate::slab::HEADER_BYTES;

/// Bytes of a word of the live map.
pub const WORD_BYTES: usize = size_of::<u64>();
/// Slots that one word of the live map tells apart.
pub const SLOTS_PER_WORD: u32 = u64::BITS;
/// Bytes of the seal that a header has in `Hardened` mode.
const SEAL_BYTES: usize = size_of::<u64>();
/// Bytes of the canary behind each value in `Hardened` mode: the width of the commonest overrun, a write
/// of one word too many.
pub const CANARY_BYTES: usize = size_of::<u64>();
/// Bytes of the link in a slot that was freed without the lock.
pub const LINK_BYTES: usize = size_of::<u16>();
/// The most slots of a slab: they are numbered, and counted, in 15 bits of a word.
pub const SLOT_COUNT_MAX: usize = 0x7FFF;
/// The smallest slab.
pub const SLAB_BYTES_MIN: usize = 256;

/// How slabs for `T` are divided, as constants.
pub struct Shape<T, M, const SLAB_SIZE: usize>(PhantomData<fn() -> (T, M)>);

impl<T, M: Mode, const SLAB_SIZE: usize> Shape<T, M, SLAB_SIZE> {
    /// The same for code that is compiled once. Not every type fits: then this does not compile.
    pub const GEOMETRY: Geometry = {
        assert!(
            SLAB_SIZE.is_power_of_two() && SLAB_SIZE >= SLAB_BYTES_MIN,
            "SLAB_SIZE has to be a power of two, and at least 256"
        );
        assert!(SLAB_SIZE <= 1 << 30, "SLAB_SIZE has to be at most 1 GiB");
        match Geometry::new(SLAB_SIZE, size_of::<T>(), align_of::<T>(), M::CHECKED, M::HARDENED) {
            Some(geometry) => geometry,
            None => panic!("the type does not fit a slab beside its header: raise SLAB_SIZE"),
        }
    };
    /// Bytes from one slot to the next.
    pub const STRIDE: usize = Self::GEOMETRY.stride;
    /// Bytes before the first slot.
    pub const FIRST: usize = Self::GEOMETRY.first;
    /// Slots of a slab.
    pub const SLOTS: u32 = Self::GEOMETRY.slots;
}

/// How a slab is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    pub slab_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Bytes from one slot to the next.
    pub stride: usize,
    /// Bytes before the first slot.
    pub first: usize,
    /// Slots of a slab, unless a chunk's record takes some.
    pub slots: u32,
    /// Words of the live map.
    pub words: u32,
    pub checked: bool,
    pub hardened: bool,
}

impl Geometry {
    /// Returns the division with the most slots; `None` if there is no slot.
    pub const fn new(
        slab_bytes: usize,
        size: usize,
        align: usize,
        checked: bool,
        hardened: bool,
    ) -> Option<Self> {
        let canary_bytes = if hardened { CANARY_BYTES } else { 0 };
        let Some(guarded) = size.checked_add(canary_bytes) else { return None };
        let least = if guarded < LINK_BYTES { LINK_BYTES } else { guarded };
        let Some(stride) = align_up(least, align) else { return None };
        let seal_bytes = if hardened { SEAL_BYTES } else { 0 };
        let mut best: Option<Self> = None;
        let mut words = 1;
        loop {
            let head = HEADER_BYTES + words * WORD_BYTES + seal_bytes;
            let Some(first) = align_up(head, align) else { return best };
            if first >= slab_bytes {
                return best;
            }
            let fitting = (slab_bytes - first) / stride;
            let covered = words * SLOTS_PER_WORD as usize;
            let mut slots = if fitting < covered { fitting } else { covered };
            if slots > SLOT_COUNT_MAX {
                slots = SLOT_COUNT_MAX;
            }
            let better = match best {
                Some(best) => slots > best.slots as usize,
                None => slots > 0,
            };
            if !better {
                return best;
            }
            let (slots, words32) = (slots as u32, words as u32);
            let value_bytes = size;
            best = Some(Self {
                slab_bytes,
                value_bytes,
                stride,
                first,
                slots,
                words: words32,
                checked,
                hardened,
            });
            words += 1;
        }
    }

    /// Returns how many slots end within the first `bytes` of a slab.
    pub const fn slots_within(&self, bytes: usize) -> u32 {
        let fitting = bytes.saturating_sub(self.first) / self.stride;
        if fitting < self.slots as usize { fitting as u32 } else { self.slots }
    }

    /// Returns where the seal lies in a slab, in `Hardened` mode.
    pub const fn seal_offset(&self) -> usize {
        HEADER_BYTES + self.words as usize * WORD_BYTES
    }

    /// Returns how many of a slab's `slots` slots lie in a word of its live map.
    pub const fn slots_in_word(slots: u32, word: u32) -> u32 {
        let rest = slots.saturating_sub(word * SLOTS_PER_WORD);
        if rest < SLOTS_PER_WORD { rest } else { SLOTS_PER_WORD }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn slots_bits_and_header_fill_a_slab_and_never_overflow_it() {
        let mut tried = 0;
        for slab_bytes in [256, 1024, 4096, 65536] {
            for size in [0, 1, 2, 3, 8, 24, 64, 100, 1000, 4032] {
                for align in [1, 2, 8, 64, 512] {
                    let Some(geometry) = Geometry::new(slab_bytes, size, align, true, false) else {
                        let head = (HEADER_BYTES + WORD_BYTES).next_multiple_of(align);
                        assert!(head + size.max(2).next_multiple_of(align) > slab_bytes);
                        continue;
                    };
                    let Geometry { stride, first, slots, words, .. } = geometry;
                    assert!(slots >= 1 && first + slots as usize * stride <= slab_bytes);
                    assert!(slots <= words * SLOTS_PER_WORD && slots as usize <= SLOT_COUNT_MAX);
                    assert!(first % align == 0 && stride % align == 0 && stride >= size.max(2));
                    assert!(first >= HEADER_BYTES + words as usize * WORD_BYTES);
                    assert_eq!(geometry.slots_within(slab_bytes), slots);
                    tried += 1;
                }
            }
        }
        assert!(tried > 150, "{tried}");
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sixty_three_objects_of_64_bytes_fill_a_slab_of_4096() {
        let geometry = Geometry::new(4096, 64, 8, true, false).expect("it fits");
        assert_eq!((geometry.first, geometry.slots), (64, 63));
    }
}
