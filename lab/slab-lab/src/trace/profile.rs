//! Counts over a trace: kinds of requests, sizes, lifetimes, and what other crates would serve.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use super::{MALLOC_ALIGN, Op, Trace};

/// Blocks whose size or lifetime lies between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    /// The smallest value of this bin.
    pub least: usize,
    /// The largest value of this bin.
    pub most: usize,
    /// The number of blocks.
    pub count: usize,
}

/// Blocks of one exact size that are never resized: probably objects of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SizeUse {
    /// Bytes of each block.
    pub bytes: usize,
    /// The number of blocks.
    pub blocks: usize,
    /// Those freed within [`YOUNG_REQUESTS`] requests.
    pub young: usize,
}

/// Blocks of [`BUFFER_BYTES`] whose size rounds up to the same power of two: probably I/O buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BufferUse {
    /// The power of two.
    pub bytes: usize,
    /// The number of blocks.
    pub blocks: usize,
    /// The most of them that are live at one time.
    pub peak_live: usize,
    /// Those that are live now; at the end, those that are never freed.
    live: usize,
}

/// A block that is freed within so many requests dies young.
pub const YOUNG_REQUESTS: usize = 1000;

/// The sizes of I/O buffers.
pub const BUFFER_BYTES: RangeInclusive<usize> = 4096..=1 << 20;

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
    /// The sizes of all allocations and reallocs together.
    pub requested_bytes: usize,
    /// The sizes of allocations and reallocs, in powers of two: `0 to 16`, `17 to 32`, …. Empty bins
    /// between two others are included.
    pub sizes: Vec<Bin>,
    /// Requests between a block's allocation and its free, in powers of four: `1`, `2 to 4`, ….
    pub lifetimes: Vec<Bin>,
    /// Blocks that are never freed.
    pub never_freed: usize,
    /// The most frequent exact size.
    pub top_size: SizeUse,
    /// The buffers that turn over the most bytes.
    pub top_buffers: BufferUse,
}

impl Profile {
    /// Counts the requests of a trace.
    pub fn of(trace: &Trace) -> Self {
        let mut profile = Self::default();
        let mut sizes = Histogram::new(16, 2);
        let mut lifetimes = Histogram::new(1, 4);
        let mut uses = Uses::default();
        // The request that allocated the block in each slot, and whether the block was resized.
        let mut births = vec![None; trace.slots()];
        for (now, op) in trace.ops().iter().enumerate() {
            profile.largest_bytes = profile.largest_bytes.max(op.new_bytes());
            profile.requested_bytes = profile.requested_bytes.saturating_add(op.new_bytes());
            match *op {
                Op::Alloc { slot, layout } | Op::AllocZeroed { slot, layout } => {
                    match op {
                        Op::Alloc { .. } => profile.allocs += 1,
                        _ => profile.zeroed += 1,
                    }
                    profile.aligned += usize::from(layout.align() > MALLOC_ALIGN);
                    sizes.count(layout.size());
                    uses.size(layout.size()).blocks += 1;
                    uses.buffer_allocated(layout.size());
                    births[slot as usize] = Some((now, false));
                }
                Op::Realloc { slot, layout, new_size } => {
                    profile.reallocs += 1;
                    sizes.count(new_size);
                    uses.buffer_freed(layout.size());
                    uses.buffer_allocated(new_size);
                    if let Some((_, resized @ false)) = &mut births[slot as usize] {
                        *resized = true;
                        uses.size(layout.size()).blocks -= 1;
                    }
                }
                Op::Free { slot, layout } => {
                    profile.frees += 1;
                    uses.buffer_freed(layout.size());
                    if let Some((birth, resized)) = births[slot as usize].take() {
                        lifetimes.count(now - birth);
                        if !resized && now - birth <= YOUNG_REQUESTS {
                            uses.size(layout.size()).young += 1;
                        }
                    }
                }
            }
        }
        profile.never_freed = births.iter().flatten().count();
        profile.sizes = sizes.bins();
        profile.lifetimes = lifetimes.bins();
        // Ties go to the smaller size, so that the order of the map does not show.
        let frequent = |use_: &SizeUse| (use_.blocks, usize::MAX - use_.bytes);
        profile.top_size = uses.sizes.into_values().max_by_key(frequent).unwrap_or_default();
        let turnover = |use_: &BufferUse| use_.blocks.saturating_mul(use_.bytes);
        profile.top_buffers = uses.buffers.into_values().max_by_key(turnover).unwrap_or_default();
        profile
    }
}

