//! The box: one pointer, and the way home.
#![expect(unsafe_code, reason = "owns a value behind a raw pointer")]

use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::{self, NonNull};

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::{Checked, Mode};
use slab_traits::Global;

use crate::lock::NoLock;
use crate::release::{Kind, SlotGuard, look_at, release};

/// A value in a slot of a [`SlabCache`](crate::SlabCache), which it owns; dropping it frees the slot.
///
/// As wide as a pointer, as is `Option<SlabBox>`: the slab is found by masking the address, and the
/// cache by the slab's header. So a box may outlive every handle of its cache; the last of them all
/// takes the cache's memory along. It is `Send` where value, lock and memory source permit.
///
/// Dropping a box is *O*(1) amortised, and gives chunks without values back to the source. It panics if the
/// value, the lock or the source does (see the [crate](crate#your-code)), or if it finds a
/// [mistake](crate#checks) of `unsafe` code.
///
/// # Invariants
///
/// - **B1 (slot)**: it points to a live slot of a cache with these parameters, which is this box's
///   alone, and may access all of the slab around it.
/// - **B2 (value)**: the slot holds a valid `T`.
///
/// # Examples
///
/// ```
/// use slab_cache::{SlabBox, SlabCache};
///
/// let words: SlabCache<String> = SlabCache::new()?;
/// let mut word = words.alloc("slab".to_owned())?;
/// word.push_str("works");
/// drop(words);
/// assert_eq!(*word, "slabworks");
/// assert_eq!(size_of::<Option<SlabBox<String>>>(), size_of::<usize>());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A value may borrow what outlives the box, a box its source, and nothing that goes before:
///
/// ```compile_fail,E0597
/// # use slab_cache::SlabCache;
/// let words: SlabCache<&String> = SlabCache::new().expect("memory");
/// let held = {
///     let word = "slab".to_owned();
///     words.alloc(&word)
/// };
/// drop(held);
/// ```
///
/// ```compile_fail,E0597
/// # use slab_cache::{NoLock, SlabBox, SlabCache};
/// # use bumpalo::Bump;
/// let leaked: &'static mut u64 = {
///     let arena = Bump::new();
///     let numbers: SlabCache<u64, NoLock, _> = SlabCache::new_in(&arena).expect("memory");
///     SlabBox::leak(numbers.alloc(7).expect("memory"))
/// };
/// ```
pub struct SlabBox<T, R = NoLock, A = Global, const SLAB_SIZE: usize = 4096, M = Checked>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    value: NonNull<T>,
    kind: PhantomData<T>,
    cache: Kind<R, A, M>,
}

// SAFETY: the box is all that owns its value, so it goes along if `T` does. Dropping it elsewhere uses
// the lock there, which is `Sync`, and may call the source there, at the same time as other threads,
// and drop both.
unsafe impl<T, R, A, const SLAB_SIZE: usize, M> Send for SlabBox<T, R, A, SLAB_SIZE, M>
where
    T: Send,
    R: RawMutex + Send + Sync + 'static,
    A: Allocator + Send + Sync,
    M: Mode,
{
}

// SAFETY: through a shared box there is only `&T`.
unsafe impl<T, R, A, const SLAB_SIZE: usize, M> Sync for SlabBox<T, R, A, SLAB_SIZE, M>
where
    T: Sync,
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
}

