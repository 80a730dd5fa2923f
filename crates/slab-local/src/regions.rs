//! The regions that have a block map, and the numbers of their units.
//!
//! The units of all regions are numbered through: the first region has the numbers from zero on, the second one
//! continues. A magazine keeps these numbers, 4 bytes for a block.
#![expect(unsafe_code, reason = "turns numbers into pointers, and places the map in the region")]

use core::ptr::{self, NonNull};

use slab_core::layout::align_up;
use slab_core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use crate::block_map::{BlockMap, UNIT_BYTES};

/// How many regions have a map. Blocks of further ones are not kept in magazines.
const MAPPED_MAX: usize = 16;

/// A region of fewer bytes gets no map: the heap has no use for what would be left.
const MAPPED_BYTES_MIN: usize = 4096;

/// A region with a map.
///
/// # Invariants
///
/// - **W1 (published)**: `base`, `map` and `first` are written before `unit_count` becomes nonzero, which is a release
///   store, and never again.
/// - **W2 (covered)**: the map has `unit_count` bytes, for the units from `base` on, all of which lie in the region.
///   Both outlive the heap (see `Regions::add`).
struct Window {
    base: AtomicPtr<u8>,
    map: AtomicPtr<AtomicU8>,
    /// The number of the first unit.
    first: AtomicU32,
    unit_count: AtomicU32,
}

/// A unit of a region.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// Its number among the units of all regions.
    pub number: u32,
    /// Its place in the region.
    pub index: usize,
    pub map: BlockMap,
    /// The block that starts there, by a pointer derived from the region.
    pub block: NonNull<u8>,
}

impl Window {
    const fn new() -> Self {
        Self {
            base: AtomicPtr::new(ptr::null_mut()),
            map: AtomicPtr::new(ptr::null_mut()),
            first: AtomicU32::new(0),
            unit_count: AtomicU32::new(0),
        }
    }

    /// Returns the unit at an index.
    #[inline(always)]
    fn unit(&self, index: usize, first: u32) -> Option<Unit> {
        // Acquire: the other fields are those that were written before (W1).
        let unit_count = self.unit_count.load(Ordering::Acquire);
        if index >= unit_count as usize {
            return None;
        }
        let base = self.base.load(Ordering::Relaxed);
        // SAFETY: the index was compared with the count, and the base is that of W1.
        Some(unsafe { self.unit_of(base, index, first) })
    }

    /// Returns the unit that starts at an address.
    #[inline(always)]
    fn unit_at(&self, address: usize, first: u32) -> Option<Unit> {
        // Acquire: the other fields are those that were written before (W1).
        let unit_count = self.unit_count.load(Ordering::Acquire);
        let base = self.base.load(Ordering::Relaxed);
        let offset = address.wrapping_sub(base.addr());
        // The rotation moves the bits that must be zero to the top, so that one comparison tests them too.
        let index = offset.rotate_right(UNIT_BYTES.trailing_zeros());
        // SAFETY: the index was compared with the count, and the base is that of W1.
        (index < unit_count as usize).then(|| unsafe { self.unit_of(base, index, first) })
    }

    /// # Safety
    ///
    /// The index is below a `unit_count` that was read with acquire ordering before, and so was the base.
    #[inline(always)]
    unsafe fn unit_of(&self, base: *mut u8, index: usize, first: u32) -> Unit {
        let map = self.map.load(Ordering::Relaxed);
        // SAFETY: by W1 both pointers are those of the region, and not null. By W2 the unit lies in the region, and the
        // map, which outlives this call, is that of its units.
        let (block, map) = unsafe {
            let block = NonNull::new_unchecked(base.add(index * UNIT_BYTES));
            (block, BlockMap::new(NonNull::new_unchecked(map)))
        };
        Unit { number: first + index as u32, index, map, block }
    }
}

/// The regions with a map.
pub struct Regions {
    windows: [Window; MAPPED_MAX],
    /// How many windows are in use.
    count: AtomicUsize,
}

impl Regions {
    /// Returns no regions.
    pub const fn new() -> Self {
        Self { windows: [const { Window::new() }; MAPPED_MAX], count: AtomicUsize::new(0) }
    }

