//! The allocator: constructors, insertion and removal.

use core::fmt;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use crate::entry::VacantEntry;
use crate::error::{InsertError, SlabError};
use crate::handle::{Key, SlotHandle};
use crate::storage::Storage;
use slab_traits::Global;

/// The slab capacity of [`SlabAllocator::default`] and [`SlabAllocator::with_capacity`].
#[cfg(feature = "alloc")]
const DEFAULT_SLAB_CAPACITY: usize = 1024;

/// Values of one type, each behind a handle that stays valid until the value is removed.
///
/// Growth, [`compact`](Self::compact) and the removal of other values change no handle. Values never move, except in
/// [`defragment`](Self::defragment), so growth copies no value.
///
/// * `K` is the type of handle: [`SlotHandle`], or a [`TypedHandle`](crate::TypedHandle), which only one map accepts.
/// * `A` is the memory source.
///
/// Memory is requested by the slab: the number of slots passed to [`new`](Self::new).
///
/// The [crate documentation](crate) describes costs and design.
///
/// # Examples
///
/// ```
/// use slab_typed::SlabAllocator;
///
/// let mut sessions = SlabAllocator::new(256);
/// let ada = sessions.insert("Ada");
/// let bob = sessions.insert("Bob");
/// assert_eq!(sessions.get(ada), Some(&"Ada"));
///
/// sessions.remove(ada);
/// let eve = sessions.insert("Eve"); // Reuses Ada's slot.
/// assert_eq!(sessions.get(ada), None);
/// assert_eq!((sessions[bob], sessions[eve]), ("Bob", "Eve"));
/// ```
pub struct SlabAllocator<T, K = SlotHandle, A: Allocator = Global> {
    pub(crate) storage: Storage<T, A>,
    pub(crate) spare_slabs: usize,
    pub(crate) key: PhantomData<fn() -> K>,
}

#[cfg(feature = "alloc")]
impl<T> SlabAllocator<T> {
    /// Returns an empty allocator that requests memory for `slab_capacity` values at a time. 0 counts as 1.
    ///
    /// It requests no memory yet. 1024 is a good choice unless you know better. A power of two wastes no memory. A slab
    /// of more than 1024 slots consists of several blocks that [`compact`](Self::compact) releases together.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// static EMPTY: SlabAllocator<u64> = SlabAllocator::new(1024);
    /// assert_eq!(EMPTY.capacity(), 0);
    /// ```
    pub const fn new(slab_capacity: usize) -> Self {
        Self::new_in(slab_capacity, Global)
    }

    /// Returns an empty allocator with slabs of 1024 slots and room for at least `capacity` values.
    ///
    /// # Panics
    ///
    /// If memory is refused.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut slab = Self::new(DEFAULT_SLAB_CAPACITY);
        slab.reserve(capacity);
        slab
    }
}

#[cfg(all(feature = "alloc", feature = "vm"))]
impl<T> SlabAllocator<T> {
    /// As [`new`](Self::new), with address space reserved for `slots` slots.
    ///
    /// Lookup and removal are faster: the address of a slot follows from its handle. Memory is taken page by page as slots
    /// are filled, and [`compact`](Self::compact) returns the pages of released slabs to the system. From 8 MiB on, Linux
    /// may use huge pages: such an allocator takes up to 4 MiB more than it holds, and filling it is faster.
    ///
    /// No address space is reserved if the system refuses, if the system is not a Unix, if `slab_capacity` is below 1024,
    /// or if `T` is aligned beyond a page. Then, and for slots beyond the reserved ones, memory comes from the memory
    /// source, as in an allocator made by [`new`](Self::new). [`reserved_slots`](Self::reserved_slots) returns which.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut numbers = SlabAllocator::new_reserved(1024, 1_000_000);
    /// let seven = numbers.insert(7);
    /// assert_eq!(numbers[seven], 7);
    /// ```
    pub fn new_reserved(slab_capacity: usize, slots: usize) -> Self {
        Self::new_reserved_in(slab_capacity, slots, Global)
    }
}

