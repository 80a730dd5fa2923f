//! Finding the block that an address names, and taking back what the fast path does not.

use super::code::{self, Meaning, meaning};
use super::error::FreeError;
use super::heap::BinnedByteAllocator;
use crate::classes::{GRANULE_BYTES, PAGE_BYTES, PAGE_GRANULES};
use crate::space::Lines;

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
    /// Returns the live block that shows its bytes from an address. *O*(1).
    pub(super) fn find(&self, address: usize) -> Result<Block, FreeError> {
        let region = self.regions.all().iter().find(|region| region.contains(address));
        let region = region.ok_or(FreeError::Foreign { address })?;
        let not_live = FreeError::NotLive { address };
        let Some(spot) = region.spot_at(address) else { return Err(not_live) };
        let shown = spot.granule();
        let (pad, class) = match meaning(self.regions.code(shown)) {
            Meaning::Live { class } => (0, Some(class)),
            Meaning::Run => (0, None),
            Meaning::Shifted { pad } => match meaning(self.regions.code(shown - 1)) {
                Meaning::Behind { class } => (pad, Some(class)),
                _ => return Err(not_live),
            },
            Meaning::Dead { class } => {
                let block_bytes = self.classes.bytes(class) as usize;
                return Err(FreeError::DoubleFree { address, block_bytes });
            }
            Meaning::Nothing | Meaning::Behind { .. } => return Err(not_live),
        };
        let granule = shown - pad;
        let bytes = match class {
            Some(class) => self.classes.bytes(class) as usize,
            None => self.regions.line(granule / PAGE_GRANULES).len as usize * PAGE_BYTES,
        };
        let usable_bytes = bytes - pad as usize * GRANULE_BYTES;
        Ok(Block { granule, pad, class, bytes, usable_bytes })
    }

    /// Takes back a block of another class than its size says, an aligned one or a run; or says what
    /// is wrong.
    #[cold]
    #[inline(never)]
    pub(super) fn free_slow(&mut self, address: usize, size: usize) -> Result<(), FreeError> {
        self.regions.warm(address);
        let Block { granule, pad, class, bytes, usable_bytes } = self.find(address)?;
        if size > usable_bytes {
            return Err(FreeError::WrongLayout { address, size, usable_bytes });
        }
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
                self.freed_bytes = self.freed_bytes.wrapping_add(bytes);
            }
        }
        Ok(())
    }
}
