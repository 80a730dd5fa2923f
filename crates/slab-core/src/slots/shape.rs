//! Sizes: the distance between slots, and how many fit a buffer.
//!
//! A size is known at compile time from a type, so that the compiler turns division into multiplication,
//! or at run time, with a prepared reciprocal.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::layout::{Reciprocal, align_up};
use crate::{Mode, SlotIndex, canary};

/// Bytes of the canary behind a slot in `Hardened` mode.
pub(super) const CANARY_BYTES: usize = canary::BYTES;
/// Bytes of the seal behind the link of a dead slot in `Hardened` mode.
pub(super) const SEAL_BYTES: usize = 4;
/// Bytes of one word of the live map, and its alignment.
pub(super) const MAP_WORD_BYTES: usize = 8;

// A dead slot of any size has room for a link and its seal.
const _: () = assert!(size_of::<u32>() + SEAL_BYTES <= CANARY_BYTES);

/// The size of a segment's slots, and the type of pointers to them: [`Typed`] or [`Erased`].
pub trait Shape<M: Mode, I: SlotIndex>: sealed::Sealed {
    /// The type of the blocks in the slots.
    type Block: ?Sized;

    /// Returns the size of a block.
    fn block_bytes(&self) -> usize;

    /// Returns the bytes from one slot to the next, at least one.
    fn stride(&self) -> usize;

    /// Returns `offset / stride` if that is exact.
    fn index_at(&self, offset: usize) -> Option<u32>;

    /// Returns a pointer to the block that starts at `start`.
    fn block_at(&self, start: NonNull<u8>) -> NonNull<Self::Block>;
}

/// The shape of slots for values of type `T`, known at compile time.
pub struct Typed<T>(PhantomData<fn() -> T>);

impl<T> Typed<T> {
    pub(super) const SHAPE: Self = Self(PhantomData);

    /// Returns the bytes from one slot to the next.
    pub(super) const fn stride_in<M: Mode, I: SlotIndex>() -> usize {
        match stride(size_of::<T>(), align_of::<T>(), M::HARDENED, size_of::<I>()) {
            Some(stride) => stride,
            None => panic!("the type is too large for a slot"),
        }
    }
}

impl<T, M: Mode, I: SlotIndex> Shape<M, I> for Typed<T> {
    type Block = T;

    #[inline]
    fn block_bytes(&self) -> usize {
        size_of::<T>()
    }

    #[inline]
    fn stride(&self) -> usize {
        const { Self::stride_in::<M, I>() }
    }

    #[inline]
    fn index_at(&self, offset: usize) -> Option<u32> {
        let stride = const { Self::stride_in::<M, I>() };
        if offset.is_multiple_of(stride) { u32::try_from(offset / stride).ok() } else { None }
    }

    #[inline]
    fn block_at(&self, start: NonNull<u8>) -> NonNull<T> {
        start.cast()
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::any::type_name::<T>())
    }
}

/// The shape of slots for a layout known at run time.
#[derive(Debug, Clone, Copy)]
pub struct Erased {
    block_bytes: usize,
    stride: Reciprocal,
}

impl Erased {
    /// Returns the shape, unless the stride overflows.
    pub(super) const fn new<M: Mode, I: SlotIndex>(layout: Layout) -> Option<Self> {
        let block_bytes = layout.size();
        match stride(block_bytes, layout.align(), M::HARDENED, size_of::<I>()) {
            Some(stride) if stride as u64 <= u32::MAX as u64 => {
                match Reciprocal::new(stride as u32) {
                    Some(stride) => Some(Self { block_bytes, stride }),
                    None => None,
                }
            }
            _ => None,
        }
    }

    pub(super) const fn stride_bytes(self) -> usize {
        self.stride.divisor() as usize
    }

    /// Returns how many slots can be told apart: their offsets must fit the reciprocal.
    pub(super) const fn slot_count_max<I: SlotIndex>(self) -> u32 {
        let by_offset = u32::MAX / self.stride.divisor();
        if by_offset < I::SLOT_COUNT_MAX { by_offset } else { I::SLOT_COUNT_MAX }
    }
}

impl<M: Mode, I: SlotIndex> Shape<M, I> for Erased {
    type Block = [u8];

