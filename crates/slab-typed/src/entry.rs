//! A vacant slot whose key is known before its value.

use core::fmt;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use crate::handle::{Key, SlotHandle};
use crate::storage::Storage;
use slab_traits::Global;

/// The slot that is filled next, made by [`SlabAllocator::vacant_entry`]. Dropping it changes nothing.
///
/// # Examples
///
/// ```
/// use slab_typed::SlabAllocator;
///
/// let mut nodes = SlabAllocator::new(64);
/// let entry = nodes.vacant_entry();
/// let key = entry.key();
/// entry.insert((key, "a node that knows its key"));
/// assert_eq!(nodes[key].0, key);
/// ```
///
/// [`SlabAllocator::vacant_entry`]: crate::SlabAllocator::vacant_entry
pub struct VacantEntry<'a, T, K = SlotHandle, A: Allocator = Global> {
    storage: &'a mut Storage<T, A>,
    key: PhantomData<fn() -> K>,
}

impl<'a, T, K: Key, A: Allocator> VacantEntry<'a, T, K, A> {
    /// The storage has a vacant slot.
    #[inline]
    pub(crate) fn new(storage: &'a mut Storage<T, A>) -> Self {
        Self { storage, key: PhantomData }
    }

    /// Returns the key that the value gets. *O*(1).
    #[inline]
    pub fn key(&self) -> K {
        K::from_handle(self.storage.next_handle())
    }

    /// Stores the value. *O*(1).
    #[inline]
    pub fn insert(self, value: T) -> &'a mut T {
        let handle = self.storage.fill(value);
        match self.storage.get_mut(handle) {
            Some(value) => value,
            None => unreachable!("the slot was just filled"),
        }
    }
}

impl<T, K: Key + fmt::Debug, A: Allocator> fmt::Debug for VacantEntry<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(&self.key()).finish()
    }
}
