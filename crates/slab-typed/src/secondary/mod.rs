//! More values behind the handles of an allocator.

mod iter;

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

use allocator_api2::alloc::Allocator;

use crate::error::{Inconsistency, InsertError, SlabError};
use crate::geometry::CHUNK_SLOTS_MAX;
use crate::handle::{Key, SlotHandle};
use crate::storage::Storage;
use slab_traits::Global;

/// Values behind the handles of a [`SlabAllocator`](crate::SlabAllocator), for what only some of its
/// values have, or what is looked at apart from them.
///
/// The map does not know when a value of the allocator is freed: what was stored for it stays until
/// it is removed, replaced for the slot's next value, or found stale by [`retain`](Self::retain). Of a
/// slot it holds the value for one generation at most, and a handle of another never reads it.
///
/// A handle whose value was taken out, by [`remove`](Self::remove), [`clear`](Self::clear),
/// [`drain`](Self::drain) or [`retain`](Self::retain), takes a value again. The map refuses a handle as stale once it
/// has seen a later one to the same slot.
///
/// Memory is acquired by the block of up to 1024 slots in which a value is stored, and kept until the
/// map is dropped. Besides, the directory has 16.2 bytes for each block up to the highest handle, which
/// a forged handle can make 65 MiB: where handles come from strangers, ask the allocator first
/// ([`contains`](crate::SlabAllocator::contains)), or set a bound
/// ([`set_slots_max`](Self::set_slots_max)). Passes over the map look at the blocks held, not at the directory:
/// after a forged handle they cost as much as before.
///
/// # Examples
///
/// ```
/// use slab_typed::{SecondaryMap, SlabAllocator};
///
/// let mut players = SlabAllocator::new(64);
/// let mut scores = SecondaryMap::new(64);
/// let ada = players.allocate("Ada")?;
/// scores.insert(ada, 10)?;
/// assert_eq!(scores.get(ada), Some(&10));
///
/// players.free(ada)?;
/// let bob = players.allocate("Bob")?; // In the slot where Ada was.
/// assert_eq!(scores.get(bob), None);
/// scores.retain(|key, _| players.contains(key));
/// assert!(scores.is_empty());
/// # Ok::<(), slab_typed::SlabError>(())
/// ```
pub struct SecondaryMap<K, V, A: Allocator = Global> {
    /// Its lists are never used: slots are filled by name.
    storage: Storage<V, A>,
    /// Blocks that are accepted.
    blocks_max: u32,
    key: PhantomData<fn() -> K>,
}

#[cfg(feature = "alloc")]
impl<K, V> SecondaryMap<K, V> {
    /// Returns an empty map for the handles of an allocator of this slab capacity. It has no memory
    /// yet.
    ///
    /// # Examples
    ///
    /// See [`SecondaryMap`].
    pub const fn new(slab_capacity: usize) -> Self {
        Self::new_in(slab_capacity, Global)
    }
}

