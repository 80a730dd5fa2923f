//! An array of plain values that grows without moving any: each segment is twice as long as the one
//! before it, and acquired zeroed, so that growing writes nothing either.
#![expect(unsafe_code, reason = "segments are raw memory")]

use core::alloc::Layout;
#[cfg(feature = "alloc")]
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;

use super::plain::Plain;
#[cfg(feature = "alloc")]
use super::tape::ValueTape;
use super::tape::{Tape, Unwatched};

/// Logarithm of the values of the first segment.
const FIRST_LOG2: u32 = 5;
const FIRST_ROWS: u32 = 1 << FIRST_LOG2;
/// Segments of 2⁵, 2⁶, … 2³¹ values hold 2³² − 2⁵ values.
const SEGMENTS_MAX: usize = 27;
/// Places for segments, so many that a number cut to five bits is one of them.
const SEGMENT_PLACES: usize = 32;
/// Groups of 2⁵ values whose segment is looked up, those of 131,072 values. Computing a logarithm takes
/// longer than everything else: what x86-64 has for it in its baseline is microcode on some processors.
const NEAR_GROUPS: usize = 4096;

/// The segment of each near group.
static NEAR_SEGMENTS: [u8; NEAR_GROUPS] = {
    let mut segments = [0; NEAR_GROUPS];
    let mut group = 0;
    while group < NEAR_GROUPS {
        segments[group] = segment_of(group as u32) as u8;
        group += 1;
    }
    segments
};

/// The values by number. Those that were never written are all zero bytes.
///
/// # Invariants
///
/// - **W1 (owned)**: of the first `count` segments each is a block from the one source that this
///   array is used with, of `segment_rows` initialised values, and used through `self` alone.
/// - **W2 (counted)**: `len` values are in those segments.
/// - **W3 (origin)**: `origins` has, for each of those segments, its pointer less the number of its first
///   value: where value 0 would lie if there were more before.
#[derive(Debug)]
pub struct Rows<T, S = Unwatched> {
    origins: [*mut T; SEGMENT_PLACES],
    count: u32,
    len: u32,
    tape: S,
    owns: PhantomData<T>,
}

// SAFETY: by W1 the segments are ours alone, wherever they are sent.
unsafe impl<T: Send, S: Send> Send for Rows<T, S> {}
// SAFETY: through `&Rows` values are only read.
unsafe impl<T: Sync, S: Sync> Sync for Rows<T, S> {}

/// Returns how many values a segment holds.
const fn segment_rows(segment: u32) -> u32 {
    FIRST_ROWS << segment
}

/// Returns the number of a segment's first value.
const fn first_row(segment: u32) -> usize {
    (segment_rows(segment) - FIRST_ROWS) as usize
}

/// Returns the segment of a group of 2⁵ values: segment k holds those from 2ᵏ − 1 to 2ᵏ⁺¹ − 2.
const fn segment_of(group: u32) -> u32 {
    (group + 1).ilog2()
}

#[cold]
fn far_segment(group: u32) -> u32 {
    segment_of(group)
}

impl<T: Plain, S: Tape<T>> Rows<T, S> {
    pub const fn new() -> Self {
        let origins = [core::ptr::null_mut(); SEGMENT_PLACES];
        Self { origins, count: 0, len: 0, tape: S::NEW, owns: PhantomData }
    }

    /// Returns the address of a value, if its number is below `len`.
    #[inline]
    fn place(&self, row: u32) -> *mut T {
        let group = row >> FIRST_LOG2;
        let near = NEAR_SEGMENTS.get(group as usize);
        let segment = near.map_or_else(|| far_segment(group), |&segment| u32::from(segment));
        self.origins[segment as usize % SEGMENT_PLACES].wrapping_add(row as usize)
    }

    /// Returns a value. *O*(1).
    #[inline]
    pub fn get(&self, row: u32) -> Option<&T> {
        if row >= self.len {
            return None;
        }
        // SAFETY: by W2 and W3 this is a value in a segment, initialised by W1; `&self` excludes writers.
        Some(unsafe { &*self.place(row) })
    }

    /// Returns a value to be changed; the tape keeps what it is now. *O*(1).
    #[inline]
    pub fn get_mut(&mut self, row: u32) -> Option<&mut T> {
        if row >= self.len {
            return None;
        }
        // SAFETY: by W2 and W3 this is a value in a segment, initialised by W1; `&mut self` excludes every
        // other access.
        let value = unsafe { &mut *self.place(row) };
        self.tape.keep(row, value);
        Some(value)
    }

    /// Makes sure that there is memory for `len` values. *O*(log `len`): at most two segments are
    /// acquired for an array that grows one by one.
    ///
    /// # Errors
    ///
    /// The bytes that the source refused. Segments acquired before stay.
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
            let start = block.cast::<T>().as_ptr();
            self.origins[segment as usize] = start.wrapping_sub(first_row(segment));
            self.count += 1;
            self.len += rows;
        }
        Ok(())
    }

    /// Acquires as much memory as another array has, and copies its first `count` values.
    ///
    /// # Errors
    ///
    /// As [`reserve`](Self::reserve).
    pub fn copy_from(
        &mut self,
        other: &Self,
        count: u32,
        source: &impl Allocator,
    ) -> Result<(), usize> {
        self.reserve(other.len, source)?;
        for row in 0..count {
            if let (Some(place), Some(&value)) = (self.get_mut(row), other.get(row)) {
                *place = value;
            }
        }
        Ok(())
    }

    /// Returns the bytes acquired.
    pub fn memory_bytes(&self) -> usize {
        self.len as usize * size_of::<T>()
    }

    /// Gives all memory back. If the source unwinds, a second call gives the rest back.
    ///
    /// # Safety
    ///
    /// `source` is the one that `reserve` was always called with.
    pub unsafe fn release(&mut self, source: &impl Allocator) {
        while let Some(segment) = self.count.checked_sub(1) {
            // The source may unwind: the segment is forgotten before it goes back.
            self.count = segment;
            self.len -= segment_rows(segment);
            let rows = segment_rows(segment) as usize;
            let Ok(layout) = Layout::array::<T>(rows) else { continue };
            let start = self.origins[segment as usize].wrapping_add(first_row(segment));
            let Some(start) = NonNull::new(start.cast()) else { continue };
            // SAFETY: by W1 and W3 the segment came from this source, and `reserve` used this layout.
            unsafe { source.deallocate(start, layout) };
        }
    }
}

#[cfg(feature = "alloc")]
impl<T: Plain + fmt::Debug> Rows<T, ValueTape<T>> {
    pub fn tape(&self) -> &ValueTape<T> {
        &self.tape
    }

    pub fn tape_mut(&mut self) -> &mut ValueTape<T> {
        &mut self.tape
    }

    /// Undoes every change since a position of the tape, the last one first.
    pub fn rewind(&mut self, position: u64) {
        while let Some((row, old)) = self.tape.pop_from(position) {
            if row < self.len {
                // SAFETY: by W2 and W3 this is a value in a segment; `&mut self` excludes every other access.
                unsafe { self.place(row).write(old) };
            }
        }
        self.tape.mark();
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
