//! A heap over time.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::exec::PAGE_BYTES;

/// Moments at which a heap is sampled: about as many as a drawing has room for.
const MOMENTS: usize = 200;

/// Cells into which the region is divided.
const CELLS: usize = 2048;

/// The live blocks of a heap at some moments of a trace. Metadata is not seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Samples {
    start: usize,
    interval: usize,
    cell_bytes: usize,
    /// Whether a block ever touched each page.
    touched_pages: Vec<bool>,
    /// The samples, in order.
    pub moments: Vec<Moment>,
}

/// A sample of a heap after one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The number of operations before.
    pub operation: usize,
    /// Bytes of live blocks, as requested.
    pub live_bytes: usize,
    /// Bytes of all pages that hold a part of a live block.
    pub page_bytes: usize,
    /// Bytes of all pages that held a part of one at this or an earlier moment.
    pub touched_bytes: usize,
    /// How much of each cell is live, from 0 to 255; cells after the last live one are left out.
    pub cells: Vec<u8>,
}

impl Moment {
    /// Returns the part of the pages in use that holds no live byte.
    pub fn fragmentation(&self) -> f64 {
        match self.page_bytes {
            0 => 0.0,
            pages => 1.0 - self.live_bytes as f64 / pages as f64,
        }
    }
}

impl Samples {
    /// Prepares for a region and a number of operations.
    pub fn new(region: Range<usize>, operations: usize) -> Self {
        let bytes = region.len();
        Self {
            start: region.start,
            interval: operations.div_ceil(MOMENTS).max(1),
            cell_bytes: bytes.div_ceil(CELLS),
            touched_pages: vec![false; bytes.div_ceil(PAGE_BYTES)],
            moments: Vec::new(),
        }
    }

    /// Returns the bytes of one cell.
    pub fn cell_bytes(&self) -> usize {
        self.cell_bytes
    }

    /// Samples the live blocks, given by first and past-the-end address, if a moment has come.
    pub fn observe(&mut self, operation: usize, live: &BTreeMap<usize, usize>) {
        if operation.is_multiple_of(self.interval) {
            let moment = self.moment(operation, live);
            self.moments.push(moment);
        }
    }

    fn moment(&mut self, operation: usize, live: &BTreeMap<usize, usize>) -> Moment {
        let mut live_bytes = 0;
        let mut pages_in_use = 0;
        let mut next_page = 0;
        let mut cells = vec![0usize; CELLS];
        for (&first, &end) in live {
            let (first, end) = (first - self.start, end - self.start);
            live_bytes += end - first;
            // Blocks are sorted by address, so each page is counted once.
            let pages = (first / PAGE_BYTES).max(next_page)..end.div_ceil(PAGE_BYTES);
            pages_in_use += pages.len();
            next_page = next_page.max(pages.end);
            for page in pages {
                self.touched_pages[page] = true;
            }
            let mut at = first;
            while at < end {
                let cell = at / self.cell_bytes;
                let until = end.min((cell + 1) * self.cell_bytes);
                cells[cell] += until - at;
                at = until;
            }
        }
        let used = cells.iter().rposition(|&bytes| bytes > 0).map_or(0, |last| last + 1);
        let level = |&bytes: &usize| (bytes * 255).div_ceil(self.cell_bytes).min(255) as u8;
        Moment {
            operation,
            live_bytes,
            page_bytes: pages_in_use * PAGE_BYTES,
            touched_bytes: self.touched_pages.iter().filter(|&&page| page).count() * PAGE_BYTES,
            cells: cells[..used].iter().map(level).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_cells_are_counted_once() {
        let start = 1 << 20;
        let mut samples = Samples::new(start..start + CELLS * 64, 3);
        let live = BTreeMap::from([
            (start, start + 64),
            (start + 96, start + 128),
            (start + PAGE_BYTES - 32, start + PAGE_BYTES + 32),
        ]);
        samples.observe(0, &live);
        samples.observe(1, &BTreeMap::from([(start + 3 * PAGE_BYTES, start + 3 * PAGE_BYTES + 1)]));
        samples.observe(2, &BTreeMap::new());
        let [full, sparse, empty] = &samples.moments[..] else { panic!("three moments") };
        assert_eq!((full.live_bytes, full.page_bytes), (160, 2 * PAGE_BYTES));
        assert_eq!(full.cells[..3], [255, 128, 0]);
        assert_eq!((full.cells.len(), full.cells[63], full.cells[64]), (65, 128, 128));
        assert_eq!((sparse.page_bytes, sparse.touched_bytes), (PAGE_BYTES, 3 * PAGE_BYTES));
        assert_eq!((empty.fragmentation(), empty.cells.len()), (0.0, 0));
    }
}
