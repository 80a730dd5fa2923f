//! Entries of a secondary map, as those of `std`'s maps.

use core::fmt;

use allocator_api2::alloc::Allocator;

use super::SecondaryMap;
use crate::handle::{Key, SlotHandle};
use slab_traits::Global;

/// The entry of a key in a [`SecondaryMap`], made by [`SecondaryMap::entry`].
pub enum Entry<'a, K, V, A: Allocator = Global> {
    /// The key has a value.
    Occupied(OccupiedEntry<'a, K, V, A>),
    /// The key has no value.
    Vacant(VacantEntry<'a, K, V, A>),
}

/// An entry with a value.
pub struct OccupiedEntry<'a, K, V, A: Allocator = Global> {
    map: &'a mut SecondaryMap<K, V, A>,
    /// The map has a value for it.
    handle: SlotHandle,
}

/// An entry without a value. Dropping it changes nothing.
pub struct VacantEntry<'a, K, V, A: Allocator = Global> {
    map: &'a mut SecondaryMap<K, V, A>,
    handle: SlotHandle,
    /// The handle of the earlier value in the slot.
    earlier: Option<SlotHandle>,
}

impl<'a, K: Key, V, A: Allocator> Entry<'a, K, V, A> {
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

impl<'a, K: Key, V, A: Allocator> OccupiedEntry<'a, K, V, A> {
    pub(super) fn new(map: &'a mut SecondaryMap<K, V, A>, handle: SlotHandle) -> Self {
        Self { map, handle }
    }

    /// Returns the key.
    pub fn key(&self) -> K {
        K::from_handle(self.handle)
    }

    /// Returns the value.
    pub fn get(&self) -> &V {
        self.map.storage.get(self.handle).unwrap_or_else(|| no_value())
    }

    /// Returns the value.
    pub fn get_mut(&mut self) -> &mut V {
        self.map.storage.get_mut(self.handle).unwrap_or_else(|| no_value())
    }

    /// Returns the value, borrowed as long as the map.
    pub fn into_mut(self) -> &'a mut V {
        self.map.storage.get_mut(self.handle).unwrap_or_else(|| no_value())
    }

    /// Replaces the value and returns the previous one.
    pub fn insert(&mut self, value: V) -> V {
        core::mem::replace(self.get_mut(), value)
    }

    /// Removes the value and returns it.
    pub fn remove(self) -> V {
        self.map.storage.take(self.handle).unwrap_or_else(|| no_value())
    }

    /// Removes the value and returns it with its key.
    pub fn remove_entry(self) -> (K, V) {
        (self.key(), self.remove())
    }
}

impl<'a, K: Key, V, A: Allocator> VacantEntry<'a, K, V, A> {
    pub(super) fn new(
        map: &'a mut SecondaryMap<K, V, A>,
        handle: SlotHandle,
        earlier: Option<SlotHandle>,
    ) -> Self {
        Self { map, handle, earlier }
    }

    /// Returns the key.
    pub fn key(&self) -> K {
        K::from_handle(self.handle)
    }

    /// Stores a value.
    pub fn insert(self, value: V) -> &'a mut V {
        self.map.fill(self.handle, self.earlier, value)
    }
}

#[cold]
fn no_value() -> ! {
    unreachable!("an occupied entry borrows the map mutably, so its value stays")
}

impl<K: Key + fmt::Debug, V: fmt::Debug, A: Allocator> fmt::Debug for Entry<'_, K, V, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occupied(entry) => entry.fmt(f),
            Self::Vacant(entry) => entry.fmt(f),
        }
    }
}

impl<K: Key + fmt::Debug, V: fmt::Debug, A: Allocator> fmt::Debug for OccupiedEntry<'_, K, V, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OccupiedEntry").field(&self.key()).field(self.get()).finish()
    }
}

impl<K: Key + fmt::Debug, V, A: Allocator> fmt::Debug for VacantEntry<'_, K, V, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(&self.key()).finish()
    }
}
