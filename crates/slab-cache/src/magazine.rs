//! Bounded stacks of slots: the slots of one cache that a thread keeps, and a batch of slots on its way between
//! a thread and the slabs. To the slabs, all of these slots are live.
#![expect(unsafe_code, reason = "reads entries that were written before")]

use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Slots of a magazine.
pub const CAPACITY: usize = 64;
/// Slots that move at once.
pub const BATCH: usize = CAPACITY / 2;

/// Frees the slots of a batch in the slabs of the core that the erased pointer names. If the lock panics, the
/// slots that were not freed stay in the batch.
pub type FreeBatch = unsafe fn(core: NonNull<()>, batch: &mut Batch);

/// The cache of slots, without its types.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    pub core: NonNull<()>,
    pub free_batch: FreeBatch,
}

/// The slots of one cache that a thread keeps.
///
/// # Invariants
///
/// - **G1 (owned)**: the first `len` entries are initialised: slots of the cache `owner` that are live to its
///   slabs and have no other owner. So the core exists while there is one.
pub struct Magazine {
    owner: Owner,
    len: usize,
    slots: [MaybeUninit<NonNull<u8>>; CAPACITY],
}

impl Magazine {
    pub const fn new() -> Self {
        let owner = Owner { core: NonNull::dangling(), free_batch: |_, _| {} };
        Self { owner, len: 0, slots: [MaybeUninit::uninit(); CAPACITY] }
    }

    /// Returns the cache of the slots; `None` if there are none.
    pub fn owner(&self) -> Option<Owner> {
        if self.len > 0 { Some(self.owner) } else { None }
    }

    pub const fn is_full(&self) -> bool {
        self.len == CAPACITY
    }

    /// Removes the newest slot.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<NonNull<u8>> {
        let len = self.len.checked_sub(1)?;
        self.len = len;
        let slot = self.slots.get(len)?;
        // SAFETY: by G1 the entry is initialised.
        Some(unsafe { slot.assume_init() })
    }

    /// Adds a slot, which has the same owner as the others; `false` if there is no room.
    #[inline(always)]
    pub fn push(&mut self, owner: Owner, slot: NonNull<u8>) -> bool {
        let Some(entry) = self.slots.get_mut(self.len) else { return false };
        entry.write(slot);
        if self.len == 0 {
            self.owner = owner;
        }
        self.len += 1;
        true
    }

    /// Removes up to a batch of the oldest slots.
    pub fn pop_oldest(&mut self) -> Batch {
        let count = self.len.min(BATCH);
        let mut batch = Batch::new(self.owner);
        for slot in &self.slots[..count] {
            // SAFETY: by G1 the entry is initialised.
            batch.push(unsafe { slot.assume_init() });
        }
        self.slots.copy_within(count..self.len, 0);
        self.len -= count;
        batch
    }
}

/// Slots of one cache on their way between a magazine and the slabs. It owns them, as G1 says of a magazine.
#[derive(Debug)]
pub struct Batch {
    pub owner: Owner,
    len: usize,
    slots: [NonNull<u8>; BATCH],
}

impl Batch {
    pub const fn new(owner: Owner) -> Self {
        Self { owner, len: 0, slots: [NonNull::dangling(); BATCH] }
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, slot: NonNull<u8>) {
        self.slots[self.len] = slot;
        self.len += 1;
    }

    /// Returns the slot that was added last.
    pub fn last(&self) -> Option<NonNull<u8>> {
        self.slots.get(self.len.checked_sub(1)?).copied()
    }

    /// Removes the slot that was added last.
    pub fn pop(&mut self) -> Option<NonNull<u8>> {
        let slot = self.last()?;
        self.len -= 1;
        Some(slot)
    }
}
