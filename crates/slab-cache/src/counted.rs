//! Counted pointers: several owners of one value, with the count in the slot beside the value.
#![expect(unsafe_code, reason = "owns a value behind a raw pointer")]

use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::Deref;
use core::pin::Pin;
use core::ptr::{self, NonNull};

use slab_core::layout::align_down;
use slab_core::sync::atomic::{AtomicUsize, Ordering};

use crate::alloc::take_slot;
use crate::coerce::Coercion;
#[cfg(target_has_atomic = "ptr")]
use crate::config::SharedConfig;
use crate::config::{Config, DefaultConfig, Invariant};
#[cfg(target_has_atomic = "ptr")]
use crate::counts::AtomicCount;
use crate::counts::{Count, LocalCount};
use crate::error::Full;
use crate::free::{EmptySlot, check_before_drop, free};
use crate::geometry::{Geometry, Shape};
use crate::handle::Handle;
use crate::shared::CoreRef;

/// A value with the count of its owners: the content of a slot of a cache of counted values.
///
/// `SlabCache<Counted<T>, C>` has the methods that make [`SlabRc`]s and [`SlabArc`]s; type inference finds it.
#[derive(Debug)]
#[repr(C)]
pub struct Counted<T> {
    count: AtomicUsize,
    value: T,
}

/// A counted pointer for one thread; see [`SlabCounted`].
pub type SlabRc<T, C = DefaultConfig> = SlabCounted<T, C, LocalCount>;

/// A counted pointer for several threads, of a cache with a lock; see [`SlabCounted`].
#[cfg(target_has_atomic = "ptr")]
pub type SlabArc<T, C = SharedConfig> = SlabCounted<T, C, AtomicCount>;

/// One of the owners of a value in a slot of a [`SlabCache`](crate::SlabCache): a [`SlabRc`] or a [`SlabArc`]. The
/// last owner that is dropped drops the value and frees the slot.
///
/// It is one pointer wide, and may outlive every handle of its cache. The count lies before the value in its slot.
/// There are no weak pointers.
///
/// A `SlabArc` is `Send` and `Sync` if the value, the lock and the memory source permit. A `SlabRc` is neither, also
/// if its cache has a lock.
///
/// A program that forgets `isize::MAX` owners of one value aborts at the next one, as with the pointers of `std`.
///
/// # Invariants
///
/// - **N1 (slot)**: the pointer may access all of the slab around it. A live slot of a cache of `C` starts so many
///   bytes before it that the count has room and the value is aligned, and begins with the count.
/// - **N2 (value)**: it points to a valid `T`, which only owners use.
/// - **N3 (count)**: the count is the number of owners. All of them are of one kind `N`.
/// - **N4 (layout)**: the slots of the cache are for a [`Counted`] value of the size and alignment of this one, or
///   are [shared](Config::SLOT) by values of several types.
///
/// # Examples
///
/// ```
/// use slab_cache::{SlabArc, SlabCache, SlabRc};
///
/// let words = SlabCache::new()?;
/// let word: SlabRc<String> = words.alloc_rc("slab".to_owned())?;
/// let same = SlabRc::clone(&word);
/// drop((words, word));
/// assert_eq!((same.as_str(), SlabRc::strong_count(&same)), ("slab", 1));
///
/// let tables = SlabCache::shared()?;
/// let table: SlabArc<[u64; 8]> = tables.alloc_arc([1; 8])?;
/// let sum = {
///     let table = table.clone();
///     std::thread::spawn(move || table.iter().sum::<u64>()).join().expect("no panic")
/// };
/// assert_eq!(sum, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A `SlabRc` stays on its thread:
///
/// ```compile_fail,E0277
/// # use slab_cache::{SlabCache, SlabRc, SharedConfig};
/// let words = SlabCache::shared().expect("memory");
/// let word: SlabRc<u64, SharedConfig> = words.alloc_rc(7).expect("memory");
/// std::thread::spawn(move || drop(word));
/// ```
pub struct SlabCounted<T: ?Sized, C: Config, N: Count> {
    value: NonNull<T>,
    kind: PhantomData<T>,
    config: Invariant<(C, N)>,
}

// SAFETY: owners on several threads use `&T`, and any of them may drop the value; the count is one that several
// threads may use. Dropping the last one uses the lock, which is `Sync`, may call the source, and may drop both.
unsafe impl<T: ?Sized + Send + Sync, C: Config, N: Count + Sync> Send for SlabCounted<T, C, N>
where
    C::Lock: Send + Sync,
    C::Source: Send + Sync,
{
}

