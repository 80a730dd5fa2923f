//! Operations of the only user of a slab.

use core::fmt;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use super::{SharedSlab, slots};
use crate::handle::{Key, SlotHandle};
use slab_traits::Global;

impl<T, K: Key, A: Allocator> SharedSlab<T, K, A> {
    /// Returns the value of a key. *O*(1).
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.slots.get_mut(key.handle())
    }

    /// Returns an iterator over keys and mutable values, in no particular order. *O*(slots).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let mut numbers = SharedSlab::new();
    /// let one = numbers.insert(1);
    /// for (_, number) in numbers.iter_mut() {
    ///     *number += 1;
    /// }
    /// assert_eq!(*numbers.get(one).unwrap(), 2);
    /// ```
    pub fn iter_mut(&mut self) -> IterMut<'_, T, K, A> {
        IterMut { entries: self.slots.entries_mut(), key: PhantomData }
    }

    /// Returns an iterator that removes all values, and keeps the memory. *O*(slots).
    ///
    /// Dropping it drops the values that it did not yield; leaking it leaves them.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let mut names = SharedSlab::new();
    /// let ada = names.insert("Ada");
    /// assert_eq!(names.drain().collect::<Vec<_>>(), [(ada, "Ada")]);
    /// assert!(names.is_empty());
    /// ```
    pub fn drain(&mut self) -> Drain<'_, T, K, A> {
        Drain { walk: self.slots.walk(), slab: self }
    }
}

impl<T, K, A: Allocator> SharedSlab<T, K, A> {
    /// Releases the memory of slabs without values, as [`compact`](Self::compact), and the generations of the last ones,
    /// the records of threads, and the values of forgotten guards. *O*(slots).
    ///
    /// Live keys stay valid and stale keys stay stale. Worn generations are kept, as in
    /// [`SlabAllocator::shrink_to`](crate::SlabAllocator::shrink_to).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let mut names = SharedSlab::new();
    /// let ada = names.insert("Ada".to_owned());
    /// names.remove(ada);
    /// names.shrink_to_fit();
    /// assert_eq!(names.held_bytes(), 0);
    /// names.insert("Bob".to_owned());
    /// assert!(!names.contains(ada));
    /// ```
    pub fn shrink_to_fit(&mut self) {
        self.slots.shrink_to_fit();
    }

    /// Makes the slots of slabs acquired from now on start above `generation`, so that handles of an earlier run of the
    /// program, up to that generation, are stale in this one. *O*(1).
    ///
    /// A slot has 2³¹ − 2 lives; those up to `generation` are spent, but at least one is left.
    pub fn raise_generation_floor(&mut self, generation: u32) {
        self.slots.raise_floor(generation);
    }
}

/// An iterator over keys and mutable values, made by [`SharedSlab::iter_mut`].
pub struct IterMut<'a, T, K = SlotHandle, A: Allocator = Global> {
    entries: slots::EntriesMut<'a, T, A>,
    key: PhantomData<fn() -> K>,
}

/// An iterator that removes all values, made by [`SharedSlab::drain`].
pub struct Drain<'a, T, K: Key = SlotHandle, A: Allocator = Global> {
    slab: &'a mut SharedSlab<T, K, A>,
    walk: slots::Walk,
}

impl<'a, T, K: Key, A: Allocator> Iterator for IterMut<'a, T, K, A> {
    type Item = (K, &'a mut T);

    fn next(&mut self) -> Option<Self::Item> {
        let (handle, value) = self.entries.next()?;
        Some((K::from_handle(handle), value))
    }
}

impl<T, K: Key, A: Allocator> Iterator for Drain<'_, T, K, A> {
    type Item = (K, T);

    fn next(&mut self) -> Option<Self::Item> {
        let (handle, value) = self.slab.slots.take_next(&mut self.walk)?;
        Some((K::from_handle(handle), value))
    }
}

impl<T, K: Key, A: Allocator> Drop for Drain<'_, T, K, A> {
    fn drop(&mut self) {
        self.slab.clear();
    }
}

impl<T, K, A: Allocator> fmt::Debug for IterMut<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").finish_non_exhaustive()
    }
}

impl<T, K: Key, A: Allocator> fmt::Debug for Drain<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("remaining", &self.slab.len()).finish_non_exhaustive()
    }
}
