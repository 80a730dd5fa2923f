//! The allocator: making it, storing values, reading them, taking them back.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

use allocator_api2::alloc::Allocator;

use crate::entry::VacantEntry;
use crate::error::{Inconsistency, InsertError, SlabError};
use crate::handle::{Key, SlotHandle};
use crate::memory::Global;
use crate::storage::Storage;

/// Values of one type, each behind a handle that stays valid until that value is freed: through
/// growth, through [`compact`](Self::compact), through the release of other values' memory.
///
/// * `K` is the type of handle: [`SlotHandle`], or a [`TypedHandle`](crate::TypedHandle) that no
///   other map takes.
/// * `A` is where memory comes from.
///
/// Memory is acquired by the slab, a number of slots that [`new`](Self::new) is told. Values never
/// move but in [`defragment`](Self::defragment), so that growth copies none of them.
///
/// See the [crate documentation](crate) for what it costs and how it works.
///
/// # Examples
///
/// ```
/// use slab_typed::SlabAllocator;
///
/// let mut sessions = SlabAllocator::new(256);
/// let ada = sessions.allocate("Ada")?;
/// let bob = sessions.allocate("Bob")?;
/// assert_eq!(sessions.get(ada), Some(&"Ada"));
///
/// sessions.free(ada)?;
/// let eve = sessions.allocate("Eve")?; // In the slot where Ada was.
/// assert_eq!(sessions.get(ada), None);
/// assert_eq!(sessions[eve], "Eve");
/// # let _ = bob;
/// # Ok::<(), slab_typed::SlabError>(())
/// ```
pub struct SlabAllocator<T, K = SlotHandle, A: Allocator = Global> {
    pub(crate) storage: Storage<T, A>,
    pub(crate) spare_slabs: usize,
    pub(crate) key: PhantomData<fn() -> K>,
}

#[cfg(feature = "alloc")]
impl<T> SlabAllocator<T> {
    /// Returns an empty allocator that acquires memory for `slab_capacity` values at a time, and
    /// none yet. 0 counts as 1.
    ///
    /// A power of two wastes no memory. Up to 1024 slots a slab is one block of memory; a larger
    /// one is several blocks, which come and go together: it is [`compact`](Self::compact) that such
    /// slabs make coarser. 1024 is a good choice where nothing speaks for another.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// static EMPTY: SlabAllocator<u64> = SlabAllocator::new(1024);
    /// assert_eq!(EMPTY.total_slots(), 0);
    /// ```
    pub const fn new(slab_capacity: usize) -> Self {
        Self::new_in(slab_capacity, Global)
    }
}

#[cfg(feature = "alloc")]
impl<T, K> SlabAllocator<T, K> {
    /// As [`new`](SlabAllocator::new), for handles of any type.
    ///
    /// # Examples
    ///
    /// See [`TypedHandle`](crate::TypedHandle).
    pub const fn with_key(slab_capacity: usize) -> Self {
        Self::new_in(slab_capacity, Global)
    }
}

