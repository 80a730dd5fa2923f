//! [`SharedSlab`]: values behind handles, inserted, read and removed by several threads at once.

mod exclusive;
mod pinned;
mod slots;

use core::fmt;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

pub use crate::error::TakeError;
use crate::error::{InsertError, SlabError};
use crate::handle::{Key, SlotHandle};
pub use exclusive::{Drain, IterMut};
pub use pinned::{Iter, Pinned};
use slab_traits::Global;
pub use slots::Guard;
use slots::Slots;
#[cfg(loom)]
pub use slots::threads::set_index as set_thread;

/// Values of one type, each behind a handle, shared by threads.
///
/// All methods take `&self`. [`get`](Self::get), [`contains`](Self::contains) and reads under a [`pin`](Self::pin) take no
/// lock and wait for no thread. [`insert`](Self::insert) takes a lock for a few instructions when it has to request memory,
/// once for 1024 small values; [`remove`](Self::remove) takes none.
///
/// Handles are [`SlotHandle`]s, with the same rules as those of a [`SlabAllocator`](crate::SlabAllocator): any 64 bits are
/// safe, and a stale handle leads to nothing.
///
/// # When values are dropped
///
/// * `remove` drops the value before it returns, if no guard reads it and no thread is pinned.
/// * Otherwise the last such guard or pin drops the value when it ends, on its thread; or, if other values are being dropped
///   for the same reason by another thread, that one does.
/// * If the removal and the end of the last guard coincide, both may miss the other. Then the next `remove` of such a value,
///   the next [`compact`](Self::compact), or the next end of a guard of a removed value or of a pin drops the value.
/// * Dropping the slab drops all values.
///
/// A destructor may use the slab. If it panics, its slot is vacant all the same, and the panic goes to the caller of the
/// operation that dropped the value.
///
/// # Cost
///
/// | | |
/// |---|---|
/// | `get` | *O*(1), one fence |
/// | reads under a pin, `contains` | *O*(1), two dependent loads more than an index |
/// | `insert` | *O*(1), one atomic exchange, on memory of this thread |
/// | `remove` | *O*(1), one compare-and-swap, if values have no destructor; otherwise also a fence, and *O*(threads that used the slab) |
/// | `len` | *O*(threads that used the slab) |
/// | a slot | the value and 4.4 bytes |
/// | a thread that uses the slab | 768 bytes; if it inserts, a slab to fill, and up to 128 vacant slots at hand |
///
/// # Examples
///
/// ```
/// use std::thread;
///
/// use slab_typed::SharedSlab;
///
/// static SESSIONS: SharedSlab<String> = SharedSlab::new();
///
/// let ada = SESSIONS.insert("Ada".to_owned());
/// thread::scope(|scope| {
///     scope.spawn(|| SESSIONS.insert("Bob".to_owned()));
///     scope.spawn(move || assert_eq!(*SESSIONS.get(ada).unwrap(), "Ada"));
/// });
/// assert_eq!(SESSIONS.len(), 2);
/// assert!(SESSIONS.remove(ada));
/// assert!(SESSIONS.get(ada).is_none());
/// ```
pub struct SharedSlab<T, K = SlotHandle, A: Allocator = Global> {
    slots: Slots<T, A>,
    key: PhantomData<fn() -> K>,
}

impl<T> SharedSlab<T> {
    slots::const_fn! {
        /// Returns an empty slab. It requests no memory yet.
        pub fn new() -> Self {
            Self::new_in(Global)
        }
    }
}

impl<T, K> SharedSlab<T, K> {
    slots::const_fn! {
        /// As [`new`](SharedSlab::new), for handles of any type.
        ///
        /// # Examples
        ///
        /// ```
        /// use slab_typed::{SharedSlab, TypedHandle};
        ///
        /// enum Player {}
        ///
        /// let players: SharedSlab<&str, TypedHandle<Player>> = SharedSlab::with_key();
        /// let ada = players.insert("Ada");
        /// assert_eq!(*players.get(ada).unwrap(), "Ada");
        /// ```
        pub fn with_key() -> Self {
            Self::new_in(Global)
        }
    }
}

impl<T, K, A: Allocator> SharedSlab<T, K, A> {
    slots::const_fn! {
        /// As [`new`](SharedSlab::new), for a memory source and handles of any type.
        ///
        /// Threads call the source at the same time, never while they hold a lock of the slab. So a slab that threads share
        /// needs a source that is `Sync`.
        pub fn new_in(source: A) -> Self {
            Self { slots: Slots::new(source), key: PhantomData }
        }
    }

