//! The live slots of a block of up to 64, as the bits of a word, from their generations.
#![cfg_attr(
    all(target_arch = "x86_64", target_feature = "sse2"),
    expect(unsafe_code, reason = "calls code for a processor feature")
)]

/// Slots in a word.
pub(super) const BLOCK_SLOTS: u32 = u64::BITS;

/// Returns a word whose bits are the lowest bits of the generations: set for live slots.
#[inline]
pub(super) fn of_block(generations: &[u32; BLOCK_SLOTS as usize]) -> u64 {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: the feature is part of the target.
    let bits = unsafe { sse2::of_block(generations) };
    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    let bits = of_slice(generations);
    bits
}

/// As [`of_block`], for fewer slots.
#[inline]
pub(super) fn of_slice(generations: &[u32]) -> u64 {
    let bit = |(slot, generation): (usize, &u32)| u64::from(generation & 1) << slot;
    generations.iter().enumerate().map(bit).sum()
}

/// The same for x86-64, three times as fast. The compiler does not generate this code.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
        _mm_slli_epi32,
    };

    use super::BLOCK_SLOTS;

    #[inline]
    #[target_feature(enable = "sse2")]
    pub fn of_block(generations: &[u32; BLOCK_SLOTS as usize]) -> u64 {
        let mut bits = 0;
        let (sixteens, _) = generations.as_chunks::<16>();
        for (shift, sixteen) in (0..).step_by(16).zip(sixteens) {
            let low = _mm_packs_epi32(four(sixteen, 0), four(sixteen, 4));
            let high = _mm_packs_epi32(four(sixteen, 8), four(sixteen, 12));
            // Saturation keeps the sign, and the mask consists of the signs of the bytes.
            let signs = _mm_movemask_epi8(_mm_packs_epi16(low, high));
            bits |= u64::from(signs as u32) << shift;
        }
        bits
    }

    /// Four generations from `first`, their lowest bits as signs.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn four(sixteen: &[u32; 16], first: usize) -> __m128i {
        let four: &[u32] = &sixteen[first..first + 4];
        // SAFETY: the slice has 16 bytes, and the load requires no alignment.
        _mm_slli_epi32::<31>(unsafe { _mm_loadu_si128(four.as_ptr().cast()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_lowest_bit_of_each_generation() {
        let mut generations = [0u32; 64];
        for (seed, bits) in
            [0, u64::MAX, 0x8000_0000_0000_0001, 0x1234_5678_9abc_def0].into_iter().enumerate()
        {
            for (slot, generation) in generations.iter_mut().enumerate() {
                let high = (slot as u32).wrapping_mul(0x9e37_79b9).rotate_left(seed as u32 * 7);
                *generation = high & !1 | (bits >> slot & 1) as u32;
            }
            assert_eq!(of_block(&generations), bits);
            assert_eq!(of_slice(&generations), bits);
            assert_eq!(of_slice(&generations[..7]), bits & 0x7f);
        }
    }
}