impl<K, V, A: Allocator> SecondaryMap<K, V, A> {
    /// As [`new`](SecondaryMap::new), over a memory source of the caller's.
    ///
    /// # Examples
    ///
    /// ```
    /// use bumpalo::Bump;
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let arena = Bump::new();
    /// let mut names = SlabAllocator::new(64);
    /// let mut ages = SecondaryMap::new_in(64, &arena);
    /// assert_eq!(arena.allocated_bytes(), 0);
    /// ages.insert(names.allocate("Ada")?, 36)?;
    /// assert!(arena.allocated_bytes() > 0);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub const fn new_in(slab_capacity: usize, source: A) -> Self {
        let block = if slab_capacity < CHUNK_SLOTS_MAX { slab_capacity } else { CHUNK_SLOTS_MAX };
        let storage = Storage::reusing_handles(block, source);
        Self { storage, blocks_max: u32::MAX, key: PhantomData }
    }

    /// Returns the number of values. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// assert_eq!(scores.len(), 1);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn len(&self) -> usize {
        self.storage.live_count()
    }

    /// Returns whether there is no value. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// assert!(scores.is_empty());
    /// scores.insert(ada, 10)?;
    /// assert!(!scores.is_empty());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes [`insert`](Self::insert) refuse handles to slots of blocks beyond those that the first
    /// `slots_max` slots take, so that no handle can make the directory larger than that: about 32
    /// bytes for 1024 slots. What is stored stays. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabError, SlotHandle};
    ///
    /// let mut scores = SecondaryMap::new(1024);
    /// scores.set_slots_max(1 << 20);
    /// let forged = SlotHandle::from_bits(1 << 32 | 0xFFFF_FFFF).unwrap();
    /// let refused = scores.insert(forged, 7).unwrap_err();
    /// assert_eq!(refused.reason(), &SlabError::SlabIndexOutOfRange(4_194_303, 1024));
    /// ```
    pub const fn set_slots_max(&mut self, slots_max: usize) {
        let blocks = slots_max.div_ceil(self.storage.geometry.slab_capacity);
        self.blocks_max = if blocks < u32::MAX as usize { blocks as u32 } else { u32::MAX };
    }

    /// Checks all bookkeeping. *O*(slots). For tests: nothing safe can break it.
    ///
    /// # Errors
    ///
    /// The first [`Inconsistency`], which is a bug of this crate or of an `unsafe` elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlotHandle};
    ///
    /// assert_eq!(SecondaryMap::<SlotHandle, u8>::new(64).validate(), Ok(()));
    /// ```
    pub fn validate(&self) -> Result<(), Inconsistency> {
        self.storage.validate()
    }
}

impl<K: Key, V, A: Allocator> SecondaryMap<K, V, A> {
    /// Stores a value for a handle and returns the one that was stored for it. One that was stored
    /// for an earlier handle to the same slot is dropped. *O*(1), but for a block that has to be
    /// acquired.
    ///
    /// # Examples
    ///
    /// See [`SecondaryMap`].
    ///
    /// # Errors
    ///
    /// The value comes back with [`SlabError::StaleHandle`] if something was stored for a later
    /// handle to the same slot, [`SlabError::SlotIndexOutOfRange`] if the handle is not of an
    /// allocator of this slab capacity, [`SlabError::SlabIndexOutOfRange`] if it lies beyond
    /// [`set_slots_max`](Self::set_slots_max), [`SlabError::OutOfMemory`] or
    /// [`SlabError::IndexSpaceExhausted`].
    pub fn insert(&mut self, key: K, value: V) -> Result<Option<V>, InsertError<V>> {
        let handle = key.handle();
        if let Some(stored) = self.storage.get_mut(handle) {
            return Ok(Some(core::mem::replace(stored, value)));
        }
        if let Err(reason) = self.make_room(handle) {
            return Err(InsertError::new(value, reason));
        }
        match self.storage.occupy(handle, value) {
            Ok(()) => Ok(None),
            Err(_) => unreachable!("the slot was made vacant"),
        }
    }

