//! [`SparseSecondaryMap`]: a secondary map whose memory follows the number of values; its entries.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::{self, Entry as Slot};
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

use crate::handle::{Key, SlotHandle};

/// More values behind the handles of a [`SlabAllocator`](crate::SlabAllocator), for few of its values: a
/// [`SecondaryMap`](crate::SecondaryMap) in a `BTreeMap`.
///
/// Operations are *O*(log values). Memory follows the number of values, whatever the handles are, so it also suits handles
/// from untrusted input. It takes handles of allocators with any slab capacity, and memory from the global allocator.
///
/// The map stores a value for one handle to each slot. While it does, earlier handles to the slot are stale for it. It
/// keeps nothing of a slot whose value was removed.
///
/// # Examples
///
/// ```
/// use slab_typed::{SlabAllocator, SparseSecondaryMap};
///
/// let mut players = SlabAllocator::new(64);
/// let ada = players.insert("Ada");
/// let mut titles = SparseSecondaryMap::new();
/// titles.insert(ada, "Countess of Lovelace");
/// assert_eq!(titles[ada], "Countess of Lovelace");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SparseSecondaryMap<K, V> {
    /// The generation and the value of each slot, by its index.
    slots: BTreeMap<u32, (u32, V)>,
    key: PhantomData<fn() -> K>,
}

fn key<K: Key>(index: u32, generation: u32) -> K {
    K::from_handle(SlotHandle::live(index, generation))
}

impl<K, V> SparseSecondaryMap<K, V> {
    /// Returns an empty map. It requests no memory yet.
    pub const fn new() -> Self {
        Self { slots: BTreeMap::new(), key: PhantomData }
    }

    /// Returns the number of values. *O*(1).
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether there is no value. *O*(1).
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Drops all values.
    pub fn clear(&mut self) {
        self.slots.clear();
    }
}

impl<K: Key, V> SparseSecondaryMap<K, V> {
    /// Stores a value for a key and returns the previous one.
    ///
    /// A value stored for an earlier key to the same slot is dropped. If `key` itself is stale for the map, `value` is
    /// dropped.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.entry(key)? {
            Entry::Occupied(mut entry) => Some(entry.insert(value)),
            Entry::Vacant(entry) => {
                entry.insert(value);
                None
            }
        }
    }

    /// Returns the entry of a key for in-place changes, or `None` if the key is stale for the map.
    pub fn entry(&mut self, key: K) -> Option<Entry<'_, K, V>> {
        let handle = key.handle();
        let slot = self.slots.entry(handle.index());
        let stored = match &slot {
            Slot::Occupied(slot) => slot.get().0,
            Slot::Vacant(_) => 0,
        };
        match slot {
            _ if stored > handle.generation() => None,
            Slot::Occupied(slot) if stored == handle.generation() => {
                Some(Entry::Occupied(OccupiedEntry { slot, key: PhantomData }))
            }
            slot => Some(Entry::Vacant(VacantEntry { slot, handle, key: PhantomData })),
        }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: K) -> Option<&V> {
        let handle = key.handle();
        let (generation, value) = self.slots.get(&handle.index())?;
        (*generation == handle.generation()).then_some(value)
    }

    /// Returns the value of a key.
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let handle = key.handle();
        let (generation, value) = self.slots.get_mut(&handle.index())?;
        (*generation == handle.generation()).then_some(value)
    }

    /// Returns several values at once, or `None` if a key has no value or two keys are equal. *O*(values between the
    /// lowest and the highest slot × `N`).
    pub fn get_disjoint_mut<const N: usize>(&mut self, keys: [K; N]) -> Option<[&mut V; N]> {
        let handles = keys.map(Key::handle);
        let indices = handles.map(SlotHandle::index);
        let mut values = [const { None }; N];
        if let (Some(&first), Some(&last)) = (indices.iter().min(), indices.iter().max()) {
            for (&index, (generation, value)) in self.slots.range_mut(first..=last) {
                let handle = SlotHandle::live(index, *generation);
                if let Some(position) = handles.iter().position(|&wanted| wanted == handle) {
                    values[position] = Some(value);
                }
            }
        }
        if values.iter().any(Option::is_none) {
            return None;
        }
        Some(values.map(|value| value.unwrap_or_else(|| unreachable!("all were found"))))
    }

    /// Returns whether a value is stored for a key.
    #[doc(alias = "contains_key")]
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Removes the value of a key and returns it.
    pub fn remove(&mut self, key: K) -> Option<V> {
        match self.entry(key)? {
            Entry::Occupied(entry) => Some(entry.remove()),
            Entry::Vacant(_) => None,
        }
    }

    /// Drops the values for which `keep` returns `false`.
    pub fn retain(&mut self, mut keep: impl FnMut(K, &mut V) -> bool) {
        self.slots.retain(|&index, (generation, value)| keep(key(index, *generation), value));
    }

    /// Returns an iterator over all values, which are removed from the map.
    pub fn drain(&mut self) -> IntoIter<K, V> {
        core::mem::take(self).into_iter()
    }

    /// Returns an iterator over keys and values, in slot order.
    pub fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (K, &V)> + ExactSizeIterator + FusedIterator + Clone {
        self.slots.iter().map(|(&index, (generation, value))| (key(index, *generation), value))
    }

    /// Returns an iterator over keys and mutable values, in slot order.
    pub fn iter_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = (K, &mut V)> + ExactSizeIterator + FusedIterator {
        self.slots.iter_mut().map(|(&index, (generation, value))| (key(index, *generation), value))
    }

    /// Returns an iterator over keys, in slot order.
    pub fn keys(
        &self,
    ) -> impl DoubleEndedIterator<Item = K> + ExactSizeIterator + FusedIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Returns an iterator over values, in slot order.
    pub fn values(
        &self,
    ) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + FusedIterator + Clone {
        self.slots.values().map(|(_, value)| value)
    }

    /// Returns an iterator over mutable values, in slot order.
    pub fn values_mut(
        &mut self,
    ) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator + FusedIterator {
        self.slots.values_mut().map(|(_, value)| value)
    }
}

