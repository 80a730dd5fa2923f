//! Counts, and a report of the memory in use.

use core::fmt;

use allocator_api2::alloc::Allocator;

use crate::allocator::BlockAllocator;
use crate::classes::{CLASS_COUNT_MAX, PAGE_BYTES};
use crate::config::Config;
use crate::journal::Journal;
use crate::record::{NONE, OVERFLOW};

/// The blocks of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BinStats {
    /// Bytes of each block.
    pub block_bytes: usize,
    /// Blocks in use.
    pub live: usize,
    /// Blocks that wait to be used again.
    pub free: usize,
}

impl<A: Allocator, J: Journal> BlockAllocator<A, J> {
    /// Returns the configuration of the allocator.
    pub fn config(&self) -> Config {
        self.config
    }

    /// Returns the memory source.
    pub fn allocator(&self) -> &A {
        self.store.source()
    }

    /// Returns the number of live blocks. *O*(1).
    #[inline]
    #[doc(alias = "live_count")]
    pub fn len(&self) -> usize {
        (self.numbers.alloc_count - self.numbers.free_count) as usize
    }

    /// Returns whether no block is live. *O*(1).
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Alias of [`len`](Self::len).
    #[inline]
    pub fn live_count(&self) -> usize {
        self.len()
    }

    /// Returns the bytes in live blocks: of their size classes or whole pages, not those requested.
    /// *O*(classes).
    pub fn used_bytes(&self) -> usize {
        let binned: usize = self.bins().map(|bin| bin.live * bin.block_bytes).sum();
        binned + self.numbers.overflow_pages as usize * PAGE_BYTES
    }

    /// Returns the bytes requested from the memory source: chunks, each with up to 4080 bytes to align
    /// it, and [`metadata_bytes`](Self::metadata_bytes). *O*(1).
    pub fn held_bytes(&self) -> usize {
        self.store.held_bytes()
    }

    /// Returns the number of indices handed out so far: one for each block that ever existed at the
    /// same time as the others. Ids have indices below it. *O*(1).
    pub fn total_blocks(&self) -> usize {
        self.numbers.record_count as usize
    }

    /// Returns the number of dead blocks in bins. Free space for large blocks is not in bins: see [`free_run_bytes`](Self::free_run_bytes). *O*(1): one addition a class.
    pub fn free_block_count(&self) -> usize {
        self.numbers.bins.iter().map(|bin| bin.free.len as usize).sum()
    }

    /// Returns the bytes of all chunks. They shrink in [`trim`](Self::trim) alone. *O*(1).
    pub fn storage_bytes(&self) -> usize {
        self.store.chunks().bytes()
    }

    /// Returns the bytes acquired beside the chunks: 20 an index, 16 a page, 32 a chunk, each of them
    /// in segments that double. *O*(1).
    pub fn metadata_bytes(&self) -> usize {
        self.store.metadata_bytes()
    }

    /// Returns the bytes of pages that no block and no bin has. *O*(1).
    pub fn free_run_bytes(&self) -> usize {
        self.numbers.runs.free_pages() as usize * PAGE_BYTES
    }

    /// Returns the number of free runs of pages. *O*(1).
    pub fn free_run_count(&self) -> usize {
        self.numbers.runs.run_count() as usize
    }

    /// Returns how many allocations have succeeded. *O*(1).
    pub fn alloc_count(&self) -> u64 {
        self.numbers.alloc_count
    }

    /// Returns how many blocks were freed. *O*(1).
    pub fn free_count(&self) -> u64 {
        self.numbers.free_count
    }

    /// Returns how many indices have had their 2³¹ − 1 lives and will never be used again. *O*(1).
    pub fn retired_count(&self) -> usize {
        self.numbers.retired as usize
    }

    /// Returns the most lines of pages that a single allocation or free has read or written: the steps
    /// of the dearest one, but for zeroing what it returns. At most 100, and 50 for each level of the
    /// tree of free runs, which has no more than 1.45 · log₂(runs + 2) of them; on the way to a
    /// gibibyte fewer than 130. *O*(1).
    pub fn steps_max(&self) -> u64 {
        self.numbers.steps_max
    }