    /// Returns the value stored for a handle, and if there is none stores what `make` returns. *O*(1),
    /// as [`insert`](Self::insert). If `make` panics no value is stored.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); `make` is not called then.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let mut players = SlabAllocator::new(64);
    /// let mut scores = SecondaryMap::new(64);
    /// let ada = players.allocate("Ada")?;
    /// for points in [3, 4] {
    ///     *scores.get_or_insert_with(ada, || 0)? += points;
    /// }
    /// assert_eq!(scores[ada], 7);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn get_or_insert_with(
        &mut self,
        key: K,
        make: impl FnOnce() -> V,
    ) -> Result<&mut V, SlabError> {
        let handle = key.handle();
        if self.storage.get(handle).is_none() {
            self.make_room(handle)?;
            let stored = self.storage.occupy(handle, make());
            debug_assert!(stored.is_ok(), "the slot was made vacant");
        }
        match self.storage.get_mut(handle) {
            Some(value) => Ok(value),
            None => unreachable!("just found or stored"),
        }
    }

    /// Makes the slot of a handle vacant, and of an earlier generation.
    fn make_room(&mut self, handle: SlotHandle) -> Result<(), SlabError> {
        let (slab, slot) = self.storage.geometry.locate(handle.index());
        let capacity = self.storage.geometry.slab_capacity;
        if slot >= capacity {
            return Err(SlabError::SlotIndexOutOfRange(slot, slab as usize, capacity));
        }
        if slab >= self.blocks_max {
            return Err(SlabError::SlabIndexOutOfRange(slab as usize, self.blocks_max as usize));
        }
        if !self.storage.is_held(slab) {
            self.storage.hold(slab)?;
            // Slots are filled by name here.
            self.storage.drop_lists();
        }
        let generation = handle.generation();
        let current = self.storage.generation(handle.index()).unwrap_or(0);
        if current > generation {
            let slab = slab as usize;
            return Err(SlabError::StaleHandle { slab, slot, generation, current });
        }
        if let Some(earlier) = SlotHandle::from_parts(handle.index(), current) {
            self.storage.free(earlier);
        }
        Ok(())
    }

    /// Returns the value stored for a handle. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// assert_eq!(scores.get(ada), Some(&10));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn get(&self, key: K) -> Option<&V> {
        self.storage.get(key.handle())
    }

    /// Returns the value stored for a handle. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// if let Some(score) = scores.get_mut(ada) {
    ///     *score += 1;
    /// }
    /// assert_eq!(scores[ada], 11);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.storage.get_mut(key.handle())
    }

    /// Returns whether a value is stored for a handle. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// assert!(!scores.contains(ada));
    /// scores.insert(ada, 10)?;
    /// assert!(scores.contains(ada));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Takes out the value stored for a handle, which may be stored for again. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// assert_eq!((scores.remove(ada), scores.remove(ada)), (Some(10), None));
    /// assert_eq!(scores.insert(ada, 11)?, None);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn remove(&mut self, key: K) -> Option<V> {
        self.storage.take(key.handle())
    }
}

impl<K: Key, V: Clone, A: Allocator + Clone> SecondaryMap<K, V, A> {
    /// Copies the values under the same handles. *O*(slots held + blocks up to the highest handle).
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`].
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SecondaryMap, SlabAllocator};
    ///
    /// let ada = SlabAllocator::new(64).allocate("Ada")?;
    /// let mut scores = SecondaryMap::new(64);
    /// scores.insert(ada, 10)?;
    /// assert_eq!(scores.try_clone()?[ada], 10);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn try_clone(&self) -> Result<Self, SlabError> {
        let storage = self.storage.try_clone(self.storage.source().clone())?;
        Ok(Self { storage, blocks_max: self.blocks_max, key: PhantomData })
    }
}

impl<K: Key, V: Clone, A: Allocator + Clone> Clone for SecondaryMap<K, V, A> {
    /// Copies the values under the same handles. *O*(slots).
    ///
    /// # Panics
    ///
    /// If memory is refused; [`try_clone`](SecondaryMap::try_clone) says so instead.
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(|error| panic!("cannot clone: {error}"))
    }
}

impl<K: Key, V, A: Allocator> Index<K> for SecondaryMap<K, V, A> {
    type Output = V;

    /// Returns the value stored for a handle.
    ///
    /// # Panics
    ///
    /// If there is none.
    fn index(&self, key: K) -> &V {
        self.get(key).unwrap_or_else(|| panic!("no value for {:?}", key.handle()))
    }
}

impl<K: Key, V, A: Allocator> IndexMut<K> for SecondaryMap<K, V, A> {
    /// Returns the value stored for a handle.
    ///
    /// # Panics
    ///
    /// If there is none.
    fn index_mut(&mut self, key: K) -> &mut V {
        self.get_mut(key).unwrap_or_else(|| panic!("no value for {:?}", key.handle()))
    }
}

impl<K: Key + fmt::Debug, V: fmt::Debug, A: Allocator> fmt::Debug for SecondaryMap<K, V, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_asks_its_storage() {
        let mut map = SecondaryMap::new(8);
        map.insert(SlotHandle::live(0, 0), 1).expect("memory");
        map.validate().expect("nothing is broken yet");
        map.storage.damage();
        assert_eq!(map.validate().expect_err("damaged").what, "the floor is even");
    }
}
