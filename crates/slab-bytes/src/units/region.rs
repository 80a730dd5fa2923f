//! A region of a unit heap: a header, the map of its units, and the units.
#![expect(unsafe_code, reason = "the header and the map are written into the region")]

use core::cell::Cell;
use core::ops::Deref;
use core::ptr::NonNull;

use slab_core::layout::align_up;
use slab_traits::RegionError;

use crate::region_index::Indexed;
use crate::small::UNIT_BYTES;

/// Units that one group of the map describes.
pub const GROUP_UNITS: u32 = u32::BITS;

/// Groups that are initialised at a time, at least: those of 16 KiB.
const READY_MIN: u32 = 32;

/// Bytes before the map. The same on all machines, so that blocks lie at the same offsets.
const HEADER_BYTES: usize = 80;

/// Two bits of the map for each of 32 units. [`map`](super::map) says what they mean.
#[derive(Debug)]
#[repr(C)]
pub struct Group {
    pub starts: Cell<u32>,
    pub live: Cell<u32>,
}

/// The header of a region.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Header {
    memory: NonNull<u8>,
    size: usize,
    units: NonNull<u8>,
    groups: NonNull<Group>,
    /// A bit per unit: a parked block starts there.
    parked: NonNull<Cell<u32>>,
    children: Cell<[Option<RegionRef>; 2]>,
    count: u32,
    /// The first fresh unit: this and all that follow were never needed, or were merged with fresh ones again.
    frontier: Cell<u32>,
    /// Groups that are initialised, with their parked bits.
    ready_groups: Cell<u32>,
}

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);

/// A region that a heap owns.
///
/// # Invariants
///
/// - **V1 (owned)**: the header is initialised, and the giver keeps the region valid and private to the heap for as long
///   as that is used. The map and `count` units lie inside the region and do not overlap.
/// - **V2 (ready)**: there is a group for each unit to `count`, the one behind the last included; the groups and the
///   parked bits of the units to the frontier are initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct RegionRef(NonNull<Header>);

impl Deref for RegionRef {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: valid by V1. All that changes is in cells, and the heap, which is in one thread at a time, has the
        // only references.
        unsafe { self.0.as_ref() }
    }
}

impl Indexed for RegionRef {
    fn start(self) -> usize {
        self.memory.addr().get()
    }

    fn size(self) -> usize {
        self.size
    }

    fn children(self) -> [Option<Self>; 2] {
        self.children.get()
    }

    fn set_children(self, children: [Option<Self>; 2]) {
        self.children.set(children);
    }
}

/// Where the parts of a region lie, in bytes from its start.
#[derive(Debug, Clone, Copy)]
struct Plan {
    header: usize,
    groups: usize,
    parked: usize,
    units: usize,
    count: u32,
}

impl Plan {
    /// Plans a region with so many units. Returns it and where it ends. The map also describes the unit behind the
    /// last one.
    fn with_units(start: usize, count: usize, parks: bool) -> Option<(Self, usize)> {
        let header = align_up(start, align_of::<Header>())?;
        let groups = header.checked_add(HEADER_BYTES)?;
        let parked = groups.checked_add(group_count(count) * size_of::<Group>())?;
        let units = align_up(groups.checked_add(map_bytes(count, parks))?, UNIT_BYTES)?;
        let end = units.checked_add(count.checked_mul(UNIT_BYTES)?)?;
        let count = u32::try_from(count).ok()?;
        let [header, groups, parked, units, end] =
            [header, groups, parked, units, end].map(|at| at - start);
        Some((Self { header, groups, parked, units, count }, end))
    }

    /// Returns the plan with the most units that ends within `size` bytes. *O*(1): the first guess is a few units too
    /// high at most.
    fn new(start: usize, size: usize, parks: bool) -> Option<Self> {
        let bits = if parks { 3 } else { 2 };
        // A unit and its bits, in eighths of a byte; rounded up, so that the guess is not far too high.
        let eighths = UNIT_BYTES * 8 + bits;
        let most = (size.checked_sub(HEADER_BYTES)? / eighths).saturating_mul(8) + 8;
        let most = most.min(u32::MAX as usize / 2);
        (1..=most).rev().find_map(|count| {
            let (plan, end) = Self::with_units(start, count, parks)?;
            (end <= size).then_some(plan)
        })
    }
}

/// Returns how many groups describe so many units and the one behind the last.
const fn group_count(count: usize) -> usize {
    count / GROUP_UNITS as usize + 1
}

/// Returns the bytes of the map of so many units.
const fn map_bytes(count: usize, parks: bool) -> usize {
    let parked_bytes = if parks { size_of::<Cell<u32>>() } else { 0 };
    group_count(count) * (size_of::<Group>() + parked_bytes)
}

/// Returns the bytes of a region with so many units, at any start address.
pub const fn bytes_for(count: usize, parks: bool) -> Option<usize> {
    // Before the header, and between the map and the units.
    let padding = align_of::<Header>() - 1 + UNIT_BYTES - 1;
    match count.checked_mul(UNIT_BYTES) {
        Some(bytes) => bytes.checked_add(HEADER_BYTES + map_bytes(count, parks) + padding),
        None => None,
    }
}