/// The entry of a key in a [`SparseSecondaryMap`], made by [`SparseSecondaryMap::entry`].
#[derive(Debug)]
pub enum Entry<'a, K, V> {
    /// The key has a value.
    Occupied(OccupiedEntry<'a, K, V>),
    /// The key has no value.
    Vacant(VacantEntry<'a, K, V>),
}

/// An entry with a value.
pub struct OccupiedEntry<'a, K, V> {
    slot: btree_map::OccupiedEntry<'a, u32, (u32, V)>,
    key: PhantomData<fn() -> K>,
}

/// An entry without a value. Dropping it changes nothing.
pub struct VacantEntry<'a, K, V> {
    /// Occupied if the slot has a value of an earlier handle.
    slot: Slot<'a, u32, (u32, V)>,
    handle: SlotHandle,
    key: PhantomData<fn() -> K>,
}

impl<'a, K: Key, V> Entry<'a, K, V> {
    /// Returns the key.
    pub fn key(&self) -> K {
        match self {
            Self::Occupied(entry) => entry.key(),
            Self::Vacant(entry) => entry.key(),
        }
    }

    /// Returns the value; if there is none, stores `value`.
    pub fn or_insert(self, value: V) -> &'a mut V {
        self.or_insert_with(|| value)
    }

    /// Returns the value; if there is none, stores the one that `make` returns.
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> &'a mut V {
        match self {
            Self::Occupied(entry) => entry.into_mut(),
            Self::Vacant(entry) => entry.insert(make()),
        }
    }

    /// Returns the value; if there is none, stores the default.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Calls `modify` with the value if there is one.
    #[must_use]
    pub fn and_modify(mut self, modify: impl FnOnce(&mut V)) -> Self {
        if let Self::Occupied(entry) = &mut self {
            modify(entry.get_mut());
        }
        self
    }
}

impl<'a, K: Key, V> OccupiedEntry<'a, K, V> {
    /// Returns the key.
    pub fn key(&self) -> K {
        key(*self.slot.key(), self.slot.get().0)
    }

    /// Returns the value.
    pub fn get(&self) -> &V {
        &self.slot.get().1
    }

    /// Returns the value.
    pub fn get_mut(&mut self) -> &mut V {
        &mut self.slot.get_mut().1
    }

