//! How a slab is divided into slots.
//!
//! A slab is a header, one bit per slot, in `Hardened` mode a checksum of the header, and the slots. A slot
//! is the value, in `Hardened` mode with a canary behind it.
#![expect(unsafe_code, reason = "turns slot numbers into pointers and back")]

use core::marker::PhantomData;
use core::ptr::NonNull;

use slab_core::layout::align_down;
use slab_core::{Mode, canary};

use crate::config::Config;
use crate::remote;
use crate::slab::{HEADER_BYTES, SLOTS_PER_WORD, SlabRef, WORD_BYTES};

/// Bytes of the header's checksum in `Hardened` mode.
const CHECKSUM_BYTES: usize = size_of::<u64>();
/// Bytes of the link in a slot of a remote free list.
pub const LINK_BYTES: usize = size_of::<u16>();
/// The most slots of a slab: a remote free list numbers and counts them in 15 bits.
pub const SLOT_COUNT_MAX: usize = 0x7FFF;
/// The most words of a live map.
const WORDS_MAX: usize = SLOT_COUNT_MAX.div_ceil(SLOTS_PER_WORD as usize);
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
        if let Some(slot) = C::SLOT {
            assert!(
                size_of::<T>() <= slot.size() && align_of::<T>() <= slot.align(),
                "the type does not fit a slot of this configuration: raise Config::SLOT"
            );
            assert!(slot.size() <= C::SLAB_BYTES, "Config::SLOT has to fit a slab");
        }
        let is_possible = size_of::<T>() <= C::SLAB_BYTES && align_of::<T>() <= C::SLAB_BYTES;
        let fits = is_possible && Geometry::of::<C>(size_of::<T>(), align_of::<T>()).slots > 0;
        assert!(fits, "the type does not fit a slab beside its header: raise Config::SLAB_BYTES");
        Geometry::of::<C>(size_of::<T>(), align_of::<T>())
    };
    /// Bytes from one slot to the next.
    pub const STRIDE: usize = Self::GEOMETRY.stride;
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
    /// Slots of a slab. The last slab of a chunk may have fewer, because the chunk's record takes some.
    pub slots: u32,
    /// Words of the live map.
    pub words: u32,
    pub checked: bool,
    pub hardened: bool,
}

impl Geometry {
    /// Returns the division of slabs for values of a size and an alignment, or for the values that share the
    /// configuration's slots. There is no slot if the values do not fit.
    ///
    /// The compiler evaluates this for a value whose type it knows; nothing here loops or branches on memory.
    #[inline(always)]
    pub const fn of<C: Config>(size: usize, align: usize) -> Self {
        let (size, align) = match C::SLOT {
            Some(slot) => (slot.size(), slot.align()),
            None => (size, align),
        };
        Self::new(C::SLAB_BYTES, size, align, C::Mode::CHECKED, C::Mode::HARDENED)
    }

    /// Returns the division of the slabs that a value lies in, which may be a trait object or a slice.
    #[inline(always)]
    pub fn of_value<T: ?Sized, C: Config>(value: &T) -> Self {
        Self::of::<C>(size_of_val(value), align_of_val(value))
    }

    /// Returns the division of a slab; `size` and `align` are at most `slab_bytes`.
    #[inline(always)]
    pub const fn new(
        slab_bytes: usize,
        size: usize,
        align: usize,
        checked: bool,
        hardened: bool,
    ) -> Self {
        // A write of one word too many, the commonest overrun, ends in the canary.
        let guarded = size + if hardened { canary::BYTES } else { 0 };
        let least = if guarded < LINK_BYTES { LINK_BYTES } else { guarded };
        let stride = align_down(least + align - 1, align);
        let head = HEADER_BYTES + if hardened { CHECKSUM_BYTES } else { 0 };
        // A word of the live map, and the slots that it has a bit for.
        let group = WORD_BYTES + SLOTS_PER_WORD as usize * stride;
        let room = slab_bytes.saturating_sub(head);
        let last_word = if room % group >= WORD_BYTES + stride { 1 } else { 0 };
        let words = at_most(room / group + last_word, WORDS_MAX);
        let words = if words == 0 { 1 } else { words };
        let first = align_down(head + words * WORD_BYTES + align - 1, align);
        let fitting = slab_bytes.saturating_sub(first) / stride;
        let slots = at_most(at_most(fitting, words * SLOTS_PER_WORD as usize), SLOT_COUNT_MAX);
        Self {
            slab_bytes,
            value_bytes: size,
            stride,
            first,
            slots: slots as u32,
            words: words as u32,
            checked,
            hardened,
        }
    }

    /// Returns the slab and the number of a slot.
    ///
    /// # Safety
    ///
    /// The slot belongs to an attached slab with this geometry, and the pointer may access all of the slab.
    #[inline(always)]
    pub unsafe fn locate(&self, start: NonNull<u8>) -> (SlabRef, u32) {
        // SAFETY: the caller names a slot of such a slab.
        let slab = unsafe { SlabRef::of_slot(start, self.slab_bytes) };
        let offset = start.addr().get() & (self.slab_bytes - 1);
        (slab, (offset.wrapping_sub(self.first) / self.stride) as u32)
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

const fn at_most(number: usize, most: usize) -> usize {
    if number < most { number } else { most }
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
                    if size > slab_bytes || align > slab_bytes {
                        continue;
                    }
                    let geometry = Geometry::new(slab_bytes, size, align, true, false);
                    if geometry.slots == 0 {
                        let head = (HEADER_BYTES + WORD_BYTES).next_multiple_of(align);
                        assert!(head + size.max(2).next_multiple_of(align) > slab_bytes);
                        continue;
                    }
                    let best = most_slots(slab_bytes, size, align);
                    assert!(geometry.slots + 1 >= best, "{slab_bytes} {size} {align}: {best}");
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

    /// Returns the most slots that any number of words permits.
    fn most_slots(slab_bytes: usize, size: usize, align: usize) -> u32 {
        let stride = size.max(LINK_BYTES).next_multiple_of(align);
        let slots = (1..=WORDS_MAX).map(|words| {
            let first = (HEADER_BYTES + words * WORD_BYTES).next_multiple_of(align);
            (slab_bytes.saturating_sub(first) / stride).min(words * SLOTS_PER_WORD as usize)
        });
        slots.max().unwrap_or(0).min(SLOT_COUNT_MAX) as u32
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn sixty_three_objects_of_64_bytes_fill_a_slab_of_4096() {
        let geometry = Geometry::new(4096, 64, 8, true, false);
        assert_eq!((geometry.first, geometry.slots), (64, 63));
    }
}
