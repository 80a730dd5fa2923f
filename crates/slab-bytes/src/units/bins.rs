//! The free runs, in lists by length: one list a length to 64 units, eight per doubling beyond.

#![expect(unsafe_code, reason = "passes runs on to lists")]

use core::ptr::NonNull;

use super::links::{LinkRef, Links, List};

/// Lengths that have a bin each.
pub const EXACT: u32 = 64;
const EXACT_LOG: u32 = EXACT.ilog2();

/// Bins of a doubling, as a power of two.
const STEPS_LOG: u32 = 3;

/// Doublings with bins. The last bin has all runs beyond them: from 960 MiB on.
const DOUBLINGS: u32 = 20;

/// All bins.
pub const BINS: u32 = EXACT + (DOUBLINGS << STEPS_LOG);

const WORDS: usize = BINS.div_ceil(u32::BITS) as usize;

/// The bins, and a bit for each that says whether it has runs.
#[derive(Debug)]
pub struct Bins {
    lists: [List; BINS as usize],
    words: [u32; WORDS],
    /// A bit for each of `words` that is not zero.
    summary: u32,
}

impl Bins {
    pub const EMPTY: Self =
        Self { lists: [List::EMPTY; BINS as usize], words: [0; WORDS], summary: 0 };

    /// Returns the bin of the runs of a length.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub const fn bin_of(len: u32) -> u32 {
        if len <= EXACT {
            // No length is zero; so written, the compiler knows that the bin exists.
            return len.wrapping_sub(1) % EXACT;
        }
        let log = len.ilog2();
        let step = (len >> (log - STEPS_LOG)) & ((1 << STEPS_LOG) - 1);
        let bin = EXACT + ((log - EXACT_LOG) << STEPS_LOG) + step;
        if bin < BINS { bin } else { BINS - 1 }
    }

    /// Returns the first bin all of whose runs have a length at least; [`BINS`] if there is none.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub const fn sure_bin(len: u32) -> u32 {
        match Self::sure_len(len) {
            Some(least) => Self::bin_of(least),
            None => BINS,
        }
    }

    /// Returns the shortest length of which every run is in [`sure_bin`](Self::sure_bin) of `len` or behind it.
    pub const fn sure_len(len: u32) -> Option<u32> {
        if len <= EXACT {
            return Some(len);
        }
        let step = 1 << (len.ilog2() - STEPS_LOG);
        // Runs of the last bin may have any length from its least one on.
        match len.checked_next_multiple_of(step) {
            Some(up) if Self::bin_of(up) < BINS - 1 => Some(up),
            _ => None,
        }
    }

    /// Returns the first bin from one on that has runs.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub fn next_from(&self, bin: u32) -> Option<u32> {
        if bin >= BINS {
            return None;
        }
        let word = bin / u32::BITS;
        let here = self.words[word as usize] & (!0 << (bin % u32::BITS));
        if here != 0 {
            return Some(word * u32::BITS + here.trailing_zeros());
        }
        // The word after the last of 32 would be one too far, but there are fewer.
        let words = self.summary & (!0 << (word + 1));
        if words == 0 {
            return None;
        }
        let word = words.trailing_zeros();
        Some(word * u32::BITS + self.words[word as usize].trailing_zeros())
    }

    /// Returns the list of a bin.
    #[inline]
    pub fn list(&self, bin: u32) -> &List {
        &self.lists[bin as usize]
    }

    /// Adds a run to a bin.
    ///
    /// # Safety
    ///
    /// `unit` is the first byte of a free run that is in no list.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub unsafe fn push(&mut self, bin: u32, unit: NonNull<u8>) {
        // SAFETY: as the caller promises.
        unsafe { self.lists[bin as usize].push(unit) };
        self.words[(bin / u32::BITS) as usize] |= 1 << (bin % u32::BITS);
        self.summary |= 1 << (bin / u32::BITS);
    }

    /// Takes a run of a length out of its bin. Returns whether its links and those of its neighbours agree, as they do
    /// unless the program wrote to memory that it had freed; if not, nothing was changed. *O*(1).
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub fn unlink(&mut self, len: u32, link: LinkRef) -> bool {
        let Links { next, prev } = link.get();
        if !next.is_none_or(|next| next.get().prev == Some(link)) {
            return false;
        }
        if let Some(prev) = prev {
            if prev.get().next != Some(link) {
                return false;
            }
            prev.set_next(next);
        } else {
            let bin = Self::bin_of(len);
            let list = &mut self.lists[bin as usize];
            if !list.pop(link, next) {
                return false;
            }
            if next.is_none() {
                self.note_empty(bin);
            }
        }
        if let Some(next) = next {
            next.set_prev(prev);
        }
        true
    }

    /// Gives up the runs of a bin.
    #[cold]
    pub fn clear(&mut self, bin: u32) {
        self.lists[bin as usize].clear();
        self.note_empty(bin);
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    fn note_empty(&mut self, bin: u32) {
        let word = &mut self.words[(bin / u32::BITS) as usize];
        *word &= !(1 << (bin % u32::BITS));
        if *word == 0 {
            self.summary &= !(1 << (bin / u32::BITS));
        }
    }
}

const _: () = assert!(WORDS < u32::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_of_the_sure_bin_is_long_enough() {
        let lens = (1..5000).chain((12..32).flat_map(|log| {
            let power = 1_u32 << log;
            [power - 1, power, power + 1, power + power / 8 - 1, power + power / 8]
        }));
        for len in lens {
            let sure = Bins::sure_bin(len);
            assert!(sure >= Bins::bin_of(len));
            match Bins::sure_len(len) {
                Some(least) => {
                    assert!(len <= least && least - len <= len / 8);
                    assert_eq!(Bins::bin_of(least), sure, "{len}");
                    assert!(least == 1 || Bins::bin_of(least - 1) < sure, "{len}");
                }
                None => assert_eq!(sure, BINS, "{len}"),
            }
        }
    }

    #[test]
    fn bins_rise_with_the_length() {
        let bins: std::vec::Vec<u32> = (1..100_000).map(Bins::bin_of).collect();
        assert!(bins.is_sorted());
        assert!(bins.windows(2).all(|pair| pair[1] - pair[0] <= 1));
        assert_eq!(Bins::bin_of(u32::MAX), BINS - 1);
    }
}