// SAFETY: a shared owner can be cloned, so that the bounds are the same.
unsafe impl<T: ?Sized + Send + Sync, C: Config, N: Count + Sync> Sync for SlabCounted<T, C, N>
where
    C::Lock: Send + Sync,
    C::Source: Send + Sync,
{
}

/// Returns the bytes before a value of that alignment in its slot.
#[inline(always)]
const fn offset_of(align: usize) -> usize {
    align_down(size_of::<AtomicUsize>() + align - 1, align)
}

impl<T: ?Sized, C: Config, N: Count> SlabCounted<T, C, N> {
    #[inline(always)]
    fn from_value(value: NonNull<T>) -> Self {
        Self { value, kind: PhantomData, config: PhantomData }
    }

    /// Returns the start of the slot.
    #[inline(always)]
    fn slot(&self) -> NonNull<u8> {
        let offset = offset_of(align_of_val::<T>(self));
        // SAFETY: by N1 the slot starts there, and the pointer may access it.
        unsafe { self.value.cast::<u8>().sub(offset) }
    }

    #[inline(always)]
    fn count(&self) -> &AtomicUsize {
        // SAFETY: by N1 the slot begins with a count, which lives while there is an owner.
        unsafe { self.slot().cast::<AtomicUsize>().as_ref() }
    }

    /// Returns how the slab is divided, by N4.
    #[inline(always)]
    fn geometry(&self) -> Geometry {
        let (size, align) = (size_of_val::<T>(self), align_of_val::<T>(self));
        let align_slot = if align < COUNT_ALIGN { COUNT_ALIGN } else { align };
        let size_slot = align_down(offset_of(align) + size + align_slot - 1, align_slot);
        Geometry::of::<C>(size_slot, align_slot)
    }

    /// Returns the number of owners. Owners on other threads may change it at any moment.
    pub fn strong_count(this: &Self) -> usize {
        // Relaxed: the number orders nothing.
        this.count().load(Ordering::Relaxed)
    }

    /// Returns whether two pointers are owners of the same value.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        ptr::addr_eq(this.value.as_ptr(), other.value.as_ptr())
    }

    /// Returns the address of the value.
    pub fn as_ptr(this: &Self) -> NonNull<T> {
        this.value
    }

    /// Returns the value, if there is no other owner.
    ///
    /// ```
    /// # use slab_cache::{SlabCache, SlabRc};
    /// let mut number = SlabCache::new()?.alloc_rc(7)?;
    /// *SlabRc::get_mut(&mut number).expect("there is one owner") = 8;
    /// let _other = SlabRc::clone(&number);
    /// assert_eq!(SlabRc::get_mut(&mut number), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        if !N::is_unique(this.count()) {
            return None;
        }
        // SAFETY: by N2 and N3 this is the only owner of a valid value, and is borrowed mutably.
        Some(unsafe { this.value.as_mut() })
    }

    /// Converts the pointer to one of a trait object or a slice, by [`coerce!`](crate::coerce). Other owners are not
    /// affected. *O*(1).
    ///
    /// ```
    /// # use slab_cache::{SlabCache, SlabRc, coerce};
    /// let number = SlabCache::new()?.alloc_rc(7_u32)?;
    /// let shown: SlabRc<dyn core::fmt::Display> = SlabRc::unsize(number, coerce!(dyn core::fmt::Display));
    /// assert_eq!((shown.to_string().as_str(), size_of_val(&shown)), ("7", 2 * size_of::<usize>()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn unsize<U: ?Sized>(this: Self, coercion: Coercion<T, U>) -> SlabCounted<U, C, N> {
        // By D1 the pointer is the same, and describes the same value, so that N1 to N4 hold.
        SlabCounted::from_value(coercion.apply(ManuallyDrop::new(this).value))
    }

    /// Returns the pointer as a pinned one, if there is no other owner, else itself. Clones of a pinned pointer are
    /// pinned: the value does not move until it is dropped.
    ///
    /// An owner that is not pinned could move the value once it is the only one, so there must be none. The memory
    /// source has to be `'static`, because the memory of a pinned value that is forgotten has to remain allocated.
    ///
    /// # Errors
    ///
    /// The pointer, if there is another owner.
    pub fn into_pin(this: Self) -> Result<Pin<Self>, Self>
    where
        C::Source: 'static,
    {
        if !N::is_unique(this.count()) {
            return Err(this);
        }
        // SAFETY: all owners are pinned from now on. The value does not move with them, and is dropped before its
        // slot is freed. A slot that is never freed keeps the core, and so the source.
        Ok(unsafe { Pin::new_unchecked(this) })
    }

    /// Drops the value and frees the slot.
    ///
    /// # Safety
    ///
    /// This was the last owner, and is not used any more.
    #[inline(never)]
    unsafe fn drop_last(&self) {
        let (slot, geometry) = (self.slot(), self.geometry());
        // SAFETY: by N1, N2 and N4 this is a slot with a value that has no owner any more. The slot is freed after
        // the value is dropped, also if that panics.
        unsafe {
            check_before_drop::<C>(slot, &geometry, mem::needs_drop::<T>());
            let _slot = EmptySlot::<C>::new(slot, geometry);
            ptr::drop_in_place(self.value.as_ptr());
        }
    }
}

