//! All chunks of a cache, and how many of them it keeps empty.

use core::ptr::NonNull;

use crate::chunk::{ALL, BY_USE, ChunkList, ChunkRef, SLABS_MAX, slabs_min};
use crate::geometry::Geometry;
use crate::slab::SlabRef;

/// Slabs of a first chunk.
const SLABS_FIRST: u32 = 4;
/// The longest chunk, unless that is fewer than `LARGE_SLABS_MAX` slabs.
const CHUNK_BYTES_MAX: usize = 256 * 1024;
const LARGE_SLABS_MAX: u32 = 8;
/// A new chunk has a 64th of the cache's slabs: then the unused part of the newest chunk and the headers are
/// less than 3.3 % of a cache of many slabs of 4 KiB.
const GROWTH_PART: u32 = 64;

/// The chunks of a cache.
///
/// The cache keeps one empty chunk and returns others to the source. It also keeps as many empty slabs as it
/// returned and then had to request again, so that a cache whose size goes up and down stops calling the
/// source.
#[derive(Debug)]
pub struct Chunks {
    all: ChunkList<ALL>,
    /// Chunks with vacant slabs and slabs in use.
    partial: ChunkList<BY_USE>,
    /// Chunks with vacant slabs only.
    empty: ChunkList<BY_USE>,
    pub slabs: u32,
    /// Slabs that fit in the blocks of the chunks.
    pub slabs_in_blocks: u32,
    slabs_empty: u32,
    /// Empty slabs to keep.
    slabs_cached_max: u32,
    /// Slabs that were returned and not requested again.
    slabs_returned: u32,
}

impl Chunks {
    pub const fn new() -> Self {
        Self {
            all: ChunkList::new(),
            partial: ChunkList::new(),
            empty: ChunkList::new(),
            slabs: 0,
            slabs_in_blocks: 0,
            slabs_empty: 0,
            slabs_cached_max: 0,
            slabs_returned: 0,
        }
    }

    /// Returns how many slabs to request for the next chunk.
    pub fn next_slabs(&self, geometry: &Geometry) -> u32 {
        let most = (CHUNK_BYTES_MAX / geometry.slab_bytes) as u32;
        let most = most.clamp(LARGE_SLABS_MAX, SLABS_MAX);
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
        self.slabs_in_blocks += chunk.slabs_in_block();
        self.slabs_empty += chunk.slabs();
        let requested_again = chunk.slabs().min(self.slabs_returned);
        self.slabs_returned -= requested_again;
        self.slabs_cached_max = (self.slabs_cached_max + requested_again).min(self.slabs);
    }

    /// Takes a vacant slab, from a chunk with other slabs in use if there is one.
    pub fn take(&mut self, init: impl FnOnce(ChunkRef) -> SlabRef) -> Option<SlabRef> {
        let chunk = match self.partial.head() {
            Some(chunk) => chunk,
            None => {
                let chunk = self.empty.head()?;
                self.empty.remove(chunk);
                self.partial.push(chunk);
                self.slabs_empty -= chunk.slabs();
                chunk
            }
        };
        let slab = init(chunk);
        if chunk.is_full() {
            self.partial.remove(chunk);
        }
        Some(slab)
    }

    /// Marks a slab as vacant: it has no values any more.
    pub fn vacate(&mut self, slab: SlabRef) {
        let chunk = ChunkRef::of_slab(slab);
        if !chunk.is_full() {
            self.partial.remove(chunk);
        }
        chunk.vacate(slab);
        if chunk.is_empty() {
            self.empty.push(chunk);
            self.slabs_empty += chunk.slabs();
        } else {
            self.partial.push(chunk);
        }
    }

    /// Removes an empty chunk, if there are more than the cache keeps.
    pub fn pop_surplus(&mut self) -> Option<ChunkRef> {
        let chunk = self.empty.head()?;
        let others = self.slabs_empty - chunk.slabs();
        if others == 0 || others < self.slabs_cached_max {
            return None;
        }
        self.slabs_returned += chunk.slabs();
        self.detach(chunk);
        Some(chunk)
    }

    /// Resets the number of empty slabs to keep, so that the cache keeps one empty chunk.
    pub fn reset_history(&mut self) {
        self.slabs_cached_max = 0;
        self.slabs_returned = 0;
    }

    /// Removes an empty chunk.
    pub fn pop_empty(&mut self) -> Option<ChunkRef> {
        let chunk = self.empty.head()?;
        self.detach(chunk);
        Some(chunk)
    }

    pub fn iter(&self) -> impl Iterator<Item = ChunkRef> + use<> {
        self.all.iter()
    }

    /// Returns the slab with values around an address, and the address as a pointer into the slab.
    /// *O*(chunks).
    pub fn find(&self, address: usize, geometry: &Geometry) -> Option<(SlabRef, NonNull<u8>)> {
        self.iter().find_map(|chunk| chunk.find(address, geometry))
    }

    fn detach(&mut self, chunk: ChunkRef) {
        self.empty.remove(chunk);
        self.all.remove(chunk);
        self.slabs -= chunk.slabs();
        self.slabs_in_blocks -= chunk.slabs_in_block();
        self.slabs_empty -= chunk.slabs();
    }
}