/// Counts by exact size, and of buffers by power of two.
#[derive(Default)]
struct Uses {
    sizes: HashMap<usize, SizeUse>,
    buffers: BTreeMap<usize, BufferUse>,
}

impl Uses {
    fn size(&mut self, bytes: usize) -> &mut SizeUse {
        self.sizes.entry(bytes).or_insert(SizeUse { bytes, ..SizeUse::default() })
    }

    fn buffer(&mut self, size: usize) -> Option<&mut BufferUse> {
        let bytes = BUFFER_BYTES.contains(&size).then(|| size.next_power_of_two())?;
        Some(self.buffers.entry(bytes).or_insert(BufferUse { bytes, ..BufferUse::default() }))
    }

    fn buffer_allocated(&mut self, size: usize) {
        if let Some(buffers) = self.buffer(size) {
            buffers.blocks += 1;
            buffers.live += 1;
            buffers.peak_live = buffers.peak_live.max(buffers.live);
        }
    }

    fn buffer_freed(&mut self, size: usize) {
        if let Some(buffers) = self.buffer(size) {
            buffers.live -= 1;
        }
    }
}

/// Bins whose upper bounds grow by the factor `step`.
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
    use crate::trace::{Run, TraceBuilder, Warnings};

    fn bins(bins: &[Bin]) -> Vec<(usize, usize, usize)> {
        bins.iter().map(|bin| (bin.least, bin.most, bin.count)).collect()
    }

    #[test]
    fn requests_sizes_and_lifetimes_are_counted() {
        let mut builder = TraceBuilder::default();
        builder.alloc(0, 16, false).expect("sound"); // lives for 1 request
        builder.free(0).expect("sound");
        builder.alloc(16, 16, false).expect("sound"); // lives for 5
        builder.alloc(17, 64, true).expect("sound"); // never freed
        builder.alloc(33, 16, false).expect("sound"); // lives for 2
        builder.realloc(1, 200).expect("sound");
        builder.free(2).expect("sound");
        builder.free(0).expect("sound");
        let profile = Profile::of(&builder.finish("t", Run::default(), Warnings::default()));
        assert_eq!((profile.allocs, profile.zeroed, profile.reallocs, profile.frees), (3, 1, 1, 3));
        assert_eq!((profile.aligned, profile.largest_bytes, profile.never_freed), (1, 200, 1));
        let sizes = [(0, 16, 2), (17, 32, 1), (33, 64, 1), (65, 128, 0), (129, 256, 1)];
        assert_eq!(bins(&profile.sizes), sizes);
        assert_eq!(bins(&profile.lifetimes), [(0, 1, 1), (2, 4, 1), (5, 16, 1)]);
        // The block of 17 bytes was resized, so it is not an object of 17 bytes.
        assert_eq!(profile.top_size, SizeUse { bytes: 0, blocks: 1, young: 1 });
    }

    #[test]
    fn frequent_sizes_and_buffers_are_found() {
        let mut builder = TraceBuilder::default();
        for _ in 0..5 {
            builder.alloc(48, 16, false).expect("sound");
            builder.alloc(60_000, 16, false).expect("sound");
            builder.free(1).expect("sound");
            builder.free(0).expect("sound");
        }
        builder.alloc(5000, 16, false).expect("sound");
        builder.realloc(0, 2 << 20).expect("sound");
        builder.free(0).expect("sound");
        let trace = builder.finish("t", Run::default(), Warnings::default());
        let profile = Profile::of(&trace);
        assert_eq!(profile.top_size, SizeUse { bytes: 48, blocks: 5, young: 5 });
        let buffers = BufferUse { bytes: 64 << 10, blocks: 5, peak_live: 1, live: 0 };
        assert_eq!(profile.top_buffers, buffers);
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