/// The alignment of the count.
const COUNT_ALIGN: usize = align_of::<AtomicUsize>();

impl<T, C: Config, N: Count> SlabCounted<T, C, N> {
    /// Writes a value with one owner to a slot that was just taken.
    ///
    /// # Safety
    ///
    /// The slot is the caller's, and of a cache of `Counted<T>` and `C`.
    #[inline(always)]
    unsafe fn store(slot: NonNull<u8>, value: T) -> Self {
        let slot = slot.cast::<Counted<T>>();
        // SAFETY: the slot has room for a counted value, whose field the projection names.
        unsafe {
            slot.write(Counted { count: AtomicUsize::new(1), value });
            Self::from_value(NonNull::new_unchecked(&raw mut (*slot.as_ptr()).value))
        }
    }

    /// Stores what `make` returns, in a slot of the core's cache.
    #[inline(always)]
    fn store_with<F: FnOnce() -> T>(core: CoreRef<C>, make: F) -> Result<Self, Full<F>> {
        let Some(slot) = take_slot::<Counted<T>, C>(core) else { return Err(Full(make)) };
        // SAFETY: the slot was just taken, and the cache has this geometry.
        let slot = unsafe { EmptySlot::<C>::new(slot, Shape::<Counted<T>, C>::GEOMETRY) };
        let value = make();
        // SAFETY: the slot was just taken, and is the caller's again.
        Ok(unsafe { Self::store(slot.into_slot(), value) })
    }

    /// Moves the value out of its slot, and frees the slot.
    ///
    /// # Safety
    ///
    /// This is the only owner, or was the last one.
    unsafe fn take(this: Self) -> T {
        let this = ManuallyDrop::new(this);
        let (slot, geometry) = (this.slot(), const { &Shape::<Counted<T>, C>::GEOMETRY });
        // SAFETY: by N1, N2 and N4 this is a slot with a value that has no other owner; the value is read once.
        unsafe {
            check_before_drop::<C>(slot, geometry, mem::needs_drop::<T>());
            let value = this.value.read();
            free::<C>(slot, geometry);
            value
        }
    }

    /// Returns the value and frees the slot, if there is no other owner. *O*(1).
    ///
    /// # Errors
    ///
    /// The pointer, if there is another owner.
    ///
    /// ```
    /// # use slab_cache::{SlabCache, SlabRc};
    /// let word = SlabCache::new()?.alloc_rc("slab".to_owned())?;
    /// let other = SlabRc::clone(&word);
    /// let word = SlabRc::try_unwrap(word).expect_err("there is another owner");
    /// drop(other);
    /// assert_eq!(SlabRc::try_unwrap(word).expect("there is one owner"), "slab");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_unwrap(this: Self) -> Result<T, Self> {
        if !N::is_unique(this.count()) {
            return Err(this);
        }
        // SAFETY: by N3 this is the only owner.
        Ok(unsafe { Self::take(this) })
    }

    /// Drops the pointer, and returns the value if it was the last owner. If several threads do so with all owners,
    /// exactly one of them gets the value. *O*(1).
    pub fn into_inner(this: Self) -> Option<T> {
        if N::remove(this.count()) {
            // SAFETY: by N3 this was the last owner.
            return Some(unsafe { Self::take(this) });
        }
        mem::forget(this);
        None
    }

    /// Returns the value for writing. If there is another owner, this pointer becomes the only owner of a clone of
    /// the value, in another slot of the same cache. *O*(1) amortised, and a clone.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is another owner, no slot is free, and the memory source refuses. Nothing has changed.
    ///
    /// # Panics
    ///
    /// As [`alloc_rc`](crate::SlabCache::alloc_rc).
    ///
    /// ```
    /// # use slab_cache::{SlabCache, SlabRc};
    /// let mut words = SlabCache::new()?.alloc_rc(vec!["slab"])?;
    /// let before = SlabRc::clone(&words);
    /// SlabRc::make_mut(&mut words)?.push("works");
    /// assert_eq!((words.len(), before.len()), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn make_mut(this: &mut Self) -> Result<&mut T, Full<()>>
    where
        T: Clone,
    {
        if !N::is_unique(this.count()) {
            let geometry = const { &Shape::<Counted<T>, C>::GEOMETRY };
            // SAFETY: by N1 and N4 the slot belongs to a slab of a cache of `C` with this geometry.
            let core = unsafe { CoreRef::<C>::of_slab(geometry.locate(this.slot()).0) };
            // Slots are taken by handles only: the last handle releases the active slab.
            let handle = Handle::another(core);
            let made = Self::store_with(handle.core(), || T::clone(this));
            let copy = made.map_err(|_| Full(()))?;
            *this = copy;
        }
        // SAFETY: by N2 and N3 this is the only owner of a valid value, and is borrowed mutably.
        Ok(unsafe { this.value.as_mut() })
    }
}

