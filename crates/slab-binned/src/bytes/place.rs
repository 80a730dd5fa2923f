//! Blocks that are not simply the one freed last: fresh ones, aligned ones, large ones, and what is
//! tried before a request is refused.

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_traits::{AllocError, AllocResult};

use super::code;
use super::heap::BinnedByteAllocator;
use crate::classes::{CRUMB_BYTES_MAX, GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES};
use crate::crumb::Crumb;
use crate::space::Kind;

/// A block that is about to be handed out: dead, and in no list.
enum Found {
    Binned { granule: u32, class: usize },
    Run { page: u32, pages: u32 },
}

impl BinnedByteAllocator {
    #[cold]
    #[inline(never)]
    pub(super) fn alloc_slow(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let (size, align) = (layout.size().max(1), layout.align());
        let found = match self.look(size, align) {
            Some(found) => found,
            None if self.reclaim_for(size) => self.look(size, align).ok_or(AllocError::NoMemory)?,
            None => return Err(AllocError::NoMemory),
        };
        match found {
            Found::Binned { granule, class } => self.show(granule, class, align),
            Found::Run { page, pages } => {
                let granule = page * PAGE_GRANULES;
                self.regions.set_code(granule, code::RUN);
                let bytes = pages as usize * PAGE_BYTES;
                self.revive(granule, bytes);
                self.allocated_bytes = self.allocated_bytes.wrapping_add(bytes);
                self.regions.start_of(granule).ok_or(AllocError::NoMemory)
            }
        }
    }

    /// Looks for a block: of its class, freed or fresh; exact pages instead of a class that does not
    /// fit any more; a block of a larger class.
    fn look(&mut self, size: usize, align: usize) -> Option<Found> {
        let padded = size.checked_add(align.saturating_sub(GRANULE_BYTES))?;
        let class = self.classes.class_of(padded).filter(|_| align < PAGE_BYTES);
        let Some(class) = class else { return self.take_pages(size, align) };
        if let Some(granule) = self.pop(class).or_else(|| self.carve(class)) {
            return Some(Found::Binned { granule, class });
        }
        if size > CRUMB_BYTES_MAX as usize
            && let Some(found) = self.take_pages(size, align)
        {
            return Some(found);
        }
        (class + 1..self.classes.sizes.len())
            .find_map(|class| Some(Found::Binned { granule: self.pop(class)?, class }))
    }

    /// Takes a run of pages that no class has.
    fn take_pages(&mut self, size: usize, align: usize) -> Option<Found> {
        let pages = u32::try_from(size.div_ceil(PAGE_BYTES)).ok()?;
        let page = if align <= PAGE_BYTES {
            self.runs.take(&mut self.regions, pages)?
        } else {
            let align_pages = u32::try_from(align / PAGE_BYTES).ok()?;
            self.runs.take_placed(&mut self.regions, pages, align_pages - 1, |regions, first| {
                let start = regions.start_of(first * PAGE_GRANULES);
                let address = start.map_or(0, |start| start.addr().get());
                ((address.wrapping_neg() & (align - 1)) / PAGE_BYTES) as u32
            })?
        };
        Some(Found::Run { page, pages })
    }

    /// Makes a dead block of a class from fresh space.
    fn carve(&mut self, class: usize) -> Option<u32> {
        if let Some(pages) = self.classes.pages(class) {
            let page = self.runs.take(&mut self.regions, pages)?;
            return Some(page * PAGE_GRANULES);
        }
        let granules = self.classes.bytes(class) / GRANULE_BYTES as u32;
        if let Some(granule) = self.crumb.cut(granules) {
            return Some(granule);
        }
        let page = self.runs.take(&mut self.regions, 1)?;
        self.cut_rest();
        self.runs.mark(&mut self.regions, page, 1, Kind::Crumb);
        let start = page * PAGE_GRANULES;
        self.crumb = Crumb { chunk: 0, start, used: granules };
        Some(start)
    }

    /// Cuts what is left of the current page into dead blocks, the largest first.
    fn cut_rest(&mut self) {
        while self.crumb.rest() != 0 {
            let class = self.classes.largest_within(self.crumb.rest());
            let bytes = self.classes.bytes(class);
            let Some(granule) = self.crumb.cut(bytes / GRANULE_BYTES as u32) else { return };
            self.regions.set_code(granule, code::dead(class));
            self.retire(granule, bytes as usize);
            self.push(class, granule);
        }
    }

    /// Hands out a block of a class, from its first granule that is aligned.
    fn show(&mut self, granule: u32, class: usize, align: usize) -> AllocResult<NonNull<u8>> {
        let start = self.regions.start_of(granule).ok_or(AllocError::NoMemory)?;
        let pad = (start.addr().get().wrapping_neg() & (align - 1)) / GRANULE_BYTES;
        let shown = granule + pad as u32;
        if pad == 0 {
            self.regions.set_code(granule, code::live(class));
        } else {
            self.regions.set_code(granule, code::NOTHING);
            self.regions.set_code(shown - 1, code::behind(class));
            self.regions.set_code(shown, code::shifted(pad as u32));
        }
        let bytes = self.classes.bytes(class) as usize;
        self.revive(granule, bytes);
        self.allocated_bytes = self.allocated_bytes.wrapping_add(bytes);
        self.regions.start_of(shown).ok_or(AllocError::NoMemory)
    }
}
