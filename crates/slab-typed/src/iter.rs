//! Iterators: over borrowed values, and over values that are moved out.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use crate::handle::{Key, SlotHandle};
use crate::slab::SlabAllocator;
use crate::storage::{Borrowed, Span, Storage, Walk};
use slab_traits::Global;

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    /// Returns an iterator over keys and values, in slot order. The whole iteration is *O*(slots held / 64 + values).
    ///
    /// Its `fold`, which `for_each`, `sum`, `max` and others use, iterates over full slabs as over a slice, and is faster
    /// than a `for` loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let numbers: SlabAllocator<u32> = (1..=10).collect();
    /// assert_eq!(numbers.iter().map(|(_, n)| n).sum::<u32>(), 55);
    /// ```
    #[inline]
    pub fn iter(&self) -> Iter<'_, T, K, A> {
        Iter::new(&self.storage)
    }

    /// Returns an iterator over keys and mutable values, as [`iter`](Self::iter).
    #[inline]
    pub fn iter_mut(&mut self) -> IterMut<'_, T, K, A> {
        IterMut::new_mut(&mut self.storage)
    }

    /// Returns an iterator over keys, as [`iter`](Self::iter).
    #[inline]
    pub fn keys(
        &self,
    ) -> impl DoubleEndedIterator<Item = K> + ExactSizeIterator + FusedIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Returns an iterator over values, as [`iter`](Self::iter).
    #[inline]
    pub fn values(
        &self,
    ) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator + FusedIterator + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// Returns an iterator over mutable values, as [`iter`](Self::iter).
    #[inline]
    pub fn values_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = &mut T> + ExactSizeIterator + FusedIterator {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Returns an iterator that removes all values, and keeps the memory.
    ///
    /// Dropping it drops the values that it did not yield; leaking it leaves them. Once it is dropped, the lowest slots
    /// are filled first, as in a new allocator.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.insert("Ada");
    /// assert_eq!(names.drain().collect::<Vec<_>>(), [(ada, "Ada")]);
    /// assert!(names.is_empty());
    /// ```
    pub fn drain(&mut self) -> Drain<'_, T, K, A> {
        Drain::new(&mut self.storage)
    }

    /// Drops the values for which `keep` returns `false`. *O*(slots held / 64 + values).
    ///
    /// If `keep` or a destructor panics, the values after it stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers: SlabAllocator<u32> = (0..10).collect();
    /// numbers.retain(|_, n| *n % 2 == 0);
    /// assert_eq!(numbers.len(), 5);
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(K, &mut T) -> bool) {
        self.storage.retain(|handle, value| keep(K::from_handle(handle), value));
    }
}

/// An iterator over keys and values borrowed as `R`: [`Iter`] or [`IterMut`].
pub struct Entries<'a, T, K, A: Allocator, R> {
    walk: Walk<'a, T, A, R>,
    remaining: usize,
    key: PhantomData<fn() -> K>,
}

/// An iterator over keys and values, made by [`SlabAllocator::iter`] and
/// [`SecondaryMap::iter`](crate::SecondaryMap::iter).
pub type Iter<'a, T, K = SlotHandle, A = Global> = Entries<'a, T, K, A, &'a T>;

/// An iterator over keys and mutable values, made by [`SlabAllocator::iter_mut`] and
/// [`SecondaryMap::iter_mut`](crate::SecondaryMap::iter_mut).
pub type IterMut<'a, T, K = SlotHandle, A = Global> = Entries<'a, T, K, A, &'a mut T>;

/// An iterator that removes all values, made by [`SlabAllocator::drain`] and
/// [`SecondaryMap::drain`](crate::SecondaryMap::drain).
pub struct Drain<'a, T, K: Key = SlotHandle, A: Allocator = Global> {
    storage: &'a mut Storage<T, A>,
    span: Span,
    key: PhantomData<fn() -> K>,
}

/// An iterator over keys and owned values, made by the `into_iter` of [`SlabAllocator`] and
/// [`SecondaryMap`](crate::SecondaryMap).
pub struct IntoIter<T, K: Key = SlotHandle, A: Allocator = Global> {
    storage: Storage<T, A>,
    span: Span,
    key: PhantomData<fn() -> K>,
}