    /// Returns the unit with a number.
    #[inline(always)]
    pub fn unit(&self, number: u32) -> Option<Unit> {
        self.windows[0].unit(number as usize, 0)
    }

    /// Returns the unit that starts at an address. Only in the region added first.
    #[inline(always)]
    pub fn unit_at(&self, address: usize) -> Option<Unit> {
        self.windows[0].unit_at(address, 0)
    }

    /// As [`unit`](Self::unit), in all regions.
    #[cold]
    #[inline(never)]
    pub fn unit_anywhere(&self, number: u32) -> Option<Unit> {
        self.windows().find_map(|window| {
            let first = window.first.load(Ordering::Relaxed);
            window.unit(number.checked_sub(first)? as usize, first)
        })
    }

    /// As [`unit_at`](Self::unit_at), in all regions.
    #[cold]
    #[inline(never)]
    pub fn unit_at_anywhere(&self, address: usize) -> Option<Unit> {
        self.windows()
            .find_map(|window| window.unit_at(address, window.first.load(Ordering::Relaxed)))
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        // Acquire: the windows are complete (W1).
        self.windows.iter().take(self.count.load(Ordering::Acquire))
    }

    /// Divides a region into the part for the heap, which comes first, and the map of that part. Returns `None` if the
    /// region gets no map: it is too small, or there are too many regions or units.
    pub fn plan(&self, region: NonNull<[u8]>) -> Option<Plan> {
        let start = region.cast::<u8>().addr().get();
        let window = self.count.load(Ordering::Relaxed);
        if region.len() < MAPPED_BYTES_MIN || window == MAPPED_MAX {
            return None;
        }
        let pad = align_up(start, UNIT_BYTES)? - start;
        let units_left = u32::MAX - self.next_number(window)?;
        // Each unit needs its bytes and a byte of the map.
        let unit_count = ((region.len() - pad) / (UNIT_BYTES + 1)).min(units_left as usize);
        (unit_count > 0).then(|| Plan {
            window,
            pad,
            unit_count: unit_count as u32,
            heap_bytes: region.len() - unit_count,
        })
    }

    /// Returns the number of the first unit of a window.
    fn next_number(&self, window: usize) -> Option<u32> {
        let Some(before) = window.checked_sub(1) else { return Some(0) };
        let Window { first, unit_count, .. } = &self.windows[before];
        first.load(Ordering::Relaxed).checked_add(unit_count.load(Ordering::Relaxed))
    }

    /// Adds a region as planned. *O*(region / 17), as the map is zeroed, unless its memory `is_zero` already.
    ///
    /// # Safety
    ///
    /// The plan was made for this region by the last call of [`plan`](Self::plan), and no other call of this function
    /// runs or has run since. The region is valid for as long as the heap and its blocks are used. Nothing else
    /// uses its last bytes, from `heap_bytes` on.
    pub unsafe fn add(&self, region: NonNull<[u8]>, plan: &Plan, is_zero: bool) {
        let start = region.cast::<u8>();
        // SAFETY: the plan lies within the region, whose last bytes nothing else uses. An `AtomicU8` is a byte.
        let (base, map) = unsafe { (start.add(plan.pad), start.add(plan.heap_bytes)) };
        if !is_zero {
            // SAFETY: the map ends with the region.
            unsafe { map.write_bytes(0, plan.unit_count as usize) };
        }
        let Some(first) = self.next_number(plan.window) else { return };
        let window = &self.windows[plan.window];
        window.base.store(base.as_ptr(), Ordering::Relaxed);
        window.map.store(map.cast().as_ptr(), Ordering::Relaxed);
        window.first.store(first, Ordering::Relaxed);
        // Release: whoever sees the count, or the window counted, sees the fields (W1) and the zeroed map.
        window.unit_count.store(plan.unit_count, Ordering::Release);
        self.count.store(plan.window + 1, Ordering::Release);
    }
}

/// How a region is divided.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    window: usize,
    /// Bytes before the first unit.
    pad: usize,
    unit_count: u32,
    /// Bytes of the part for the heap.
    pub heap_bytes: usize,
}
