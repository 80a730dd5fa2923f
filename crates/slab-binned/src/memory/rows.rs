//! An array of plain values that grows without moving any: each segment is twice as long as the one
//! before it, and acquired zeroed, so that growing writes nothing either.
#![expect(unsafe_code, reason = "segments are raw memory")]

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;

/// Logarithm of the values of the first segment.
const FIRST_LOG2: u32 = 5;
const FIRST_ROWS: u32 = 1 << FIRST_LOG2;
/// Segments of 2⁵, 2⁶, … 2³¹ values hold 2³² − 2⁵ values.
const SEGMENTS_MAX: usize = 27;
/// Places for segments, so many that a number cut to five bits is one of them.
const SEGMENT_PLACES: usize = 32;

/// A value for which zero bytes are valid, and which needs no drop.
///
/// # Safety
///
/// A value of all zero bytes is valid.
pub unsafe trait Plain: Copy {}

/// The values by number. Those that were never written are all zero bytes.
///
/// # Invariants
///
/// - **W1 (owned)**: of the first `count` segments each is a block from the one source that this
///   array is used with, of `segment_rows` initialised values, and used through `self` alone.
/// - **W2 (counted)**: `len` values are in those segments.
#[derive(Debug)]
pub struct Rows<T> {
    segments: [NonNull<T>; SEGMENT_PLACES],
    count: u32,
    len: u32,
    owns: PhantomData<T>,
}

// SAFETY: by W1 the segments are ours alone, wherever they are sent.
unsafe impl<T: Send> Send for Rows<T> {}
// SAFETY: through `&Rows` values are only read.
unsafe impl<T: Sync> Sync for Rows<T> {}

/// Returns how many values a segment holds.
const fn segment_rows(segment: u32) -> u32 {
    FIRST_ROWS << segment
}

impl<T: Plain> Rows<T> {
    pub const fn new() -> Self {
        let segments = [NonNull::dangling(); SEGMENT_PLACES];
        Self { segments, count: 0, len: 0, owns: PhantomData }
    }

    /// Returns where a value lies, which is below `len`.
    #[inline]
    fn place(&self, row: u32) -> NonNull<T> {
        // With 2⁵ added, the rows of segment k are those from 2⁵⁺ᵏ to 2⁶⁺ᵏ.
        let number = row + FIRST_ROWS;
        let log2 = number.ilog2();
        let start = self.segments[(log2 - FIRST_LOG2) as usize % SEGMENT_PLACES];
        // SAFETY: by W2 the row is in a segment that W1 vouches for, this many values into it.
        unsafe { start.add((number ^ (1 << log2)) as usize) }
    }

    /// Returns a value. *O*(1).
    #[inline]
    pub fn get(&self, row: u32) -> Option<&T> {
        if row >= self.len {
            return None;
        }
        let place = self.place(row);
        // SAFETY: initialised by W1; `&self` keeps writers away.
        Some(unsafe { place.as_ref() })
    }

    /// Returns a value to be changed. *O*(1).
    #[inline]
    pub fn get_mut(&mut self, row: u32) -> Option<&mut T> {
        if row >= self.len {
            return None;
        }
        let mut place = self.place(row);
        // SAFETY: initialised by W1; `&mut self` keeps everybody else away.
        Some(unsafe { place.as_mut() })
    }

    /// Makes sure that there is memory for `len` values. *O*(log `len`): at most two segments are
    /// acquired for an array that grows one by one.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused. What was acquired before stays.
    pub fn reserve(&mut self, len: u32, source: &impl Allocator) -> Result<(), usize> {
        while self.len < len {
            let segment = self.count;
            if segment as usize == SEGMENTS_MAX {
                return Err(usize::MAX);
            }
            let rows = segment_rows(segment);
            let layout = Layout::array::<T>(rows as usize).map_err(|_| usize::MAX)?;
            let block = source.allocate_zeroed(layout).map_err(|_| layout.size())?;
            // W1: the block has the layout of that many values, and zero bytes are a value.
            self.segments[segment as usize] = block.cast();
            self.count += 1;
            self.len += rows;
        }
        Ok(())
    }

    /// Returns the bytes acquired.
    pub fn memory_bytes(&self) -> usize {
        self.len as usize * size_of::<T>()
    }

    /// Gives all memory back.
    ///
    /// # Safety
    ///
    /// `source` is the one that `reserve` was always called with.
    pub unsafe fn release(&mut self, source: &impl Allocator) {
        for segment in (0..self.count).rev() {
            let rows = segment_rows(segment) as usize;
            let Ok(layout) = Layout::array::<T>(rows) else { continue };
            let start = self.segments[segment as usize].cast();
            // SAFETY: by W1 the segment came from this source, and `reserve` used this layout.
            unsafe { source.deallocate(start, layout) };
        }
        (self.count, self.len) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;

    // SAFETY: zero is a number.
    unsafe impl Plain for u64 {}

    #[test]
    fn values_stay_where_they_are() {
        let mut rows = Rows::<u64>::new();
        assert!(rows.get(0).is_none());
        rows.reserve(1, &Global).unwrap();
        let first = core::ptr::from_ref(rows.get(0).unwrap());
        for count in [31, 32, 33, 64, 65, 1000] {
            rows.reserve(count, &Global).unwrap();
            assert!(rows.get(count - 1).is_some());
        }
        for row in 0..rows.len {
            assert_eq!(rows.get(row), Some(&0));
            *rows.get_mut(row).unwrap() = u64::from(row) * 3;
        }
        assert!((0..rows.len).all(|row| rows.get(row) == Some(&(u64::from(row) * 3))));
        assert_eq!(core::ptr::from_ref(rows.get(0).unwrap()), first);
        assert!(rows.get(rows.len).is_none());
        assert!(rows.get(u32::MAX).is_none());
        // SAFETY: acquired from `Global`.
        unsafe { rows.release(&Global) };
    }
}
