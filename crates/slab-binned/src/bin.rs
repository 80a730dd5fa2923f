//! Lists of dead blocks: the bins of the classes, in which the block freed last comes first, and the indices
//! without a block.

use allocator_api2::alloc::Allocator;

use crate::memory::{Store, Watch};
use crate::record::NONE;

/// A list through the tags of dead records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    pub head: u32,
    pub len: u32,
}

/// One class.
///
/// # Invariants
///
/// - **B1 (listed)**: the records in `free` are dead, have a block of this class each, and are in no
///   other list.
/// - **B2 (counted)**: `blocks` is the number of blocks of this class, dead and live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bin {
    pub free: List,
    pub blocks: u32,
}

impl List {
    pub const EMPTY: Self = Self { head: NONE, len: 0 };

    /// Puts a dead record first.
    pub fn push<A: Allocator, W: Watch>(&mut self, store: &mut Store<A, W>, index: u32) {
        if let Some(record) = store.record_mut(index) {
            record.tag = self.head;
            self.head = index;
            self.len += 1;
        }
    }

    /// Takes the first record out.
    pub fn pop<A: Allocator, W: Watch>(&mut self, store: &Store<A, W>) -> Option<u32> {
        let index = self.head;
        let record = store.record(index)?;
        self.head = record.tag;
        self.len -= 1;
        Some(index)
    }

    #[cfg(feature = "alloc")]
    /// Returns the indices in order. Ends after `len` of them, whatever the links say.
    pub fn iter<A: Allocator, W: Watch>(self, store: &Store<A, W>) -> impl Iterator<Item = u32> {
        let mut rest = self;
        core::iter::from_fn(move || if rest.len == 0 { None } else { rest.pop(store) })
    }
}

impl Bin {
    pub const EMPTY: Self = Self { free: List::EMPTY, blocks: 0 };
}