    /// Returns the statistics of each class, smallest first. *O*(classes).
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut blocks = slab_binned::BinnedAllocator::new();
    /// blocks.alloc(100)?;
    /// let bin = blocks.bins().find(|bin| bin.live == 1).expect("one block");
    /// assert_eq!(bin.block_bytes, 128);
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn bins(&self) -> impl Iterator<Item = BinStats> {
        self.classes.sizes.iter().zip(&self.numbers.bins).map(|(&bytes, bin)| BinStats {
            block_bytes: bytes as usize,
            live: (bin.blocks - bin.free.len) as usize,
            free: bin.free.len as usize,
        })
    }

    /// Returns a report of the memory in use. *O*(indices).
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut blocks = slab_binned::BinnedAllocator::new();
    /// blocks.alloc(100)?;
    /// let report = blocks.occupancy().to_string();
    /// assert!(report.contains("128          1          0         100        78.1 %"), "{report}");
    /// # Ok::<(), slab_binned::BinnedError>(())
    /// ```
    pub fn occupancy(&self) -> Occupancy {
        let mut rows = [Row::default(); CLASS_COUNT_MAX];
        for (row, stats) in rows.iter_mut().zip(self.bins()) {
            row.stats = stats;
        }
        let mut overflow = Row::default();
        for index in 0..self.numbers.record_count {
            let Some(record) = self.store.record(index) else { continue };
            if record.chunk == NONE || !record.is_live() {
                continue;
            }
            let (len, class) = (record.len as usize, record.class());
            if class == OVERFLOW {
                overflow.stats.live += 1;
                overflow.requested_bytes += len;
                overflow.stats.block_bytes += record.overflow_pages() as usize * PAGE_BYTES;
            } else if let Some(row) = rows.get_mut(class as usize) {
                row.requested_bytes += len;
            }
        }
        Occupancy {
            rows,
            row_count: self.classes.sizes.len(),
            overflow,
            storage_bytes: self.storage_bytes(),
            free_run_bytes: self.free_run_bytes(),
            free_run_count: self.free_run_count(),
            metadata_bytes: self.metadata_bytes(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Row {
    stats: BinStats,
    requested_bytes: usize,
}

/// A report of the memory in use: a line for each class that has blocks. Made by
/// [`BlockAllocator::occupancy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupancy {
    rows: [Row; CLASS_COUNT_MAX],
    row_count: usize,
    /// Its `block_bytes` are those of all its blocks.
    overflow: Row,
    storage_bytes: usize,
    free_run_bytes: usize,
    free_run_count: usize,
    metadata_bytes: usize,
}

impl Occupancy {
    /// Returns the bytes that live blocks were asked for.
    pub fn requested_bytes(&self) -> usize {
        let binned: usize = self.rows.iter().map(|row| row.requested_bytes).sum();
        binned + self.overflow.requested_bytes
    }

    /// Returns the bytes of live blocks, rounding included.
    pub fn live_bytes(&self) -> usize {
        let bytes = |row: &Row| row.stats.live * row.stats.block_bytes;
        self.rows.iter().map(bytes).sum::<usize>() + self.overflow.stats.block_bytes
    }
}

/// Returns `part` of `whole` in tenths of a per cent; 0 of nothing.
fn permille(part: usize, whole: usize) -> usize {
    (part as u64 * 1000).checked_div(whole as u64).unwrap_or(0) as usize
}

impl fmt::Display for Occupancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>10} {:>10} {:>10} {:>11} {:>13}",
            "class", "live", "free", "asked B", "of live B"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, row: &Row, live_bytes| {
            let share = permille(row.requested_bytes, live_bytes);
            let BinStats { live, free, .. } = row.stats;
            let asked = row.requested_bytes;
            writeln!(f, " {live:>10} {free:>10} {asked:>11} {:>9}.{} %", share / 10, share % 10)
        };
        for class in &self.rows[..self.row_count] {
            let BinStats { block_bytes, live, free } = class.stats;
            if live + free != 0 {
                write!(f, "{block_bytes:>10}")?;
                row(f, class, live * block_bytes)?;
            }
        }
        if self.overflow.stats.live != 0 {
            write!(f, "{:>10}", "larger")?;
            row(f, &self.overflow, self.overflow.stats.block_bytes)?;
        }
        let Self { storage_bytes, free_run_bytes, free_run_count, metadata_bytes, .. } = self;
        writeln!(
            f,
            "{storage_bytes} bytes of storage, {free_run_bytes} of them in {free_run_count} free runs; \
             {metadata_bytes} of records"
        )
    }
}
