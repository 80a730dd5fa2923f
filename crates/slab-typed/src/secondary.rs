//! More values behind the handles of an allocator.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

use allocator_api2::alloc::Allocator;

use crate::error::{Inconsistency, InsertError, SlabError};
use crate::geometry::CHUNK_SLOTS_MAX;
use crate::handle::{Key, SlotHandle};
use crate::iter::{Iter, IterMut};
use crate::memory::Global;
use crate::storage::{Cursor, Storage};

/// Values behind the handles of a [`SlabAllocator`](crate::SlabAllocator), for what only some of its
/// values have, or what is looked at apart from them.
///
/// The map does not know when a value of the allocator is freed: what was stored for it stays until
/// it is removed, replaced for the slot's next value, or found stale by [`retain`](Self::retain). Of a
/// slot it holds the value for one generation at most, and a handle of another never reads it.
///
/// Memory is acquired by the block of up to 1024 slots in which a value is stored, and kept until the
/// map is dropped. Besides, 16 bytes for each such block up to the highest handle: a forged handle can
/// make that 64 MiB.
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
    len: usize,
    key: PhantomData<fn() -> K>,
}

#[cfg(feature = "alloc")]
impl<K, V> SecondaryMap<K, V> {
    /// Returns an empty map for the handles of an allocator of this slab capacity. It has no memory
    /// yet.
    pub const fn new(slab_capacity: usize) -> Self {
        Self::new_in(slab_capacity, Global)
    }
}

impl<K, V, A: Allocator> SecondaryMap<K, V, A> {
    /// As [`new`](SecondaryMap::new), over a memory source of the caller's.
    pub const fn new_in(slab_capacity: usize, source: A) -> Self {
        let block = if slab_capacity < CHUNK_SLOTS_MAX { slab_capacity } else { CHUNK_SLOTS_MAX };
        Self { storage: Storage::new(block, source), len: 0, key: PhantomData }
    }

    /// Returns the number of values. *O*(1).
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no value. *O*(1).
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Checks all bookkeeping. *O*(slots). For tests: nothing safe can break it.
    ///
    /// # Errors
    ///
    /// The first [`Inconsistency`], which is a bug of this crate or of an `unsafe` elsewhere.
    pub fn validate(&self) -> Result<(), Inconsistency> {
        self.storage.validate()
    }
}

impl<K: Key, V, A: Allocator> SecondaryMap<K, V, A> {
    /// Stores a value for a handle and returns the one that was stored for it. One that was stored
    /// for an earlier handle to the same slot is dropped. *O*(1), but for a block that has to be
    /// acquired.
    ///
    /// # Errors
    ///
    /// The value comes back with [`SlabError::StaleHandle`] if something was stored for a later
    /// handle to the same slot, [`SlabError::SlotIndexOutOfRange`] if the handle is not of an
    /// allocator of this slab capacity, [`SlabError::OutOfMemory`] or
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
            Ok(()) => self.len += 1,
            Err(_) => unreachable!("the slot was made vacant"),
        }
        Ok(None)
    }

    /// Makes the slot of a handle vacant, and of an earlier generation.
    fn make_room(&mut self, handle: SlotHandle) -> Result<(), SlabError> {
        let (slab, slot) = self.storage.geometry.locate(handle.index());
        let capacity = self.storage.geometry.slab_capacity;
        if slot >= capacity {
            return Err(SlabError::SlotIndexOutOfRange(slot, slab as usize, capacity));
        }
        if !self.storage.is_held(slab) {
            self.storage.hold(slab)?;
        }
        let generation = handle.generation();
        let current = self.storage.generation(handle.index()).unwrap_or(0);
        if current > generation {
            let slab = slab as usize;
            return Err(SlabError::StaleHandle { slab, slot, generation, current });
        }
        if let Some(earlier) = SlotHandle::from_parts(handle.index(), current) {
            self.remove_handle(earlier);
        }
        Ok(())
    }

    /// Returns the value stored for a handle. *O*(1).
    #[inline]
    pub fn get(&self, key: K) -> Option<&V> {
        self.storage.get(key.handle())
    }

    /// Returns the value stored for a handle. *O*(1).
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.storage.get_mut(key.handle())
    }

    /// Returns whether a value is stored for a handle. *O*(1).
    #[inline]
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Takes out the value stored for a handle. *O*(1).
    pub fn remove(&mut self, key: K) -> Option<V> {
        self.remove_handle(key.handle())
    }

    fn remove_handle(&mut self, handle: SlotHandle) -> Option<V> {
        let value = self.storage.take(handle)?;
        self.len -= 1;
        Some(value)
    }

    /// Drops all values and keeps the memory. If the drop of one panics the rest stay.
    pub fn clear(&mut self) {
        self.retain(|_, _| false);
    }

    /// Drops the values for which `keep` returns `false`. *O*(slots / 64 + values).
    ///
    /// If `keep` or a drop panics the values behind stay.
    pub fn retain(&mut self, mut keep: impl FnMut(K, &mut V) -> bool) {
        let mut cursor = Cursor::default();
        while let Some(handle) = self.storage.next_live(&mut cursor) {
            let value = self.storage.get_mut(handle);
            if value.is_some_and(|value| !keep(K::from_handle(handle), value)) {
                drop(self.remove_handle(handle));
            }
        }
    }

    /// Returns an iterator over handles and values, in the order of their slots.
    pub fn iter(&self) -> Iter<'_, V, K, A> {
        Iter::new(&self.storage, self.len)
    }

    /// Returns an iterator over handles and values that may be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_, V, K, A> {
        IterMut::new(&mut self.storage, self.len)
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

impl<K: Key + fmt::Debug, V: fmt::Debug, A: Allocator> fmt::Debug for SecondaryMap<K, V, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
