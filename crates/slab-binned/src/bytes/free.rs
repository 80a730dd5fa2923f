//! Finding the block that an address names, and taking back what the fast path does not.

use core::alloc::Layout;

use slab_traits::Fault;

use super::code::{self, Meaning, meaning};
use super::heap::BinnedByteAllocator;
use super::region::Region;
use crate::classes::{GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES};
use crate::space::{Kind, Lines};

/// A live block.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Where it starts.
    pub granule: u32,
    /// Granules before the bytes it shows.
    pub pad: u32,
    /// Its class; `None` for a run of pages.
    pub class: Option<usize>,
    /// Bytes of the whole block.
    pub bytes: usize,
    /// Bytes from the address on.
    pub usable_bytes: usize,
}

impl BinnedByteAllocator {
    /// Returns the live block that shows its bytes from an address. *O*(1); *O*(runs) to say what is wrong
    /// with an address that lies in a region.
    pub(super) fn find(&self, address: usize) -> Result<Block, Fault> {
        let region = self.regions.all().iter().find(|region| region.contains(address));
        let region = region.ok_or(Fault::Foreign { address })?;
        let shown = region.spot_at(address).map(|spot| spot.granule());
        let block = shown.and_then(|shown| self.block_at(shown));
        block.ok_or_else(|| self.fault_at(region, address))
    }

    /// As [`find`](Self::find), if the block can have been allocated or resized with a layout. A block of
    /// a class may have been for anything smaller; a run of pages has no page more than it needs.
    pub(super) fn find_as(&self, address: usize, layout: Layout) -> Result<Block, Fault> {
        let block = self.find(address)?;
        let (size, align, size_max) = (layout.size(), layout.align(), block.usable_bytes);
        let size_min = match block.class {
            None if block.bytes > PAGE_BYTES => block.bytes - PAGE_BYTES + 1,
            _ => 0,
        };
        if (size_min..=size_max).contains(&size) && address.is_multiple_of(align) {
            Ok(block)
        } else {
            Err(Fault::WrongLayout { address, size, align, size_min, size_max })
        }
    }

    /// Returns the live block that shows its bytes from a granule on.
    fn block_at(&self, shown: u32) -> Option<Block> {
        let (pad, class) = match meaning(self.regions.code(shown)) {
            Meaning::Live { class } => (0, Some(class)),
            Meaning::Run => (0, None),
            Meaning::Shifted { pad } => match meaning(self.regions.code(shown - 1)) {
                Meaning::Behind { class } => (pad, Some(class)),
                _ => return None,
            },
            Meaning::Dead { .. } | Meaning::Nothing | Meaning::Behind { .. } => return None,
        };
        let granule = shown - pad;
        let bytes = match class {
            Some(class) => self.classes.bytes(class) as usize,
            None => self.regions.line(granule / PAGE_GRANULES).len as usize * PAGE_BYTES,
        };
        let usable_bytes = bytes - pad as usize * GRANULE_BYTES;
        Some(Block { granule, pad, class, bytes, usable_bytes })
    }

    /// Says what is wrong with an address of a region at which no live block starts. *O*(runs).
    #[cold]
    fn fault_at(&self, region: &Region, address: usize) -> Fault {
        let not_live = Fault::NotLive { address };
        let granule = region.granule_around(address);
        let Some(first) = self.first_granule_of_run(region, granule) else { return not_live };
        // The last granule before the address with a code is where the block starts that could hold it; a
        // block that starts more than its length before does not.
        let starts = (first..=granule).rev();
        let Some(start) = starts.into_iter().find(|&at| self.regions.code(at) != code::NOTHING)
        else {
            return not_live;
        };
        let offset_bytes = (granule - start) as usize * GRANULE_BYTES;
        if let Some(block) = self.block_at(start) {
            let block_address = self.regions.start_of(start).map_or(0, |start| start.addr().get());
            let block_bytes = block.usable_bytes;
            return if offset_bytes < block_bytes {
                Fault::Interior { address, block_address, block_bytes }
            } else {
                not_live
            };
        }
        match meaning(self.regions.code(start)) {
            // Behind the start of a dead block an aligned one may have shown its bytes.
            Meaning::Dead { class } if address.is_multiple_of(GRANULE_BYTES) => {
                let block_bytes = self.classes.bytes(class) as usize;
                if offset_bytes < block_bytes {
                    Fault::DoubleFree { address, block_bytes }
                } else {
                    not_live
                }
            }
            _ => not_live,
        }
    }

    /// Returns the first granule of the taken run or the page of small blocks in which a granule lies;
    /// `None` for free pages.
    fn first_granule_of_run(&self, region: &Region, granule: u32) -> Option<u32> {
        let (wanted, mut page) = (granule / PAGE_GRANULES, region.first_page);
        loop {
            let line = self.regions.line(page);
            let next = page + line.len.max(1);
            if wanted < next {
                let taken = matches!(line.kind, Kind::Taken | Kind::Small);
                return taken.then_some(page * PAGE_GRANULES);
            }
            page = next;
        }
    }

    /// Takes back a block of another class than its size says, an aligned one or a run; or says what
    /// is wrong.
    #[cold]
    #[inline(never)]
    pub(super) fn free_slow(&mut self, address: usize, layout: Layout) -> Result<(), Fault> {
        self.regions.warm(address);
        let Block { granule, pad, class, bytes, .. } = self.find_as(address, layout)?;
        if pad != 0 {
            self.regions.set_code(granule + pad, code::NOTHING);
            self.regions.set_code(granule + pad - 1, code::NOTHING);
        }
        match class {
            Some(class) => self.free_binned(granule, class),
            None => {
                self.regions.set_code(granule, code::NOTHING);
                let (page, pages) = (granule / PAGE_GRANULES, (bytes / PAGE_BYTES) as u32);
                self.retire(granule, bytes);
                self.runs.release(&mut self.regions, page, pages);
                self.freed_bytes += bytes as u64;
            }
        }
        Ok(())
    }
}
