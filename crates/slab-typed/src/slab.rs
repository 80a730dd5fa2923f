//! The allocator: making it, storing values and taking them back.

use core::fmt;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use crate::entry::VacantEntry;
use crate::error::{InsertError, SlabError};
use crate::handle::{Key, SlotHandle};
use crate::storage::Storage;
use slab_traits::Global;

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
    /// use bumpalo::Bump;
    /// use slab_typed::{SlabAllocator, SlotHandle};
    ///
    /// let arena = Bump::new();
    /// let mut numbers: SlabAllocator<u64, SlotHandle, _> = SlabAllocator::new_in(64, &arena);
    /// numbers.allocate(7)?;
    /// assert!(arena.allocated_bytes() >= numbers.memory_bytes());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub const fn new_in(slab_capacity: usize, source: A) -> Self {
        Self { storage: Storage::new(slab_capacity, source), spare_slabs: 0, key: PhantomData }
    }

    /// Returns the memory source.
    ///
    /// # Examples
    ///
    /// ```
    /// use allocator_api2::alloc::Global;
    /// use slab_typed::{SlabAllocator, SlotHandle};
    ///
    /// let numbers: SlabAllocator<u64, SlotHandle, Global> = SlabAllocator::new_in(64, Global);
    /// let _: &Global = numbers.allocator();
    /// ```
    pub fn allocator(&self) -> &A {
        self.storage.source()
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
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada")?;
    /// assert_eq!(names[ada], "Ada");
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
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
    ///
    /// # Examples
    ///
    /// See [`VacantEntry`].
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

    // Taking back.

    /// Drops a value and makes its slot free. *O*(1).
    ///
    /// If the drop panics the slot is free all the same. [`take`](Self::take) returns the value.
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
    /// let ada = names.allocate("Ada")?;
    /// names.free(ada)?;
    /// assert_eq!(names.free(ada), Err(SlabError::SlotAlreadyFree { slab: 0, slot: 0 }));
    /// # Ok::<(), SlabError>(())
    /// ```
    #[inline]
    pub fn free(&mut self, key: K) -> Result<(), SlabError> {
        let handle = key.handle();
        if self.storage.free(handle) { Ok(()) } else { Err(self.refusal(handle)) }
    }

    /// Takes a value out and makes its slot free, or returns `None` if it is gone. *O*(1).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada")?;
    /// assert_eq!((names.take(ada), names.take(ada)), (Some("Ada"), None));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    #[inline]
    pub fn take(&mut self, key: K) -> Option<T> {
        self.storage.take(key.handle())
    }

    /// Frees all values and keeps the memory. *O*(slots held / 64 + values).
    ///
    /// Afterwards slots are handed out in the order of a new allocator, lowest first.
    ///
    /// If the drop of a value panics that value is free and those behind it stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SlabAllocator;
    ///
    /// let mut names = SlabAllocator::new(64);
    /// let ada = names.allocate("Ada")?;
    /// names.clear();
    /// assert_eq!((names.get(ada), names.total_slots()), (None, 64));
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn clear(&mut self) {
        self.storage.clear();
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn refusal(&self, handle: SlotHandle) -> SlabError {
        match self.locate_handle(handle) {
            Err(reason) => reason,
            Ok(_) => unreachable!("a live handle was refused"),
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
