//! Says what is wrong with a request for which no live block was found, in bounded time. Nothing here is
//! on the way of a free that is accepted.
#![expect(unsafe_code, reason = "walks lines, and compares the slack of a block")]

use core::alloc::Layout;

use slab_core::Mode;
use slab_traits::Fault;

use crate::block::{self, Fitting, Sizes};
use crate::class::{GRANULE_BYTES, SizeClass};
use crate::free::Found;
use crate::heap::SlabByteAllocator;
use crate::line::{Kind, LineRef};
use crate::region::View;
use crate::slack::{self, Slack};
use crate::small::{UNIT_BYTES, UnitPlace};

/// Lines that are looked at, at most, to find the start of a large block: those of one mebibyte.
const WALK_MAX: usize = 1024;

impl<M: Mode, const PAGE: usize> SlabByteAllocator<M, PAGE> {
    /// Stores a fault for [`take_fault`](slab_traits::ByteAllocator::take_fault).
    #[cold]
    pub(crate) fn store(&mut self, fault: Fault) -> Fault {
        self.fault = Some(fault);
        fault
    }

    /// Finds the live block of a layout at an address, whose slack is as the heap left it.
    ///
    /// # Errors
    ///
    /// The fault, which is not stored yet.
    pub(crate) fn find_intact(&mut self, address: usize, layout: Layout) -> Result<Found, Fault> {
        let Some(found) = self.find(address, layout) else {
            return self.find_intact_units(address, layout);
        };
        self.check_slack(&found, layout)?;
        Ok(found)
    }

    /// As [`find_intact`](Self::find_intact), for an address where no block of a granule is.
    #[cold]
    #[inline(never)]
    fn find_intact_units(&self, address: usize, layout: Layout) -> Result<Found, Fault> {
        let found = self.find_units(address, layout);
        let found = found.ok_or_else(|| self.fault_of(address, layout))?;
        self.check_slack(&found, layout)?;
        Ok(found)
    }

    /// Compares the slack of a live block with that of its layout.
    fn check_slack(&self, found: &Found, layout: Layout) -> Result<(), Fault> {
        let Found { block, place } = *found;
        let (address, size) = (block.addr().get(), layout.size());
        let block_bytes = place.usable_bytes();
        // SAFETY: a block found is live, quarantined or withheld, and a layout that fits it leaves room for a canary.
        match unsafe { slack::check::<M>(self.secret(), block, size, block_bytes) } {
            Ok(()) => Ok(()),
            Err(Slack::OfSize(own)) => Err(wrong_layout(address, layout, (own, own))),
            Err(Slack::Dead) => Err(Fault::DoubleFree { address, block_bytes }),
            Err(Slack::Written(offset)) => Err(Fault::WrittenPastEnd { address, size, offset }),
        }
    }

    /// Says why no live block of a layout was found at an address.
    #[cold]
    pub(crate) fn fault_of(&self, address: usize, layout: Layout) -> Fault {
        let Some((view, offset)) = self.regions.look_up(address) else {
            return match self.small.locate(address) {
                Some(place) => self.fault_in_units(address, layout, place),
                None if self.is_fresh(address) => Fault::NotLive { address },
                None => Fault::Foreign { address },
            };
        };
        match self.quarantined_at(address) {
            Some((start, block_bytes)) if start == address => {
                return Fault::DoubleFree { address, block_bytes };
            }
            Some(_) => return Fault::NotLive { address },
            None => {}
        }
        let (head, in_run) = Self::line_over(&view, offset);
        // The `back` of a line outside segments may be out of date.
        if head.kind().is_segment() && in_run < head.len() as usize * GRANULE_BYTES {
            return self.fault_in_segment(address, layout, head, in_run);
        }
        let Some((head, in_run)) = run_over(&view, offset) else {
            return Fault::NotLive { address };
        };
        let len = head.len();
        let block_bytes = len as usize * GRANULE_BYTES;
        match head.kind() {
            Kind::Block | Kind::Borrowed if in_run == 0 => {
                let sizes = self.sizes_of(address, block_bytes, block::run_sizes::<M>(len));
                wrong_layout(address, layout, sizes)
            }
            Kind::Block | Kind::Borrowed | Kind::Pages if in_run != 0 => {
                Fault::Interior { address, block_address: address - in_run, block_bytes }
            }
            Kind::Cached | Kind::Free if in_run == 0 => {
                // A free run may be longer than the block that was freed there.
                let block_bytes = block_bytes.min(taken_bytes::<M>(layout));
                Fault::DoubleFree { address, block_bytes }
            }
            _ => Fault::NotLive { address },
        }
    }

