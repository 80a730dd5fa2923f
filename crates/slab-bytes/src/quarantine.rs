//! Freed blocks of hardened modes that are not free yet: their memory is used again only after further frees.

use crate::line::LineRef;

/// Blocks that are quarantined at a time, at most. A block stays for at least half as many further frees, unless
/// memory is short.
const CAPACITY: usize = 32;

/// The blocks that are released at a time.
pub const HALF: usize = CAPACITY / 2;

/// A block of one in so many bytes in use is quarantined; a larger one is free at once. All quarantined blocks
/// together are so at most 1/64 of the memory in use.
const SHARE: usize = 64 * CAPACITY;

/// The largest block that is quarantined in a heap of any size.
const BLOCK_BYTES_MIN: usize = 128;

/// A block that was freed by its user. To its segment the slot is live, and to its neighbours the run is a block.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The head of the segment, or of the block that is a whole run.
    pub head: LineRef,
    /// The slot; 0 for a run.
    pub slot: u32,
}

/// The quarantined blocks, in two halves that are filled in turn: before a half is filled, what it has is released.
///
/// # Invariants
///
/// - **Q1 (taken)**: each entry is a block that was live when it was freed, and that nothing else may use or end
///   until it is released: its slot is live to the segment with this head, or its run is of kind `Block` or
///   `Borrowed`. It is dead and filled.
/// - **Q2 (in order)**: the entries of a half are its first ones, and no entry lies from `cursor` to the end of its
///   half.
#[derive(Debug)]
pub struct Quarantine {
    halves: [Half; 2],
    /// Where the next entry goes: its half, times the entries of one, and its place there.
    cursor: usize,
    block_bytes_max: usize,
}

/// Quarantined blocks, oldest first.
type Half = [Option<Entry>; HALF];

impl Quarantine {
    pub const EMPTY: Self =
        Self { halves: [[None; HALF]; 2], cursor: 0, block_bytes_max: BLOCK_BYTES_MIN };

    /// Returns whether a block of so many bytes may be quarantined.
    #[inline]
    pub const fn takes(&self, bytes: usize) -> bool {
        bytes <= self.block_bytes_max
    }

    /// Adds a block. Returns whether its half is full, so that the other has to be released.
    #[inline]
    pub fn push(&mut self, entry: Entry) -> bool {
        let cursor = self.cursor % CAPACITY;
        self.halves.as_flattened_mut()[cursor] = Some(entry);
        self.cursor = cursor + 1;
        self.cursor.is_multiple_of(HALF)
    }

    /// Bounds the blocks for a heap with so many bytes in use.
    pub fn bound(&mut self, bytes_in_use: usize) {
        self.block_bytes_max = (bytes_in_use / SHARE).max(BLOCK_BYTES_MIN);
    }

    /// Returns which half was filled longer ago.
    pub const fn older(&self) -> usize {
        // The newest entry lies before the cursor.
        if (self.cursor + CAPACITY - 1) % CAPACITY < HALF { 1 } else { 0 }
    }

    /// Takes the block at a place of a half out.
    #[inline]
    pub fn take(&mut self, half: usize, place: usize) -> Option<Entry> {
        self.halves[half % 2][place % HALF].take()
    }

    /// Goes on at the start of the half that was filled last, once all blocks are taken out.
    pub fn restart(&mut self) {
        self.cursor = (1 - self.older()) * HALF;
    }

    /// Returns whether no block is quarantined.
    pub fn is_empty(&self) -> bool {
        self.halves.iter().all(|half| half[0].is_none())
    }

    /// Returns the blocks.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.halves.as_flattened().iter().flatten()
    }
}
