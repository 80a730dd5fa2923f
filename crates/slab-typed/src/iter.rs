//! Iteration: over references, over values taken out, and over what is to be kept.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use crate::handle::{Key, SlotHandle};
use crate::memory::Global;
use crate::slab::SlabAllocator;
use crate::storage::{Cursor, Storage, Walk, WalkMut};

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    /// Returns an iterator over handles and values, in the order of their slots.
    /// *O*(slots / 64 + values) in all.
    ///
    /// Its `fold`, and what is built on that (`for_each`, `sum`, `max`, …), runs over full slabs as
    /// over a slice, and is faster than a `for` loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(64);
    /// for n in 1..=10 {
    ///     numbers.allocate(n)?;
    /// }
    /// assert_eq!(numbers.iter().map(|(_, n)| n).sum::<u32>(), 55);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn iter(&self) -> Iter<'_, T, K, A> {
        Iter::new(&self.storage, self.live_count())
    }

    /// Returns an iterator over handles and values that may be changed; otherwise as
    /// [`iter`](Self::iter).
    #[inline]
    pub fn iter_mut(&mut self) -> IterMut<'_, T, K, A> {
        let remaining = self.live_count();
        IterMut::new(&mut self.storage, remaining)
    }

    /// Takes all values out, one at a time, and keeps the memory. Values that were not taken when
    /// the iterator is dropped are dropped with it; if it is leaked they stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada")?;
    /// assert_eq!(names.drain().collect::<Vec<_>>(), [(ada, "Ada")]);
    /// assert!(names.is_empty());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn drain(&mut self) -> Drain<'_, T, K, A> {
        Drain { slab: self, cursor: Cursor::default() }
    }

    /// Frees the values for which `keep` returns `false`. *O*(slots / 64 + values).
    ///
    /// If `keep` or a drop panics the values behind stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(64);
    /// let handles = (0..10).map(|n| numbers.allocate(n)).collect::<Result<Vec<_>, _>>()?;
    /// numbers.retain(|_, n| *n % 2 == 0);
    /// assert_eq!(numbers.live_count(), 5);
    /// assert!(!numbers.contains(handles[3]));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(K, &mut T) -> bool) {
        let mut cursor = Cursor::default();
        while let Some(handle) = self.storage.next_live(&mut cursor) {
            let value = self.storage.get_mut(handle);
            if value.is_some_and(|value| !keep(K::from_handle(handle), value)) {
                self.storage.free(handle);
            }
        }
    }
}

/// Handles and values. Made by [`SlabAllocator::iter`] and
/// [`SecondaryMap::iter`](crate::SecondaryMap::iter).
pub struct Iter<'a, T, K = SlotHandle, A: Allocator = Global> {
    walk: Walk<'a, T, A>,
    remaining: usize,
    key: PhantomData<fn() -> K>,
}

/// Handles and values that may be changed. Made by [`SlabAllocator::iter_mut`] and
/// [`SecondaryMap::iter_mut`](crate::SecondaryMap::iter_mut).
pub struct IterMut<'a, T, K = SlotHandle, A: Allocator = Global> {
    walk: WalkMut<'a, T, A>,
    remaining: usize,
    key: PhantomData<fn() -> K>,
}

/// Handles and values taken out of an allocator that stays. Made by [`SlabAllocator::drain`].
pub struct Drain<'a, T, K: Key = SlotHandle, A: Allocator = Global> {
    slab: &'a mut SlabAllocator<T, K, A>,
    cursor: Cursor,
}

/// Handles and values taken out of an allocator that goes. Made by its `into_iter`.
pub struct IntoIter<T, K: Key = SlotHandle, A: Allocator = Global> {
    slab: SlabAllocator<T, K, A>,
    cursor: Cursor,
}

impl<'a, T, K, A: Allocator> Iter<'a, T, K, A> {
    #[inline]
    pub(crate) fn new(storage: &'a Storage<T, A>, remaining: usize) -> Self {
        Self { walk: Walk::new(storage), remaining, key: PhantomData }
    }
}

impl<'a, T, K, A: Allocator> IterMut<'a, T, K, A> {
    #[inline]
    pub(crate) fn new(storage: &'a mut Storage<T, A>, remaining: usize) -> Self {
        Self { walk: WalkMut::new(storage), remaining, key: PhantomData }
    }
}

