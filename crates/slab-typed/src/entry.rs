//! A slot whose handle is known before its value.

use core::fmt;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use crate::handle::{Key, SlotHandle};
use crate::storage::Storage;
use slab_traits::Global;

/// The slot that is filled next. Made by [`SlabAllocator::vacant_entry`].
///
/// Dropping it changes nothing.
///
/// # Examples
///
/// ```
/// use slab_typed::SlabAllocator;
///
/// let mut nodes = SlabAllocator::new(64);
/// let entry = nodes.vacant_entry()?;
/// let key = entry.key();
/// entry.insert((key, "a node that knows its own handle"));
/// assert_eq!(nodes[key].0, key);
/// # Ok::<(), slab_typed::SlabError>(())
/// ```
///
/// [`SlabAllocator::vacant_entry`]: crate::SlabAllocator::vacant_entry
pub struct VacantEntry<'a, T, K = SlotHandle, A: Allocator = Global> {
    storage: &'a mut Storage<T, A>,
    handle: SlotHandle,
    key: PhantomData<fn() -> K>,
}

impl<'a, T, K: Key, A: Allocator> VacantEntry<'a, T, K, A> {
    #[inline]
    pub(crate) fn new(storage: &'a mut Storage<T, A>, handle: SlotHandle) -> Self {
        Self { storage, handle, key: PhantomData }
    }

    /// Returns the handle that the value will have. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let entry = names.vacant_entry()?;
    /// let key = entry.key();
    /// entry.insert("Ada");
    /// assert_eq!(names[key], "Ada");
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn key(&self) -> K {
        K::from_handle(self.handle)
    }

    /// Stores the value. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let entry = names.vacant_entry()?;
    /// let name = entry.insert("Ada".to_owned());
    /// name.push('!');
    /// assert_eq!(name, "Ada!");
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn insert(self, value: T) -> &'a mut T {
        let Self { storage, handle, .. } = self;
        let filled = storage.fill(value).is_ok_and(|filled| filled == handle);
        debug_assert!(filled, "the storage was borrowed since it named this slot");
        match storage.get_mut(handle) {
            Some(value) => value,
            None => unreachable!("just filled"),
        }
    }
}

impl<T, K: Key + fmt::Debug, A: Allocator> fmt::Debug for VacantEntry<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(&self.key()).finish()
    }
}