    #[inline]
    fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    #[inline]
    fn stride(&self) -> usize {
        self.stride_bytes()
    }

    #[inline]
    fn index_at(&self, offset: usize) -> Option<u32> {
        self.stride.exact(u32::try_from(offset).ok()?)
    }

    #[inline]
    fn block_at(&self, start: NonNull<u8>) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(start, self.block_bytes)
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for super::Typed<T> {}
    impl Sealed for super::Erased {}
}

/// Returns the bytes from one slot to the next. A live slot holds its block, followed by a canary in
/// `Hardened` mode; a dead slot holds its link.
const fn stride(size: usize, align: usize, hardened: bool, index_bytes: usize) -> Option<usize> {
    let canary = if hardened { CANARY_BYTES } else { 0 };
    match size.checked_add(canary) {
        Some(live) => align_up(if live < index_bytes { index_bytes } else { live }, align),
        None => None,
    }
}

/// Returns how many slots fit `bytes`, at most `slot_count_max`. If `tracked`, the live map fits behind
/// them, and `bytes` is a multiple of its word.
pub(super) const fn slot_count(
    bytes: usize,
    stride: usize,
    tracked: bool,
    slot_count_max: u32,
) -> u32 {
    const SLOTS_PER_WORD: usize = u64::BITS as usize;
    let fitting = if !tracked {
        bytes / stride
    } else {
        // Slots come in groups that share a map word; the last group may be short.
        let (groups, rest) = match stride.checked_mul(SLOTS_PER_WORD) {
            // A product of 64 is at most `usize::MAX - 63`, so a word can be added.
            Some(slots) => (bytes / (slots + MAP_WORD_BYTES), bytes % (slots + MAP_WORD_BYTES)),
            None => (0, bytes),
        };
        groups * SLOTS_PER_WORD + rest.saturating_sub(MAP_WORD_BYTES) / stride
    };
    if fitting < slot_count_max as usize { fitting as u32 } else { slot_count_max }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LiveMap;

    #[test]
    fn strides_hold_block_canary_and_link() {
        assert_eq!(stride(0, 1, false, 2), Some(2));
        assert_eq!(stride(1, 1, false, 1), Some(1));
        assert_eq!(stride(1, 1, false, 2), Some(2));
        assert_eq!(stride(3, 1, false, 2), Some(3));
        assert_eq!(stride(1, 1, true, 2), Some(9));
        assert_eq!(stride(24, 8, true, 4), Some(32));
        assert_eq!(stride(0, 64, false, 2), Some(64));
        assert_eq!(stride(usize::MAX - 7, 8, true, 2), None);
    }

    #[test]
    fn slots_are_as_many_as_offsets_and_indices_can_tell_apart() {
        fn most<I: SlotIndex>(size: usize) -> u32 {
            let shape =
                Erased::new::<crate::Unchecked, I>(Layout::from_size_align(size, 1).unwrap());
            shape.unwrap().slot_count_max::<I>()
        }
        assert_eq!(most::<u8>(16), <u8 as SlotIndex>::SLOT_COUNT_MAX);
        assert_eq!(most::<u32>(16), u32::MAX / 16);
        assert_eq!(most::<u16>(1 << 20), 4095);
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn slots_and_map_fill_the_buffer_and_never_overflow_it() {
        let mut tried = 0;
        for stride in [1, 2, 3, 8, 24, 80, 1000] {
            for bytes in (0..3000_usize).step_by(MAP_WORD_BYTES) {
                let count = slot_count(bytes, stride, true, u32::MAX);
                let needs = |count: u32| {
                    count as usize * stride + LiveMap::words_for(count) * MAP_WORD_BYTES
                };
                assert!(count == 0 || needs(count) <= bytes, "{count} of {stride} in {bytes}");
                assert!(needs(count + 1) > bytes, "one more than {count} of {stride} in {bytes}");
                tried += 1;
            }
        }
        assert_eq!(tried, 7 * 375);
        assert_eq!(slot_count(usize::MAX, usize::MAX / 4, true, 9), 3);
        assert_eq!(slot_count(1_000_000, 1, false, 255), 255);
    }
}
