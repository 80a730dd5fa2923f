//! Blocks that are not simply the one freed last: fresh ones, aligned ones, large ones, and what is
//! tried before a request is refused.

use core::alloc::Layout;
use core::ptr::NonNull;

use slab_traits::{AllocError, AllocResult};

use super::code;
use super::heap::BinnedByteAllocator;
use crate::classes::{GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES, SMALL_BYTES_MAX};
use crate::small_page::SmallPage;
use crate::space::Kind;

/// A block that is about to be handed out: dead, and in no list.
enum Found {
    Binned { granule: u32, class: usize },
    Run { page: u32, pages: u32 },
}

impl BinnedByteAllocator {
    /// Hands out any block: one that is free, else one that a reclaim makes free, else a dead block of a larger
    /// class.
    #[cold]
    #[inline(never)]
    pub(super) fn alloc_slow(&mut self, layout: Layout) -> AllocResult<NonNull<u8>> {
        let (size, align) = (layout.size().max(1), layout.align());
        let mut found = self.look(size, align);
        if found.is_none() && self.reclaim_for(size) {
            found = self.look(size, align);
        }
        let found = found.or_else(|| self.borrow(size, align)).ok_or(AllocError::NoMemory)?;
        self.hand_out(found, align).ok_or(AllocError::NoMemory)
    }

    /// Hands out a block that is free without a reclaim and of no larger class than needed.
    pub(super) fn alloc_at_once(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let found = self.look(layout.size().max(1), layout.align())?;
        self.hand_out(found, layout.align())
    }

    /// Returns the class that serves a request wherever its block starts.
    fn class_for(&self, size: usize, align: usize) -> Option<usize> {
        let padded = size.checked_add(align.saturating_sub(GRANULE_BYTES))?;
        self.classes.class_of(padded).filter(|_| align < PAGE_BYTES)
    }

    /// Looks for a block: of its class, freed or fresh; exact pages instead of a class that does not
    /// fit any more.
    fn look(&mut self, size: usize, align: usize) -> Option<Found> {
        let Some(class) = self.class_for(size, align) else { return self.take_pages(size, align) };
        if let Some(granule) = self.pop(class).or_else(|| self.carve(class)) {
            return Some(Found::Binned { granule, class });
        }
        if size > SMALL_BYTES_MAX as usize { self.take_pages(size, align) } else { None }
    }

    /// Takes a dead block of a larger class than needed. After a reclaim those that are left share their
    /// pages with live blocks, so that nothing else can be made of them.
    fn borrow(&mut self, size: usize, align: usize) -> Option<Found> {
        let class = self.class_for(size, align)?;
        (class + 1..self.classes.sizes.len())
            .find_map(|class| Some(Found::Binned { granule: self.pop(class)?, class }))
    }

    /// Takes a run of pages that no class has.
    fn take_pages(&mut self, size: usize, align: usize) -> Option<Found> {
        let pages = u32::try_from(size.div_ceil(PAGE_BYTES)).ok()?;
        let page = if align <= PAGE_BYTES {
            self.runs.take(&mut self.regions, pages)?
        } else {
            let slack_pages = u32::try_from(align / PAGE_BYTES - 1).unwrap_or(u32::MAX);
            self.runs.take_placed(&mut self.regions, pages, slack_pages, |regions, first| {
                let start = regions.start_of(first * PAGE_GRANULES);
                let address = start.map_or(0, |start| start.addr().get());
                (address.wrapping_neg() & (align - 1)) / PAGE_BYTES
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
        if let Some(granule) = self.small_page.cut(granules) {
            return Some(granule);
        }
        let page = self.runs.take(&mut self.regions, 1)?;
        self.cut_remainder();
        self.runs.mark(&mut self.regions, page, 1, Kind::Small);
        let start = page * PAGE_GRANULES;
        self.small_page = SmallPage { chunk: 0, start, used: granules };
        Some(start)
    }

    /// Cuts what is left of the current page into dead blocks, the largest first.
    fn cut_remainder(&mut self) {
        while self.small_page.remaining() != 0 {
            let class = self.classes.largest_within(self.small_page.remaining());
            let bytes = self.classes.bytes(class);
            let Some(granule) = self.small_page.cut(bytes / GRANULE_BYTES as u32) else { return };
            self.regions.set_code(granule, code::dead(class));
            self.retire(granule, bytes as usize);
            self.push(class, granule);
        }
    }

    /// Makes a block that was found a live one, and returns the first byte that it shows.
    fn hand_out(&mut self, found: Found, align: usize) -> Option<NonNull<u8>> {
        let (granule, shown, bytes) = match found {
            Found::Binned { granule, class } => {
                let shown = self.show(granule, class, align)?;
                (granule, shown, self.classes.bytes(class) as usize)
            }
            Found::Run { page, pages } => {
                let granule = page * PAGE_GRANULES;
                self.regions.set_code(granule, code::RUN);
                (granule, granule, pages as usize * PAGE_BYTES)
            }
        };
        self.revive(granule, bytes);
        self.allocated_bytes += bytes as u64;
        self.regions.start_of(shown)
    }

    /// Writes the codes of a live block of a class, and returns its first granule that is aligned.
    fn show(&mut self, granule: u32, class: usize, align: usize) -> Option<u32> {
        let start = self.regions.start_of(granule)?;
        let pad = (start.addr().get().wrapping_neg() & (align - 1)) / GRANULE_BYTES;
        let shown = granule + pad as u32;
        if pad == 0 {
            self.regions.set_code(granule, code::live(class));
        } else {
            self.regions.set_code(granule, code::NOTHING);
            self.regions.set_code(shown - 1, code::behind(class));
            self.regions.set_code(shown, code::shifted(pad as u32));
        }
        Some(shown)
    }
}
