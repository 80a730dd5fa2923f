//! The shadow model: which blocks are live, where they lie, and what they contain.
#![expect(unsafe_code, reason = "contents are written into and read from the blocks themselves")]

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

use thiserror::Error;

/// A fault of a block. Its address is the start of the block.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShadowError {
    /// The block is not inside one region.
    #[error("block {start:#x}+{len} lies outside the regions")]
    OutsideRegions {
        /// Where the block starts.
        start: usize,
        /// Its bytes.
        len: usize,
    },
    /// The block's address is no multiple of its alignment.
    #[error("block {start:#x} is not aligned to {align}")]
    Misaligned {
        /// Where the block starts.
        start: usize,
        /// The requested alignment.
        align: usize,
    },
    /// The block shares bytes with another live one.
    #[error("block {start:#x}+{len} overlaps live block {other_start:#x}+{other_len}")]
    Overlap {
        /// Where the new block starts.
        start: usize,
        /// Its bytes.
        len: usize,
        /// Where the live block starts.
        other_start: usize,
        /// Its bytes.
        other_len: usize,
    },
    /// No live block starts there.
    #[error("no live block starts at {start:#x}")]
    Unknown {
        /// The address.
        start: usize,
    },
    /// A byte of a live block was changed.
    #[error("byte {offset} of live block {start:#x} is {found:#04x}, not {expected:#04x}")]
    Content {
        /// Where the block starts.
        start: usize,
        /// Index of the byte in the block.
        offset: usize,
        /// The byte found.
        found: u8,
        /// The byte that was written.
        expected: u8,
    },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    layout: Layout,
    id: u64,
}

/// Live blocks by address, each with an id that its content is derived from.
///
/// Each call is *O*(log live), plus the block's length if it accesses content. A block of zero bytes counts as one
/// byte, because its address too must be distinct.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// use slab_testkit::{Shadow, ShadowError};
///
/// let mut words = [0_u64; 2];
/// let block = NonNull::from(&mut words).cast::<u8>();
/// let mut shadow = Shadow::anywhere();
/// shadow.insert(block, Layout::new::<[u64; 2]>())?;
/// assert!(matches!(shadow.insert(block, Layout::new::<u8>()), Err(ShadowError::Overlap { .. })));
/// # Ok::<(), ShadowError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Shadow {
    /// `None`: blocks may lie anywhere.
    regions: Option<Vec<Range<usize>>>,
    live: BTreeMap<usize, Entry>,
    live_bytes: usize,
    next_id: u64,
}

impl Shadow {
    /// Returns a model in which blocks must lie in regions. It has no regions yet.
    pub fn new() -> Self {
        Self { regions: Some(Vec::new()), ..Self::anywhere() }
    }

    /// Returns a model in which blocks may lie anywhere, for allocators that get memory from the system.
    pub fn anywhere() -> Self {
        Self { regions: None, live: BTreeMap::new(), live_bytes: 0, next_id: 0 }
    }

    /// Adds a region in which blocks may lie.
    pub fn add_region(&mut self, region: NonNull<[u8]>) {
        let start = region.cast::<u8>().addr().get();
        self.regions.get_or_insert_default().push(start..start + region.len());
    }

    /// Records a block as live.
    ///
    /// # Errors
    ///
    /// [`ShadowError::Misaligned`], [`ShadowError::OutsideRegions`] or [`ShadowError::Overlap`];
    /// the block is not recorded.
    pub fn insert(&mut self, block: NonNull<u8>, layout: Layout) -> Result<(), ShadowError> {
        self.insert_as(block, layout, self.next_id)?;
        self.next_id += 1;
        Ok(())
    }

    /// Forgets a live block and returns its layout.
    ///
    /// # Errors
    ///
    /// [`ShadowError::Unknown`] if no live block starts there.
    pub fn remove(&mut self, block: NonNull<u8>) -> Result<Layout, ShadowError> {
        self.take(block).map(|entry| entry.layout)
    }

    /// Records that a live block was resized and perhaps moved, and that the content that fits both was kept.
    ///
    /// # Errors
    ///
    /// Those of [`remove`](Self::remove) and [`insert`](Self::insert). After an error of `insert` neither block is
    /// recorded.
    pub fn resize(
        &mut self,
        old: NonNull<u8>,
        new: NonNull<u8>,
        layout: Layout,
    ) -> Result<(), ShadowError> {
        let entry = self.take(old)?;
        self.insert_as(new, layout, entry.id)
    }

    /// Writes the content of a live block, which differs from that of every other block.
    ///
    /// # Errors
    ///
    /// [`ShadowError::Unknown`] if no live block starts there.
    ///
    /// # Safety
    ///
    /// The block is writable through `block` for the length it was recorded with.
    pub unsafe fn fill(&self, block: NonNull<u8>) -> Result<(), ShadowError> {
        let entry = self.entry(block)?;
        let len = entry.layout.size();
        for (index, offset) in (0..len).step_by(CHUNK_BYTES).enumerate() {
            let source = &content(entry.id, index)[..CHUNK_BYTES.min(len - offset)];
            // SAFETY: `offset + source.len() <= len`, and the caller guarantees `len` writable bytes. A block
            // does not overlap a static.
            unsafe {
                let target = block.add(offset);
                target.copy_from_nonoverlapping(NonNull::from(source).cast(), source.len());
            }
        }
        Ok(())
    }

