//! [`SecondaryMap`]: more values behind the handles of an allocator; its entries and iterators.

mod entry;
mod iter;

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

use allocator_api2::alloc::Allocator;
use slab_core::Inconsistency;

use crate::error::{InsertError, SlabError};
use crate::geometry::CHUNK_SLOTS_MAX;
use crate::handle::{Key, SlotHandle};
use crate::storage::Storage;
pub use entry::{Entry, OccupiedEntry, VacantEntry};
use slab_traits::Global;

/// More values behind the handles of a [`SlabAllocator`](crate::SlabAllocator): for data that only some of its values
/// have, or that is accessed separately.
///
/// The map does not notice when the allocator removes a value. The value stored for its handle stays until it is removed,
/// replaced for a later handle to the slot, or dropped by [`retain`](Self::retain). The map stores a value for one handle
/// to each slot, and no other handle reads it.
///
/// After [`remove`](Self::remove), [`clear`](Self::clear), [`drain`](Self::drain) or [`retain`](Self::retain), values can
/// be stored for the same handles again. A handle is stale for the map once a value was stored for a later handle to its
/// slot.
///
/// Memory is requested by the block of up to 1024 slots in which a value is stored, and held until the map is dropped. The
/// directory takes 16.2 bytes for each block up to the highest handle, so a forged handle can make it 65 MiB long. For
/// handles from untrusted input, test [`contains`](crate::SlabAllocator::contains) first or set a bound with
/// [`set_slots_max`](Self::set_slots_max), or use a [`SparseSecondaryMap`](crate::SparseSecondaryMap). Iteration only
/// visits the blocks held, whatever the highest handle.
///
/// # Examples
///
/// ```
/// use slab_typed::{SecondaryMap, SlabAllocator};
///
/// let mut players = SlabAllocator::new(64);
/// let mut scores = SecondaryMap::new(64);
/// let ada = players.insert("Ada");
/// scores.insert(ada, 10);
/// assert_eq!(scores.get(ada), Some(&10));
///
/// players.remove(ada);
/// let bob = players.insert("Bob"); // Reuses Ada's slot.
/// assert_eq!(scores.get(bob), None);
/// scores.retain(|key, _| players.contains(key));
/// assert!(scores.is_empty());
/// ```
pub struct SecondaryMap<K, V, A: Allocator = Global> {
    /// Its lists stay empty: slots are filled by handle.
    storage: Storage<V, A>,
    /// The blocks that are accepted.
    blocks_max: u32,
    key: PhantomData<fn() -> K>,
}

#[cfg(feature = "alloc")]
impl<K, V> SecondaryMap<K, V> {
    /// Returns an empty map for the handles of an allocator with this slab capacity. It requests no memory yet.
    ///
    /// 1024 suits every slab capacity, but wastes memory for smaller ones.
    pub const fn new(slab_capacity: usize) -> Self {
        Self::new_in(slab_capacity, Global)
    }
}

#[cfg(feature = "alloc")]
impl<K: Key, V> SecondaryMap<K, V> {
    /// Returns an empty map with memory for the handles to the first `slots` slots of an allocator with slabs of 1024.
    ///
    /// # Panics
    ///
    /// If memory is refused.
    pub fn with_capacity(slots: usize) -> Self {
        let mut map = Self::default();
        map.set_capacity(slots);
        map
    }
}

impl<K, V, A: Allocator> SecondaryMap<K, V, A> {
    /// As [`new`](SecondaryMap::new), for a memory source.
    pub const fn new_in(slab_capacity: usize, source: A) -> Self {
        let block = if slab_capacity < CHUNK_SLOTS_MAX { slab_capacity } else { CHUNK_SLOTS_MAX };
        let storage = Storage::reusing_handles(block, source);
        Self { storage, blocks_max: u32::MAX, key: PhantomData }
    }

    /// Returns the number of values. *O*(1).
    pub fn len(&self) -> usize {
        self.storage.live_count()
    }

    /// Returns whether there is no value. *O*(1).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of slots for which memory is held. *O*(1).
    pub fn capacity(&self) -> usize {
        self.storage.held_slabs() as usize * self.storage.geometry.slab_capacity
    }

