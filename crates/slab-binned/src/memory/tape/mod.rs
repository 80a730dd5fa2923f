//! Tapes: they keep what a value was before it changed, so that a rollback can put it back.
//!
//! A tape is a part of the memory that it watches, and a type parameter chooses it: [`Unwatched`] memory has
//! tapes without code. A tape is *on* from the first checkpoint, and keeps each value once between two
//! checkpoints: a row's stamp is the *epoch* in which it was kept last, and each checkpoint and rollback
//! starts a new epoch. Where there is no memory for an old value, the tape gives up: it forgets everything and
//! stays off until the next checkpoint.

#[cfg(feature = "alloc")]
mod chunks;
#[cfg(feature = "alloc")]
mod parts;
#[cfg(feature = "alloc")]
mod values;

#[cfg(feature = "alloc")]
pub use chunks::{ChunkEntry, ChunkTape};
#[cfg(feature = "alloc")]
pub use values::ValueTape;

use core::fmt;
use core::ops::Range;

use super::chunk::Chunk;
use super::plain::Plain;

/// Whether changes are kept for a rollback.
pub trait Watch {
    /// Keeps rows of plain values.
    type Values<T: Plain + fmt::Debug>: Tape<T>;
    /// Keeps bytes and chunks.
    type Pages: PageTape;
}

/// Keeps plain values by row.
pub trait Tape<T>: fmt::Debug {
    /// A tape that is off.
    const NEW: Self;

    /// Keeps the value of a row, which is about to change.
    fn keep(&mut self, row: u32, old: &T);
}

/// Keeps the bytes of pages, and what happens to chunks.
pub trait PageTape: fmt::Debug {
    /// A tape that is off.
    const NEW: Self;

    /// Whether the tape needs to know at all.
    const WATCHES: bool;

    /// Keeps pages of a chunk whose bytes are about to change. `content` has the bytes of those pages.
    fn keep(&mut self, chunk: u32, row: &Chunk, pages: Range<u32>, content: &[u8]);

    /// The chunk is about to have more touched pages.
    fn touching(&mut self, chunk: u32, row: &Chunk);

    /// The chunk got memory. `old` is what it was before, if it existed.
    fn acquired(&mut self, chunk: u32, old: Option<Chunk>);

    /// The chunk loses its memory. Returns whether the tape takes it; else it goes back to the source.
    #[must_use]
    fn released(&mut self, chunk: u32, old: Chunk) -> bool;

    /// Forgets everything that is kept and returns a chunk whose memory the tape took, if there is another.
    fn take_chunk(&mut self) -> Option<Chunk>;

    /// Returns the pages of the chunks whose memory the tape took, and the number of those chunks.
    fn chunk_pages(&self) -> (usize, usize);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {
    type Values<T: Plain + fmt::Debug> = Unwatched;
    type Pages = Unwatched;
}

impl<T> Tape<T> for Unwatched {
    const NEW: Self = Self;

    #[inline]
    fn keep(&mut self, _: u32, _: &T) {}
}

impl PageTape for Unwatched {
    const NEW: Self = Self;
    const WATCHES: bool = false;

    #[inline]
    fn keep(&mut self, _: u32, _: &Chunk, _: Range<u32>, _: &[u8]) {}

    #[inline]
    fn touching(&mut self, _: u32, _: &Chunk) {}

    #[inline]
    fn acquired(&mut self, _: u32, _: Option<Chunk>) {}

    #[inline]
    fn released(&mut self, _: u32, _: Chunk) -> bool {
        false
    }

    #[inline]
    fn take_chunk(&mut self) -> Option<Chunk> {
        None
    }

    #[inline]
    fn chunk_pages(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// Keeps what a rollback needs, in memory of the global allocator.
#[cfg(feature = "alloc")]
#[derive(Debug, Clone, Copy)]
pub struct Watched;

#[cfg(feature = "alloc")]
impl Watch for Watched {
    type Values<T: Plain + fmt::Debug> = ValueTape<T>;
    type Pages = ChunkTape;
}
