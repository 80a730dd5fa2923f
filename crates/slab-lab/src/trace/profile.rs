//! What a trace is made of: kinds of requests, sizes, lifetimes.

use std::collections::BTreeMap;

use super::{MALLOC_ALIGN, Op, Trace};

/// Blocks whose size or lifetime lies between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    /// The smallest value that belongs here.
    pub least: usize,
    /// The largest value that belongs here.
    pub most: usize,
    /// How many there are.
    pub count: usize,
}

/// Counts over all requests of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// Allocations whose content is not zeroed.
    pub allocs: usize,
    /// Zeroed allocations.
    pub zeroed: usize,
    /// Changes of a block's size.
    pub reallocs: usize,
    /// Frees.
    pub frees: usize,
    /// Allocations, zeroed or not, of more than the usual alignment.
    pub aligned: usize,
    /// The largest block, in bytes.
    pub largest_bytes: usize,
    /// The sizes asked for by allocations and reallocs, in steps of two: `1 to 16`, `17 to 32`, ….
    /// Bins between two that hold something are there too.
    pub sizes: Vec<Bin>,
    /// How many requests lie between a block's birth and its end, in steps of four: `1`, `2 to 4`, ….
    pub lifetimes: Vec<Bin>,
    /// Blocks that are never freed.
    pub never_freed: usize,
}

impl Profile {
    /// Counts the requests of a trace.
    pub fn of(trace: &Trace) -> Self {
        let mut profile = Self::default();
        let mut sizes = Histogram::new(16, 2);
        let mut lifetimes = Histogram::new(1, 4);
        // When the block in each slot was born.
        let mut births = vec![None; trace.slots()];
        for (now, op) in trace.ops().iter().enumerate() {
            profile.largest_bytes = profile.largest_bytes.max(op.new_bytes());
            match *op {
                Op::Alloc { slot, layout } | Op::AllocZeroed { slot, layout } => {
                    match op {
                        Op::Alloc { .. } => profile.allocs += 1,
                        _ => profile.zeroed += 1,
                    }
                    profile.aligned += usize::from(layout.align() > MALLOC_ALIGN);
                    sizes.count(layout.size());
                    births[slot as usize] = Some(now);
                }
                Op::Realloc { new_size, .. } => {
                    profile.reallocs += 1;
                    sizes.count(new_size);
                }
                Op::Free { slot, .. } => {
                    profile.frees += 1;
                    if let Some(birth) = births[slot as usize].take() {
                        lifetimes.count(now - birth);
                    }
                }
            }
        }
        profile.never_freed = births.iter().flatten().count();
        profile.sizes = sizes.bins();
        profile.lifetimes = lifetimes.bins();
        profile
    }
}

/// Bins of which each reaches `step` times as far as the one before it.
struct Histogram {
    first: usize,
    step: usize,
    counts: BTreeMap<u32, usize>,
}

impl Histogram {
    fn new(first: usize, step: usize) -> Self {
        Self { first, step, counts: BTreeMap::new() }
    }

    fn count(&mut self, value: usize) {
        let steps = match value.div_ceil(self.first).max(1) - 1 {
            0 => 0,
            over => over.ilog(self.step) + 1,
        };
        *self.counts.entry(steps).or_default() += 1;
    }

    fn bins(&self) -> Vec<Bin> {
        let ends = self.counts.first_key_value().zip(self.counts.last_key_value());
        let Some(((&low, _), (&high, _))) = ends else { return Vec::new() };
        let most = |steps: u32| {
            self.step.checked_pow(steps).and_then(|times| times.checked_mul(self.first))
        };
        let bin = |steps: u32| Bin {
            least: steps.checked_sub(1).and_then(most).map_or(0, |most| most.saturating_add(1)),
            most: most(steps).unwrap_or(usize::MAX),
            count: self.counts.get(&steps).copied().unwrap_or(0),
        };
        (low..=high).map(bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Oddities, TraceBuilder};

    fn bins(bins: &[Bin]) -> Vec<(usize, usize, usize)> {
        bins.iter().map(|bin| (bin.least, bin.most, bin.count)).collect()
    }

    #[test]
    fn requests_sizes_and_lifetimes_are_counted() {
        let mut builder = TraceBuilder::default();
        builder.alloc(0, 16, false).expect("sound"); // lives for 1
        builder.free(0).expect("sound");
        builder.alloc(16, 16, false).expect("sound"); // lives for 5
        builder.alloc(17, 64, true).expect("sound"); // for ever
        builder.alloc(33, 16, false).expect("sound"); // lives for 2
        builder.realloc(1, 200).expect("sound");
        builder.free(2).expect("sound");
        builder.free(0).expect("sound");
        let profile = Profile::of(&builder.finish("t", Oddities::default()));
        assert_eq!((profile.allocs, profile.zeroed, profile.reallocs, profile.frees), (3, 1, 1, 3));
        assert_eq!((profile.aligned, profile.largest_bytes, profile.never_freed), (1, 200, 1));
        let sizes = [(0, 16, 2), (17, 32, 1), (33, 64, 1), (65, 128, 0), (129, 256, 1)];
        assert_eq!(bins(&profile.sizes), sizes);
        assert_eq!(bins(&profile.lifetimes), [(0, 1, 1), (2, 4, 1), (5, 16, 1)]);
    }

    #[test]
    fn bounds_belong_to_the_lower_bin() {
        let mut sizes = Histogram::new(16, 2);
        for size in [16, 32, 33, 64, 65, 128, 1 << 40] {
            sizes.count(size);
        }
        let bins = sizes.bins();
        for bin in &bins[..4] {
            assert_eq!(bin.count, [1, 1, 2, 2][bin.most.ilog2() as usize - 4], "{bin:?}");
        }
        assert_eq!(bins.last().map(|bin| (bin.most, bin.count)), Some((1 << 40, 1)));
    }
}
