//! The cache: handles that allocate.
#![expect(unsafe_code, reason = "writes values into slots")]

use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::{Checked, Mode};

use crate::boxed::SlabBox;
use crate::error::{CacheError, Full, report};
use crate::geometry::Shape;
use crate::guard;
use crate::handle::Handle;
use crate::lock::NoLock;
#[cfg(feature = "std")]
use crate::lock::is_local;
#[cfg(feature = "std")]
use crate::magazine::{self, Anchor};
use crate::release::SlotGuard;
use crate::shared::{CoreRef, locate};
use crate::stats::Stats;
use slab_traits::Global;

/// An object cache: makes values of type `T` in slots of slabs that come and go.
///
/// * `R`: the lock; any [`RawMutex`] for a cache that threads share, [`NoLock`] for one that stays on a
///   thread. Its memory is freed once no thread is inside `unlock`.
/// * `A`: where the memory comes from. It is never called with the lock held.
/// * `SLAB_SIZE`: bytes of a slab, and its alignment; a power of two that has room for at least one `T`
///   beside a header of 64 bytes or more.
/// * `M`: how much is checked; see the [crate](crate#checks).
///
/// A handle can be cloned; all name the same cache. Boxes may outlive all of them. The cache and its
/// boxes are `Send` where the lock is, which [`NoLock`] is not.
///
/// In the child of a fork of a program with threads the lock may be held by a thread that is not there
/// any more, and a free may wait for ever; [`NoLock`] has no such lock.
///
/// A type that does not fit is refused when the program is compiled:
///
/// ```compile_fail,E0080
/// use slab_cache::SlabCache;
///
/// let cache: SlabCache<[u8; 5000]> = SlabCache::new().expect("memory");
/// ```
///
/// # Examples
///
/// ```
/// use slab_cache::SlabCache;
///
/// let cache: SlabCache<[u64; 8], spin::Mutex<()>> = SlabCache::new()?;
/// let block = cache.alloc([1; 8])?;
/// std::thread::spawn(move || drop(block)).join().expect("no panic");
/// assert_eq!(cache.stats().live, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SlabCache<T, R = NoLock, A = Global, const SLAB_SIZE: usize = 4096, M = Checked>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    handle: Handle<R, A>,
    kind: PhantomData<fn() -> (T, M)>,
}

// SAFETY: what is shared lies behind the lock, and the source may be used from several threads. Values
// do not move with the cache: boxes have bounds of their own.
unsafe impl<T, R, A, const SLAB_SIZE: usize, M> Send for SlabCache<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + Send + Sync + 'static,
    A: Allocator + Send + Sync,
    M: Mode,
{
}

// SAFETY: as above; every method of a shared cache takes the lock where it has to.
unsafe impl<T, R, A, const SLAB_SIZE: usize, M> Sync for SlabCache<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + Send + Sync + 'static,
    A: Allocator + Send + Sync,
    M: Mode,
{
}

#[cfg(feature = "alloc")]
impl<T, R, const SLAB_SIZE: usize, M> SlabCache<T, R, Global, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    M: Mode,
{
    /// Makes a cache over the global allocator. It holds no slab until a value is made.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's own record.
    pub fn new() -> Result<Self, CacheError> {
        Self::new_in(Global)
    }
}