#[cfg(feature = "vm")]
impl<T, K, A: Allocator> SlabAllocator<T, K, A> {
    /// As [`new_reserved`](SlabAllocator::new_reserved), for a memory source and handles of any type.
    ///
    /// The source gives the directory, and the slabs beyond the reserved ones.
    pub fn new_reserved_in(slab_capacity: usize, slots: usize, source: A) -> Self {
        let storage = Storage::with_reservation(slab_capacity, slots, source);
        Self { storage, spare_slabs: 0, key: PhantomData }
    }

    /// Returns the number of slots for which addresses are reserved: 0 in an allocator that was not made by
    /// [`new_reserved`](SlabAllocator::new_reserved), or if the system refused. *O*(1).
    pub fn reserved_slots(&self) -> usize {
        self.storage.reserved_slots()
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
    /// As [`new`](SlabAllocator::new), for a memory source and handles of any type.
    ///
    /// # Examples
    ///
    /// ```
    /// use bumpalo::Bump;
    /// use slab_typed::{SlabAllocator, SlotHandle};
    ///
    /// let arena = Bump::new();
    /// let mut numbers: SlabAllocator<u64, SlotHandle, _> = SlabAllocator::new_in(64, &arena);
    /// numbers.insert(7);
    /// assert!(arena.allocated_bytes() >= numbers.held_bytes());
    /// ```
    pub const fn new_in(slab_capacity: usize, source: A) -> Self {
        Self { storage: Storage::new(slab_capacity, source), spare_slabs: 0, key: PhantomData }
    }

    /// Returns the memory source.
    pub fn allocator(&self) -> &A {
        self.storage.source()
    }
}

impl<T, K: Key, A: Allocator> SlabAllocator<T, K, A> {
    // Insertion.

    /// Stores a value and returns its key. *O*(1), plus the request for a slab if no slot is vacant.
    ///
    /// The slot vacated last is filled first.
    ///
    /// # Panics
    ///
    /// If memory is refused, as `Vec::push` does. [`try_insert`](Self::try_insert) returns the value instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.insert("Ada");
    /// assert_eq!(names[ada], "Ada");
    /// ```
    #[inline]
    #[track_caller]
    pub fn insert(&mut self, value: T) -> K {
        if !self.storage.has_vacant() {
            if in_registers::<T>() {
                return self.insert_slow(value);
            }
            self.prepare_or_panic();
            // Not joined with the fast path, which then tests each condition once and needs no stack frame.
            return K::from_handle(self.storage.fill(value));
        }
        K::from_handle(self.storage.fill(value))
    }

    /// As [`insert`](Self::insert), if no slot is vacant. A tail call, so the fast path needs no stack frame.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn insert_slow(&mut self, value: T) -> K {
        self.prepare_or_panic();
        K::from_handle(self.storage.fill(value))
    }

