//! The set of held chunks, in two levels of bits: a pass finds the next held chunk without reading the chunks between.
//! Safe code over words that the directory owns.

/// Bits of a word.
const BITS: u32 = u64::BITS;

/// The words of a set of numbers below `capacity`: one bit per number, then one bit for each of these words.
pub const fn word_count(capacity: u32) -> usize {
    lower_words(capacity) + (lower_words(capacity) as u32).div_ceil(BITS) as usize
}

/// The words that have one bit per number.
const fn lower_words(capacity: u32) -> usize {
    capacity.div_ceil(BITS) as usize
}

/// A set of numbers below `capacity`.
#[derive(Clone, Copy)]
pub struct HeldSet<'a> {
    /// One bit per number.
    lower: &'a [u64],
    /// One bit per word of `lower`, set if that word is not zero.
    upper: &'a [u64],
}

impl<'a> HeldSet<'a> {
    /// Returns the set in [`word_count`]`(capacity)` words.
    pub fn new(words: &'a [u64], capacity: u32) -> Self {
        let (lower, upper) = words.split_at(lower_words(capacity));
        Self { lower, upper }
    }

    /// Returns the lowest number that is not below `from`. *O*(capacity / 4096) word reads, 1024 at most.
    pub fn first_from(self, from: u32) -> Option<u32> {
        let word = (from / BITS) as usize;
        let bits = *self.lower.get(word)? & (u64::MAX << (from % BITS));
        if bits != 0 {
            return Some(word as u32 * BITS + bits.trailing_zeros());
        }
        let word = first_bit_from(self.upper, word as u32 + 1)?;
        Some(word * BITS + self.lower[word as usize].trailing_zeros())
    }

    /// Returns the highest number below `end`, which is not above the capacity. The cost is that of
    /// [`first_from`](Self::first_from).
    pub fn last_below(self, end: u32) -> Option<u32> {
        let last = end.checked_sub(1)?;
        let word = (last / BITS) as usize;
        let bits = *self.lower.get(word)? & (u64::MAX >> (BITS - 1 - last % BITS));
        if bits != 0 {
            return Some(word as u32 * BITS + bits.ilog2());
        }
        let word = last_bit_below(self.upper, word as u32)?;
        Some(word * BITS + self.lower[word as usize].ilog2())
    }

    /// Returns whether a number is in the set.
    pub fn contains(self, number: u32) -> bool {
        self.lower[(number / BITS) as usize] >> (number % BITS) & 1 == 1
    }
}

/// Returns the position of the lowest set bit that is not below `from`.
fn first_bit_from(words: &[u64], from: u32) -> Option<u32> {
    let mut word = from / BITS;
    let mut bits = *words.get(word as usize)? & (u64::MAX << (from % BITS));
    while bits == 0 {
        word += 1;
        bits = *words.get(word as usize)?;
    }
    Some(word * BITS + bits.trailing_zeros())
}

/// Returns the position of the highest set bit below `end`.
fn last_bit_below(words: &[u64], end: u32) -> Option<u32> {
    let last = end.checked_sub(1)?;
    let mut word = last / BITS;
    let mut bits = *words.get(word as usize)? & (u64::MAX >> (BITS - 1 - last % BITS));
    while bits == 0 {
        word = word.checked_sub(1)?;
        bits = words[word as usize];
    }
    Some(word * BITS + bits.ilog2())
}

/// Adds a number to the set, or removes it.
pub fn set(words: &mut [u64], capacity: u32, number: u32, held: bool) {
    let (lower, upper) = words.split_at_mut(lower_words(capacity));
    let word = number / BITS;
    let bits = &mut lower[word as usize];
    set_bit(bits, number % BITS, held);
    set_bit(&mut upper[(word / BITS) as usize], word % BITS, *bits != 0);
}

fn set_bit(word: &mut u64, bit: u32, value: bool) {
    *word = *word & !(1 << bit) | u64::from(value) << bit;
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeSet;
    use std::vec;

    use super::*;

    #[test]
    fn finds_what_a_tree_finds() {
        for capacity in [1, 63, 64, 65, 4096, 4097, 100_000] {
            let mut words = vec![0; word_count(capacity)];
            let mut model = BTreeSet::new();
            let mut state = u64::from(capacity);
            for _ in 0..if cfg!(miri) { 40 } else { 400 } {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let number = (state >> 33) as u32 % capacity;
                let held = state >> 32 & 1 == 1;
                set(&mut words, capacity, number, held);
                if held {
                    model.insert(number)
                } else {
                    model.remove(&number)
                };
                let held_set = HeldSet::new(&words, capacity);
                assert_eq!(held_set.contains(number), held);
                for at in [0, number.saturating_sub(1), number, number + 1, capacity] {
                    let first = model.range(at..).next().copied();
                    assert_eq!(held_set.first_from(at), first, "from {at} of {capacity}");
                    let last = model.range(..at).next_back().copied();
                    assert_eq!(held_set.last_below(at), last, "below {at} of {capacity}");
                }
            }
        }
    }

    #[test]
    fn a_set_without_words_is_empty() {
        let held_set = HeldSet::new(&[], 0);
        assert_eq!((held_set.first_from(0), held_set.last_below(0)), (None, None));
    }
}