impl<T, R, A, const SLAB_SIZE: usize, M> SlabCache<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    /// The slots of a slab. The last slab of each chunk may have fewer, as it holds a record of 64
    /// bytes.
    pub const SLOTS_PER_SLAB: u32 = Shape::<T, M, SLAB_SIZE>::SLOTS;

    /// Makes a cache over a memory source. It holds no slab until a value is made.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's own record.
    ///
    /// # Examples
    ///
    /// A cache in a static region, without the global allocator:
    ///
    /// ```
    /// use core::ptr::NonNull;
    /// use slab_bytes::SlabByteAllocator;
    /// use slab_cache::{NoLock, SlabCache};
    /// use slab_traits::Locked;
    ///
    /// static HEAP: Locked<spin::Mutex<()>, SlabByteAllocator> = Locked::new(SlabByteAllocator::new());
    /// static mut REGION: [u64; 8192] = [0; 8192];
    /// let region = NonNull::slice_from_raw_parts(
    ///     NonNull::new((&raw mut REGION).cast::<u8>()).expect("statics are not null"),
    ///     65536,
    /// );
    /// // SAFETY: nobody else names `REGION`.
    /// unsafe { HEAP.add_region(region) }?;
    ///
    /// let cache: SlabCache<u64, NoLock, _> = SlabCache::new_in(&HEAP)?;
    /// assert_eq!(*cache.alloc(7)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new_in(source: A) -> Result<Self, CacheError> {
        let core = CoreRef::create::<T, M, SLAB_SIZE>(
            source,
            #[cfg(feature = "std")]
            Anchor::none(),
        )?;
        Ok(Self { handle: Handle::of_new(core), kind: PhantomData })
    }

    /// Stores a value. *O*(1) amortised, *O*(slabs) before it refuses; the source may take longer.
    ///
    /// # Errors
    ///
    /// [`Full`], with the value, if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// In `Hardened` mode if the slot was written to after it was freed. The slot is not used again. Before
    /// it refuses, if it finds a list of freed slots that was overwritten.
    #[inline]
    pub fn alloc(&self, value: T) -> Result<SlabBox<T, R, A, SLAB_SIZE, M>, Full<T>> {
        let Some(slot) = self.take() else { return Err(Full(value)) };
        let slot = slot.cast();
        // SAFETY: the slot has room for a value, and is ours.
        unsafe { slot.write(value) };
        // SAFETY: B1: the slot was just taken; B2: it was just filled.
        Ok(unsafe { SlabBox::new(slot) })
    }

    /// Stores what `make` returns, which is called once there is a slot, and without the lock. If `make`
    /// panics, the slot is free again. *O*(1) amortised, *O*(slabs) before it refuses; the source may take
    /// longer.
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
    /// let cache: SlabCache<Vec<u8>> = SlabCache::new()?;
    /// let bytes = cache.alloc_with(|| vec![1, 2, 3]).expect("memory");
    /// assert_eq!(bytes.len(), 3);
    /// # Ok::<(), slab_cache::CacheError>(())
    /// ```
    #[inline]
    pub fn alloc_with<F>(&self, make: F) -> Result<SlabBox<T, R, A, SLAB_SIZE, M>, Full<F>>
    where
        F: FnOnce() -> T,
    {
        let Some(slot) = self.take() else { return Err(Full(make)) };
        // SAFETY: the slot was just taken.
        let slot = unsafe { SlotGuard::<T, R, A, SLAB_SIZE, M>::new(slot) };
        let value = make();
        let slot = slot.into_slot().cast();
        // SAFETY: the slot has room for a value, and is ours.
        unsafe { slot.write(value) };
        // SAFETY: B1: the slot was just taken; B2: it was just filled.
        Ok(unsafe { SlabBox::new(slot) })
    }

    /// Returns a box without a value, to be [written](SlabBox::write). *O*(1) amortised, *O*(slabs) before
    /// it refuses; the source may take longer.
    ///
    /// # Errors
    ///
    /// [`Full`] if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// As [`alloc`](Self::alloc).
    #[inline]
    pub fn alloc_uninit(&self) -> Result<SlabBox<MaybeUninit<T>, R, A, SLAB_SIZE, M>, Full<()>> {
        let Some(slot) = self.take() else { return Err(Full(())) };
        // SAFETY: B1: the slot was just taken; B2: anything is a `MaybeUninit`.
        Ok(unsafe { SlabBox::new(slot.cast()) })
    }

    /// Makes a box again of a value that was [leaked](SlabBox::leak) or taken
    /// [raw](SlabBox::into_raw). *O*(chunks of the cache).
    ///
    /// The pointer's address is all that is used of it, so that it may have been a reference, or a
    /// number, meanwhile.
    ///
    /// # Errors
    ///
    /// [`CacheError::ForeignPointer`], [`CacheError::NotASlot`] or [`CacheError::NotLive`] if the
    /// pointer leads to no value of this cache. A slot that lies in a thread's cache counts as live.
    ///
    /// # Safety
    ///
    /// No box owns the value, the slot holds a valid `T`, and no reference to it is used any more.
    ///
    /// ```
    /// # use slab_cache::{CacheError, SlabBox, SlabCache};
    /// # use core::ptr::NonNull;
    /// let words: SlabCache<String> = SlabCache::new()?;
    /// let word: &mut String = SlabBox::leak(words.alloc("slab".to_owned())?);
    /// // SAFETY: the reference is not used any more.
    /// let word = unsafe { words.adopt(NonNull::from(word)) }?;
    /// assert_eq!(*word, "slab");
    ///
    /// let mut foreign = String::new();
    /// // SAFETY: refused, so nothing happens to it.
    /// let refused = unsafe { words.adopt(NonNull::from(&mut foreign)) };
    /// assert!(matches!(refused, Err(CacheError::ForeignPointer { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub unsafe fn adopt(
        &self,
        pointer: NonNull<T>,
    ) -> Result<SlabBox<T, R, A, SLAB_SIZE, M>, CacheError> {
        let address = pointer.addr().get();
        let geometry = const { &Shape::<T, M, SLAB_SIZE>::GEOMETRY };
        let slot = self.core().with_state(|state| {
            let found = state.chunks.find(address, geometry);
            let (slab, slot) = found.ok_or(CacheError::ForeignPointer { address })?;
            // SAFETY: the slot lies in that slab of this cache.
            let (_, index) = unsafe { locate::<T, M, SLAB_SIZE>(slot) };
            if index >= slab.slots() || slab.slot_start(index, geometry) != slot {
                return Err(CacheError::NotASlot { address });
            }
            state.refresh(slab);
            if state.is_live(slab, index) { Ok(slot) } else { Err(CacheError::NotLive { address }) }
        })?;
        // SAFETY: B1: the slot is live, and nobody's, as the caller promises; B2: so he does.
        Ok(unsafe { SlabBox::new(slot.cast()) })
    }

    /// Returns whether an address lies in a slab of this cache that has values, or that the next values go
    /// to. *O*(chunks).
    pub fn owns<P: ?Sized>(&self, pointer: NonNull<P>) -> bool {
        let address = pointer.cast::<u8>().addr().get();
        let geometry = const { &Shape::<T, M, SLAB_SIZE>::GEOMETRY };
        self.core().with_state(|state| state.chunks.find(address, geometry).is_some())
    }

    /// Gives all chunks without values back to the source, and returns how many bytes those were.
    /// *O*(slabs) and a step for each slot freed without the lock. The cache then forgets how much it was
    /// [keeping](crate#memory).
    ///
    /// With caches of threads, the calling thread's slots of this cache are given back first, and those of
    /// other threads count as values.
    ///
    /// # Panics
    ///
    /// If it finds a list of freed slots that was overwritten.
    ///
    /// ```
    /// # use slab_cache::SlabCache;
    /// let cache: SlabCache<[u64; 8]> = SlabCache::new()?;
    /// drop(cache.alloc([0; 8])?);
    /// assert!(cache.reclaim() >= 4096);
    /// assert_eq!(cache.stats().slabs, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reclaim(&self) -> usize {
        #[cfg(feature = "std")]
        magazine::flush(self.core());
        self.core().reclaim()
    }

    /// Returns the numbers of the cache. *O*(slabs), under the lock, and a step for each slot freed without
    /// it.
    ///
    /// # Panics
    ///
    /// If it finds a list of freed slots that was overwritten.
    pub fn stats(&self) -> Stats {
        let (mut stats, fault) =
            self.core().with_state(|state| (state.stats(), state.take_fault()));
        fault.inspect(|fault| report(fault));
        stats.bytes_held += CoreRef::<R, A>::bytes();
        stats.bytes_held_peak += CoreRef::<R, A>::bytes();
        stats
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> CoreRef<R, A> {
        self.handle.core()
    }

    /// Takes a slot.
    #[inline(always)]
    fn take(&self) -> Option<NonNull<u8>> {
        let slot = self.take_dead()?;
        // SAFETY: the slot was just taken.
        if let Some(offset) = unsafe { guard::unearth::<M>(slot, size_of::<T>()) } {
            report(&CacheError::WriteAfterFree { address: slot.addr().get(), offset });
        }
        Some(slot)
    }

    #[inline(always)]
    fn take_dead(&self) -> Option<NonNull<u8>> {
        #[cfg(feature = "std")]
        if !is_local::<R>() && !M::HARDENED && self.core().anchor().is_open() {
            return magazine::take(self.core());
        }
        let stride = const { Shape::<T, M, SLAB_SIZE>::STRIDE };
        match self.core().with_state(|state| state.front.take(stride)) {
            Some(slot) => Some(slot),
            None => self.core().take_slow(),
        }
    }
}

