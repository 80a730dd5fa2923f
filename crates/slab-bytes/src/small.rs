//! Regions that are too small for two granules: down to 136 bytes, and less than 3.2 KiB.
//!
//! Such a region is a header and *units* of 16 bytes. Two bits of a unit in the header say whether it is taken, and
//! whether a block starts there. A block has as many units as a slot of its class would fill. These regions serve what
//! no other serves, so that only requests that would be refused otherwise look at them.
#![expect(unsafe_code, reason = "the header is written into the region")]

use core::ops::Range;
use core::ptr::NonNull;

use slab_core::layout::align_up;
use slab_core::{Mode, poison};
use slab_traits::RegionError;

use crate::slack;

/// Bytes of a unit, the alignment that every block has.
pub const UNIT_BYTES: usize = 16;

/// Units of a region, at most: more than the largest region that is too small for a granule has.
const UNIT_COUNT_MAX: usize = 3 * u64::BITS as usize;
const _: () = assert!(UNIT_COUNT_MAX <= u8::MAX as usize);

/// One bit per unit.
#[derive(Debug, Clone, Copy)]
struct Bits([u64; UNIT_COUNT_MAX / u64::BITS as usize]);

impl Bits {
    fn contains(&self, unit: usize) -> bool {
        let word = self.0.get(unit / u64::BITS as usize).copied().unwrap_or(0);
        word >> (unit % u64::BITS as usize) & 1 == 1
    }

    fn set(&mut self, units: Range<usize>, value: bool) {
        for unit in units {
            if let Some(word) = self.0.get_mut(unit / u64::BITS as usize) {
                let bit = 1 << (unit % u64::BITS as usize);
                *word = if value { *word | bit } else { *word & !bit };
            }
        }
    }
}

/// The header of a small region, written into the region itself.
#[derive(Debug, Clone, Copy)]
struct Small {
    /// All that was given.
    memory: NonNull<[u8]>,
    units: NonNull<u8>,
    unit_count: u32,
    taken: Bits,
    starts: Bits,
    next: Option<SmallRef>,
}

/// A small region that an allocator owns.
///
/// # Invariants
///
/// - **U1 (owned)**: the header is initialised, and its giver keeps the region valid and private to the allocator for
///   as long as that is used. `units` has `unit_count` units inside the region, behind the header.
/// - **U2 (blocks)**: a unit at which a block starts is taken, and so are the further ones of the block; the first unit
///   behind them is not taken, or starts another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallRef(NonNull<Small>);

/// A live block of a small region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    region: SmallRef,
    // Narrow, so that the place of a block stays small.
    first: u8,
    count: u8,
}

/// A place in a small region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitPlace {
    /// A block starts there.
    Start(Units),
    /// So many bytes into a block.
    Inside(Units, usize),
    /// No block is there.
    Free,
}

impl Units {
    /// Returns the bytes of the block.
    pub fn bytes(&self) -> usize {
        self.count as usize * UNIT_BYTES
    }

    /// Returns the block.
    pub fn block(&self) -> NonNull<u8> {
        // SAFETY: by U1 the units reach that far.
        unsafe { self.region.get().units.add(self.first as usize * UNIT_BYTES) }
    }
}

impl SmallRef {
    fn get(self) -> Small {
        // SAFETY: initialised and valid by U1.
        unsafe { self.0.read() }
    }

    fn edit(self, change: impl FnOnce(&mut Small)) {
        let mut header = self.get();
        change(&mut header);
        // SAFETY: valid for writes by U1.
        unsafe { self.0.write(header) };
    }

    /// Returns where the header and the units lie, in bytes from the start of a region, and how many units fit.
    fn plan(start: usize, size: usize) -> Option<(usize, usize, usize)> {
        let header = align_up(start, align_of::<Small>())?;
        let units = align_up(header.checked_add(size_of::<Small>())?, UNIT_BYTES)?;
        let count = size.checked_sub(units - start)? / UNIT_BYTES;
        (count > 0).then_some((header - start, units - start, count.min(UNIT_COUNT_MAX)))
    }

    /// Returns the bytes that a small region from an address on needs.
    pub fn bytes_required(start: usize) -> usize {
        let header = align_up(start, align_of::<Small>());
        let units = header.and_then(|at| align_up(at.checked_add(size_of::<Small>())?, UNIT_BYTES));
        units.map_or(usize::MAX, |units| units - start + UNIT_BYTES)
    }