impl<T, R, A, const SLAB_SIZE: usize, M> SlabBox<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    /// Makes the box of a value that was just written.
    ///
    /// # Safety
    ///
    /// B1 and B2 hold.
    #[inline(always)]
    pub(crate) unsafe fn new(value: NonNull<T>) -> Self {
        Self { value, kind: PhantomData, cache: PhantomData }
    }

    /// Returns the value, and frees the slot. *O*(1).
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache};
    /// let words: SlabCache<String> = SlabCache::new()?;
    /// let word: String = SlabBox::into_inner(words.alloc("slab".to_owned())?);
    /// assert_eq!(words.stats().live, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn into_inner(this: Self) -> T {
        let slot = Self::into_raw(this);
        // SAFETY: by B1.
        unsafe { look_at::<T, R, A, SLAB_SIZE, M>(slot.cast()) };
        // SAFETY: by B2 it is a value, which is not used here any more.
        let value = unsafe { slot.read() };
        // SAFETY: by B1 the slot was the box's.
        unsafe { release::<T, R, A, SLAB_SIZE, M>(slot.cast()) };
        value
    }

    /// Returns the pointer, and gives up ownership. [`from_raw`](Self::from_raw) is the way back.
    #[inline]
    pub fn into_raw(this: Self) -> NonNull<T> {
        ManuallyDrop::new(this).value
    }

    /// Makes a box again of what [`into_raw`](Self::into_raw) returned. *O*(1).
    ///
    /// For a pointer that has been a reference meanwhile see
    /// [`SlabCache::adopt`](crate::SlabCache::adopt).
    ///
    /// # Safety
    ///
    /// The pointer is one that `into_raw` of the same type of box returned, with the same provenance,
    /// and is made a box once. In `Hardened` mode a drop finds many of the mistakes.
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache};
    /// let words: SlabCache<String> = SlabCache::new()?;
    /// let pointer = SlabBox::into_raw(words.alloc("slab".to_owned())?);
    /// // SAFETY: it comes from `into_raw` and is made a box once.
    /// let word: SlabBox<String> = unsafe { SlabBox::from_raw(pointer) };
    /// assert_eq!(*word, "slab");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub unsafe fn from_raw(pointer: NonNull<T>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::new(pointer) }
    }

    /// Returns a reference to the value, which is never dropped, and its slot never freed, unless
    /// [`SlabCache::adopt`](crate::SlabCache::adopt) makes it a box again.
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache};
    /// # use slab_cache::NoLock;
    /// # use allocator_api2::alloc::Global;
    /// let words: SlabCache<String> = SlabCache::new()?;
    /// let word: &mut String = SlabBox::leak(words.alloc("slab".to_owned())?);
    /// word.push('s');
    /// # // SAFETY: the reference is not used any more, and was a box of this cache.
    /// # drop(unsafe { words.adopt(core::ptr::NonNull::from(word)) }?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn leak<'a>(this: Self) -> &'a mut T
    where
        Self: 'a,
    {
        let mut value = Self::into_raw(this);
        // SAFETY: by B1 and B2; the slot is never freed, and so the core and the source remain.
        unsafe { value.as_mut() }
    }

    /// Returns the box as a pinned one: the value does not move until it is dropped.
    ///
    /// The memory source has to be `'static`, because the memory of a pinned value that is forgotten
    /// has to stay for ever.
    #[inline]
    pub fn into_pin(this: Self) -> Pin<Self>
    where
        A: 'static,
    {
        // SAFETY: the value's place is the slot's, whatever happens to the box, and it is dropped
        // before the slot is freed; a slot that is never freed keeps the core, and so the source.
        unsafe { Pin::new_unchecked(this) }
    }

    /// Returns where the value lies. The box keeps it.
    #[inline]
    pub fn as_ptr(this: &Self) -> NonNull<T> {
        this.value
    }
}

impl<T, R, A, const SLAB_SIZE: usize, M> SlabBox<MaybeUninit<T>, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    /// Writes a value, and returns the box of it. *O*(1).
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache};
    /// let pages: SlabCache<[u8; 100]> = SlabCache::new()?;
    /// let page = SlabBox::write(pages.alloc_uninit()?, [7; 100]);
    /// assert_eq!(page[99], 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn write(mut this: Self, value: T) -> SlabBox<T, R, A, SLAB_SIZE, M> {
        (*this).write(value);
        // SAFETY: it was just written.
        unsafe { Self::assume_init(this) }
    }

    /// Returns the box of the value that was written. *O*(1).
    ///
    /// # Safety
    ///
    /// The memory holds a valid `T`.
    #[inline]
    pub unsafe fn assume_init(this: Self) -> SlabBox<T, R, A, SLAB_SIZE, M> {
        let value = Self::into_raw(this).cast();
        // SAFETY: B1: slots for `T` and for `MaybeUninit<T>` are the same; B2: the caller's promise.
        unsafe { SlabBox::new(value) }
    }
}

impl<T, R, A, const SLAB_SIZE: usize, M> Drop for SlabBox<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    #[inline]
    fn drop(&mut self) {
        if !mem::needs_drop::<T>() {
            // SAFETY: by B1, and the box is not used any more; such a value may be forgotten.
            return unsafe { release::<T, R, A, SLAB_SIZE, M>(self.value.cast()) };
        }
        // SAFETY: by B1.
        unsafe { look_at::<T, R, A, SLAB_SIZE, M>(self.value.cast()) };
        // SAFETY: by B1, and the box is not used any more.
        let _slot = unsafe { SlotGuard::<T, R, A, SLAB_SIZE, M>::new(self.value.cast()) };
        // SAFETY: by B2 it is a value, which nobody uses any more. If it panics, the slot is freed.
        unsafe { ptr::drop_in_place(self.value.as_ptr()) };
    }
}

impl<T, R, A, const SLAB_SIZE: usize, M> Deref for SlabBox<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: by B1 and B2.
        unsafe { self.value.as_ref() }
    }
}

impl<T, R, A, const SLAB_SIZE: usize, M> DerefMut for SlabBox<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by B1 and B2, and the box is borrowed mutably.
        unsafe { self.value.as_mut() }
    }
}
