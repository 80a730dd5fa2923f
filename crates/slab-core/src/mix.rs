//! Mixing of one 64-bit word: for canaries, checksums and keys, not for cryptography.

/// Returns a word of which each bit depends on each bit of `word`. *O*(1): two multiplications.
///
/// It is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014), which is one-to-one: different words
/// have different results, and 0 has 0.
///
/// # Examples
///
/// ```
/// use slab_core::mix64;
///
/// // The first number of a SplitMix64 generator with seed 0, as published.
/// assert_eq!(mix64(0x9E37_79B9_7F4A_7C15), 0xE220_A839_7B1D_CDAF);
/// ```
#[inline]
pub const fn mix64(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::mix64;

    /// The first numbers of a SplitMix64 generator with seed 1234567, as published.
    #[test]
    fn it_gives_the_published_numbers() {
        let numbers = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        let mut state = 1_234_567_u64;
        for number in numbers {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            assert_eq!(mix64(state), number);
        }
    }

    #[test]
    fn each_bit_changes_about_half_of_the_result() {
        for bit in 0..u64::BITS {
            let changed = mix64(0x1234_5678) ^ mix64(0x1234_5678 ^ 1 << bit);
            assert!((16..=48).contains(&changed.count_ones()), "bit {bit}: {changed:#x}");
        }
    }
}
