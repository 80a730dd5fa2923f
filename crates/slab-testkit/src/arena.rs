//! Memory to give to an allocator under test.
#![expect(unsafe_code, reason = "the arena is raw memory with guard bytes around it")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;
use std::thread;

/// Guard bytes on each side.
const GUARD_BYTES: usize = 64;
const PAGE_BYTES: usize = 4096;

/// Returns a guard byte. It differs from its neighbours, so that a shifted copy is found.
fn guard_byte(index: usize) -> u8 {
    0xA5 ^ (index as u8)
}

/// Owned, uninitialised memory at a chosen address modulo an alignment, between guard bytes.
///
/// Moving an arena does not invalidate pointers into it, as moving a `Box` would. Dropping it panics if a
/// guard byte was overwritten.
///
/// # Invariants
///
/// - **A1 (guarded)**: the `GUARD_BYTES` before and after the region belong to the same allocation and are
///   initialised.
///
/// # Examples
///
/// ```
/// use slab_testkit::Arena;
///
/// let arena = Arena::new(1000, 1);
/// assert_eq!(arena.region().len(), 1000);
/// assert_eq!(arena.region().cast::<u8>().addr().get() % 4096, 1);
/// ```
pub struct Arena {
    region: NonNull<[u8]>,
    allocation: NonNull<u8>,
    layout: Layout,
}

impl Arena {
    /// Returns an arena of `bytes` bytes that begins `offset` bytes past a page boundary.
    ///
    /// # Panics
    ///
    /// If `offset` is not below 4096, or if no layout is that large.
    pub fn new(bytes: usize, offset: usize) -> Self {
        Self::aligned(bytes, PAGE_BYTES, offset)
    }

    /// Returns an arena of `bytes` bytes that begins `offset` bytes past a multiple of `align`.
    ///
    /// # Panics
    ///
    /// If `align` is not a power of two, if `offset` is not below it, or if no layout is that large.
    pub fn aligned(bytes: usize, align: usize, offset: usize) -> Self {
        assert!(offset < align, "an offset of {offset} does not fit an alignment of {align}");
        let front = GUARD_BYTES.next_multiple_of(align) + offset;
        let layout = front
            .checked_add(bytes)
            .and_then(|size| size.checked_add(GUARD_BYTES))
            .and_then(|size| Layout::from_size_align(size, align).ok())
            .expect("an arena has a valid layout");
        // SAFETY: the layout holds at least the guards, so its size is not zero.
        let allocation = unsafe { alloc(layout) };
        let Some(allocation) = NonNull::new(allocation) else { handle_alloc_error(layout) };
        // SAFETY: `front` bytes lie before the region in an allocation of `front + bytes + guard`.
        let start = unsafe { allocation.add(front) };
        let region = NonNull::slice_from_raw_parts(start, bytes);
        let arena = Self { region, allocation, layout };
        for (index, byte) in arena.guards() {
            // SAFETY: by A1 the byte lies in the allocation.
            unsafe { byte.write(guard_byte(index)) };
        }
        arena
    }

    /// Returns the memory. The caller must keep the arena while it is used.
    pub fn region(&self) -> NonNull<[u8]> {
        self.region
    }

    /// Checks that no guard byte was changed. *O*(1).
    ///
    /// # Panics
    ///
    /// If one was changed; the message has its offset from the start of the region.
    pub fn check_guards(&self) {
        if let Some(index) = self.broken_guard() {
            report(index, self.region.len());
        }
    }

    fn broken_guard(&self) -> Option<usize> {
        let broken = |&(index, byte): &(usize, NonNull<u8>)| {
            // SAFETY: by A1 the byte lies in the allocation and is initialised.
            let found = unsafe { byte.read() };
            found != guard_byte(index)
        };
        self.guards().find(broken).map(|(index, _)| index)
    }

    /// Numbers the guard bytes: first those before the region, then those after it.
    fn guards(&self) -> impl Iterator<Item = (usize, NonNull<u8>)> + use<> {
        let start = self.region.cast::<u8>();
        // SAFETY: by A1 the allocation has `GUARD_BYTES` before the region, and as many after its end.
        let (before, after) = unsafe { (start.sub(GUARD_BYTES), start.add(self.region.len())) };
        (0..2 * GUARD_BYTES).map(move |index| {
            let (guard, offset) =
                if index < GUARD_BYTES { (before, index) } else { (after, index - GUARD_BYTES) };
            // SAFETY: by A1 each guard has `GUARD_BYTES` bytes, and `offset` is below that.
            (index, unsafe { guard.add(offset) })
        })
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let broken = self.broken_guard();
        // SAFETY: allocated in `aligned` with this layout, and dropped once.
        unsafe { dealloc(self.allocation.as_ptr(), self.layout) };
        if let Some(index) = broken
            && !thread::panicking()
        {
            report(index, self.region.len());
        }
    }
}

fn report(index: usize, len: usize) -> ! {
    match index.checked_sub(GUARD_BYTES) {
        None => panic!("byte -{} of an arena of {len} was written", GUARD_BYTES - index),
        Some(past) => panic!("byte {} of an arena of {len} was written", len + past),
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({} bytes at {:p})", self.region.len(), self.region.cast::<u8>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn lies_at_the_requested_address_and_is_writable_to_its_edges() {
        for (bytes, align, offset) in [(0, 1, 0), (1, 4096, 0), (100, 4096, 4095), (64, 65536, 7)] {
            let arena = Arena::aligned(bytes, align, offset);
            let start = arena.region().cast::<u8>();
            assert_eq!(start.addr().get() % align, offset);
            // SAFETY: the region has that many bytes, and only this test uses it.
            unsafe { start.write_bytes(0xFF, bytes) };
            arena.check_guards();
        }
    }

    #[test]
    fn a_write_beside_the_region_is_found_on_both_sides() {
        for past_end in [false, true] {
            let arena = Arena::new(100, 3);
            let start = arena.region().cast::<u8>();
            let offset = if past_end { 100 } else { -1 };
            // SAFETY: both offsets name guard bytes of the same allocation, which are initialised.
            let (beside, before) = unsafe {
                let beside = start.offset(offset);
                let before = beside.read();
                beside.write(!before);
                (beside, before)
            };
            assert!(catch_unwind(AssertUnwindSafe(|| arena.check_guards())).is_err());
            // SAFETY: a guard byte of the allocation. It is repaired, so that dropping the arena does not panic.
            unsafe { beside.write(before) };
        }
    }

    #[test]
    #[should_panic(expected = "byte 8 of an arena of 8 was written")]
    fn dropping_a_damaged_arena_panics() {
        let arena = Arena::new(8, 0);
        // SAFETY: the first guard byte after the region, in the same allocation.
        unsafe { arena.region().cast::<u8>().add(8).write(0) };
    }
}