    /// Stores a value and returns its key, or returns the value in the error. *O*(1), as [`insert`](Self::insert).
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`] if memory is refused, [`SlabError::IndexSpaceExhausted`] if handles cannot name
    /// another slab.
    ///
    /// # Examples
    ///
    /// See [`InsertError`].
    #[inline]
    pub fn try_insert(&mut self, value: T) -> Result<K, InsertError<T>> {
        if !self.storage.has_vacant() {
            if in_registers::<T>() {
                return self.try_insert_slow(value);
            }
            return match self.storage.prepare() {
                Ok(()) => Ok(K::from_handle(self.storage.fill(value))),
                Err(reason) => Err(InsertError::new(value, reason)),
            };
        }
        Ok(K::from_handle(self.storage.fill(value)))
    }

    /// As [`try_insert`](Self::try_insert), if no slot is vacant. A tail call, as [`insert_slow`](Self::insert_slow).
    #[cold]
    #[inline(never)]
    fn try_insert_slow(&mut self, value: T) -> Result<K, InsertError<T>> {
        match self.storage.prepare() {
            Ok(()) => Ok(K::from_handle(self.storage.fill(value))),
            Err(reason) => Err(InsertError::new(value, reason)),
        }
    }

    /// Alias of [`try_insert`](Self::try_insert).
    ///
    /// # Errors
    ///
    /// As [`try_insert`](Self::try_insert).
    #[inline]
    pub fn allocate(&mut self, value: T) -> Result<K, InsertError<T>> {
        self.try_insert(value)
    }

    /// Stores the value that `make` returns when it is passed the key. *O*(1), as [`insert`](Self::insert).
    ///
    /// If `make` panics, nothing is stored.
    ///
    /// # Panics
    ///
    /// If memory is refused; `make` is not called then.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut nodes = SlabAllocator::new(64);
    /// let node = nodes.insert_with(|key| (key, "root"));
    /// assert_eq!(nodes[node], (node, "root"));
    /// ```
    #[doc(alias = "insert_with_key")]
    #[inline]
    #[track_caller]
    pub fn insert_with(&mut self, make: impl FnOnce(K) -> T) -> K {
        let entry = self.vacant_entry();
        let key = entry.key();
        entry.insert(make(key));
        key
    }

    /// As [`insert_with`](Self::insert_with), without the panic.
    ///
    /// # Errors
    ///
    /// As [`try_insert`](Self::try_insert); `make` is not called then.
    #[inline]
    pub fn try_insert_with(&mut self, make: impl FnOnce(K) -> T) -> Result<K, SlabError> {
        let entry = self.try_vacant_entry()?;
        let key = entry.key();
        entry.insert(make(key));
        Ok(key)
    }

    /// Alias of [`try_insert_with`](Self::try_insert_with).
    ///
    /// # Errors
    ///
    /// As [`try_insert`](Self::try_insert); `make` is not called then.
    #[inline]
    pub fn allocate_with(&mut self, make: impl FnOnce(K) -> T) -> Result<K, SlabError> {
        self.try_insert_with(make)
    }

    /// Returns the slot that is filled next, whose key is known before the value. *O*(1), as [`insert`](Self::insert).
    ///
    /// # Panics
    ///
    /// If memory is refused.
    ///
    /// # Examples
    ///
    /// See [`VacantEntry`].
    #[inline]
    #[track_caller]
    pub fn vacant_entry(&mut self) -> VacantEntry<'_, T, K, A> {
        if !self.storage.has_vacant() {
            self.prepare_or_panic();
        }
        VacantEntry::new(&mut self.storage)
    }

    /// As [`vacant_entry`](Self::vacant_entry), without the panic.
    ///
    /// # Errors
    ///
    /// As [`try_insert`](Self::try_insert).
    #[inline]
    pub fn try_vacant_entry(&mut self) -> Result<VacantEntry<'_, T, K, A>, SlabError> {
        if !self.storage.has_vacant() {
            self.storage.prepare()?;
        }
        Ok(VacantEntry::new(&mut self.storage))
    }

    /// Makes a slot vacant. It takes no value and returns no handle, so those of its caller stay in registers.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn prepare_or_panic(&mut self) {
        if let Err(reason) = self.storage.prepare() {
            panic!("cannot insert: {reason}");
        }
    }

    // Removal.

    /// Removes a value and returns it, or returns `None` if the key leads to no value. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.insert("Ada");
    /// assert_eq!((names.remove(ada), names.remove(ada)), (Some("Ada"), None));
    /// ```
    #[doc(alias = "try_remove")]
    #[inline]
    pub fn remove(&mut self, key: K) -> Option<T> {
        self.storage.take(key.handle())
    }

    /// Alias of [`remove`](Self::remove).
    #[inline]
    pub fn take(&mut self, key: K) -> Option<T> {
        self.remove(key)
    }

    /// Drops a value in its slot, without moving it, and says why if there is none. *O*(1).
    ///
    /// If the destructor panics, the slot is vacant all the same.
    ///
    /// # Errors
    ///
    /// As [`locate`](Self::locate).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{SlabAllocator, SlabError};
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.insert("Ada");
    /// assert_eq!(names.free(ada), Ok(()));
    /// assert_eq!(names.free(ada), Err(SlabError::SlotAlreadyFree { slab: 0, slot: 0 }));
    /// ```
    #[inline]
    pub fn free(&mut self, key: K) -> Result<(), SlabError> {
        let handle = key.handle();
        if self.storage.free(handle) { Ok(()) } else { Err(self.refusal(handle)) }
    }

    /// Drops all values and keeps the memory. *O*(slots held / 64 + values).
    ///
    /// Afterwards the lowest slots are filled first, as in a new allocator. If a destructor panics, the values after it
    /// stay.
    pub fn clear(&mut self) {
        self.storage.clear();
    }

    /// Returns why a handle leads to no value.
    #[cold]
    #[inline(never)]
    pub(crate) fn refusal(&self, handle: SlotHandle) -> SlabError {
        match self.locate_handle(handle) {
            Err(reason) => reason,
            Ok(_) => unreachable!("a live handle was refused"),
        }
    }
}

