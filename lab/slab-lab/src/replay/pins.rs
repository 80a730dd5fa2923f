//! Which call stacks keep pages in use that are mostly empty.

use std::collections::HashMap;

use crate::exec::{LiveBlock, PAGE_BYTES};
use crate::trace::{Op, Trace};

/// Pages are looked at so often.
const MOMENTS: usize = 64;

/// Counts the empty bytes of pages in use. Each page's empty bytes are divided equally among the
/// blocks on it, because each of them keeps the page.
pub(super) struct Pins<'t> {
    trace: &'t Trace,
    interval: usize,
    /// The site of the block in each slot.
    sites: Vec<usize>,
    /// For each site the empty bytes of all moments together; the last one is that of unknown sites.
    empty_bytes: Vec<f64>,
    moments: usize,
}

impl<'t> Pins<'t> {
    pub(super) fn new(trace: &'t Trace) -> Self {
        let sites = trace.context().stacks().len() + 1;
        Self {
            trace,
            interval: trace.ops().len().div_ceil(MOMENTS).max(1),
            sites: vec![sites - 1; trace.slots()],
            empty_bytes: vec![0.0; sites],
            moments: 0,
        }
    }

    /// Follows a request, and looks at the pages if a moment has come.
    pub(super) fn observe(&mut self, request: usize, live: impl Iterator<Item = LiveBlock>) {
        match self.trace.ops()[request] {
            Op::Alloc { slot, .. } | Op::AllocZeroed { slot, .. } | Op::Realloc { slot, .. } => {
                let unknown = self.empty_bytes.len() - 1;
                let site = self.trace.context().site(request);
                self.sites[slot as usize] = site.filter(|&site| site < unknown).unwrap_or(unknown);
            }
            Op::Free { .. } => {}
        }
        if (request + 1).is_multiple_of(self.interval) {
            self.look(live);
        }
    }

    fn look(&mut self, live: impl Iterator<Item = LiveBlock>) {
        self.moments += 1;
        // For each page its live bytes and the sites of its blocks.
        let mut pages: HashMap<usize, (usize, Vec<usize>)> = HashMap::new();
        for LiveBlock { slot, start, bytes } in live {
            let site = self.sites[slot as usize];
            let end = start + bytes.max(1);
            // Pages inside a large block are full.
            let ends = [start / PAGE_BYTES, (end - 1) / PAGE_BYTES];
            for (index, &page) in ends.iter().enumerate() {
                if index == 1 && ends[0] == page {
                    break;
                }
                let from = start.max(page * PAGE_BYTES);
                let until = end.min((page + 1) * PAGE_BYTES);
                let (used, sites) = pages.entry(page).or_default();
                *used += until - from;
                sites.push(site);
            }
        }
        for (used, sites) in pages.into_values() {
            let each = PAGE_BYTES.saturating_sub(used) as f64 / sites.len() as f64;
            sites.into_iter().for_each(|site| self.empty_bytes[site] += each);
        }
    }

    /// Returns the empty bytes that each site pins, on average over the run.
    pub(super) fn finish(self) -> Vec<u64> {
        let moments = self.moments.max(1) as f64;
        self.empty_bytes.into_iter().map(|bytes| (bytes / moments).round() as u64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Run, TraceBuilder, Warnings};

    #[test]
    fn empty_bytes_belong_to_the_blocks_of_a_page() {
        let mut builder = TraceBuilder::default();
        builder.now(0, 0, None).expect("one thread");
        builder.alloc(96, 16, false).expect("sound");
        builder.alloc(3 * 4096, 16, false).expect("sound");
        let trace = builder.finish("t", Run::default(), Warnings::default());
        let mut pins = Pins::new(&trace);
        let small = LiveBlock { slot: 0, start: 0, bytes: 96 };
        pins.observe(0, [small].into_iter());
        // The second block ends with 96 bytes on its last page; with the first one it fills 192 bytes.
        let large = LiveBlock { slot: 1, start: 96, bytes: 3 * 4096 };
        pins.observe(1, [small, large].into_iter());
        // 4000 empty bytes at the first moment; at the second 0 on page 0 and 4000 on page 3.
        assert_eq!(pins.finish(), [4000]);
    }
}
