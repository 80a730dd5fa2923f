//! A last-in, first-out list of dead slots whose links lie in the dead slots themselves.
//!
//! A link is an index, never an address. A [`SlotSpace`] finds the link of a slot, so that one list can
//! serve one segment or all chunks of an allocator. A link that was overwritten is detected when it is
//! read, before it is followed. The list does not own the slots, and does not know which slots exist.
#![expect(unsafe_code, reason = "links lie in dead slots")]

use core::fmt;
use core::ptr::NonNull;

use thiserror::Error;

/// The type of a slot's number, small enough to lie in a dead slot: `u8`, `u16` or `u32`.
///
/// The largest value numbers no slot and ends a list.
pub trait SlotIndex: sealed::Index + Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// The number of slots that this type can tell apart.
    const SLOT_COUNT_MAX: u32;
    /// The value that numbers no slot.
    const NONE: Self;

    /// Returns the index of slot number `slot`, which must be at most
    /// [`SLOT_COUNT_MAX`](Self::SLOT_COUNT_MAX); a larger number is truncated.
    fn from_u32(slot: u32) -> Self;

    /// Returns the number.
    fn to_u32(self) -> u32;
}

macro_rules! slot_index {
    ($($index:ty),*) => {$(
        impl sealed::Index for $index {}

        impl SlotIndex for $index {
            const SLOT_COUNT_MAX: u32 = <$index>::MAX as u32;
            const NONE: Self = <$index>::MAX;

            #[inline]
            fn from_u32(slot: u32) -> Self {
                slot as $index
            }

            #[inline]
            fn to_u32(self) -> u32 {
                self as u32
            }
        }
    )*};
}

slot_index!(u8, u16, u32);

mod sealed {
    pub trait Index {}
}

/// Where the links of slots lie, and which slots can be in a list.
///
/// # Safety
///
/// For every slot that [`may_link`](Self::may_link), [`link_cell`](Self::link_cell) returns a pointer
/// that is valid for reads and writes of an `I` while the slot is dead; it need not be aligned. The
/// cells of different slots do not overlap. [`NONE`](SlotIndex::NONE) may not link.
pub unsafe trait SlotSpace<I: SlotIndex> {
    /// Returns a pointer to the slot's link. *O*(1).
    ///
    /// # Safety
    ///
    /// [`may_link`](Self::may_link) holds for the slot.
    unsafe fn link_cell(&self, slot: I) -> NonNull<I>;

    /// Returns whether the slot can be in a list: it exists, its link was written before and, if the space
    /// knows, it is dead. *O*(1).
    fn may_link(&self, slot: I) -> bool;

    /// Returns the key that the slot's link is encoded with, so that a forged link becomes a random one. The
    /// provided method returns 0, which leaves links plain.
    #[inline]
    fn link_key(&self, slot: I) -> u32 {
        let _ = slot;
        0
    }
}

/// A link to a slot that cannot be in the list: a dead slot was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("dead slot {slot} was written to: its link leads to {link}")]
pub struct CorruptLink {
    /// The dead slot that was written to.
    pub slot: u32,
    /// The slot that its link leads to.
    pub link: u32,
}