impl<T, K, A: Allocator> SlabAllocator<T, K, A> {
    /// As [`new`](SlabAllocator::new), over a memory source of the caller's and for handles of any
    /// type.
    ///
    /// # Examples
    ///
    /// ```
    /// use allocator_api2::alloc::Global;
    /// use slab_testkit::FailingSource;
    /// use slab_typed::{SlabAllocator, SlotHandle};
    ///
    /// let source = FailingSource::new(Global);
    /// let mut numbers: SlabAllocator<u64, SlotHandle, _> = SlabAllocator::new_in(64, &source);
    /// numbers.allocate(7)?;
    /// assert_eq!(source.live_bytes(), numbers.memory_bytes());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub const fn new_in(slab_capacity: usize, source: A) -> Self {
        Self { storage: Storage::new(slab_capacity, source), spare_slabs: 0, key: PhantomData }
    }

    /// Returns the memory source.
    pub fn allocator(&self) -> &A {
        self.storage.source()
    }

    // Counts.

    /// Returns the number of values. *O*(1).
    #[inline]
    pub fn live_count(&self) -> usize {
        self.storage.live_count()
    }

    /// Returns whether there is no value. *O*(1).
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.live_count() == 0
    }

    /// Returns the number of slots for which memory is held: exactly `slab_count × slab_capacity`.
    /// *O*(1).
    pub fn total_slots(&self) -> usize {
        self.slab_count() * self.slab_capacity()
    }

    /// Returns the number of slabs for which memory is held. *O*(1).
    pub fn slab_count(&self) -> usize {
        self.storage.held_slabs() as usize
    }

    /// Returns the number of slots of a slab. *O*(1).
    pub const fn slab_capacity(&self) -> usize {
        self.storage.geometry.slab_capacity
    }

    /// Returns how many values can be stored before memory is acquired. *O*(1).
    pub fn free_slots(&self) -> usize {
        self.total_slots() - self.live_count() - self.retired_slots()
    }

    /// Returns the number of slots that are not filled again, because their generations are used up.
    /// They go with their slab. *O*(1).
    pub fn retired_slots(&self) -> usize {
        self.storage.retired_count()
    }

    /// Returns `live_count / total_slots`, or 0 if there are no slots. *O*(1).
    pub fn utilisation(&self) -> f64 {
        match self.total_slots() {
            0 => 0.0,
            slots => self.live_count() as f64 / slots as f64,
        }
    }

    /// Returns the bytes held: slots, generations and directory. What the memory source adds is not
    /// counted, nor is the allocator itself. *O*(slabs).
    pub fn memory_bytes(&self) -> usize {
        self.storage.bytes()
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

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    // Storing.

    /// Stores a value and returns its handle. *O*(1), but for a slab that has to be acquired.
    ///
    /// The slot freed last is used first.
    ///
    /// # Errors
    ///
    /// The value comes back if memory is refused ([`SlabError::OutOfMemory`]) or more slots would be
    /// needed than handles can name ([`SlabError::IndexSpaceExhausted`]).
    #[inline]
    pub fn allocate(&mut self, value: T) -> Result<K, InsertError<T>> {
        match self.storage.fill(value) {
            Ok(handle) => Ok(K::from_handle(handle)),
            Err(value) => self.allocate_slow(value),
        }
    }

    /// Finds a vacant slot first.
    #[cold]
    #[inline(never)]
    fn allocate_slow(&mut self, value: T) -> Result<K, InsertError<T>> {
        if let Err(reason) = self.storage.prepare() {
            return Err(InsertError::new(value, reason));
        }
        match self.storage.fill(value) {
            Ok(handle) => Ok(K::from_handle(handle)),
            Err(_) => unreachable!("a vacant slot was prepared"),
        }
    }

    /// Stores the value that `make` returns when it is told the handle. *O*(1), as
    /// [`allocate`](Self::allocate). If `make` panics nothing changes.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate); `make` is not called then.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut nodes = SlabAllocator::new(64);
    /// let node = nodes.allocate_with(|own| (own, "root"))?;
    /// assert_eq!(nodes[node], (node, "root"));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn allocate_with(&mut self, make: impl FnOnce(K) -> T) -> Result<K, SlabError> {
        let entry = self.vacant_entry()?;
        let key = entry.key();
        entry.insert(make(key));
        Ok(key)
    }

    /// Returns the slot that is filled next, so that its handle is known before there is a value.
    /// *O*(1), as [`allocate`](Self::allocate). Nothing is stored until
    /// [`insert`](VacantEntry::insert).
    ///
    /// # Errors
    ///
    /// As [`allocate`](Self::allocate).
    #[inline]
    pub fn vacant_entry(&mut self) -> Result<VacantEntry<'_, T, K, A>, SlabError> {
        let handle = match self.storage.next_handle() {
            Some(handle) => handle,
            None => self.next_handle_slow()?,
        };
        Ok(VacantEntry::new(&mut self.storage, handle))
    }

    #[cold]
    #[inline(never)]
    fn next_handle_slow(&mut self) -> Result<SlotHandle, SlabError> {
        self.storage.prepare()?;
        Ok(self.storage.next_handle().unwrap_or_else(|| unreachable!("a vacant slot was prepared")))
    }

    // Reading.

    /// Returns the value, or `None` if it is gone. *O*(1): two dependent loads and two compares,
    /// the same for a handle that is stale.
    ///
    /// [`locate`](Self::locate) says why there is none.
    #[inline]
    pub fn get(&self, key: K) -> Option<&T> {
        self.storage.get(key.handle())
    }

    /// Returns the value, or `None` if it is gone. *O*(1).
    #[inline]
    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.storage.get_mut(key.handle())
    }

    /// Returns whether the value is still there. *O*(1).
    #[inline]
    pub fn contains(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Returns several values at once. *O*(`N`²).
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate) for the first handle that leads to no value, or
    /// [`SlabError::DuplicateHandle`] for one that was passed before.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new(64);
    /// let (one, two) = (numbers.allocate(1)?, numbers.allocate(2)?);
    /// let [first, second] = numbers.get_disjoint_mut([one, two])?;
    /// core::mem::swap(first, second);
    /// assert_eq!((numbers[one], numbers[two]), (2, 1));
    /// assert!(numbers.get_disjoint_mut([one, one]).is_err());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn get_disjoint_mut<const N: usize>(
        &mut self,
        keys: [K; N],
    ) -> Result<[&mut T; N], SlabError> {
        let handles = keys.map(Key::handle);
        // Looked up before it is borrowed for as long as the result.
        if let Some(at) = self.storage.first_unfit(&handles) {
            let (slab, slot) = self.locate(keys[at])?;
            return Err(SlabError::DuplicateHandle { slab, slot });
        }
        let values = self.storage.get_disjoint_mut(handles);
        Ok(values.unwrap_or_else(|| unreachable!("all handles were found fit")))
    }

    // Taking back.

    /// Drops a value and makes its slot free. *O*(1).
    ///
    /// If the drop panics the slot is free all the same. [`take`](Self::take) returns the value.
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate).
    #[inline]
    pub fn free(&mut self, key: K) -> Result<(), SlabError> {
        if self.storage.free(key.handle()) { Ok(()) } else { Err(self.refusal(key)) }
    }

    /// Takes a value out and makes its slot free, or returns `None` if it is gone. *O*(1).
    #[inline]
    pub fn take(&mut self, key: K) -> Option<T> {
        self.storage.take(key.handle())
    }

    /// Frees all values and keeps the memory. *O*(slots / 64 + values).
    ///
    /// If the drop of a value panics that value is free and those behind it stay.
    pub fn clear(&mut self) {
        self.storage.clear();
    }

    #[cold]
    #[inline(never)]
    fn refusal(&self, key: K) -> SlabError {
        match self.locate(key) {
            Err(reason) => reason,
            Ok(_) => unreachable!("a live handle was refused"),
        }
    }
}

