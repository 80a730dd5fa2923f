//! The cache: handles that allocate values.
#![expect(unsafe_code, reason = "writes values into slots")]

use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::pin::Pin;

use allocator_api2::alloc::Allocator;
use slab_core::Mode;
#[cfg(feature = "alloc")]
use slab_traits::Global;

use crate::alloc::take_slot;
#[cfg(feature = "std")]
use crate::anchor::Anchor;
use crate::boxed::SlabBox;
#[cfg(target_has_atomic = "8")]
use crate::config::SharedConfig;
#[cfg(feature = "alloc")]
use crate::config::WithSlots;
use crate::config::{Config, DefaultConfig, Invariant, WithSource};
use crate::error::{CacheError, Full};
use crate::free::EmptySlot;
#[cfg(feature = "std")]
use crate::free::free_batch;
use crate::geometry::Shape;
use crate::handle::Handle;
use crate::shared::CoreRef;
#[cfg(feature = "std")]
use crate::thread_cache;

/// An object cache: it stores values of type `T` in slots of slabs.
///
/// `C` chooses the lock, the mode, the memory source and the slab size; see [`Config`]. The default is for one
/// thread; [`SharedCache`] is for several.
///
/// A `SlabCache` is a handle: its clones use the same cache, and boxes may outlive all of them. The cache and its
/// boxes are `Send` if the lock and the source permit; without a lock they are not.
///
/// After a fork in a program with threads, the child may find the lock held by a thread that it does not have, and
/// then a free does not return. A cache without a lock has no such problem.
///
/// A type that does not fit a slab is rejected by the compiler:
///
/// ```compile_fail,E0080
/// use slab_cache::SlabCache;
///
/// let cache = SlabCache::<[u8; 5000]>::new().expect("memory");
/// ```
///
/// # Examples
///
/// ```
/// use slab_cache::SlabCache;
///
/// let words = SlabCache::new()?;
/// let word = words.alloc("slab".to_owned())?;
/// assert_eq!((word.as_str(), words.len()), ("slab", 1));
///
/// let blocks = SlabCache::shared()?;
/// let block = blocks.alloc([1_u64; 8])?;
/// std::thread::spawn(move || drop(block)).join().expect("no panic");
/// assert!(blocks.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct SlabCache<T, C: Config = DefaultConfig> {
    handle: Handle<C>,
    kind: PhantomData<fn() -> T>,
    config: Invariant<C>,
}

/// A cache that several threads use: [`SlabCache`] with a [`SpinLock`](crate::SpinLock).
#[cfg(target_has_atomic = "8")]
pub type SharedCache<T> = SlabCache<T, SharedConfig>;

/// A box of a [`SharedCache`], which any thread may drop.
#[cfg(target_has_atomic = "8")]
pub type SharedBox<T> = SlabBox<T, SharedConfig>;

// SAFETY: the lock protects what is shared, and the source may be used by several threads. Values do not move with
// the cache: boxes have their own bounds.
unsafe impl<T, C: Config> Send for SlabCache<T, C>
where
    C::Lock: Send + Sync,
    C::Source: Send + Sync,
{
}

// SAFETY: every method of a shared cache takes the lock where it uses what is shared.
unsafe impl<T, C: Config> Sync for SlabCache<T, C>
where
    C::Lock: Send + Sync,
    C::Source: Send + Sync,
{
}

#[cfg(feature = "alloc")]
impl<T> SlabCache<T> {
    /// Makes a cache for one thread, over the global allocator. It has no slab until a value is stored.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's metadata.
    pub fn new() -> Result<Self, CacheError> {
        Self::with_config()
    }
}