impl<'a, T, K, A: Allocator> Entries<'a, T, K, A, &'a T> {
    #[inline]
    pub(crate) fn new(storage: &'a Storage<T, A>) -> Self {
        let remaining = storage.live_count();
        Self { walk: Walk::new(storage), remaining, key: PhantomData }
    }
}

impl<'a, T, K, A: Allocator> Entries<'a, T, K, A, &'a mut T> {
    #[inline]
    pub(crate) fn new_mut(storage: &'a mut Storage<T, A>) -> Self {
        let remaining = storage.live_count();
        Self { walk: Walk::new_mut(storage), remaining, key: PhantomData }
    }
}

impl<'a, T, K: Key, A: Allocator> Drain<'a, T, K, A> {
    pub(crate) fn new(storage: &'a mut Storage<T, A>) -> Self {
        Self { storage, span: Span::default(), key: PhantomData }
    }
}

impl<T, K: Key, A: Allocator> IntoIter<T, K, A> {
    pub(crate) fn new(storage: Storage<T, A>) -> Self {
        Self { storage, span: Span::default(), key: PhantomData }
    }
}

impl<T, K: Key, A: Allocator, R: Borrowed<T>> Iterator for Entries<'_, T, K, A, R> {
    type Item = (K, R);

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

impl<T, K: Key, A: Allocator, R: Borrowed<T>> DoubleEndedIterator for Entries<'_, T, K, A, R> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let (handle, value) = self.walk.next_back()?;
        self.remaining -= 1;
        Some((K::from_handle(handle), value))
    }
}

impl<T, K: Key, A: Allocator, R: Borrowed<T>> ExactSizeIterator for Entries<'_, T, K, A, R> {}
impl<T, K: Key, A: Allocator, R: Borrowed<T>> FusedIterator for Entries<'_, T, K, A, R> {}

impl<T, K, A: Allocator, R: Copy> Clone for Entries<'_, T, K, A, R> {
    fn clone(&self) -> Self {
        Self { walk: self.walk.clone(), ..*self }
    }
}

impl<T, K, A: Allocator, R> fmt::Debug for Entries<'_, T, K, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl<T, K: Key, A: Allocator> Drop for Drain<'_, T, K, A> {
    fn drop(&mut self) {
        self.storage.clear();
    }
}

/// Implements the iterators that move values out of their `storage`, at both ends of their `span`.
macro_rules! owning_iterator {
    ($name:ident $(, $lifetime:lifetime)?) => {
        impl<T, K: Key, A: Allocator> Iterator for $name<$($lifetime,)? T, K, A> {
            type Item = (K, T);

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                let handle = self.storage.next_live(&mut self.span)?;
                Some((K::from_handle(handle), self.storage.take(handle)?))
            }

            #[inline]
            fn size_hint(&self) -> (usize, Option<usize>) {
                let remaining = self.storage.live_count();
                (remaining, Some(remaining))
            }
        }

        impl<T, K: Key, A: Allocator> DoubleEndedIterator for $name<$($lifetime,)? T, K, A> {
            #[inline]
            fn next_back(&mut self) -> Option<Self::Item> {
                let handle = self.storage.next_live_back(&mut self.span)?;
                Some((K::from_handle(handle), self.storage.take(handle)?))
            }
        }

        impl<T, K: Key, A: Allocator> ExactSizeIterator for $name<$($lifetime,)? T, K, A> {}
        impl<T, K: Key, A: Allocator> FusedIterator for $name<$($lifetime,)? T, K, A> {}

        impl<T, K: Key, A: Allocator> fmt::Debug for $name<$($lifetime,)? T, K, A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let remaining = self.storage.live_count();
                f.debug_struct(stringify!($name))
                    .field("remaining", &remaining)
                    .finish_non_exhaustive()
            }
        }
    };
}

owning_iterator!(Drain, '_);
owning_iterator!(IntoIter);

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
        IntoIter::new(self.storage)
    }
}