/// Returns whether a function takes a value of this type in registers. A larger one is passed by address, so that it is
/// built in memory first and copied from there to its slot.
const fn in_registers<T>() -> bool {
    size_of::<T>() <= 2 * size_of::<usize>()
}

#[cfg(feature = "alloc")]
impl<T, K> Default for SlabAllocator<T, K> {
    /// Returns an empty allocator with slabs of 1024 slots.
    fn default() -> Self {
        Self::with_key(DEFAULT_SLAB_CAPACITY)
    }
}

#[cfg(feature = "alloc")]
impl<T, K: Key> FromIterator<T> for SlabAllocator<T, K> {
    /// Stores each value in an allocator with slabs of 1024 slots. Its `keys` are in the order of the values.
    ///
    /// # Panics
    ///
    /// If memory is refused.
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut slab = Self::default();
        slab.extend(values);
        slab
    }
}

impl<T, K: Key, A: Allocator> Extend<T> for SlabAllocator<T, K, A> {
    /// Stores each value. [`keys`](SlabAllocator::keys) finds their keys.
    ///
    /// # Panics
    ///
    /// If memory is refused; the values before the refused one stay.
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            if let Err(refused) = self.try_insert(value) {
                panic!("cannot extend: {refused}");
            }
        }
    }
}

impl<'a, T: Copy, K: Key, A: Allocator> Extend<&'a T> for SlabAllocator<T, K, A> {
    /// Stores a copy of each value.
    ///
    /// # Panics
    ///
    /// If memory is refused; the values before the refused one stay.
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, values: I) {
        self.extend(values.into_iter().copied());
    }
}

impl<T: PartialEq, K: Key, A: Allocator, B: Allocator> PartialEq<SlabAllocator<T, K, B>>
    for SlabAllocator<T, K, A>
{
    /// Returns whether both hold equal values under equal handles. Slabs and vacant slots do not matter.
    fn eq(&self, other: &SlabAllocator<T, K, B>) -> bool {
        self.storage.values_eq(&other.storage)
    }
}

impl<T: Eq, K: Key, A: Allocator> Eq for SlabAllocator<T, K, A> {}

impl<T: fmt::Debug, K: Key + fmt::Debug, A: Allocator> fmt::Debug for SlabAllocator<T, K, A> {
    /// Shows each value by its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T: Clone, K: Key, A: Allocator + Clone> Clone for SlabAllocator<T, K, A> {
    /// Copies the values; a handle to a value is a handle to its copy.
    ///
    /// # Panics
    ///
    /// If memory is refused; [`try_clone`](SlabAllocator::try_clone) returns the error instead.
    fn clone(&self) -> Self {
        self.try_clone().unwrap_or_else(|error| panic!("cannot clone: {error}"))
    }
}