#[cfg(feature = "alloc")]
impl SlabCache<()> {
    /// Makes a cache for one thread, over the global allocator, for values of several types: any that has up to
    /// `BYTES` bytes and is aligned to 16 or less. [`of`](SlabCache::of) chooses the type.
    ///
    /// Other such caches are made by [`with_config`](SlabCache::with_config), for several threads with
    /// `WithSlots<BYTES, SharedConfig>`.
    ///
    /// # Errors
    ///
    /// As [`new`](SlabCache::new).
    pub fn with_slots<const BYTES: usize>() -> Result<SlabCache<(), WithSlots<BYTES>>, CacheError> {
        SlabCache::with_config()
    }
}

#[cfg(all(feature = "alloc", target_has_atomic = "8"))]
impl<T> SharedCache<T> {
    /// Makes a cache for several threads, over the global allocator. It has no slab until a value is stored.
    ///
    /// # Errors
    ///
    /// As [`new`](SlabCache::new).
    pub fn shared() -> Result<Self, CacheError> {
        Self::with_config()
    }
}

impl<T, A: Allocator> SlabCache<T, WithSource<A>> {
    /// Makes a cache for one thread, over a memory source. It has no slab until a value is stored.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's metadata.
    ///
    /// # Examples
    ///
    /// A cache in a static region, without the global allocator:
    ///
    /// ```
    /// use core::ptr::NonNull;
    /// use slab_bytes::SlabByteAllocator;
    /// use slab_cache::SlabCache;
    /// use slab_traits::Locked;
    ///
    /// static HEAP: Locked<spin::Mutex<()>, SlabByteAllocator> = Locked::new(SlabByteAllocator::new());
    /// static mut REGION: [u64; 8192] = [0; 8192];
    /// let region = NonNull::slice_from_raw_parts(
    ///     NonNull::new((&raw mut REGION).cast::<u8>()).expect("statics are not null"),
    ///     65536,
    /// );
    /// // SAFETY: nothing else names `REGION`.
    /// unsafe { HEAP.add_region(region) }?;
    ///
    /// let cache = SlabCache::new_in(&HEAP)?;
    /// assert_eq!(*cache.alloc(7_u64)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new_in(source: A) -> Result<Self, CacheError> {
        Self::with_config_in(source)
    }
}

#[cfg(feature = "alloc")]
impl<T, C: Config<Source = Global>> SlabCache<T, C> {
    /// Makes a cache with the configuration `C`, over the global allocator.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's metadata.
    pub fn with_config() -> Result<Self, CacheError> {
        Self::with_config_in(Global)
    }
}

impl<T, C: Config> SlabCache<T, C> {
    /// The slots of a slab. The last slab of each chunk may have fewer, because it holds 64 bytes of metadata.
    pub const SLOTS_PER_SLAB: u32 = Shape::<T, C>::SLOTS;

    /// Makes a cache with the configuration `C`, over a memory source.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's metadata.
    pub fn with_config_in(source: C::Source) -> Result<Self, CacheError> {
        let core = CoreRef::create::<T>(
            source,
            #[cfg(feature = "std")]
            Anchor::none(),
        )?;
        Ok(Self { handle: Handle::of_new(core), kind: PhantomData, config: PhantomData })
    }

    /// Stores a value. *O*(1) amortised, *O*(slabs) before it refuses; the source may take longer.
    ///
    /// # Errors
    ///
    /// [`Full`], with the value, if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// In `Hardened` mode if the slot was written to after it was freed. The slot is not used again. Before it
    /// refuses, if it detects that a list of freed slots was overwritten.
    #[inline]
    pub fn alloc(&self, value: T) -> Result<SlabBox<T, C>, Full<T>> {
        let Some(slot) = take_slot::<T, C>(self.core()) else { return Err(Full(value)) };
        let slot = slot.cast();
        // SAFETY: the slot was just taken, has room for a value, and is filled before it becomes a box.
        unsafe {
            slot.write(value);
            Ok(SlabBox::new(slot))
        }
    }

