//! A reservation of nothing. The compiler removes the code that asks it.

use core::ptr::NonNull;

/// Address space for no chunk.
pub struct Reservation;

impl Reservation {
    pub const NONE: Self = Self;

    /// Returns [`NONE`](Self::NONE).
    pub const fn new(_chunks: u32, _slot_size: usize) -> Self {
        Self
    }

    pub const fn chunks(&self) -> u32 {
        0
    }

    #[inline]
    pub const fn readable(&self) -> u32 {
        0
    }

    #[inline]
    pub const fn generations(&self) -> NonNull<u32> {
        NonNull::dangling()
    }

    #[inline]
    pub const fn slots(&self) -> NonNull<u8> {
        NonNull::dangling()
    }

    pub const fn set_readable(&mut self, _chunks: u32) {}

    pub const fn give_back(&self, _chunk: u32) {}

    pub const fn keep_pages(&mut self) {}
}
