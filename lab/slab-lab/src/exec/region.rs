//! The memory of a contender.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

use super::Failure;

/// The granule in which touched memory is counted.
pub const PAGE_BYTES: usize = 4096;

/// Regions start at a multiple of this, so that no allocator depends on where its region happens to
/// start: a buddy system splits a badly aligned region into small blocks.
const ALIGN: usize = 2 << 20;

/// Owned memory that one heap at a time borrows.
#[derive(Debug)]
pub struct Region {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Region {
    /// Takes `size` bytes, at least a page, from the system.
    ///
    /// # Errors
    ///
    /// [`Failure::NoRegion`] if the system has not so much.
    pub fn new(size: usize) -> Result<Self, Failure> {
        let layout = Layout::from_size_align(size.max(PAGE_BYTES), ALIGN);
        let layout = layout.map_err(|_| Failure::NoRegion { size })?;
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { alloc(layout) }).ok_or(Failure::NoRegion { size })?;
        let region = Self { memory, layout };
        // This also initialises every byte and makes every page resident before anything is timed.
        region.fill_words();
        Ok(region)
    }

    /// Returns the bytes of the whole region.
    pub fn size(&self) -> usize {
        self.layout.size()
    }

    /// Writes the marks that [`touched_bytes`](Self::touched_bytes) looks for.
    pub fn mark(&mut self) {
        self.fill_words();
    }

    /// Returns the bytes of all pages in which a byte has changed since [`mark`](Self::mark).
    pub fn touched_bytes(&mut self) -> usize {
        let words = self.size() / size_of::<u64>();
        // SAFETY: the region is owned, aligned and initialised by `new`, and `&mut self` means that
        // no heap uses it.
        let words =
            unsafe { std::slice::from_raw_parts(self.memory.cast::<u64>().as_ptr(), words) };
        let words_per_page = PAGE_BYTES / size_of::<u64>();
        let touched = words.chunks(words_per_page).enumerate().filter(|(page, words)| {
            let first = page * words_per_page;
            words.iter().enumerate().any(|(index, &word)| word != mark(first + index))
        });
        touched.count() * PAGE_BYTES
    }

    /// Returns the first `size` bytes.
    pub(super) fn first(&mut self, size: usize) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.memory, size.min(self.size()))
    }

    fn fill_words(&self) {
        for index in 0..self.size() / size_of::<u64>() {
            // SAFETY: the index is below the number of words of the region, which is owned and aligned.
            unsafe { self.memory.cast::<u64>().add(index).write(mark(index)) };
        }
    }
}

/// Returns the word of an untouched region at `index`; no allocator writes it by chance.
fn mark(index: usize) -> u64 {
    (index as u64 ^ 0x5bd1_e995_0bad_cafe).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; heaps borrow the region, so none is left.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_pages_are_counted_once() {
        let mut region = Region::new(10 * PAGE_BYTES).expect("40 KiB");
        assert_eq!(region.touched_bytes(), 0);
        for offset in [0, 8, 5 * PAGE_BYTES - 1, 7 * PAGE_BYTES + 9] {
            let start = region.first(usize::MAX).cast::<u8>();
            // SAFETY: the byte is inside the region and was initialised by `new`.
            unsafe { start.add(offset).write(!start.add(offset).read()) };
        }
        assert_eq!(region.touched_bytes(), 3 * PAGE_BYTES);
        region.mark();
        assert_eq!(region.touched_bytes(), 0);
    }
}
