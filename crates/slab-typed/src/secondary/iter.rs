//! Iterators over a secondary map, and operations on many values.

use core::iter::FusedIterator;

use allocator_api2::alloc::Allocator;

use super::SecondaryMap;
use crate::error::SlabError;
use crate::handle::Key;
use crate::iter::{Drain, IntoIter, Iter, IterMut};

impl<K: Key, V, A: Allocator> SecondaryMap<K, V, A> {
    /// Drops all values and keeps the memory. *O*(slots held / 64 + values).
    ///
    /// If a destructor panics, the values after it stay.
    pub fn clear(&mut self) {
        self.storage.clear();
    }

    /// Drops the values for which `keep` returns `false`. *O*(slots held / 64 + values).
    ///
    /// If `keep` or a destructor panics, the values after it stay.
    pub fn retain(&mut self, mut keep: impl FnMut(K, &mut V) -> bool) {
        self.storage.retain(|handle, value| keep(K::from_handle(handle), value));
    }

    /// Returns an iterator that removes all values, and keeps the memory. Dropping it drops the values that it did not
    /// yield; leaking it leaves them.
    pub fn drain(&mut self) -> Drain<'_, V, K, A> {
        Drain::new(&mut self.storage)
    }

    /// Returns an iterator over keys and values, in slot order. The whole iteration is *O*(slots held / 64 + values).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let mut players = SlabAllocator::new(64);
    /// let (ada, bob) = (players.insert("Ada"), players.insert("Bob"));
    /// let scores: SecondaryMap<_, _> = [(bob, 7), (ada, 10)].into_iter().collect();
    /// assert!(scores.iter().eq([(ada, &10), (bob, &7)]));
    /// ```
    pub fn iter(&self) -> Iter<'_, V, K, A> {
        Iter::new(&self.storage)
    }

    /// Returns an iterator over keys and mutable values, as [`iter`](Self::iter).
    pub fn iter_mut(&mut self) -> IterMut<'_, V, K, A> {
        IterMut::new_mut(&mut self.storage)
    }

    /// Returns an iterator over keys, as [`iter`](Self::iter).
    pub fn keys(
        &self,
    ) -> impl DoubleEndedIterator<Item = K> + ExactSizeIterator + FusedIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Returns an iterator over values, as [`iter`](Self::iter).
    pub fn values(
        &self,
    ) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + FusedIterator + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// Returns an iterator over mutable values, as [`iter`](Self::iter).
    pub fn values_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator + FusedIterator {
        self.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Key, V, A: Allocator> Extend<(K, V)> for SecondaryMap<K, V, A> {
    /// [Inserts](SecondaryMap::insert) each value. Values under stale keys are dropped.
    ///
    /// # Panics
    ///
    /// If a value is refused for another reason; the values before it stay.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            match self.try_insert(key, value) {
                Ok(_) => {}
                Err(refused) if matches!(refused.reason(), SlabError::StaleHandle { .. }) => {}
                Err(refused) => panic!("cannot extend: {refused}"),
            }
        }
    }
}

impl<'a, K: Key, V: Copy, A: Allocator> Extend<(K, &'a V)> for SecondaryMap<K, V, A> {
    /// [Inserts](SecondaryMap::insert) a copy of each value. Values under stale keys are dropped.
    ///
    /// # Panics
    ///
    /// If a value is refused for another reason; the values before it stay.
    fn extend<I: IntoIterator<Item = (K, &'a V)>>(&mut self, entries: I) {
        self.extend(entries.into_iter().map(|(key, &value)| (key, value)));
    }
}

#[cfg(feature = "alloc")]
impl<K: Key, V> FromIterator<(K, V)> for SecondaryMap<K, V> {
    /// Stores each value in a map for the handles of an allocator with slabs of 1024 slots. Of two keys to one slot, the
    /// later one wins.
    ///
    /// # Panics
    ///
    /// If memory is refused.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
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
