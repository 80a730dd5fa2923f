//! The mixing under fingerprints and checksums: arithmetic on 64-bit numbers that no platform does
//! differently.
//!
//! Two published parts, neither of which is linear:
//!
//! * Two words become one by the *folded product* of wyhash, `_wymix` with `WYHASH_CONDOM` 2: both are
//!   combined with a constant and multiplied, and the halves of the 128-bit product and the factors are
//!   combined by exclusive or. (XXH3 names the fold `mul128_fold64`.) The factors keep a word from getting
//!   lost where the other factor is zero.
//! * The state takes that word in by half of murmur3's finaliser `fmix64`: exclusive or, shift by 33,
//!   multiplication. That is a permutation of the states, so that a difference between two states is never lost
//!   in input that is the same.
//!
//! Two inputs that differ lead to the same state by chance, once in 2⁶⁴ pairs. Whoever knows the constants can
//! construct such inputs: this is no defence against an adversary.

/// Constants of wyhash: the first two of its `_wyp`.
const SECRETS: [u64; 2] = [0x2D35_8DCC_AA6C_78A5, 0x8BB8_4B93_962E_ACC9];

/// The first constant of murmur3's `fmix64`.
const ROUND: u64 = 0xFF51_AFD7_ED55_8CCD;

/// The state before any input: digits of π.
const START: u64 = 0x3243_F6A8_885A_308D;

/// Words taken in so far, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mixer {
    state: u64,
}

impl Mixer {
    /// Returns a mixer that has taken in nothing.
    pub const fn new() -> Self {
        Self::at(START)
    }

    /// Returns the mixer that has come to a state.
    pub const fn at(state: u64) -> Self {
        Self { state }
    }

    /// Returns the state.
    #[inline]
    pub const fn state(self) -> u64 {
        self.state
    }

    /// Takes in two words. Only the last line has to wait for the pair before.
    #[inline]
    pub fn pair(&mut self, left: u64, right: u64) {
        let (left, right) = (left ^ SECRETS[0], right ^ SECRETS[1]);
        let product = u128::from(left) * u128::from(right);
        let word = left ^ right ^ product as u64 ^ (product >> 64) as u64;
        let mixed = self.state ^ word;
        self.state = (mixed ^ mixed >> 33).wrapping_mul(ROUND);
    }

    /// Takes in bytes, as pairs of little-endian words, the last of which ends with zeros. How many there are
    /// is not taken in.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<16>();
        for chunk in whole {
            self.chunk(chunk);
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        self.chunk(&last);
    }

    #[inline]
    fn chunk(&mut self, bytes: &[u8; 16]) {
        let both = u128::from_le_bytes(*bytes);
        self.pair(both as u64, (both >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn state_of(bytes: &[u8]) -> u64 {
        let mut mixer = Mixer::new();
        mixer.pair(bytes.len() as u64, 0);
        mixer.bytes(bytes);
        mixer.state()
    }

    fn assert_distinct(mut states: Vec<u64>, of: &str) {
        let count = states.len();
        states.sort_unstable();
        states.dedup();
        assert_eq!(states.len(), count, "two of {count} {of} have the same state");
    }

    /// Zeros, ones, a text, floating-point numbers, and what nothing is known of.
    fn samples(len: usize) -> [Vec<u8>; 5] {
        let random = |at: usize| ((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8;
        let number = |at: usize| (1.5 + (at / 8) as f64).to_le_bytes()[at % 8];
        let text = b"The quick brown fox jumps over the lazy dog; then it takes a rest.";
        [
            vec![0; len],
            vec![0xFF; len],
            (0..len).map(|at| text[at]).collect(),
            (0..len).map(number).collect(),
            (0..len).map(random).collect(),
        ]
    }

    fn flip(bytes: &mut [u8], bit: usize) {
        bytes[bit / 8] ^= 1 << (bit % 8);
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn one_and_two_bits_that_differ_are_seen() {
        for len in [1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64] {
            for mut sample in samples(len) {
                let mut states = vec![state_of(&sample)];
                for one in 0..8 * len {
                    flip(&mut sample, one);
                    states.push(state_of(&sample));
                    for other in 0..one {
                        flip(&mut sample, other);
                        states.push(state_of(&sample));
                        flip(&mut sample, other);
                    }
                    flip(&mut sample, one);
                }
                assert_distinct(states, "differences of up to two bits");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
    fn signs_swaps_and_shifts_are_seen() {
        let bytes = |numbers: &[f64]| -> Vec<u8> {
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
        };
        let mut numbers = [1.0, 2.5, -3.0, 1e300, 0.1, 7.0, 1024.0, -0.5];
        let mut states = Vec::new();
        for signs in 0..1 << numbers.len() {
            let signed: Vec<f64> = numbers
                .iter()
                .enumerate()
                .map(|(at, &number)| if signs >> at & 1 == 0 { number } else { -number })
                .collect();
            states.push(state_of(&bytes(&signed)));
        }
        for one in 0..numbers.len() {
            for other in 0..one {
                numbers.swap(one, other);
                states.push(state_of(&bytes(&numbers)));
                numbers.swap(one, other);
            }
        }
        for by in 1..numbers.len() {
            numbers.rotate_left(1);
            states.push(state_of(&bytes(&numbers)));
            let mut shifted = vec![0; 64];
            shifted[by..].copy_from_slice(&bytes(&numbers)[..64 - by]);
            states.push(state_of(&shifted));
        }
        assert_distinct(states, "signs, permutations and shifts");
    }

    /// A step loses no difference of states: the inverse of each part is one.
    #[test]
    fn a_step_is_a_permutation_of_the_states() {
        let mut inverse = 1_u64;
        for _ in 0..6 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(inverse.wrapping_mul(ROUND)));
        }
        assert_eq!(inverse.wrapping_mul(ROUND), 1);
        for state in [0, 1, START, u64::MAX, 1 << 63] {
            let (mut mixer, mut zero) = (Mixer::at(state), Mixer::at(0));
            mixer.pair(5, 6);
            zero.pair(5, 6);
            let undo = |state: u64| {
                let shifted = state.wrapping_mul(inverse);
                shifted ^ shifted >> 33
            };
            assert_eq!(undo(mixer.state()) ^ undo(zero.state()), state);
        }
    }

    /// Where one factor is zero, the other word is still seen.
    #[test]
    fn no_word_hides_another() {
        let state = |left, right| {
            let mut mixer = Mixer::new();
            mixer.pair(left, right);
            mixer.state()
        };
        assert_ne!(state(SECRETS[0], 1), state(SECRETS[0], 2));
        assert_ne!(state(1, SECRETS[1]), state(2, SECRETS[1]));
    }

    /// Computed by another program.
    #[test]
    fn the_states_are_known() {
        let states = [&b""[..], b"a", b"0123456789abcdef", b"0123456789abcdefg"].map(state_of);
        let known = [
            0xDBA6_C430_C60D_F677,
            0x17F4_B193_D026_220C,
            0x1FDC_5819_F344_33CF,
            0xB232_1612_91A1_02AC,
        ];
        assert_eq!(states, known);
    }
}