    /// Stores what `make` returns. `make` is called once there is a slot, and without the lock; if it panics, the
    /// slot is free again. *O*(1) amortised, *O*(slabs) before it refuses; the source may take longer.
    ///
    /// # Errors
    ///
    /// [`Full`], with `make`, if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// ```
    /// # use slab_cache::SlabCache;
    /// let cache = SlabCache::new()?;
    /// let bytes = cache.alloc_with(|| vec![1, 2, 3]).expect("memory");
    /// assert_eq!(bytes.len(), 3);
    /// # Ok::<(), slab_cache::CacheError>(())
    /// ```
    #[inline]
    pub fn alloc_with<F>(&self, make: F) -> Result<SlabBox<T, C>, Full<F>>
    where
        F: FnOnce() -> T,
    {
        let Some(slot) = take_slot::<T, C>(self.core()) else { return Err(Full(make)) };
        // SAFETY: the slot was just taken, and the cache has this geometry.
        let slot = unsafe { EmptySlot::<C>::new(slot, Shape::<T, C>::GEOMETRY) };
        let value = make();
        let slot = slot.into_slot().cast();
        // SAFETY: the slot has room for a value, and is filled before it becomes a box.
        unsafe {
            slot.write(value);
            Ok(SlabBox::new(slot))
        }
    }

    /// Stores a value that is pinned: it does not move until it is dropped. *O*(1) amortised, as
    /// [`alloc`](Self::alloc). The memory source has to be `'static`; see [`SlabBox::into_pin`].
    ///
    /// # Errors
    ///
    /// [`Full`], with the value, if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Self::alloc).
    #[inline]
    pub fn alloc_pin(&self, value: T) -> Result<Pin<SlabBox<T, C>>, Full<T>>
    where
        C::Source: 'static,
    {
        self.alloc(value).map(SlabBox::into_pin)
    }

    /// Returns a box without a value, to be [written](SlabBox::write). *O*(1) amortised, *O*(slabs) before it
    /// refuses; the source may take longer.
    ///
    /// # Errors
    ///
    /// [`Full`] if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Self::alloc).
    #[inline]
    pub fn alloc_uninit(&self) -> Result<SlabBox<MaybeUninit<T>, C>, Full<()>> {
        let Some(slot) = take_slot::<T, C>(self.core()) else { return Err(Full(())) };
        // SAFETY: the slot was just taken, and any bytes are a `MaybeUninit`.
        Ok(unsafe { SlabBox::new(slot.cast()) })
    }

