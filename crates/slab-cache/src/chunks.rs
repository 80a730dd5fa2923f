//! All chunks of a cache, and which of them are kept although they are empty.

use core::ptr::NonNull;

use crate::chunk::{BY_AGE, BY_ROOM, ChunkList, ChunkRef, SLABS_MAX, slabs_min};
use crate::geometry::Geometry;
use crate::slab::SlabRef;

/// Slabs of a first chunk.
const SLABS_FIRST: u32 = 4;
/// A chunk is at most this long, unless that were fewer than `SLABS_FIRST_LARGE` slabs: what a
/// chunk leaves unused is small beside the rest of the cache, and its alignment beside it.
const CHUNK_BYTES_MAX: usize = 256 * 1024;
const SLABS_FIRST_LARGE: u32 = 8;
/// A chunk adds about this part to the slabs there are: with 1/64, what the newest chunk leaves unused
/// and the headers are less than 3.3 % of a cache of many slabs of 4 KiB.
const GROWTH_PART: u32 = 64;

/// The chunks.
///
/// Empty chunks are given back at once, but for one, and but for as many slabs as were given back and
/// had to be asked for again: a cache that swings keeps what it swings by.
#[derive(Debug)]
pub struct Chunks {
    all: ChunkList<BY_AGE>,
    /// Those with some slabs vacant, and some not.
    roomy: ChunkList<BY_ROOM>,
    /// Those with all slabs vacant.
    empty: ChunkList<BY_ROOM>,
    pub slabs: u32,
    /// Slabs that the source was asked for.
    pub slabs_held: u32,
    slabs_empty: u32,
    /// Empty slabs to keep.
    slabs_kept: u32,
    /// Slabs given back and not asked for again.
    slabs_released: u32,
}

impl Chunks {
    pub const fn new() -> Self {
        Self {
            all: ChunkList::new(),
            roomy: ChunkList::new(),
            empty: ChunkList::new(),
            slabs: 0,
            slabs_held: 0,
            slabs_empty: 0,
            slabs_kept: 0,
            slabs_released: 0,
        }
    }

    /// Returns how many slabs the next chunk should have.
    pub fn wanted(&self, geometry: &Geometry) -> u32 {
        let most = (CHUNK_BYTES_MAX / geometry.slab_bytes) as u32;
        let most = most.clamp(SLABS_FIRST_LARGE, SLABS_MAX);
        (self.slabs / GROWTH_PART).clamp(SLABS_FIRST, most).max(slabs_min(geometry))
    }

    /// Returns how many slabs the empty chunks have.
    pub fn slabs_empty(&self) -> u32 {
        self.slabs_empty
    }

    /// Adds an empty chunk.
    pub fn attach(&mut self, chunk: ChunkRef) {
        self.all.push(chunk);
        self.empty.push(chunk);
        self.slabs += chunk.slabs();
        self.slabs_held += chunk.slabs_held();
        self.slabs_empty += chunk.slabs();
        let again = chunk.slabs().min(self.slabs_released);
        self.slabs_released -= again;
        self.slabs_kept = (self.slabs_kept + again).min(self.slabs);
    }

    /// Takes a vacant slab, of a chunk that has others in use if there is one.
    pub fn take(&mut self, init: impl FnOnce(ChunkRef) -> SlabRef) -> Option<SlabRef> {
        let chunk = match self.roomy.head() {
            Some(chunk) => chunk,
            None => {
                let chunk = self.empty.head()?;
                self.empty.remove(chunk);
                self.roomy.push(chunk);
                self.slabs_empty -= chunk.slabs();
                chunk
            }
        };
        let slab = init(chunk);
        if chunk.is_full() {
            self.roomy.remove(chunk);
        }
        Some(slab)
    }

    /// Takes a slab without values back.
    pub fn vacate(&mut self, slab: SlabRef) {
        let chunk = slab.chunk();
        if !chunk.is_full() {
            self.roomy.remove(chunk);
        }
        chunk.vacate(slab);
        if chunk.is_empty() {
            self.empty.push(chunk);
            self.slabs_empty += chunk.slabs();
        } else {
            self.roomy.push(chunk);
        }
    }

    /// Removes an empty chunk, if there are more than are to be kept.
    pub fn surplus(&mut self) -> Option<ChunkRef> {
        let chunk = self.empty.head()?;
        let others = self.slabs_empty - chunk.slabs();
        if others == 0 || others < self.slabs_kept {
            return None;
        }
        self.slabs_released += chunk.slabs();
        self.detach(chunk);
        Some(chunk)
    }

    /// Forgets how many slabs were asked for again, so that no more than one empty chunk is kept.
    pub fn forget(&mut self) {
        self.slabs_kept = 0;
        self.slabs_released = 0;
    }

    /// Removes an empty chunk, if there is one.
    pub fn reclaim(&mut self) -> Option<ChunkRef> {
        let chunk = self.empty.head()?;
        self.detach(chunk);
        Some(chunk)
    }

    pub fn iter(&self) -> impl Iterator<Item = ChunkRef> + use<> {
        self.all.iter()
    }

    /// Returns the slab with values in which an address lies, and the address as a pointer into it.
    /// *O*(chunks).
    pub fn find(&self, address: usize, geometry: &Geometry) -> Option<(SlabRef, NonNull<u8>)> {
        self.iter().find_map(|chunk| chunk.find(address, geometry))
    }

    fn detach(&mut self, chunk: ChunkRef) {
        self.empty.remove(chunk);
        self.all.remove(chunk);
        self.slabs -= chunk.slabs();
        self.slabs_held -= chunk.slabs_held();
        self.slabs_empty -= chunk.slabs();
    }
}
