//! All regions of an allocator, found by address. The region used last answers most look-ups, a sorted table
//! the others of an allocator with few regions. With more, there is a treap whose links lie in the region headers, so that
//! any number of regions takes no further memory.
#![expect(unsafe_code, reason = "takes fresh granules of a region into use")]

use crate::line::LineRef;
use crate::region::{RegionRef, View};

/// Regions that the table holds: a power of two. ArceOS's heap grows to ten.
const FEW: usize = 16;

#[derive(Debug)]
pub struct RegionSet {
    root: Option<RegionRef>,
    /// Where the regions start, in order, as long as there are at most [`FEW`]; `usize::MAX` behind the last.
    starts: [usize; FEW],
    few: [Option<RegionRef>; FEW],
    count: usize,
    hot: View,
    /// The regions that have fresh granules, newest first.
    first_fresh: Option<RegionRef>,
    /// Fresh granules of all regions.
    fresh_granules: usize,
}

impl RegionSet {
    pub const fn new() -> Self {
        Self {
            root: None,
            starts: [usize::MAX; FEW],
            few: [None; FEW],
            count: 0,
            hot: View::EMPTY,
            first_fresh: None,
            fresh_granules: 0,
        }
    }

    /// Returns the region that shares bytes with `size` bytes from `start`, if one does.
    /// *O*(log regions) expected.
    pub fn overlapping(&self, start: usize, size: usize) -> Option<RegionRef> {
        let mut at = self.root;
        while let Some(region) = at {
            let [lower, higher] = region.children();
            at = if start.saturating_add(size) <= region.start() {
                lower
            } else if region.start() + region.size() <= start {
                higher
            } else {
                return Some(region);
            };
        }
        None
    }

    /// Adds a region that overlaps none of the set. *O*(log regions) expected.
    pub fn insert(&mut self, region: RegionRef) {
        self.root = Some(insert(self.root, region));
        self.count += 1;
        self.tabulate();
        self.hot = region.view();
        if region.fresh_count() > 0 {
            region.set_next_fresh(self.first_fresh);
            self.first_fresh = Some(region);
        }
        self.fresh_granules += region.fresh_count() as usize;
    }

    /// Takes a region of the set out of it. *O*(log regions) expected, and *O*(regions with fresh granules).
    pub fn remove(&mut self, region: RegionRef) {
        self.root = remove(self.root, region);
        self.count -= 1;
        self.tabulate();
        self.hot = self.root.map_or(View::EMPTY, RegionRef::view);
        self.fresh_granules -= region.fresh_count() as usize;
        if region.fresh_count() > 0 {
            self.unlink_fresh(region);
        }
    }

    /// Writes the table, if it is used. *O*(1).
    fn tabulate(&mut self) {
        if self.count > FEW {
            return;
        }
        (self.starts, self.few) = ([usize::MAX; FEW], [None; FEW]);
        let mut entries = self.starts.iter_mut().zip(&mut self.few);
        visit(self.root, &mut |region| {
            if let Some((start, entry)) = entries.next() {
                (*start, *entry) = (region.start(), Some(region));
            }
        });
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
        self.find(address).filter(|region| address.wrapping_sub(region.start()) < region.size())
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
        let found = self.find(line.addr()).and_then(|region| {
            let view = region.view();
            Some((view, view.granule_of(line)?))
        });
        found.expect("a line lies in the region that it describes")
    }

    /// As [`locate`](Self::locate), without remembering the region. *O*(log regions) expected.
    pub fn look_up(&self, address: usize) -> Option<(View, usize)> {
        let view = self.find(address)?.view();
        Some((view, view.offset_of(address)?))
    }

    /// Returns the region that an address lies in, or, with few regions, in or behind. *O*(1) with few regions, else
    /// *O*(log regions) expected.
    fn find(&self, address: usize) -> Option<RegionRef> {
        if self.count > FEW {
            return self.overlapping(address, 1);
        }
        let mut at = 0;
        let mut half = FEW / 2;
        while half > 0 {
            if self.starts[(at + half) % FEW] <= address {
                at += half;
            }
            half /= 2;
        }
        self.few[at % FEW]
    }

    /// Calls `action` with each region, lowest address first.
    pub fn for_each(&self, mut action: impl FnMut(RegionRef)) {
        visit(self.root, &mut action);
    }
}

fn visit(root: Option<RegionRef>, action: &mut impl FnMut(RegionRef)) {
    if let Some(region) = root {
        let [lower, higher] = region.children();
        visit(lower, action);
        action(region);
        visit(higher, action);
    }
}

/// Returns a number that has nothing to do with the order of addresses, so that the tree is balanced
/// in expectation whatever the order of insertion.
fn priority(region: RegionRef) -> u64 {
    scrambled(region.start())
}

/// Maps different addresses to different numbers. Fibonacci hashing, twice: once would leave regions
/// at certain equal distances in order.
const fn scrambled(address: usize) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let once = (address as u64).wrapping_mul(FACTOR);
    (once ^ (once >> 32)).wrapping_mul(FACTOR)
}

fn insert(root: Option<RegionRef>, new: RegionRef) -> RegionRef {
    let Some(top) = root else { return new };
    if priority(new) > priority(top) {
        new.set_children(split(root, new.start()));
        return new;
    }
    let [lower, higher] = top.children();
    top.set_children(if new.start() < top.start() {
        [Some(insert(lower, new)), higher]
    } else {
        [lower, Some(insert(higher, new))]
    });
    top
}

/// Removes a region of a tree.
fn remove(root: Option<RegionRef>, region: RegionRef) -> Option<RegionRef> {
    let top = root?;
    let [lower, higher] = top.children();
    if top == region {
        return join(lower, higher);
    }
    top.set_children(if region.start() < top.start() {
        [remove(lower, region), higher]
    } else {
        [lower, remove(higher, region)]
    });
    root
}

/// Joins two trees, the regions of one of which lie below those of the other.
fn join(below: Option<RegionRef>, above: Option<RegionRef>) -> Option<RegionRef> {
    let (Some(left), Some(right)) = (below, above) else { return below.or(above) };
    if priority(left) > priority(right) {
        let [lower, higher] = left.children();
        left.set_children([lower, join(higher, above)]);
        below
    } else {
        let [lower, higher] = right.children();
        right.set_children([join(below, lower), higher]);
        above
    }
}

/// Splits a tree into the regions below an address and those from it on.
fn split(root: Option<RegionRef>, address: usize) -> [Option<RegionRef>; 2] {
    let Some(top) = root else { return [None, None] };
    let [lower, higher] = top.children();
    if top.start() < address {
        let [below, above] = split(higher, address);
        top.set_children([lower, below]);
        [Some(top), above]
    } else {
        let [below, above] = split(lower, address);
        top.set_children([above, higher]);
        [below, Some(top)]
    }
}

#[cfg(test)]
mod tests;