    /// Returns this cache as one of values of another type. Values of several types share slots, which
    /// [`Config::SLOT`] describes: a type that does not fit such a slot is rejected by the compiler.
    ///
    /// ```
    /// use slab_cache::{SlabBox, SlabCache, SlabRc, WithSlots};
    ///
    /// let cache = SlabCache::with_slots::<64>()?;
    /// let word: SlabBox<String, WithSlots<64>> = cache.of().alloc("slab".to_owned())?;
    /// let number: SlabBox<u64, WithSlots<64>> = cache.of().alloc(7)?;
    /// let shared: SlabRc<[u32; 8], WithSlots<64>> = cache.of().alloc_rc([1; 8])?;
    /// assert_eq!((word.len(), *number, shared[7], cache.len()), (4, 7, 1, 3));
    ///
    /// let words = cache.of::<String>().clone(); // A handle of the same cache.
    /// drop(cache);
    /// assert_eq!(*words.alloc("works".to_owned())?, "works");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use slab_cache::SlabCache;
    /// let cache = SlabCache::with_slots::<64>().expect("memory");
    /// let large = cache.of().alloc([0_u8; 65]);
    /// ```
    ///
    /// A cache of one type has slots of that type only:
    ///
    /// ```compile_fail,E0080
    /// # use slab_cache::SlabCache;
    /// let words = SlabCache::<String>::new().expect("memory");
    /// let number = words.of().alloc(7_u8);
    /// ```
    pub fn of<U>(&self) -> &SlabCache<U, C> {
        const {
            assert!(
                C::SLOT.is_some(),
                "a cache of one type has slots of that type only: choose Config::SLOT"
            );
            assert!(Shape::<U, C>::SLOTS > 0);
        }
        // SAFETY: a cache is its handle, whatever its type is. The type says which values the slots are for, and the
        // slots of this one are for all that fit.
        unsafe { &*(&raw const *self).cast() }
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> CoreRef<C> {
        self.handle.core()
    }
}

#[cfg(feature = "std")]
impl<T, C> SlabCache<T, C>
where
    C: Config<Source = Global>,
    C::Lock: Send + Sync,
{
    /// Makes a cache over the global allocator in which each thread keeps up to 64 slots; see
    /// [`with_thread_caches_in`](Self::with_thread_caches_in).
    ///
    /// # Errors
    ///
    /// As [`with_thread_caches_in`](Self::with_thread_caches_in).
    ///
    /// ```
    /// use slab_cache::SharedCache;
    ///
    /// let cache = SharedCache::with_thread_caches()?;
    /// std::thread::scope(|scope| {
    ///     for number in 0..4_u64 {
    ///         let cache = cache.clone();
    ///         scope.spawn(move || drop(cache.alloc(number)));
    ///     }
    /// });
    /// # Ok::<(), slab_cache::CacheError>(())
    /// ```
    pub fn with_thread_caches() -> Result<Self, CacheError> {
        Self::with_thread_caches_in(Global)
    }
}

#[cfg(feature = "std")]
impl<T, C: Config> SlabCache<T, C>
where
    C::Lock: Send + Sync,
    C::Source: Send + Sync + 'static,
{
    /// Makes a cache in which each thread keeps up to 64 slots, so that one of 32 allocations or frees takes the
    /// lock. For several threads, or for a lock that is slow without contention.
    ///
    /// A thread frees its slots when it ends. A thread that does not end keeps them, and through them the cache's
    /// memory, until it [flushes](Self::flush_thread_cache) them, or, after the last handle is dropped, until it
    /// takes a batch from another cache. In `Hardened` mode threads keep no slots.
    ///
    /// The lists of threads, and a table with a bit per cache, lie in memory of the global allocator, which is
    /// called without a lock. That allocator may stand on such a cache.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's metadata or for the table.
    pub fn with_thread_caches_in(source: C::Source) -> Result<Self, CacheError> {
        let anchor =
            if C::Mode::HARDENED { Anchor::none() } else { Anchor::new(free_batch::<T, C>)? };
        let core = CoreRef::create::<T>(source, anchor)?;
        Ok(Self { handle: Handle::of_new(core), kind: PhantomData, config: PhantomData })
    }

    /// Frees the slots that the calling thread keeps of this cache, 64 at most. *O*(1); chunks without values are
    /// returned to the source.
    pub fn flush_thread_cache(&self) {
        self.flush();
    }
}

impl<T, C: Config> SlabCache<T, C> {
    /// Frees the slots that the calling thread keeps, if the cache has thread caches.
    pub(crate) fn flush(&self) {
        #[cfg(feature = "std")]
        if self.core().anchor().is_some() {
            thread_cache::flush(self.core().anchor().id());
        }
    }
}

/// Returns another handle of the same cache. *O*(1).
impl<T, C: Config> Clone for SlabCache<T, C> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), kind: PhantomData, config: PhantomData }
    }
}

impl<T, C: Config> Drop for SlabCache<T, C> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<T, C: Config> fmt::Debug for SlabCache<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slabs = self.core().with_state(|state| state.chunks.slabs);
        f.debug_struct("SlabCache")
            .field("type", &core::any::type_name::<T>())
            .field("mode", &C::Mode::NAME)
            .field("slab_bytes", &C::SLAB_BYTES)
            .field("slabs", &slabs)
            .finish_non_exhaustive()
    }
}