#[cfg(feature = "std")]
impl<T, R, const SLAB_SIZE: usize, M> SlabCache<T, R, Global, SLAB_SIZE, M>
where
    R: RawMutex + Send + Sync + 'static,
    M: Mode,
{
    /// Makes a cache over the global allocator in which each thread keeps up to 32 slots for itself;
    /// see [`with_thread_caches_in`](Self::with_thread_caches_in).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use slab_cache::SlabCache;
    ///
    /// let cache: SlabCache<u64, spin::Mutex<()>> = SlabCache::with_thread_caches()?;
    /// std::thread::scope(|scope| {
    ///     for number in 0..4 {
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
impl<T, R, A, const SLAB_SIZE: usize, M> SlabCache<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + Send + Sync + 'static,
    A: Allocator + Send + Sync + 'static,
    M: Mode,
{
    /// Makes a cache in which each thread keeps up to 32 slots for itself, so that of 16 allocations or
    /// frees one takes the lock. For several threads, or a lock that is expensive by itself.
    ///
    /// A thread's slots are given back when it ends. One that does not end keeps them, and through
    /// them the cache's memory, until it [flushes](Self::flush_thread_cache) them, or after the last
    /// handle is gone next takes a batch from another cache. In `Hardened` mode there are no caches of
    /// threads.
    ///
    /// The lists that threads keep, and a table with a bit for each cache, are asked of the global allocator,
    /// without a lock. That allocator may stand on such a cache.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's own record, or for the table.
    pub fn with_thread_caches_in(source: A) -> Result<Self, CacheError> {
        let anchor =
            if M::HARDENED { Anchor::none() } else { Anchor::new::<T, R, A, M, SLAB_SIZE>()? };
        let core = CoreRef::create::<T, M, SLAB_SIZE>(source, anchor)?;
        Ok(Self { handle: Handle::of_new(core), kind: PhantomData })
    }

    /// Gives back the slots that the calling thread keeps of this cache, 32 at most. *O*(1), and chunks
    /// without values go back to the source.
    pub fn flush_thread_cache(&self) {
        magazine::flush(self.core());
    }
}

/// Another handle of the same cache. *O*(1).
impl<T, R, A, const SLAB_SIZE: usize, M> Clone for SlabCache<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), kind: PhantomData }
    }
}

impl<T, R, A, const SLAB_SIZE: usize, M> Drop for SlabCache<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    fn drop(&mut self) {
        #[cfg(feature = "std")]
        magazine::flush(self.core());
    }
}

impl<T, R, A, const SLAB_SIZE: usize, M> fmt::Debug for SlabCache<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slabs = self.core().with_state(|state| state.chunks.slabs);
        f.debug_struct("SlabCache")
            .field("type", &core::any::type_name::<T>())
            .field("mode", &M::NAME)
            .field("slab_bytes", &SLAB_SIZE)
            .field("slabs", &slabs)
            .finish_non_exhaustive()
    }
}
