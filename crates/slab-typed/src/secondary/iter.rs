//! Iteration over a secondary map, and what takes many of its values out or puts many in.

use core::iter::FusedIterator;

use allocator_api2::alloc::Allocator;

use super::SecondaryMap;
use crate::error::SlabError;
use crate::handle::Key;
use crate::iter::{Drain, IntoIter, Iter, IterMut};

impl<K: Key, V, A: Allocator> SecondaryMap<K, V, A> {
    /// Drops all values and keeps the memory. If the drop of one panics the rest stay.
    /// *O*(slots held / 64 + values).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// scores.clear();
    /// assert!(scores.is_empty());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn clear(&mut self) {
        self.storage.clear();
    }

    /// Drops the values for which `keep` returns `false`. *O*(slots held / 64 + values).
    ///
    /// If `keep` or a drop panics the values behind stay.
    ///
    /// # Examples
    ///
    /// See [`SecondaryMap`].
    pub fn retain(&mut self, mut keep: impl FnMut(K, &mut V) -> bool) {
        self.storage.retain(|handle, value| keep(K::from_handle(handle), value));
    }

    /// Takes all values out, one at a time, and keeps the memory. Values that were not taken when
    /// the iterator is dropped are dropped with it; if it is leaked they stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// assert!(scores.drain().eq([(ada, 10)]));
    /// assert!(scores.is_empty());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn drain(&mut self) -> Drain<'_, V, K, A> {
        Drain::new(&mut self.storage)
    }

    /// Returns an iterator over handles and values, in the order of their slots.
    /// *O*(slots held / 64 + values) in all.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let mut players = SlabAllocator::new(64);
    /// let (ada, bob) = (players.allocate("Ada")?, players.allocate("Bob")?);
    /// let mut scores = SecondaryMap::new(64);
    /// scores.extend([(bob, 7), (ada, 10)]);
    /// assert!(scores.iter().eq([(ada, &10), (bob, &7)]));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, V, K, A> {
        Iter::new(&self.storage)
    }

    /// Returns an iterator over handles and values that may be changed, as [`iter`](Self::iter).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// scores.iter_mut().for_each(|(_, score)| *score *= 2);
    /// assert_eq!(scores[ada], 20);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn iter_mut(&mut self) -> IterMut<'_, V, K, A> {
        IterMut::new_mut(&mut self.storage)
    }

    /// Returns an iterator over handles, as [`iter`](Self::iter).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// assert!(scores.keys().eq([ada]));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn keys(
        &self,
    ) -> impl DoubleEndedIterator<Item = K> + ExactSizeIterator + FusedIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Returns an iterator over values, as [`iter`](Self::iter).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// assert!(scores.values().eq([&10]));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn values(
        &self,
    ) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + FusedIterator + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// Returns an iterator over values that may be changed, as [`iter`](Self::iter).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// scores.values_mut().for_each(|score| *score *= 2);
    /// assert_eq!(scores[ada], 20);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn values_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator + FusedIterator {
        self.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Key, V, A: Allocator> Extend<(K, V)> for SecondaryMap<K, V, A> {
    /// [Inserts](SecondaryMap::insert) each value. A value whose handle is stale is dropped: it could not be
    /// looked up.
    ///
    /// # Panics
    ///
    /// If one is refused for another reason; those before it stay.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            match self.insert(key, value) {
                Ok(_) => {}
                Err(refused) if matches!(refused.reason(), SlabError::StaleHandle { .. }) => {}
                Err(refused) => panic!("cannot extend: {refused}"),
            }
        }
    }
}

impl<'a, K: Key, V, A: Allocator> IntoIterator for &'a SecondaryMap<K, V, A> {
    type Item = (K, &'a V);
    type IntoIter = Iter<'a, V, K, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, K: Key, V, A: Allocator> IntoIterator for &'a mut SecondaryMap<K, V, A> {
    type Item = (K, &'a mut V);
    type IntoIter = IterMut<'a, V, K, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<K: Key, V, A: Allocator> IntoIterator for SecondaryMap<K, V, A> {
    type Item = (K, V);
    type IntoIter = IntoIter<V, K, A>;

    fn into_iter(self) -> Self::IntoIter {
        IntoIter::new(self.storage)
    }
}