/// A last-in, first-out list of dead slots.
///
/// # Invariants
///
/// - **F1 (owned)**: a listed slot was given up to [`push`](Self::push), was not popped since, and
///   `may_link` holds for it.
/// - **F2 (linked)**: the link cell of a listed slot was written by `push`.
/// - **F3 (counted)**: `len` slots are listed. The link of the last one is `NONE`, that of any other is
///   not; a link that differs is corrupt.
///
/// # Examples
///
/// ```
/// use core::cell::UnsafeCell;
/// use core::ptr::NonNull;
/// use slab_core::{FreeList, SlotSpace};
///
/// struct Cells(UnsafeCell<[u16; 8]>);
///
/// // SAFETY: the eight cells are disjoint and used by the list alone.
/// unsafe impl SlotSpace<u16> for Cells {
///     unsafe fn link_cell(&self, slot: u16) -> NonNull<u16> {
///         let cells = NonNull::new(self.0.get()).expect("a field is not null").cast::<u16>();
///         // SAFETY: called for slots that may link, which are below 8.
///         unsafe { cells.add(slot.into()) }
///     }
///
///     fn may_link(&self, slot: u16) -> bool {
///         slot < 8
///     }
/// }
///
/// let cells = Cells(UnsafeCell::new([0; 8]));
/// let mut list = FreeList::new();
/// for slot in [5, 2] {
///     // SAFETY: the slot exists, is not listed and is not used.
///     unsafe { list.push(&cells, slot) };
/// }
/// // SAFETY: `cells` is what the slots were pushed with.
/// assert_eq!(unsafe { list.pop(&cells) }, Ok(Some(2)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FreeList<I> {
    head: I,
    len: u32,
}

impl<I: SlotIndex> FreeList<I> {
    /// Returns a list of no slots.
    #[inline]
    pub const fn new() -> Self {
        Self { head: I::NONE, len: 0 }
    }

    /// Lists a slot. *O*(1).
    ///
    /// # Safety
    ///
    /// `space` is the only one that this list is ever used with. `space.may_link(slot)` holds until the slot is popped. The
    /// slot is not listed, and only the list uses its link cell.
    #[inline]
    pub unsafe fn push(&mut self, space: &impl SlotSpace<I>, slot: I) {
        let stored = I::from_u32(self.head.to_u32() ^ space.link_key(slot));
        // SAFETY: the caller guarantees that the slot may link, so the cell is valid, and gives it up.
        unsafe { space.link_cell(slot).write_unaligned(stored) };
        self.head = slot;
        self.len += 1;
    }

    /// Removes and returns the slot listed last. *O*(1).
    ///
    /// # Errors
    ///
    /// [`CorruptLink`] if `push` cannot have written the slot's link. The list is unchanged, and only that
    /// link was read.
    ///
    /// # Safety
    ///
    /// `space` is the only one that this list is ever used with.
    #[inline]
    pub unsafe fn pop(&mut self, space: &impl SlotSpace<I>) -> Result<Option<I>, CorruptLink> {
        if self.len == 0 {
            return Ok(None);
        }
        let slot = self.head;
        // SAFETY: by F3 the head is listed, and the caller guarantees that it is listed in this space.
        self.head = unsafe { next(space, slot, self.len) }?;
        self.len -= 1;
        Ok(Some(slot))
    }

    /// Returns the slot that [`pop`](Self::pop) would remove. *O*(1).
    #[inline]
    pub fn head(&self) -> Option<I> {
        (self.len != 0).then_some(self.head)
    }

    /// Returns the number of slots listed. *O*(1).
    #[inline]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Returns whether no slot is listed. *O*(1).
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<I: SlotIndex> Default for FreeList<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: SlotIndex> fmt::Debug for FreeList<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreeList").field("head", &self.head()).field("len", &self.len).finish()
    }
}

/// Returns the slot after a listed one, of which `len` are listed from here on; fails if its link cannot be
/// right.
///
/// # Safety
///
/// `slot` is listed in a list over `space`.
#[inline]
unsafe fn next<I: SlotIndex>(
    space: &impl SlotSpace<I>,
    slot: I,
    len: u32,
) -> Result<I, CorruptLink> {
    // SAFETY: by F1 the slot may link, so the cell is valid, and by F2 it is initialised.
    let stored = unsafe { space.link_cell(slot).read_unaligned() };
    let link = I::from_u32(stored.to_u32() ^ space.link_key(slot));
    let sound = if len == 1 { link == I::NONE } else { link != slot && space.may_link(link) };
    if sound { Ok(link) } else { Err(corrupt(slot, link)) }
}

#[cold]
fn corrupt<I: SlotIndex>(slot: I, link: I) -> CorruptLink {
    CorruptLink { slot: slot.to_u32(), link: link.to_u32() }
}
