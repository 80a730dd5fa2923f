//! How a slab is divided into slots.
//!
//! A slab is a header, one bit per slot, in `Hardened` mode a checksum of the header, and the slots. A slot
//! is the value, in `Hardened` mode with a canary behind it.
#![expect(unsafe_code, reason = "turns slot numbers into pointers and back")]

use core::marker::PhantomData;
use core::ptr::NonNull;

use slab_core::Mode;
use slab_core::layout::align_up;

use crate::config::Config;
use crate::remote;
use crate::slab::{HEADER_BYTES, SLOTS_PER_WORD, SlabRef, WORD_BYTES};

/// Bytes of the header's checksum in `Hardened` mode.
const CHECKSUM_BYTES: usize = size_of::<u64>();
/// Bytes of the canary behind each value in `Hardened` mode: the width of the commonest overrun, a write
/// of one word too many.
pub const CANARY_BYTES: usize = size_of::<u64>();
/// Bytes of the link in a slot of a remote free list.
pub const LINK_BYTES: usize = size_of::<u16>();
/// The most slots of a slab: a remote free list numbers and counts them in 15 bits.
pub const SLOT_COUNT_MAX: usize = 0x7FFF;
/// The smallest slab.
pub const SLAB_BYTES_MIN: usize = 256;

/// How slabs for `T` are divided, as constants.
pub struct Shape<T, C>(PhantomData<fn() -> (T, C)>);

impl<T, C: Config> Shape<T, C> {
    /// The constants as a value, for code that does not depend on `T`. The compiler rejects a type that
    /// does not fit.
    pub const GEOMETRY: Geometry = {
        assert!(
            C::SLAB_BYTES.is_power_of_two() && C::SLAB_BYTES >= SLAB_BYTES_MIN,
            "Config::SLAB_BYTES has to be a power of two, and at least 256"
        );
        assert!(C::SLAB_BYTES <= 1 << 30, "Config::SLAB_BYTES has to be at most 1 GiB");
        let (checked, hardened) = (C::Mode::CHECKED, C::Mode::HARDENED);
        match Geometry::new(C::SLAB_BYTES, size_of::<T>(), align_of::<T>(), checked, hardened) {
            Some(geometry) => geometry,
            None => {
                panic!("the type does not fit a slab beside its header: raise Config::SLAB_BYTES")
            }
        }
    };
    /// Bytes from one slot to the next.
    pub const STRIDE: usize = Self::GEOMETRY.stride;
    /// Bytes before the first slot.
    pub const FIRST: usize = Self::GEOMETRY.first;
    /// Slots of a slab.
    pub const SLOTS: u32 = Self::GEOMETRY.slots;

    /// Returns the slab and the number of a slot.
    ///
    /// # Safety
    ///
    /// The slot belongs to an attached slab of a cache of `T` and `C`, and the pointer may access all of it.
    #[inline(always)]
    pub unsafe fn locate(start: NonNull<u8>) -> (SlabRef, u32) {
        // SAFETY: the caller names a slot of such a slab.
        let slab = unsafe { SlabRef::of_slot(start, C::SLAB_BYTES) };
        let offset = start.addr().get() & (C::SLAB_BYTES - 1);
        let first = const { Self::FIRST };
        let stride = const { Self::STRIDE };
        (slab, (offset.wrapping_sub(first) / stride) as u32)
    }
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
    /// Slots of a slab. The last slab of a chunk may have fewer, because the chunk's record takes some.
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
        let checksum_bytes = if hardened { CHECKSUM_BYTES } else { 0 };
        let mut best: Option<Self> = None;
        let mut words = 1;
        loop {
            let head = HEADER_BYTES + words * WORD_BYTES + checksum_bytes;
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

    /// Returns the start of a slot of a slab with this geometry.
    #[inline]
    pub fn slot_start(&self, slab: SlabRef, slot: u32) -> NonNull<u8> {
        debug_assert!(slot < self.slots);
        // SAFETY: callers name slots of the geometry, which lie in the slab.
        unsafe { slab.at_offset(self.first + slot as usize * self.stride) }
    }

    /// Returns the link in a slot of a remote free list that was collected.
    pub fn link_of(&self, slab: SlabRef, slot: u32) -> u16 {
        let start = self.slot_start(slab, slot);
        // SAFETY: callers name a slot of a list that they collected, under the lock: it was pushed, and is
        // allocated only after its bit in the live map was cleared.
        unsafe { remote::link_of(start) }
    }

    /// Returns where the checksum lies in a slab, in `Hardened` mode.
    pub const fn checksum_offset(&self) -> usize {
        HEADER_BYTES + self.words as usize * WORD_BYTES
    }

    /// Returns how many of a slab's `slots` slots lie in a word of its live map.
    pub const fn slots_in_word(slots: u32, word: u32) -> u32 {
        let remaining = slots.saturating_sub(word * SLOTS_PER_WORD);
        if remaining < SLOTS_PER_WORD { remaining } else { SLOTS_PER_WORD }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "slow, and runs no unsafe code")]
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