    fn fault_in_units(&self, address: usize, layout: Layout, place: UnitPlace) -> Fault {
        match place {
            UnitPlace::Start(units) => {
                let block_bytes = units.bytes();
                let sizes = block::units_sizes::<M>(block_bytes, layout.align());
                // SAFETY: a live block, or a withheld one, of so many bytes.
                let told =
                    unsafe { slack::size_told::<M>(self.secret(), units.block(), block_bytes) };
                wrong_layout(address, layout, told.map_or(sizes, |size| (size, size)))
            }
            UnitPlace::Inside(units, inside) => {
                let block_bytes = units.bytes();
                Fault::Interior { address, block_address: address - inside, block_bytes }
            }
            UnitPlace::Free if address.is_multiple_of(UNIT_BYTES) => {
                Fault::DoubleFree { address, block_bytes: taken_bytes::<M>(layout) }
            }
            UnitPlace::Free => Fault::NotLive { address },
        }
    }

    /// Returns whether an address lies in a fresh granule.
    fn is_fresh(&self, address: usize) -> bool {
        let Some(region) = self.regions.region_at(address) else { return false };
        let offset = address.wrapping_sub(region.granules().addr().get());
        offset / GRANULE_BYTES < region.granule_count() as usize
    }

    /// Says why no run of pages of so many bytes was found at an address.
    #[cold]
    pub(crate) fn fault_of_pages(&self, address: usize, size: usize) -> Fault {
        let Ok(layout) = Layout::from_size_align(size, PAGE) else {
            return Fault::NotLive { address };
        };
        if let Some((view, offset)) = self.regions.look_up(address)
            && let Some((head, 0)) = run_over(&view, offset)
            && head.kind() == Kind::Pages
        {
            let block_bytes = head.len() as usize * GRANULE_BYTES;
            return wrong_layout(address, layout, (block_bytes, block_bytes));
        }
        match self.fault_of(address, layout) {
            // A live block, which is no run of pages.
            Fault::WrongLayout { .. } => Fault::NotLive { address },
            fault => fault,
        }
    }

    fn fault_in_segment(
        &self,
        address: usize,
        layout: Layout,
        head: LineRef,
        in_run: usize,
    ) -> Fault {
        let class = SizeClass::at(head.class_index());
        let block_bytes = class.slot_bytes();
        let slot = class.slot_over(in_run);
        if slot >= head.slots().count() {
            return Fault::NotLive { address };
        }
        let live = head.live().contains(slot);
        let in_slot = in_run - slot as usize * block_bytes;
        match (live, in_slot) {
            (false, 0) => Fault::DoubleFree { address, block_bytes },
            (false, _) => Fault::NotLive { address },
            (true, 0) => {
                let borrowed = head.slots().borrowed();
                let sizes = block::class_sizes::<M>(class, layout.align(), borrowed);
                let sizes = self.sizes_of(address, block_bytes, sizes);
                wrong_layout(address, layout, sizes)
            }
            (true, _) => Fault::Interior { address, block_address: address - in_slot, block_bytes },
        }
    }

    /// Returns the size of the live block at an address where its slack tells it, else `sizes`.
    fn sizes_of(&self, address: usize, block_bytes: usize, sizes: Sizes) -> Sizes {
        let Some((view, offset)) = self.regions.look_up(address) else { return sizes };
        // SAFETY: the offset lies in a granule of this region.
        let block = unsafe { view.pointer(offset) };
        // SAFETY: a live block, or a withheld one, of so many bytes.
        let told = unsafe { slack::size_told::<M>(self.secret(), block, block_bytes) };
        told.map_or(sizes, |size| (size, size))
    }
}

/// Returns the head of the run that covers an offset of a region, outside of segments, and how far behind
/// the run's start the offset lies; `None` if it lies more than [`WALK_MAX`] lines back.
fn run_over(view: &View, offset: usize) -> Option<(LineRef, usize)> {
    let granule = offset / GRANULE_BYTES;
    (0..WALK_MAX.min(granule + 1)).find_map(|back| {
        // SAFETY: not before the region's first line.
        let line = unsafe { view.line(granule - back) };
        // By H1 the nearest head covers the granule.
        line.kind().is_head().then(|| (line, back * GRANULE_BYTES + offset % GRANULE_BYTES))
    })
}

/// Returns the bytes that a block of a layout takes.
fn taken_bytes<M: Mode>(layout: Layout) -> usize {
    match block::fitting::<M>(layout) {
        Fitting::Class(class) => class.slot_bytes(),
        Fitting::Run { len, .. } => len as usize * GRANULE_BYTES,
        Fitting::Never => usize::MAX,
    }
}

fn wrong_layout(address: usize, layout: Layout, (size_min, size_max): Sizes) -> Fault {
    let (size, align) = (layout.size(), layout.align());
    Fault::WrongLayout { address, size, align, size_min, size_max }
}
