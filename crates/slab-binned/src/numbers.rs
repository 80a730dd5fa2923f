//! The numbers of an allocator: counts, and the heads of its lists.

use crate::bin::{Bin, List};
use crate::classes::CLASS_COUNT_MAX;
use crate::small_page::SmallPage;
use crate::space::Runs;

#[cfg(feature = "alloc")]
use crate::config::Config;
#[cfg(feature = "alloc")]
use crate::mix::Mixer;

/// Start of the digest of a state: no other digest starts with it.
#[cfg(feature = "alloc")]
const DIGEST_DOMAIN: u64 = u64::from_le_bytes(*b"chkpoint");

/// All of an allocator's state that is not in its memory or its journal.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    pub bins: [Bin; CLASS_COUNT_MAX],
    pub alloc_count: u64,
    pub free_count: u64,
    pub runs: Runs,
    pub small_page: SmallPage,
    /// Indices handed out so far.
    pub record_count: u32,
    /// Indices without a block, to be used again.
    pub spare: List,
    /// Indices that have had all their generations.
    pub retired: u32,
    /// Pages of live blocks of more than 64 KiB.
    pub overflow_pages: u32,
    /// The most lines that one operation has read or written.
    pub steps_max: u64,
}

impl Numbers {
    /// The numbers of an allocator that has done nothing yet.
    pub const FRESH: Self = Self {
        bins: [Bin::EMPTY; CLASS_COUNT_MAX],
        alloc_count: 0,
        free_count: 0,
        runs: Runs::new(),
        small_page: SmallPage::NONE,
        record_count: 0,
        spare: List::EMPTY,
        retired: 0,
        overflow_pages: 0,
        steps_max: 0,
    };

    /// Returns a digest of the numbers, and of the fingerprint, the configuration and the bytes of all chunks.
    #[cfg(feature = "alloc")]
    pub fn digest(&self, config: &Config, fingerprint: Option<u64>, storage_bytes: u64) -> u64 {
        let mut mixer = Mixer::new();
        mixer.pair(DIGEST_DOMAIN, fingerprint.unwrap_or(0));
        let [shape, cap] = config.words();
        mixer.pair(shape, cap);
        mixer.pair(self.alloc_count, self.free_count);
        mixer.pair(self.record_count.into(), storage_bytes);
        let [root, free_pages, runs] = self.runs.words();
        mixer.pair(u64::from(root) << 32 | u64::from(free_pages), runs.into());
        for bin in &self.bins {
            let list = u64::from(bin.free.head) << 32 | u64::from(bin.free.len);
            mixer.pair(list, bin.blocks.into());
        }
        mixer.state()
    }
}