/// Adds an owner. *O*(1).
impl<T: ?Sized, C: Config, N: Count> Clone for SlabCounted<T, C, N> {
    #[inline]
    fn clone(&self) -> Self {
        N::add(self.count());
        Self::from_value(self.value)
    }
}

impl<T: ?Sized, C: Config, N: Count> Drop for SlabCounted<T, C, N> {
    #[inline]
    fn drop(&mut self) {
        if N::remove(self.count()) {
            // SAFETY: by N3 this was the last owner.
            unsafe { self.drop_last() };
        }
    }
}

impl<T: ?Sized, C: Config, N: Count> Deref for SlabCounted<T, C, N> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: by N2, and owners only read the value while there are several.
        unsafe { self.value.as_ref() }
    }
}

impl<T, C: Config> crate::SlabCache<Counted<T>, C> {
    /// Stores a value with a count for one thread. *O*(1) amortised, *O*(slabs) before it refuses.
    ///
    /// # Errors
    ///
    /// [`Full`], with the value, if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// As [`alloc`](crate::SlabCache::alloc).
    #[inline]
    pub fn alloc_rc(&self, value: T) -> Result<SlabRc<T, C>, Full<T>> {
        self.alloc_counted(value)
    }

    /// Stores what `make` returns, with a count for one thread; see
    /// [`alloc_with`](crate::SlabCache::alloc_with). *O*(1) amortised, *O*(slabs) before it refuses.
    ///
    /// # Errors
    ///
    /// [`Full`], with `make`, if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// As [`alloc`](crate::SlabCache::alloc).
    #[inline]
    pub fn alloc_rc_with<F: FnOnce() -> T>(&self, make: F) -> Result<SlabRc<T, C>, Full<F>> {
        SlabCounted::store_with(self.core(), make)
    }

    /// Stores a value with a count for several threads. *O*(1) amortised, *O*(slabs) before it refuses.
    ///
    /// # Errors
    ///
    /// [`Full`], with the value, if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// As [`alloc`](crate::SlabCache::alloc).
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    pub fn alloc_arc(&self, value: T) -> Result<SlabCounted<T, C, AtomicCount>, Full<T>> {
        self.alloc_counted(value)
    }

    /// Stores what `make` returns, with a count for several threads; see
    /// [`alloc_with`](crate::SlabCache::alloc_with). *O*(1) amortised, *O*(slabs) before it refuses.
    ///
    /// # Errors
    ///
    /// [`Full`], with `make`, if no slot is free and the memory source refuses.
    ///
    /// # Panics
    ///
    /// As [`alloc`](crate::SlabCache::alloc).
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    pub fn alloc_arc_with<F>(&self, make: F) -> Result<SlabCounted<T, C, AtomicCount>, Full<F>>
    where
        F: FnOnce() -> T,
    {
        SlabCounted::store_with(self.core(), make)
    }

    #[inline(always)]
    fn alloc_counted<N: Count>(&self, value: T) -> Result<SlabCounted<T, C, N>, Full<T>> {
        match take_slot::<Counted<T>, C>(self.core()) {
            // SAFETY: the slot was just taken from a cache of `Counted<T>` and `C`.
            Some(slot) => Ok(unsafe { SlabCounted::store(slot, value) }),
            None => Err(Full(value)),
        }
    }
}