    /// Returns the bytes requested from the memory source. *O*(blocks).
    pub fn held_bytes(&self) -> usize {
        self.storage.bytes()
    }

    /// Refuses handles to slots beyond the blocks of the first `slots_max` slots. It bounds the directory at about 32
    /// bytes per 1024 slots. Stored values stay. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabError, SlotHandle};
    ///
    /// let mut scores = SecondaryMap::new(1024);
    /// scores.set_slots_max(1 << 20);
    /// let forged = SlotHandle::from_bits(1 << 32 | 0xFFFF_FFFF).unwrap();
    /// let refused = scores.try_insert(forged, 7).unwrap_err();
    /// assert_eq!(refused.error(), &SlabError::SlabIndexOutOfRange(4_194_303, 1024));
    /// ```
    pub const fn set_slots_max(&mut self, slots_max: usize) {
        let blocks = slots_max.div_ceil(self.storage.geometry.slab_capacity);
        self.blocks_max = if blocks < u32::MAX as usize { blocks as u32 } else { u32::MAX };
    }

    /// Acquires memory for the handles to the first `slots` slots. *O*(slots).
    ///
    /// # Panics
    ///
    /// If memory is refused, or `slots` exceeds [`set_slots_max`](Self::set_slots_max).
    #[track_caller]
    pub fn set_capacity(&mut self, slots: usize) {
        if let Err(reason) = self.try_set_capacity(slots) {
            panic!("cannot hold {slots} slots: {reason}");
        }
    }

