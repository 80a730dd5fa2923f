//! How a buffer differs from a new one, in one word.

/// A new buffer is zero, and its length is its capacity. This word says how far that no longer holds, so that one test
/// tells an acquire whether anything must be reset, and a release resets nothing.
///
/// | bits | meaning |
/// |---|---|
/// | 0 | the length may differ from the capacity |
/// | 1.. | *dirty* bytes: so many of the first bytes may be other than zero |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes(usize);

const RESIZED: usize = 1;
const DIRTY_SHIFT: u32 = 1;

/// The changes that a pool undoes when it hands out a whole buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undo(usize);

impl Undo {
    /// A changed length, and dirty bytes.
    pub const ALL: Self = Self(usize::MAX);
    /// A changed length.
    pub const LENGTH: Self = Self(RESIZED);
}

impl Changes {
    /// The changes of a new buffer.
    pub const NONE: Self = Self(0);

    /// Returns whether there is anything for `undo` to undo.
    #[inline(always)]
    pub fn need(self, undo: Undo) -> bool {
        self.0 & undo.0 != 0
    }

    /// Returns how many of the first bytes may be other than zero.
    #[inline(always)]
    pub fn dirty(self) -> usize {
        self.0 >> DIRTY_SHIFT
    }

    /// Notes that the first `end` bytes may be other than zero.
    #[inline(always)]
    pub fn mark_dirty(&mut self, end: usize) {
        let dirty = end << DIRTY_SHIFT;
        if self.0 < dirty {
            self.0 = dirty | self.0 & RESIZED;
        }
    }

    /// Notes that all bytes are zero.
    #[inline(always)]
    pub fn mark_clean(&mut self) {
        self.0 &= RESIZED;
    }

    /// Notes that the length may differ from the capacity.
    #[inline(always)]
    pub fn mark_resized(&mut self) {
        self.0 |= RESIZED;
    }

    /// Notes that the length is the capacity.
    #[inline(always)]
    pub fn mark_whole(&mut self) {
        self.0 &= !RESIZED;
    }
}
