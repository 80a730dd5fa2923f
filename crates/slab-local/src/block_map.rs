//! The block map: a byte for each unit of 16 bytes of a region, which says what starts there.
//!
//! | byte | the block that starts at the unit |
//! |---|---|
//! | 0 | none, or one that the heap alone knows |
//! | number of a class | a live block of this class |
//! | 0x80 | a block that waits in a magazine or a batch |
//! | 0xFF | memory of the depot |
//!
//! A free needs one load, one comparison and one store. No two blocks share a byte, so no read-modify-write is
//! needed: only the thread that owns a block, or has just taken it, writes its byte. Two threads that free one
//! block at the very same time both find it live; [`BlockMap::free_racing`] finds these too, by an exchange.
#![expect(unsafe_code, reason = "the map lies in the memory of a region")]

use core::ptr::NonNull;

use slab_core::sync::atomic::{AtomicU8, Ordering};

use crate::backing::Class;

/// Bytes that a byte of the map describes: the smallest distance of two blocks.
pub const UNIT_BYTES: usize = 16;

/// The state of a unit in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// No block of a magazine starts there.
    None,
    /// A live block of this class.
    Live(Class),
    /// A block that waits in a magazine or a batch.
    Waiting,
    /// Memory of the depot.
    Internal,
}

const WAITING: u8 = 0x80;

impl Mark {
    /// Returns the byte for a mark.
    #[inline(always)]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Live(class) => class.number(),
            Self::Waiting => WAITING,
            Self::Internal => u8::MAX,
        }
    }

    /// Returns the mark of a byte. The map has no other bytes than those of marks.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::None,
            u8::MAX => Self::Internal,
            WAITING => Self::Waiting,
            _ => Self::Live(Class::new(byte as usize - 1)),
        }
    }
}

/// The bytes of a map.
///
/// # Invariants
///
/// - **M1 (valid)**: `bytes` are initialised, are accessed atomically alone, and outlive the map.
/// - **M2 (taken)**: a byte is `Live` or `Waiting` exactly from the refill that took the block from the heap until
///   the block is given back.
#[derive(Debug, Clone, Copy)]
pub struct BlockMap {
    bytes: NonNull<AtomicU8>,
}

impl BlockMap {
    /// Returns the map over these bytes.
    ///
    /// # Safety
    ///
    /// M1 holds.
    #[inline(always)]
    pub const unsafe fn new(bytes: NonNull<AtomicU8>) -> Self {
        Self { bytes }
    }

    /// Returns the byte of a unit.
    ///
    /// # Safety
    ///
    /// The map has so many bytes.
    #[inline(always)]
    unsafe fn byte<'a>(self, unit: usize) -> &'a AtomicU8 {
        // SAFETY: the caller guarantees the unit, and by M1 the byte is initialised and outlives the map, which no
        // caller of this private function does.
        unsafe { self.bytes.add(unit).as_ref() }
    }

    /// Returns the state of a unit.
    ///
    /// # Safety
    ///
    /// The map has this unit.
    #[inline(always)]
    pub unsafe fn get(self, unit: usize) -> Mark {
        // SAFETY: the caller guarantees the unit.
        Mark::from_byte(unsafe { self.byte(unit) }.load(Ordering::Relaxed))
    }

    /// Sets the mark of a unit. Relaxed: whoever hands a block to another thread orders all that it did before.
    ///
    /// # Safety
    ///
    /// The map has this unit, and the caller owns the block that starts there.
    #[inline(always)]
    pub unsafe fn set(self, unit: usize, mark: Mark) {
        // SAFETY: the caller guarantees the unit.
        unsafe { self.byte(unit) }.store(mark.to_byte(), Ordering::Relaxed);
    }

    /// Marks a live block of a class as waiting. Returns whether there was one.
    ///
    /// # Safety
    ///
    /// The map has this unit.
    #[inline(always)]
    pub unsafe fn free(self, unit: usize, class: Class) -> bool {
        // SAFETY: the caller guarantees the unit.
        let byte = unsafe { self.byte(unit) };
        let is_live = byte.load(Ordering::Relaxed) == Mark::Live(class).to_byte();
        if is_live {
            byte.store(Mark::Waiting.to_byte(), Ordering::Relaxed);
        }
        is_live
    }

    /// As [`free`](Self::free), and of several frees of one block at the same time only one returns `true`.
    ///
    /// # Safety
    ///
    /// The map has this unit.
    #[cfg(target_has_atomic = "8")]
    #[inline(always)]
    pub unsafe fn free_racing(self, unit: usize, class: Class) -> bool {
        // SAFETY: the caller guarantees the unit.
        let byte = unsafe { self.byte(unit) };
        let (live, waiting) = (Mark::Live(class).to_byte(), Mark::Waiting.to_byte());
        byte.compare_exchange(live, waiting, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// As [`free`](Self::free): this target has one core, and no compare-and-swap.
    ///
    /// # Safety
    ///
    /// The map has this unit.
    #[cfg(not(target_has_atomic = "8"))]
    pub unsafe fn free_racing(self, unit: usize, class: Class) -> bool {
        // SAFETY: the caller guarantees the unit.
        unsafe { self.free(unit, class) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_has_its_byte() {
        for index in 0..Class::COUNT_MAX {
            let mark = Mark::Live(Class::new(index));
            assert_eq!(Mark::from_byte(mark.to_byte()), mark);
        }
        for mark in [Mark::None, Mark::Waiting, Mark::Internal] {
            assert_eq!(Mark::from_byte(mark.to_byte()), mark);
        }
    }
}