    /// Writes the header of a small region. *O*(1).
    ///
    /// # Errors
    ///
    /// [`RegionError::TooSmall`]; nothing was written.
    ///
    /// # Safety
    ///
    /// As [`slab_traits::BaseAllocator::add_region`].
    unsafe fn create<M: Mode>(memory: NonNull<[u8]>) -> Result<Self, RegionError> {
        let (start, size) = (memory.cast::<u8>(), memory.len());
        let address = start.addr().get();
        let Some((header, units, unit_count)) = Self::plan(address, size) else {
            let required = Self::bytes_required(address);
            return Err(RegionError::TooSmall { start: address, size, required });
        };
        // SAFETY: the plan lies within the region.
        let header = unsafe { start.add(header) }.cast::<Small>();
        // SAFETY: the plan lies within the region.
        let units = unsafe { start.add(units) };
        let none = Bits([0; UNIT_COUNT_MAX / u64::BITS as usize]);
        let small = Small {
            memory,
            units,
            unit_count: unit_count as u32,
            taken: none,
            starts: none,
            next: None,
        };
        // SAFETY: the header's place is aligned, within the plan, and ours to write.
        unsafe { header.write(small) };
        if slack::is_watched::<M>() {
            // SAFETY: the units are the region's, and were never handed out.
            unsafe { slack::mark_fresh::<M>(units, unit_count * UNIT_BYTES) };
        }
        Ok(Self(header))
    }

    /// Returns where the first of `count` free units in a row lies, at a multiple of `align`. *O*(units).
    fn find(self, count: usize, align: usize) -> Option<usize> {
        let Small { units, unit_count, taken, .. } = self.get();
        let mut first = 0;
        for unit in 0..unit_count as usize {
            let address = units.addr().get() + first * UNIT_BYTES;
            if taken.contains(unit) || unit == first && !address.is_multiple_of(align) {
                first = unit + 1;
            } else if unit + 1 - first == count {
                return Some(first);
            }
        }
        None
    }

    /// Returns how many units a block has that starts at one.
    fn len_at(self, first: usize) -> usize {
        let Small { unit_count, taken, starts, .. } = self.get();
        let is_end = |&unit: &usize| !taken.contains(unit) || starts.contains(unit);
        (first + 1..unit_count as usize).find(is_end).unwrap_or(unit_count as usize) - first
    }
}

/// The small regions of an allocator.
#[derive(Debug)]
pub struct SmallRegions {
    first: Option<SmallRef>,
    /// Bytes of all units.
    unit_bytes: usize,
    /// Bytes of the live blocks.
    used_bytes: usize,
}

impl SmallRegions {
    pub const EMPTY: Self = Self { first: None, unit_bytes: 0, used_bytes: 0 };

    fn iter(&self) -> impl Iterator<Item = SmallRef> + use<> {
        core::iter::successors(self.first, |region| region.get().next)
    }

    /// Returns the bytes of all small regions. *O*(small regions).
    pub fn memory_bytes(&self) -> usize {
        self.iter().map(|region| region.get().memory.len()).sum()
    }

    /// Returns the bytes of all units.
    pub fn unit_bytes(&self) -> usize {
        self.unit_bytes
    }

    /// Returns the bytes of the live blocks.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Adds a region that overlaps none. *O*(1).
    ///
    /// # Errors
    ///
    /// [`RegionError::TooSmall`]; nothing was written.
    ///
    /// # Safety
    ///
    /// As [`slab_traits::BaseAllocator::add_region`].
    pub unsafe fn add<M: Mode>(&mut self, memory: NonNull<[u8]>) -> Result<(), RegionError> {
        // SAFETY: the caller guarantees the region.
        let region = unsafe { SmallRef::create::<M>(memory) }?;
        self.unit_bytes += region.get().unit_count as usize * UNIT_BYTES;
        region.edit(|small| small.next = self.first);
        self.first = Some(region);
        Ok(())
    }

    /// Takes away the region that starts at an address and has no live block, and returns its memory.
    pub fn remove(&mut self, start: usize) -> Option<NonNull<[u8]>> {
        let starts_there =
            |region: &SmallRef| region.get().memory.cast::<u8>().addr().get() == start;
        let region = self.iter().find(starts_there)?;
        let Small { memory, unit_count, taken, next, .. } = region.get();
        if taken.0.iter().any(|&word| word != 0) {
            return None;
        }
        match self.iter().find(|before| before.get().next == Some(region)) {
            Some(before) => before.edit(|before| before.next = next),
            None => self.first = next,
        }
        self.unit_bytes -= unit_count as usize * UNIT_BYTES;
        // SAFETY: the memory is no longer the heap's.
        unsafe { poison::allow_access(memory.cast(), memory.len()) };
        Some(memory)
    }