    /// Returns the memory source.
    pub fn allocator(&self) -> &A {
        self.slots.source()
    }
}

impl<T, K: Key, A: Allocator> SharedSlab<T, K, A> {
    /// Stores a value and returns its key. *O*(1), plus the request for memory if no slot is vacant.
    ///
    /// # Panics
    ///
    /// If memory is refused. [`try_insert`](Self::try_insert) returns the value instead.
    #[inline]
    #[track_caller]
    pub fn insert(&self, value: T) -> K {
        match self.slots.insert(value) {
            Ok(handle) => K::from_handle(handle),
            Err((_, error)) => panic!("cannot insert: {error}"),
        }
    }

    /// As [`insert`](Self::insert), without the panic.
    ///
    /// # Errors
    ///
    /// The value, with [`SlabError::OutOfMemory`] or [`SlabError::IndexSpaceExhausted`].
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::{InsertError, SharedSlab, SlotHandle};
    ///
    /// fn register(names: &SharedSlab<String>, name: String) -> Result<SlotHandle, InsertError<String>> {
    ///     names.try_insert(name)
    /// }
    ///
    /// let names = SharedSlab::new();
    /// assert!(register(&names, "Ada".to_owned()).is_ok());
    /// ```
    #[inline]
    pub fn try_insert(&self, value: T) -> Result<K, InsertError<T>> {
        match self.slots.insert(value) {
            Ok(handle) => Ok(K::from_handle(handle)),
            Err((value, error)) => Err(InsertError::new(value, error)),
        }
    }

    /// Stores the value that a closure returns, to which it passes the key. The key leads to nothing before.
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`] or [`SlabError::IndexSpaceExhausted`]. The closure is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let nodes = SharedSlab::new();
    /// let key = nodes.insert_with(|key| (key, "a node that knows its key"))?;
    /// assert_eq!(nodes.get(key).unwrap().0, key);
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn insert_with(&self, value: impl FnOnce(K) -> T) -> Result<K, SlabError> {
        self.slots.insert_with(|handle| value(K::from_handle(handle))).map(K::from_handle)
    }

    /// Removes a value, and returns whether there was one. *O*(1).
    ///
    /// Of several threads that remove one value, one gets `true`. The value is dropped now, or when the last reader is done;
    /// see [the type](Self#when-values-are-dropped).
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let names = SharedSlab::new();
    /// let ada = names.insert("Ada");
    /// assert!(names.remove(ada));
    /// assert!(!names.remove(ada));
    /// ```
    #[inline]
    pub fn remove(&self, key: K) -> bool {
        self.slots.remove(key.handle())
    }

    /// Removes a value and returns it, if nothing may read it. *O*(threads that used the slab).
    ///
    /// # Errors
    ///
    /// [`TakeError::NotFound`]; or [`TakeError::StillRead`] if a guard reads the value or a thread is pinned. **The value
    /// was removed then too**, and the last reader drops it, because a reader never waits for a removal nor the other way
    /// round. A value that must not be lost so can be an `Arc`, or a slab can be read without guards and pins.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    /// use slab_typed::shared::TakeError;
    ///
    /// let names = SharedSlab::new();
    /// let [ada, bob] = ["Ada", "Bob"].map(|name| names.insert(name.to_owned()));
    /// assert_eq!(names.take(ada), Ok("Ada".to_owned()));
    /// assert_eq!(names.take(ada), Err(TakeError::NotFound));
    ///
    /// let guard = names.get(bob);
    /// assert_eq!(names.take(bob), Err(TakeError::StillRead));
    /// ```
    pub fn take(&self, key: K) -> Result<T, TakeError> {
        self.slots.take(key.handle())
    }