impl<T, K: Key, A: Allocator> Index<K> for SlabAllocator<T, K, A> {
    type Output = T;

    /// Returns the value.
    ///
    /// # Panics
    ///
    /// If it is gone.
    #[inline]
    fn index(&self, key: K) -> &T {
        match self.get(key) {
            Some(value) => value,
            None => panic!("no value: {}", self.refusal(key)),
        }
    }
}

impl<T, K: Key, A: Allocator> IndexMut<K> for SlabAllocator<T, K, A> {
    /// Returns the value.
    ///
    /// # Panics
    ///
    /// If it is gone.
    #[inline]
    fn index_mut(&mut self, key: K) -> &mut T {
        if !self.contains(key) {
            panic!("no value: {}", self.refusal(key));
        }
        match self.get_mut(key) {
            Some(value) => value,
            None => unreachable!(),
        }
    }
}

impl<T: fmt::Debug, K: Key + fmt::Debug, A: Allocator> fmt::Debug for SlabAllocator<T, K, A> {
    /// Shows the live values by their handles.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T: Clone, K: Key, A: Allocator + Clone> Clone for SlabAllocator<T, K, A> {
    /// Copies the values; each handle to one of the original is a handle to its copy.
    ///
    /// # Panics
    ///
    /// If memory is refused; [`try_clone`](SlabAllocator::try_clone) says so instead.
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(|error| panic!("cannot clone: {error}"))
    }
}