impl<'a, T, K: Key, A: Allocator> Iterator for Iter<'a, T, K, A> {
    type Item = (K, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (handle, value) = self.walk.next()?;
        self.remaining -= 1;
        Some((K::from_handle(handle), value))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        self.walk.fold(init, |folded, (handle, value)| f(folded, (K::from_handle(handle), value)))
    }
}

impl<'a, T, K: Key, A: Allocator> Iterator for IterMut<'a, T, K, A> {
    type Item = (K, &'a mut T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (handle, value) = self.walk.next()?;
        self.remaining -= 1;
        Some((K::from_handle(handle), value))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, mut f: F) -> B {
        self.walk.fold(init, |folded, (handle, value)| f(folded, (K::from_handle(handle), value)))
    }
}

/// Takes the next value out.
fn take_next<T, K: Key, A: Allocator>(
    slab: &mut SlabAllocator<T, K, A>,
    cursor: &mut Cursor,
) -> Option<(K, T)> {
    let handle = slab.storage.next_live(cursor)?;
    let value = slab.storage.take(handle)?;
    Some((K::from_handle(handle), value))
}

impl<T, K: Key, A: Allocator> Iterator for Drain<'_, T, K, A> {
    type Item = (K, T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        take_next(self.slab, &mut self.cursor)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.slab.live_count(), Some(self.slab.live_count()))
    }
}

impl<T, K: Key, A: Allocator> Drop for Drain<'_, T, K, A> {
    fn drop(&mut self) {
        self.slab.clear();
    }
}

impl<T, K: Key, A: Allocator> Iterator for IntoIter<T, K, A> {
    type Item = (K, T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        take_next(&mut self.slab, &mut self.cursor)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.slab.live_count(), Some(self.slab.live_count()))
    }
}

impl<T, K: Key, A: Allocator> ExactSizeIterator for Iter<'_, T, K, A> {}
impl<T, K: Key, A: Allocator> ExactSizeIterator for IterMut<'_, T, K, A> {}
impl<T, K: Key, A: Allocator> ExactSizeIterator for Drain<'_, T, K, A> {}
impl<T, K: Key, A: Allocator> ExactSizeIterator for IntoIter<T, K, A> {}
impl<T, K: Key, A: Allocator> FusedIterator for Iter<'_, T, K, A> {}
impl<T, K: Key, A: Allocator> FusedIterator for IterMut<'_, T, K, A> {}
impl<T, K: Key, A: Allocator> FusedIterator for Drain<'_, T, K, A> {}
impl<T, K: Key, A: Allocator> FusedIterator for IntoIter<T, K, A> {}

impl<T, K: Key, A: Allocator> Clone for Iter<'_, T, K, A> {
    fn clone(&self) -> Self {
        Self { walk: self.walk.clone(), ..*self }
    }
}

impl<'a, T, K: Key, A: Allocator> IntoIterator for &'a SlabAllocator<T, K, A> {
    type Item = (K, &'a T);
    type IntoIter = Iter<'a, T, K, A>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T, K: Key, A: Allocator> IntoIterator for &'a mut SlabAllocator<T, K, A> {
    type Item = (K, &'a mut T);
    type IntoIter = IterMut<'a, T, K, A>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T, K: Key, A: Allocator> IntoIterator for SlabAllocator<T, K, A> {
    type Item = (K, T);
    type IntoIter = IntoIter<T, K, A>;

    fn into_iter(self) -> Self::IntoIter {
        IntoIter { slab: self, cursor: Cursor::default() }
    }
}

impl<T, K, A: Allocator> fmt::Debug for Iter<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl<T, K, A: Allocator> fmt::Debug for IterMut<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl<T, K: Key, A: Allocator> fmt::Debug for Drain<'_, T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remaining = self.slab.live_count();
        f.debug_struct("Drain").field("remaining", &remaining).finish_non_exhaustive()
    }
}

impl<T, K: Key, A: Allocator> fmt::Debug for IntoIter<T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remaining = self.slab.live_count();
        f.debug_struct("IntoIter").field("remaining", &remaining).finish_non_exhaustive()
    }
}