    /// Removes the values for which `keep` returns `false`. *O*(slots).
    ///
    /// `keep` sees each value that is stored from the start to the end, and each value inserted or removed meanwhile once
    /// or not at all. The thread is pinned meanwhile, so the values are dropped when all have been seen. If `keep` panics,
    /// the values after it stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let numbers = SharedSlab::new();
    /// (0..10).for_each(|n| _ = numbers.insert(n));
    /// numbers.retain(|_, n| n % 2 == 0);
    /// assert_eq!(numbers.len(), 5);
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(K, &T) -> bool) {
        for (key, value) in &self.pin() {
            if !keep(key, value) {
                self.remove(key);
            }
        }
    }

    /// Returns a guard for the value of a key, or `None` if it was removed. *O*(1).
    ///
    /// The value stays readable while the guard exists. Other values are not affected.
    #[inline]
    pub fn get(&self, key: K) -> Option<Guard<'_, T, A>> {
        self.slots.get(key.handle())
    }

    /// Returns whether a key leads to a value, at some moment. *O*(1).
    #[inline]
    pub fn contains(&self, key: K) -> bool {
        self.slots.contains(key.handle())
    }

    /// Pins this thread: while the pin exists, the values that it finds stay readable as plain references. *O*(1).
    ///
    /// The pin costs what one `get` costs; reads under it cost little more than in a
    /// [`SlabAllocator`](crate::SlabAllocator). Removed values that it may read are dropped after it ends, so do not keep
    /// it for long.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let numbers = SharedSlab::new();
    /// let keys: Vec<_> = (0..10).map(|n| numbers.insert(n)).collect();
    /// let pinned = numbers.pin();
    /// assert_eq!(keys.iter().filter_map(|&key| pinned.get(key)).sum::<i32>(), 45);
    /// ```
    ///
    /// References do not outlive the pin:
    ///
    /// ```compile_fail,E0505
    /// use slab_typed::SharedSlab;
    ///
    /// let numbers = SharedSlab::new();
    /// let key = numbers.insert(1);
    /// let pinned = numbers.pin();
    /// let number = pinned.get(key);
    /// drop(pinned);
    /// assert_eq!(number, Some(&1));
    /// ```
    #[inline]
    pub fn pin(&self) -> Pinned<'_, T, K, A> {
        Pinned::new(self.slots.pin())
    }
}

impl<T, K, A: Allocator> SharedSlab<T, K, A> {
    /// Returns the number of values: those inserted minus those removed, at some moment. *O*(threads that used the slab).
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether there are no values, at some moment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of slots whose memory is held.
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Returns the number of slabs whose memory is held.
    pub fn slab_count(&self) -> usize {
        self.slots.held_chunks()
    }

    /// Returns the bytes requested from the source and not given back.
    pub fn held_bytes(&self) -> usize {
        self.slots.held_bytes()
    }

    /// Removes all values that are stored from the start to the end, and some of those inserted meanwhile. Keeps the memory.
    /// *O*(slots).
    ///
    /// If a destructor panics, the other values are removed all the same; if another one panics meanwhile, the program
    /// aborts.
    pub fn clear(&self) {
        self.slots.clear();
    }

    /// Requests memory until `additional` slots are vacant, apart from those that threads have at hand. *O*(slots).
    ///
    /// If no other thread fills them, this one can then store so many values without a refusal.
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`] or [`SlabError::IndexSpaceExhausted`]; memory acquired before the refusal is released. A
    /// request that handles or addresses cannot name is refused before any memory is requested.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let names = SharedSlab::<String>::new();
    /// names.try_reserve(1500)?;
    /// assert_eq!(names.capacity(), 2048);
    /// assert!(names.try_reserve(usize::MAX).is_err());
    /// # Ok::<(), slab_typed::SlabError>(())
    /// ```
    pub fn try_reserve(&self, additional: usize) -> Result<(), SlabError> {
        self.slots.try_reserve(additional)
    }

    /// Releases the memory of slabs without values, beside other threads, and returns how many slabs were released.
    /// *O*(slots).
    ///
    /// **Live keys stay valid and stale keys stay stale.** Vacant slots that threads have at hand, of idle and ended threads
    /// too, are taken from them first. A slab stays if it has a value, or a removed value that a guard or a pin may read.
    ///
    /// The generations of released slabs, 4.4 bytes for a slot, are kept, so that readers can look up any key at any time.
    /// [`shrink_to_fit`](Self::shrink_to_fit) releases them.
    ///
    /// # Examples
    ///
    /// ```
    /// use slab_typed::SharedSlab;
    ///
    /// let numbers = SharedSlab::new();
    /// let keys: Vec<_> = (0..4096).map(|n| numbers.insert(n)).collect();
    /// for &key in &keys[1..] {
    ///     numbers.remove(key);
    /// }
    /// assert_eq!(numbers.compact(), 3);
    /// assert_eq!(*numbers.get(keys[0]).unwrap(), 0);
    /// assert!(!numbers.contains(keys[4000]));
    /// ```
    pub fn compact(&self) -> usize {
        self.slots.compact()
    }
}

impl<T> Default for SharedSlab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, K, A: Allocator> fmt::Debug for SharedSlab<T, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSlab")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
