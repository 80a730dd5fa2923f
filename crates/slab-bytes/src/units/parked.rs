//! Parked blocks: freed, but kept whole for the next request of their length. To their neighbours they are live.
#![expect(unsafe_code, reason = "writes links into blocks that were freed")]

use core::ptr::NonNull;

use super::links::{LinkRef, List};
use super::map::{Run, bit};
use super::region::RegionRef;
use crate::small::UNIT_BYTES;

/// Units of a block that is parked, at most: 512 bytes.
const LEN_MAX: u32 = 32;

/// The parked blocks, in lists by length.
#[derive(Debug)]
pub struct Parked {
    lists: [List; LEN_MAX as usize],
    /// A bit per list that has blocks.
    filled: u32,
    /// Units of the blocks in all lists.
    units: u32,
    /// How many of them there may be.
    limit: u32,
    /// Calls of [`is_due`](Self::is_due), modulo four.
    waited: u32,
    /// The list from which a block was merged last.
    turn: u32,
}

impl Parked {
    pub const EMPTY: Self = Self {
        lists: [List::EMPTY; LEN_MAX as usize],
        filled: 0,
        units: 0,
        limit: 0,
        waited: 0,
        turn: 0,
    };

    /// Returns whether blocks of a length are parked.
    #[inline]
    pub const fn takes(len: u32) -> bool {
        len <= LEN_MAX
    }

    /// Returns the bytes of all parked blocks.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.units as usize * UNIT_BYTES
    }

    /// Returns whether as much is parked as the limit permits.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.units >= self.limit
    }

    /// Returns whether one of the blocks should give way to others: at every fourth call.
    pub fn is_due(&mut self) -> bool {
        self.waited = (self.waited + 1) % 4;
        self.waited == 0
    }

    /// Sets the bytes that are parked at most.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = (bytes / UNIT_BYTES) as u32;
    }

    /// Returns the blocks of a length, newest first.
    #[inline]
    pub fn first(&self, len: u32) -> Option<LinkRef> {
        self.lists[len as usize - 1].first()
    }

    /// Returns whether a block that starts at a unit is parked.
    ///
    /// # Safety
    ///
    /// The unit lies before the frontier, and the region has room for these bits.
    #[inline]
    pub unsafe fn contains(region: RegionRef, first: u32) -> bool {
        // SAFETY: as the caller promises.
        unsafe { region.parked(first) }.get() & bit(first) != 0
    }

    /// Parks a block, of a length that [`takes`](Self::takes) permits.
    ///
    /// # Safety
    ///
    /// The map has the block as live, its user has given it up, and `pointer` is its first byte.
    #[inline(always)]
    pub unsafe fn park(&mut self, block: Run, pointer: NonNull<u8>) {
        let Run { region, first, len } = block;
        // SAFETY: a start lies before the frontier, and the region has the bits.
        let word = unsafe { region.parked(first) };
        word.set(word.get() | bit(first));
        // SAFETY: as the caller promises.
        unsafe { self.lists[len as usize - 1].push_single(pointer) };
        self.filled |= 1 << (len - 1);
        self.units += len;
    }

    /// Takes a block out of its list, the newest of its length, whose link is `link`. To the map it stays a block.
    ///
    /// # Safety
    ///
    /// The block is parked.
    #[inline(always)]
    pub unsafe fn pop(&mut self, block: Run, link: LinkRef) {
        let Run { region, first, len } = block;
        // SAFETY: a start lies before the frontier, and the region has the bits.
        let word = unsafe { region.parked(first) };
        word.set(word.get() & !bit(first));
        let list = &mut self.lists[len as usize - 1];
        list.pop_single(link);
        if list.is_empty() {
            self.filled &= !(1 << (len - 1));
        }
        self.units -= len;
    }

    /// Forgets the blocks of a length, whose links are damaged.
    #[cold]
    pub fn lose(&mut self, len: u32) {
        self.lists[len as usize - 1].clear();
        self.filled &= !(1 << (len - 1));
    }

    /// Returns a block of the next list in turn, so that no length is kept longer than others, and its length.
    pub fn next_in_turn(&mut self) -> Option<(LinkRef, u32)> {
        if self.filled == 0 {
            // Blocks whose list was lost were counted.
            self.units = 0;
            return None;
        }
        let rotated = self.filled.rotate_right(self.turn);
        let index = (self.turn + rotated.trailing_zeros()) % LEN_MAX;
        self.turn = (index + 1) % LEN_MAX;
        Some((self.first(index + 1)?, index + 1))
    }

    /// Returns the lists, of the shortest blocks first.
    pub fn lists(&self) -> &[List] {
        &self.lists
    }
}

const _: () = assert!(LEN_MAX == u32::BITS);
