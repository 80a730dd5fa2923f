//! The page that small blocks are being cut from.

use crate::classes::PAGE_GRANULES;

/// The most blocks that the rest of a page is cut into.
pub const PIECES_MAX: u32 = 8;

/// The current page, of which `used` granules are cut: at least one, so that no whole page is left.
/// If there is no current page, `remaining()` is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallPage {
    pub chunk: u32,
    /// The page's first granule in its chunk.
    pub start: u32,
    pub used: u32,
}

impl SmallPage {
    pub const NONE: Self = Self { chunk: 0, start: 0, used: PAGE_GRANULES };

    /// Cuts a block off and returns its first granule, or `None` if it does not fit.
    #[inline]
    pub fn cut(&mut self, granules: u32) -> Option<u32> {
        let first = self.start + self.used;
        (granules <= self.remaining()).then(|| {
            self.used += granules;
            first
        })
    }

    /// Returns how many granules are left.
    #[inline]
    pub fn remaining(&self) -> u32 {
        PAGE_GRANULES - self.used
    }
}
