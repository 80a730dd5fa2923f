//! All regions of an allocator. The region used last answers most look-ups by address, an index the others.
#![expect(unsafe_code, reason = "takes fresh granules of a region into use")]

use crate::line::LineRef;
use crate::region::{RegionRef, View};
use crate::region_index::RegionIndex;

#[derive(Debug)]
pub struct RegionSet {
    index: RegionIndex<RegionRef>,
    hot: View,
    /// The regions that have fresh granules, newest first.
    first_fresh: Option<RegionRef>,
    /// Fresh granules of all regions.
    fresh_granules: usize,
}

impl RegionSet {
    pub const fn new() -> Self {
        Self { index: RegionIndex::new(), hot: View::EMPTY, first_fresh: None, fresh_granules: 0 }
    }

    /// Returns the region that shares bytes with `size` bytes from `start`, if one does.
    /// *O*(log regions) expected.
    pub fn overlapping(&self, start: usize, size: usize) -> Option<RegionRef> {
        self.index.overlapping(start, size)
    }

    /// Adds a region that overlaps none of the set. *O*(log regions) expected.
    pub fn insert(&mut self, region: RegionRef) {
        self.index.insert(region);
        self.hot = region.view();
        if region.fresh_count() > 0 {
            region.set_next_fresh(self.first_fresh);
            self.first_fresh = Some(region);
        }
        self.fresh_granules += region.fresh_count() as usize;
    }

    /// Takes a region of the set out of it. *O*(log regions) expected, and *O*(regions with fresh granules).
    pub fn remove(&mut self, region: RegionRef) {
        self.index.remove(region);
        self.hot = self.index.any().map_or(View::EMPTY, RegionRef::view);
        self.fresh_granules -= region.fresh_count() as usize;
        if region.fresh_count() > 0 {
            self.unlink_fresh(region);
        }
    }

    /// Takes a region out of the list of those that have fresh granules.
    fn unlink_fresh(&mut self, region: RegionRef) {
        match self.fresh().find(|before| before.next_fresh() == Some(region)) {
            Some(before) => before.set_next_fresh(region.next_fresh()),
            None => self.first_fresh = region.next_fresh(),
        }
    }

    /// Returns the fresh granules of all regions.
    #[inline]
    pub fn fresh_granules(&self) -> usize {
        self.fresh_granules
    }

    /// Returns the regions that have fresh granules, newest first.
    pub fn fresh(&self) -> impl Iterator<Item = RegionRef> + use<> {
        core::iter::successors(self.first_fresh, |region| region.next_fresh())
    }

    /// Takes `more` fresh granules of a region into use and returns the first line. *O*(`more`), and
    /// *O*(regions with fresh granules) when they are the region's last.
    ///
    /// # Safety
    ///
    /// The region is in the set, and `0 < more <= region.fresh_count()`.
    pub unsafe fn advance(&mut self, region: RegionRef, more: u32) -> LineRef {
        // SAFETY: the caller promises the count; the only view that is kept is replaced here.
        let first = unsafe { region.advance(more) };
        self.hot = region.view();
        self.fresh_granules -= more as usize;
        if region.fresh_count() == 0 {
            self.unlink_fresh(region);
        }
        first
    }

    /// Counts one fresh granule too many.
    #[cfg(test)]
    pub fn miscount_fresh(&mut self) {
        self.fresh_granules += 1;
    }

    /// Returns the region to which an address belongs.
    pub fn region_at(&self, address: usize) -> Option<RegionRef> {
        self.index
            .find(address)
            .filter(|region| address.wrapping_sub(region.start()) < region.size())
    }

    /// Returns the region used last.
    #[inline]
    pub fn hot(&self) -> &View {
        &self.hot
    }

    /// Returns the region whose granules contain an address, and how far behind the first granule
    /// the address lies. *O*(1) for the region of the last call, else *O*(log regions) expected.
    #[inline]
    pub fn locate(&mut self, address: usize) -> Option<(View, usize)> {
        match self.hot.offset_of(address) {
            Some(offset) => Some((self.hot, offset)),
            None => self.locate_slow(address),
        }
    }

    #[inline(never)]
    fn locate_slow(&mut self, address: usize) -> Option<(View, usize)> {
        let found = self.look_up(address)?;
        self.hot = found.0;
        Some(found)
    }

    /// Returns the region that a line belongs to, and the granule that it describes.
    ///
    /// # Panics
    ///
    /// If the line belongs to no region of the set, which takes a corrupt line.
    #[inline]
    pub fn granule_of(&self, line: LineRef) -> (View, u32) {
        if let Some(granule) = self.hot.granule_of(line) {
            return (self.hot, granule);
        }
        let found = self.index.find(line.addr()).and_then(|region| {
            let view = region.view();
            Some((view, view.granule_of(line)?))
        });
        found.expect("a line lies in the region that it describes")
    }

    /// As [`locate`](Self::locate), without remembering the region. *O*(log regions) expected.
    pub fn look_up(&self, address: usize) -> Option<(View, usize)> {
        let view = self.index.find(address)?.view();
        Some((view, view.offset_of(address)?))
    }

    /// Calls `action` with each region, lowest address first.
    pub fn for_each(&self, action: impl FnMut(RegionRef)) {
        self.index.for_each(action);
    }
}

#[cfg(test)]
mod tests;
