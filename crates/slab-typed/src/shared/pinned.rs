//! Reads of one thread under one announcement.

use core::fmt;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use super::slots;
use crate::handle::{Key, SlotHandle};
use slab_traits::Global;

/// A pinned thread, made by [`SharedSlab::pin`](super::SharedSlab::pin).
pub struct Pinned<'a, T, K = SlotHandle, A: Allocator = Global> {
    pin: slots::Pin<'a, T, A>,
    key: PhantomData<fn() -> K>,
}

impl<'a, T, K, A: Allocator> Pinned<'a, T, K, A> {
    #[inline]
    pub(super) fn new(pin: slots::Pin<'a, T, A>) -> Self {
        Self { pin, key: PhantomData }
    }
}

impl<T, K: Key, A: Allocator> Pinned<'_, T, K, A> {
    /// Returns the value of a key, or `None` if it was removed. *O*(1).
    #[inline]
    pub fn get(&self, key: K) -> Option<&T> {
        self.pin.get(key.handle())
    }

    /// Iterates over the values, in no particular order. *O*(slots).
    ///
    /// It yields each value that is stored from the start of the iteration to its end, and each value inserted or removed
    /// meanwhile once or not at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let numbers = SharedSlab::new();
    /// (0..10).for_each(|n| _ = numbers.insert(n));
    /// let pinned = numbers.pin();
    /// for (key, &n) in &pinned {
    ///     if n % 2 == 0 {
    ///         numbers.remove(key);
    ///     }
    /// }
    /// assert_eq!(numbers.len(), 5);
    /// ```
    pub fn iter(&self) -> Iter<'_, T, K, A> {
        Iter { entries: self.pin.entries(), key: PhantomData }
    }
}

impl<'p, T, K: Key, A: Allocator> IntoIterator for &'p Pinned<'_, T, K, A> {
    type Item = (K, &'p T);
    type IntoIter = Iter<'p, T, K, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T, K, A: Allocator> fmt::Debug for Pinned<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

/// The values that a pinned thread finds, made by [`Pinned::iter`].
pub struct Iter<'p, T, K = SlotHandle, A: Allocator = Global> {
    entries: slots::Entries<'p, T, A>,
    key: PhantomData<fn() -> K>,
}

impl<'p, T, K: Key, A: Allocator> Iterator for Iter<'p, T, K, A> {
    type Item = (K, &'p T);

    fn next(&mut self) -> Option<Self::Item> {
        let (handle, value) = self.entries.next()?;
        Some((K::from_handle(handle), value))
    }
}

impl<T, K, A: Allocator> fmt::Debug for Iter<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