    /// Returns the value, borrowed as long as the map.
    pub fn into_mut(self) -> &'a mut V {
        &mut self.slot.into_mut().1
    }

    /// Replaces the value and returns the previous one.
    pub fn insert(&mut self, value: V) -> V {
        core::mem::replace(self.get_mut(), value)
    }

    /// Removes the value and returns it.
    pub fn remove(self) -> V {
        self.slot.remove().1
    }

    /// Removes the value and returns it with its key.
    pub fn remove_entry(self) -> (K, V) {
        (self.key(), self.remove())
    }
}

impl<'a, K: Key, V> VacantEntry<'a, K, V> {
    /// Returns the key.
    pub fn key(&self) -> K {
        K::from_handle(self.handle)
    }

    /// Stores a value.
    pub fn insert(self, value: V) -> &'a mut V {
        let filled = (self.handle.generation(), value);
        let slot = match self.slot {
            Slot::Vacant(slot) => slot.insert(filled),
            Slot::Occupied(mut slot) => {
                slot.insert(filled);
                slot.into_mut()
            }
        };
        &mut slot.1
    }
}

impl<K, V: fmt::Debug> fmt::Debug for OccupiedEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (generation, value) = self.slot.get();
        let handle = SlotHandle::live(*self.slot.key(), *generation);
        f.debug_tuple("OccupiedEntry").field(&handle).field(value).finish()
    }
}

impl<K, V> fmt::Debug for VacantEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(&self.handle).finish()
    }
}

impl<K, V> Default for SparseSecondaryMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Key, V> Index<K> for SparseSecondaryMap<K, V> {
    type Output = V;

    /// Returns the value of a key.
    ///
    /// # Panics
    ///
    /// If there is none.
    fn index(&self, key: K) -> &V {
        self.get(key).unwrap_or_else(|| panic!("no value for {:?}", key.handle()))
    }
}

impl<K: Key, V> IndexMut<K> for SparseSecondaryMap<K, V> {
    /// Returns the value of a key.
    ///
    /// # Panics
    ///
    /// If there is none.
    fn index_mut(&mut self, key: K) -> &mut V {
        self.get_mut(key).unwrap_or_else(|| panic!("no value for {:?}", key.handle()))
    }
}

impl<K: Key + fmt::Debug, V: fmt::Debug> fmt::Debug for SparseSecondaryMap<K, V> {
    /// Shows each value by its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Key, V> Extend<(K, V)> for SparseSecondaryMap<K, V> {
    /// [Inserts](SparseSecondaryMap::insert) each value.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| _ = self.insert(key, value));
    }
}

impl<'a, K: Key, V: Copy> Extend<(K, &'a V)> for SparseSecondaryMap<K, V> {
    /// [Inserts](SparseSecondaryMap::insert) a copy of each value.
    fn extend<I: IntoIterator<Item = (K, &'a V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, &value)| _ = self.insert(key, value));
    }
}

impl<K: Key, V> FromIterator<(K, V)> for SparseSecondaryMap<K, V> {
    /// Stores each value. Of two keys to one slot, the later one wins.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

/// An iterator over the keys and owned values of a [`SparseSecondaryMap`], in slot order.
pub struct IntoIter<K, V> {
    slots: btree_map::IntoIter<u32, (u32, V)>,
    key: PhantomData<fn() -> K>,
}

impl<K: Key, V> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let (index, (generation, value)) = self.slots.next()?;
        Some((key(index, generation), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.slots.size_hint()
    }
}

impl<K: Key, V> DoubleEndedIterator for IntoIter<K, V> {
    fn next_back(&mut self) -> Option<(K, V)> {
        let (index, (generation, value)) = self.slots.next_back()?;
        Some((key(index, generation), value))
    }
}

impl<K: Key, V> ExactSizeIterator for IntoIter<K, V> {}
impl<K: Key, V> FusedIterator for IntoIter<K, V> {}

impl<K, V> fmt::Debug for IntoIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("remaining", &self.slots.len()).finish_non_exhaustive()
    }
}

impl<K: Key, V> IntoIterator for SparseSecondaryMap<K, V> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;

    fn into_iter(self) -> IntoIter<K, V> {
        IntoIter { slots: self.slots.into_iter(), key: PhantomData }
    }
}
