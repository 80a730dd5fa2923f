//! Regions found by address: by a sorted table while there are few, with more by a treap whose links lie in the region
//! headers, so that any number of regions takes no further memory.

use slab_core::mix64;

/// Regions that the table holds: a power of two. ArceOS's heap grows to ten.
pub const FEW: usize = 16;

/// A region that an index can find.
pub trait Indexed: Copy + PartialEq {
    /// Returns the address of the first byte.
    fn start(self) -> usize;
    /// Returns the bytes of the region.
    fn size(self) -> usize;
    /// Returns the children in the tree, which the region's header keeps.
    fn children(self) -> [Option<Self>; 2];
    /// Replaces the children.
    fn set_children(self, children: [Option<Self>; 2]);
}

/// Regions that do not overlap, in the order of their addresses.
#[derive(Debug)]
pub struct RegionIndex<R> {
    root: Option<R>,
    /// Where the regions start, in order, as long as there are at most [`FEW`]; `usize::MAX` behind the last.
    starts: [usize; FEW],
    few: [Option<R>; FEW],
    count: usize,
}

impl<R: Indexed> RegionIndex<R> {
    pub const fn new() -> Self {
        Self { root: None, starts: [usize::MAX; FEW], few: [None; FEW], count: 0 }
    }

    /// Returns some region.
    pub fn any(&self) -> Option<R> {
        self.root
    }

    /// Returns the region that shares bytes with `size` bytes from `start`, if one does.
    /// *O*(log regions) expected.
    pub fn overlapping(&self, start: usize, size: usize) -> Option<R> {
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
    pub fn insert(&mut self, region: R) {
        self.root = Some(insert(self.root, region));
        self.count += 1;
        self.tabulate();
    }

    /// Takes a region of the set out of it. *O*(log regions) expected.
    pub fn remove(&mut self, region: R) {
        self.root = remove(self.root, region);
        self.count -= 1;
        self.tabulate();
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

    /// Returns the region that an address lies in, or, with few regions, in or behind. *O*(1) with few regions, else
    /// *O*(log regions) expected.
    pub fn find(&self, address: usize) -> Option<R> {
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
    pub fn for_each(&self, mut action: impl FnMut(R)) {
        visit(self.root, &mut action);
    }
}

fn visit<R: Indexed>(root: Option<R>, action: &mut impl FnMut(R)) {
    if let Some(region) = root {
        let [lower, higher] = region.children();
        visit(lower, action);
        action(region);
        visit(higher, action);
    }
}

/// Returns a number that has nothing to do with the order of addresses, so that the tree is balanced
/// in expectation whatever the order of insertion.
fn priority<R: Indexed>(region: R) -> u64 {
    mix64(region.start() as u64)
}

fn insert<R: Indexed>(root: Option<R>, new: R) -> R {
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
fn remove<R: Indexed>(root: Option<R>, region: R) -> Option<R> {
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
fn join<R: Indexed>(below: Option<R>, above: Option<R>) -> Option<R> {
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
fn split<R: Indexed>(root: Option<R>, address: usize) -> [Option<R>; 2] {
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