    /// As [`set_capacity`](Self::set_capacity), without the panic.
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`], [`SlabError::IndexSpaceExhausted`], or [`SlabError::SlabIndexOutOfRange`] beyond
    /// [`set_slots_max`](Self::set_slots_max). Blocks acquired before the refusal stay.
    pub fn try_set_capacity(&mut self, slots: usize) -> Result<(), SlabError> {
        let blocks = slots.div_ceil(self.storage.geometry.slab_capacity);
        if blocks > self.blocks_max as usize {
            return Err(SlabError::SlabIndexOutOfRange(blocks - 1, self.blocks_max as usize));
        }
        self.storage.check_room(blocks.saturating_sub(self.storage.held_slabs() as usize))?;
        (0..blocks as u32).try_for_each(|block| self.hold(block))
    }

    /// Checks all bookkeeping. *O*(slots). For tests: safe code cannot break it.
    ///
    /// # Errors
    ///
    /// The first [`Inconsistency`]: a bug in this crate or in unsafe code elsewhere.
    pub fn validate(&self) -> Result<(), Inconsistency> {
        self.storage.validate()
    }

    #[cfg(feature = "serde")]
    pub(crate) fn storage(&self) -> &Storage<V, A> {
        &self.storage
    }

    /// Returns a map of a storage whose slabs are single chunks and in which handles are reused.
    #[cfg(feature = "serde")]
    pub(crate) fn from_storage(mut storage: Storage<V, A>) -> Self {
        storage.drop_lists();
        Self { storage, blocks_max: u32::MAX, key: PhantomData }
    }

    /// Acquires a block unless it is held.
    fn hold(&mut self, block: u32) -> Result<(), SlabError> {
        if !self.storage.is_held(block) {
            self.storage.hold(block)?;
            self.storage.drop_lists();
        }
        Ok(())
    }

    /// Acquires the block of a handle, and returns the handle of the earlier value in its slot, if there is one.
    ///
    /// # Errors
    ///
    /// As [`try_insert`](SecondaryMap::try_insert).
    fn make_room(&mut self, handle: SlotHandle) -> Result<Option<SlotHandle>, SlabError> {
        let (slab, slot) = self.storage.geometry.locate(handle.index());
        let slab_capacity = self.storage.geometry.slab_capacity;
        if slot >= slab_capacity {
            return Err(SlabError::SlotIndexOutOfRange(slot, slab as usize, slab_capacity));
        }
        if slab >= self.blocks_max {
            return Err(SlabError::SlabIndexOutOfRange(slab as usize, self.blocks_max as usize));
        }
        self.hold(slab)?;
        let generation = handle.generation();
        let current = self.storage.generation(handle.index()).unwrap_or(0);
        if current > generation {
            let slab = slab as usize;
            return Err(SlabError::StaleHandle { slab, slot, generation, current });
        }
        Ok(SlotHandle::from_parts(handle.index(), current))
    }

    /// Stores a value for a handle to a slot that [`make_room`](Self::make_room) found. Drops the `earlier` value.
    fn fill(&mut self, handle: SlotHandle, earlier: Option<SlotHandle>, value: V) -> &mut V {
        if let Some(earlier) = earlier {
            self.storage.free(earlier);
        }
        let filled = self.storage.occupy(handle, value).is_ok();
        debug_assert!(filled, "the slot was made vacant");
        match self.storage.get_mut(handle) {
            Some(value) => value,
            None => unreachable!("the slot was just filled"),
        }
    }
}

impl<K: Key, V, A: Allocator> SecondaryMap<K, V, A> {
    /// Stores a value for a key and returns the previous one. *O*(1), plus the request for a block if necessary.
    ///
    /// A value stored for an earlier key to the same slot is dropped. If `key` itself is stale for the map, `value` is
    /// dropped.
    ///
    /// # Panics
    ///
    /// If memory is refused, or the key is of an allocator with another slab capacity or beyond
    /// [`set_slots_max`](Self::set_slots_max).
    #[track_caller]
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.try_insert(key, value) {
            Ok(previous) => previous,
            Err(refused) if matches!(refused.error(), SlabError::StaleHandle { .. }) => None,
            Err(refused) => panic!("cannot insert: {refused}"),
        }
    }

    /// As [`insert`](Self::insert), but returns the value in the error.
    ///
    /// # Errors
    ///
    /// [`SlabError::StaleHandle`] if a value was stored for a later key to the same slot,
    /// [`SlabError::SlotIndexOutOfRange`] if the key is of an allocator with another slab capacity,
    /// [`SlabError::SlabIndexOutOfRange`] if it is beyond [`set_slots_max`](Self::set_slots_max),
    /// [`SlabError::OutOfMemory`] or [`SlabError::IndexSpaceExhausted`].
    pub fn try_insert(&mut self, key: K, value: V) -> Result<Option<V>, InsertError<V>> {
        let handle = key.handle();
        if let Some(stored) = self.storage.get_mut(handle) {
            return Ok(Some(core::mem::replace(stored, value)));
        }
        match self.make_room(handle) {
            Ok(earlier) => {
                self.fill(handle, earlier, value);
                Ok(None)
            }
            Err(reason) => Err(InsertError::new(value, reason)),
        }
    }

    /// Returns the entry of a key for in-place changes, or `None` if the key is stale for the map. *O*(1), as
    /// [`insert`](Self::insert).
    ///
    /// # Panics
    ///
    /// As [`insert`](Self::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let mut players = SlabAllocator::new(64);
    /// let mut scores = SecondaryMap::new(64);
    /// let ada = players.insert("Ada");
    /// for points in [3, 4] {
    ///     if let Some(entry) = scores.entry(ada) {
    ///         *entry.or_insert(0) += points;
    ///     }
    /// }
    /// assert_eq!(scores[ada], 7);
    /// ```
    #[track_caller]
    pub fn entry(&mut self, key: K) -> Option<Entry<'_, K, V, A>> {
        match self.try_entry(key) {
            Ok(entry) => Some(entry),
            Err(SlabError::StaleHandle { .. }) => None,
            Err(reason) => panic!("cannot insert: {reason}"),
        }
    }

    /// As [`entry`](Self::entry), without the panic.
    ///
    /// # Errors
    ///
    /// As [`try_insert`](Self::try_insert).
    pub fn try_entry(&mut self, key: K) -> Result<Entry<'_, K, V, A>, SlabError> {
        let handle = key.handle();
        if self.storage.get(handle).is_some() {
            return Ok(Entry::Occupied(OccupiedEntry::new(self, handle)));
        }
        let earlier = self.make_room(handle)?;
        Ok(Entry::Vacant(VacantEntry::new(self, handle, earlier)))
    }

    /// Returns the value of a key; if there is none, stores the one that `make` returns. *O*(1), as
    /// [`insert`](Self::insert). If `make` panics, nothing changes.
    ///
    /// # Errors
    ///
    /// As [`try_insert`](Self::try_insert); `make` is not called then.
    pub fn try_get_or_insert_with(
        &mut self,
        key: K,
        make: impl FnOnce() -> V,
    ) -> Result<&mut V, SlabError> {
        Ok(self.try_entry(key)?.or_insert_with(make))
    }

    /// Returns the value of a key. *O*(1).
    #[inline]
    pub fn get(&self, key: K) -> Option<&V> {
        self.storage.get(key.handle())
    }

    /// Returns the value of a key. *O*(1).
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.storage.get_mut(key.handle())
    }

    /// Returns several values at once, or `None` if a key has no value or two keys are equal. *O*(`N`²).
    pub fn get_disjoint_mut<const N: usize>(&mut self, keys: [K; N]) -> Option<[&mut V; N]> {
        self.storage.get_disjoint_mut(keys.map(Key::handle))
    }

    /// Returns whether a value is stored for a key. *O*(1).
    #[doc(alias = "contains_key")]
    #[inline]
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Removes the value of a key and returns it. *O*(1).
    ///
    /// A value can be stored for the key again.
    pub fn remove(&mut self, key: K) -> Option<V> {
        self.storage.take(key.handle())
    }
}