impl RegionRef {
    /// Writes the header of a region, all of whose units are fresh. *O*(1) if blocks are parked, else the map is
    /// initialised: *O*(size).
    ///
    /// # Errors
    ///
    /// [`RegionError::TooSmall`]; nothing was written.
    ///
    /// # Safety
    ///
    /// As [`slab_traits::BaseAllocator::add_region`].
    pub unsafe fn create(memory: NonNull<[u8]>, parks: bool) -> Result<Self, RegionError> {
        let (start, size) = (memory.cast::<u8>(), memory.len());
        let address = start.addr().get();
        let Some(plan) = Plan::new(address, size, parks) else {
            let required = Plan::with_units(address, 1, parks).map_or(usize::MAX, |(_, end)| end);
            return Err(RegionError::TooSmall { start: address, size, required });
        };
        // SAFETY: the plan lies within the region, as all that follow.
        let at = |offset| unsafe { start.add(offset) };
        let header = Header {
            memory: start,
            size,
            units: at(plan.units),
            groups: at(plan.groups).cast(),
            parked: at(plan.parked).cast(),
            children: Cell::new([None, None]),
            count: plan.count,
            frontier: Cell::new(0),
            ready_groups: Cell::new(0),
        };
        let place = at(plan.header).cast::<Header>();
        // SAFETY: aligned, within the plan, and ours to write.
        unsafe { place.write(header) };
        let region = Self(place);
        if !parks {
            region.make_ready(plan.count, parks);
        }
        Ok(region)
    }

    /// Returns all that was given.
    pub fn memory(self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.memory, self.size)
    }

    /// Returns how many units there are.
    #[inline]
    pub fn count(self) -> u32 {
        self.count
    }

    /// Returns the first fresh unit.
    #[inline]
    pub fn frontier(self) -> u32 {
        self.frontier.get()
    }

    /// Moves the frontier, at most to `count`. `parks` is as the region was created. *O*(groups initialised).
    #[inline]
    pub fn set_frontier(self, unit: u32, parks: bool) {
        // Without parked bits the whole map was initialised at once.
        if parks && unit / GROUP_UNITS >= self.ready_groups.get() {
            self.make_ready(unit, parks);
        }
        self.frontier.set(unit);
    }

    /// Initialises the groups to that of a unit.
    #[cold]
    #[inline(never)]
    fn make_ready(self, unit: u32, parks: bool) {
        let ready = self.ready_groups.get();
        let last = self.count / GROUP_UNITS;
        let end = (unit / GROUP_UNITS).max(ready + READY_MIN - 1).min(last) + 1;
        let more = end.saturating_sub(ready) as usize;
        // SAFETY: by V2 these groups exist, and nothing is known of them that a zeroed one does not say.
        unsafe { self.groups.add(ready as usize).write_bytes(0, more) };
        if parks {
            // SAFETY: by V1 there is a word for each of these groups.
            unsafe { self.parked.add(ready as usize).write_bytes(0, more) };
        }
        self.ready_groups.set(end);
    }

    /// Returns how far behind the first unit an address lies, in bytes, if it lies in a unit.
    #[inline]
    pub fn offset_of(self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.units.addr().get());
        (offset < self.count as usize * UNIT_BYTES).then_some(offset)
    }

    /// Returns the unit whose first byte is at an address, if it lies before the frontier.
    #[inline]
    pub fn unit_at(self, address: usize) -> Option<u32> {
        let offset = address.wrapping_sub(self.units.addr().get());
        // An address inside a unit gives a number beyond all units.
        let unit = offset.rotate_right(UNIT_BYTES.ilog2());
        (unit < self.frontier.get() as usize).then_some(unit as u32)
    }

    /// Returns the address of a unit.
    #[inline]
    pub fn address_of(self, unit: u32) -> usize {
        self.units.addr().get() + unit as usize * UNIT_BYTES
    }

    /// Returns the first byte of a unit.
    ///
    /// # Safety
    ///
    /// `unit <= count`.
    #[inline]
    pub unsafe fn pointer(self, unit: u32) -> NonNull<u8> {
        // SAFETY: the caller guarantees a unit, or the end of the last one.
        unsafe { self.units.add(unit as usize * UNIT_BYTES) }
    }

    /// Returns the group of a unit.
    ///
    /// # Safety
    ///
    /// `unit <= frontier`.
    #[inline]
    pub unsafe fn group(&self, unit: u32) -> &Group {
        debug_assert!(unit / GROUP_UNITS < self.ready_groups.get());
        // SAFETY: V2 and the caller's promise.
        unsafe { self.groups.add((unit / GROUP_UNITS) as usize).as_ref() }
    }

    /// Returns the parked bits of the group of a unit.
    ///
    /// # Safety
    ///
    /// As [`group`](Self::group), in a region that was created with room for these bits.
    #[inline]
    pub unsafe fn parked(&self, unit: u32) -> &Cell<u32> {
        // SAFETY: V2 and the caller's promise.
        unsafe { self.parked.add((unit / GROUP_UNITS) as usize).as_ref() }
    }
}