    /// Compares the first `len` bytes of a live block, or all if it has fewer, with those that
    /// [`fill`](Self::fill) wrote.
    ///
    /// # Errors
    ///
    /// [`ShadowError::Content`] names the first wrong byte; [`ShadowError::Unknown`] if no live
    /// block starts there.
    ///
    /// # Safety
    ///
    /// The block is readable through `block` for the length it was recorded with, and the bytes
    /// compared were filled.
    pub unsafe fn check_prefix(&self, block: NonNull<u8>, len: usize) -> Result<(), ShadowError> {
        let entry = self.entry(block)?;
        let len = len.min(entry.layout.size());
        // SAFETY: the caller guarantees the recorded length, which `len` does not exceed.
        let bytes = unsafe { slice::from_raw_parts(block.as_ptr(), len) };
        for (index, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
            let expected = &content(entry.id, index)[..chunk.len()];
            if chunk != expected {
                return Err(first_difference(block, index * CHUNK_BYTES, chunk, expected));
            }
        }
        Ok(())
    }

    /// Compares a whole live block with what [`fill`](Self::fill) wrote.
    ///
    /// # Errors
    ///
    /// Those of [`check_prefix`](Self::check_prefix).
    ///
    /// # Safety
    ///
    /// That of [`check_prefix`](Self::check_prefix), for the whole block.
    pub unsafe fn check_content(&self, block: NonNull<u8>) -> Result<(), ShadowError> {
        // SAFETY: `check_prefix` has the same preconditions for the whole block.
        unsafe { self.check_prefix(block, usize::MAX) }
    }

    /// Returns whether a live block starts there.
    pub fn contains(&self, block: NonNull<u8>) -> bool {
        self.live.contains_key(&block.addr().get())
    }

    /// Returns the number of live blocks.
    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    /// Returns the bytes of the live blocks, each at least one.
    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    fn entry(&self, block: NonNull<u8>) -> Result<Entry, ShadowError> {
        let start = block.addr().get();
        self.live.get(&start).copied().ok_or(ShadowError::Unknown { start })
    }

    fn take(&mut self, block: NonNull<u8>) -> Result<Entry, ShadowError> {
        let start = block.addr().get();
        let entry = self.live.remove(&start).ok_or(ShadowError::Unknown { start })?;
        self.live_bytes -= footprint(entry.layout);
        Ok(entry)
    }

    fn insert_as(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        id: u64,
    ) -> Result<(), ShadowError> {
        let (start, len) = (block.addr().get(), footprint(layout));
        if !start.is_multiple_of(layout.align()) {
            return Err(ShadowError::Misaligned { start, align: layout.align() });
        }
        let Some(end) = start.checked_add(len) else {
            return Err(ShadowError::OutsideRegions { start, len });
        };
        if let Some(regions) = &self.regions
            && !regions.iter().any(|region| region.start <= start && end <= region.end)
        {
            return Err(ShadowError::OutsideRegions { start, len });
        }
        // The live blocks do not overlap, so only the last one that starts below `end` can overlap this one.
        if let Some((&other_start, other)) = self.live.range(..end).next_back()
            && other_start + footprint(other.layout) > start
        {
            let other_len = footprint(other.layout);
            return Err(ShadowError::Overlap { start, len, other_start, other_len });
        }
        self.live.insert(start, Entry { layout, id });
        self.live_bytes += len;
        Ok(())
    }
}

impl Default for Shadow {
    fn default() -> Self {
        Self::new()
    }
}

fn footprint(layout: Layout) -> usize {
    layout.size().max(1)
}

/// Content is copied from and compared with windows of one table: at the speed of `memcpy`, and in a single step
/// under Miri.
const CHUNK_BYTES: usize = 4096;

static NOISE: [u8; 2 * CHUNK_BYTES] = {
    let mut noise = [0; 2 * CHUNK_BYTES];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut index = 0;
    while index < noise.len() {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise[index] = (state >> 32) as u8;
        index += 1;
    }
    noise
};

/// Returns the content of a chunk of a block. The window depends on the chunk too, so that a shifted copy is
/// found. Blocks share a window only if their ids differ by a multiple of `CHUNK_BYTES`.
fn content(id: u64, chunk: usize) -> &'static [u8] {
    // Odd factors use every window before they repeat one, and give consecutive ids distant windows.
    let window = id.wrapping_mul(1201).wrapping_add((chunk as u64).wrapping_mul(757));
    let start = (window % CHUNK_BYTES as u64) as usize;
    &NOISE[start..start + CHUNK_BYTES]
}

#[cold]
fn first_difference(block: NonNull<u8>, base: usize, chunk: &[u8], expected: &[u8]) -> ShadowError {
    let (place, (&found, &expected)) = chunk
        .iter()
        .zip(expected)
        .enumerate()
        .find(|(_, (found, expected))| found != expected)
        .expect("the chunks differ");
    ShadowError::Content { start: block.addr().get(), offset: base + place, found, expected }
}

#[cfg(test)]
mod tests;