impl<K: Key, V: Clone, A: Allocator + Clone> SecondaryMap<K, V, A> {
    /// Copies the values under the same keys. *O*(slots held + blocks up to the highest handle).
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`].
    pub fn try_clone(&self) -> Result<Self, SlabError> {
        let storage = self.storage.try_clone(self.storage.source().clone())?;
        Ok(Self { storage, blocks_max: self.blocks_max, key: PhantomData })
    }
}

impl<K: Key, V: Clone, A: Allocator + Clone> Clone for SecondaryMap<K, V, A> {
    /// Copies the values under the same keys.
    ///
    /// # Panics
    ///
    /// If memory is refused; [`try_clone`](SecondaryMap::try_clone) returns the error instead.
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(|error| panic!("cannot clone: {error}"))
    }
}

#[cfg(feature = "alloc")]
impl<K, V> Default for SecondaryMap<K, V> {
    /// Returns an empty map for the handles of an allocator with slabs of 1024 slots.
    fn default() -> Self {
        Self::new(CHUNK_SLOTS_MAX)
    }
}

impl<K: Key, V: PartialEq, A: Allocator, B: Allocator> PartialEq<SecondaryMap<K, V, B>>
    for SecondaryMap<K, V, A>
{
    /// Returns whether both store equal values under equal keys.
    fn eq(&self, other: &SecondaryMap<K, V, B>) -> bool {
        self.storage.values_eq(&other.storage)
    }
}

impl<K: Key, V: Eq, A: Allocator> Eq for SecondaryMap<K, V, A> {}

impl<K: Key, V, A: Allocator> Index<K> for SecondaryMap<K, V, A> {
    type Output = V;

    /// Returns the value of a key.
    ///
    /// # Panics
    ///
    /// If there is none.
    fn index(&self, key: K) -> &V {
        let handle = key.handle();
        self.storage.get(handle).unwrap_or_else(|| panic!("no value for {handle:?}"))
    }
}

impl<K: Key, V, A: Allocator> IndexMut<K> for SecondaryMap<K, V, A> {
    /// Returns the value of a key.
    ///
    /// # Panics
    ///
    /// If there is none.
    fn index_mut(&mut self, key: K) -> &mut V {
        let handle = key.handle();
        self.storage.get_mut(handle).unwrap_or_else(|| panic!("no value for {handle:?}"))
    }
}

impl<K: Key + fmt::Debug, V: fmt::Debug, A: Allocator> fmt::Debug for SecondaryMap<K, V, A> {
    /// Shows each value by its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_checks_the_storage() {
        let mut map = SecondaryMap::new(8);
        map.insert(SlotHandle::live(0, 0), 1);
        map.validate().expect("the map is consistent");
        map.storage.damage();
        assert_eq!(map.validate().expect_err("damaged").invariant(), "the floor is even");
    }
}