    /// Returns the start and the size of a region that shares bytes with `size` bytes from `start`.
    pub fn overlapping(&self, start: usize, size: usize) -> Option<(usize, usize)> {
        let spans = self.iter().map(|region| region.get().memory);
        let mut spans = spans.map(|memory| (memory.cast::<u8>().addr().get(), memory.len()));
        spans.find(|&(other, len)| start < other + len && other < start.saturating_add(size))
    }

    /// Takes a block of so many bytes at an alignment. *O*(units).
    #[cold]
    pub fn take(&mut self, bytes: usize, align: usize) -> Option<Units> {
        let count = bytes.div_ceil(UNIT_BYTES);
        let found = |region: SmallRef| Some((region, region.find(count, align)?));
        let (region, first) = self.iter().find_map(found)?;
        region.edit(|small| {
            small.taken.set(first..first + count, true);
            small.starts.set(first..first + 1, true);
        });
        self.used_bytes += count * UNIT_BYTES;
        Some(Units { region, first: first as u8, count: count as u8 })
    }

    /// Frees a block.
    pub fn free(&mut self, units: Units) {
        let Units { region, first, count } = units;
        let (first, count) = (first as usize, count as usize);
        region.edit(|small| {
            small.taken.set(first..first + count, false);
            small.starts.set(first..first + 1, false);
        });
        self.used_bytes -= count * UNIT_BYTES;
    }

    /// Changes how many bytes a block has. Returns the block, or `None` if the units behind it are not free.
    pub fn resize(&mut self, units: Units, bytes: usize) -> Option<Units> {
        let (first, old) = (units.first as usize, units.count as usize);
        let count = bytes.div_ceil(UNIT_BYTES);
        let Small { unit_count, taken, .. } = units.region.get();
        let mut gained = first + old..first + count;
        if first + count > unit_count as usize || gained.any(|unit| taken.contains(unit)) {
            return None;
        }
        units.region.edit(|small| {
            small.taken.set(first..first + old, false);
            small.taken.set(first..first + count, true);
        });
        self.used_bytes = self.used_bytes - old * UNIT_BYTES + count * UNIT_BYTES;
        Some(Units { count: count as u8, ..units })
    }

    /// Returns what lies at an address in the units of a small region. *O*(small regions + units).
    #[cold]
    pub fn locate(&self, address: usize) -> Option<UnitPlace> {
        self.iter().find_map(|region| {
            let Small { units, unit_count, taken, starts, .. } = region.get();
            let offset = address.wrapping_sub(units.addr().get());
            if offset >= unit_count as usize * UNIT_BYTES {
                return None;
            }
            let unit = offset / UNIT_BYTES;
            if !taken.contains(unit) {
                return Some(UnitPlace::Free);
            }
            // By U2 the nearest start is that of the block.
            let first = (0..=unit).rev().find(|&unit| starts.contains(unit))?;
            let count = region.len_at(first) as u8;
            let block = Units { region, first: first as u8, count };
            let inside = offset - first * UNIT_BYTES;
            Some(if inside == 0 {
                UnitPlace::Start(block)
            } else {
                UnitPlace::Inside(block, inside)
            })
        })
    }

    /// Returns the bytes of the longest row of free units.
    pub fn longest(&self) -> usize {
        let row = |region: SmallRef| {
            let counts = 1..=region.get().unit_count as usize;
            counts.rev().find(|&count| region.find(count, 1).is_some()).unwrap_or(0)
        };
        self.iter().map(row).max().unwrap_or(0) * UNIT_BYTES
    }

    /// Returns the first broken invariant: its name, and what was expected and found.
    pub fn inconsistency(&self) -> Option<(&'static str, usize, usize)> {
        let (mut unit_bytes, mut used_bytes) = (0, 0);
        for region in self.iter() {
            let Small { unit_count, taken, starts, .. } = region.get();
            unit_bytes += unit_count as usize * UNIT_BYTES;
            for unit in 0..UNIT_COUNT_MAX {
                let is_beyond = unit >= unit_count as usize && taken.contains(unit);
                let is_loose = starts.contains(unit) && !taken.contains(unit);
                let is_orphan = taken.contains(unit)
                    && !starts.contains(unit)
                    && (unit == 0 || !taken.contains(unit - 1));
                if is_beyond || is_loose || is_orphan {
                    return Some(("the units of a small region are blocks", unit, 0));
                }
                used_bytes += usize::from(taken.contains(unit)) * UNIT_BYTES;
            }
        }
        if unit_bytes != self.unit_bytes {
            return Some(("bytes of units are counted", unit_bytes, self.unit_bytes));
        }
        let counted = self.used_bytes;
        (used_bytes != counted).then_some(("taken units are counted", used_bytes, counted))
    }
}
