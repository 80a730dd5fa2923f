//! The box: one pointer, from which its slab and its cache are found.
#![expect(unsafe_code, reason = "owns a value behind a raw pointer")]

use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::{self, NonNull};

use crate::coerce::Coercion;
use crate::config::{Config, DefaultConfig, Invariant};
use crate::free::{EmptySlot, check_before_drop, free};
use crate::geometry::{Geometry, Shape};

/// A value in a slot of a [`SlabCache`](crate::SlabCache). Dropping the box drops the value and frees the slot.
///
/// A box is as wide as a pointer, and so is `Option<SlabBox>`: masking the address gives the slab, and the slab's
/// header names the cache. So a box may outlive every handle of its cache. It is `Send` if the value, the lock and
/// the memory source permit.
///
/// Dropping a box is *O*(1) amortised and may return chunks without values to the source. It panics if the value,
/// the lock or the source panics (see the [crate](crate#your-code)), or if it detects [misuse](crate#checks) by
/// `unsafe` code.
///
/// # Invariants
///
/// - **B1 (slot)**: the box points to a live slot of a cache of `C`, which no other box owns, and may access all of
///   the slab around it.
/// - **B2 (value)**: the slot holds a valid `T`.
/// - **B3 (layout)**: the slots of the cache are for values of the size and alignment of this one, or are
///   [shared](Config::SLOT) by values of several types. So the value tells how its slab is divided.
///
/// # Examples
///
/// ```
/// use slab_cache::{SlabBox, SlabCache};
///
/// let words = SlabCache::new()?;
/// let mut word: SlabBox<String> = words.alloc("slab".to_owned())?;
/// word.push_str("works");
/// drop(words);
/// assert_eq!(*word, "slabworks");
/// assert_eq!(size_of::<Option<SlabBox<String>>>(), size_of::<usize>());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A value may not borrow what the box outlives, and a box may not outlive its source:
///
/// ```compile_fail,E0597
/// # use slab_cache::SlabCache;
/// let words = SlabCache::<&String>::new().expect("memory");
/// let held = {
///     let word = "slab".to_owned();
///     words.alloc(&word)
/// };
/// drop(held);
/// ```
///
/// ```compile_fail,E0597
/// # use slab_cache::{SlabBox, SlabCache};
/// # use bumpalo::Bump;
/// let leaked: &'static mut u64 = {
///     let arena = Bump::new();
///     let numbers = SlabCache::new_in(&arena).expect("memory");
///     SlabBox::leak(numbers.alloc(7).expect("memory"))
/// };
/// ```
pub struct SlabBox<T: ?Sized, C: Config = DefaultConfig> {
    value: NonNull<T>,
    kind: PhantomData<T>,
    config: Invariant<C>,
}

// SAFETY: the box owns its value, so it may be sent if `T` may. Dropping it on another thread uses the lock,
// which is `Sync`, may call the source there at the same time as other threads, and may drop both.
unsafe impl<T: ?Sized, C: Config> Send for SlabBox<T, C>
where
    T: Send,
    C::Lock: Send + Sync,
    C::Source: Send + Sync,
{
}

// SAFETY: a shared box gives access to `&T` only.
unsafe impl<T: ?Sized + Sync, C: Config> Sync for SlabBox<T, C> {}

impl<T, C: Config> SlabBox<T, C> {
    /// Returns the value, and frees the slot. *O*(1).
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache};
    /// let words = SlabCache::new()?;
    /// let word: String = SlabBox::into_inner(words.alloc("slab".to_owned())?);
    /// assert!(words.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn into_inner(this: Self) -> T {
        let slot = Self::into_raw(this);
        let geometry = const { &Shape::<T, C>::GEOMETRY };
        // SAFETY: by B1 and B2 this is a slot with a value, which the box has given up; the value is read once.
        unsafe {
            check_before_drop::<C>(slot.cast(), geometry, mem::needs_drop::<T>());
            let value = slot.read();
            free::<C>(slot.cast(), geometry);
            value
        }
    }
}

impl<T: ?Sized, C: Config> SlabBox<T, C> {
    /// Makes the box of a slot.
    ///
    /// # Safety
    ///
    /// B1 to B3 hold.
    #[inline(always)]
    pub(crate) unsafe fn new(value: NonNull<T>) -> Self {
        Self { value, kind: PhantomData, config: PhantomData }
    }

    /// Returns the pointer, and gives up ownership. [`from_raw`](Self::from_raw) makes it a box again.
    #[inline]
    pub fn into_raw(this: Self) -> NonNull<T> {
        ManuallyDrop::new(this).value
    }

    /// Makes a box again of a pointer from [`into_raw`](Self::into_raw). *O*(1).
    ///
    /// For a pointer that was a reference meanwhile see [`SlabCache::adopt`](crate::SlabCache::adopt).
    ///
    /// # Safety
    ///
    /// `into_raw` of the same type of box returned the pointer. It has the same provenance, and is made a box
    /// once. In `Hardened` mode a drop detects many of the mistakes.
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache};
    /// let words = SlabCache::new()?;
    /// let pointer = SlabBox::into_raw(words.alloc("slab".to_owned())?);
    /// // SAFETY: `into_raw` of this type of box returned the pointer, and it is made a box once.
    /// let word: SlabBox<String> = unsafe { SlabBox::from_raw(pointer) };
    /// assert_eq!(*word, "slab");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub unsafe fn from_raw(pointer: NonNull<T>) -> Self {
        // SAFETY: B1 and B2 held for the box of `into_raw`, which gave up ownership.
        unsafe { Self::new(pointer) }
    }

    /// Returns a reference to the value. The value is not dropped and its slot not freed, unless
    /// [`SlabCache::adopt`](crate::SlabCache::adopt) makes it a box again.
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache};
    /// let words = SlabCache::new()?;
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
        // SAFETY: by B1 and B2 it is a value with one owner. The slot is never freed, so the core and the source
        // remain; `C`, and so the source, outlives `'a`.
        unsafe { value.as_mut() }
    }

    /// Converts the box to one of a trait object or a slice, by [`coerce!`](crate::coerce). *O*(1).
    ///
    /// Such a box is two pointers wide. It may be from any cache with the same configuration, of any type.
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache, coerce};
    /// let (bytes, words) = (SlabCache::new()?, SlabCache::new()?);
    /// let shown: [SlabBox<dyn core::fmt::Display>; 2] = [
    ///     SlabBox::unsize(bytes.alloc(7_u8)?, coerce!(dyn core::fmt::Display)),
    ///     SlabBox::unsize(words.alloc("slab".to_owned())?, coerce!(dyn core::fmt::Display)),
    /// ];
    /// assert_eq!(shown.map(|value| value.to_string()), ["7", "slab"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn unsize<U: ?Sized>(this: Self, coercion: Coercion<T, U>) -> SlabBox<U, C> {
        let value = coercion.apply(Self::into_raw(this));
        // SAFETY: by D1 the pointer is the same, and describes the same value, so that B1 to B3 hold.
        unsafe { SlabBox::new(value) }
    }

    /// Returns the box as a pinned one: the value does not move until it is dropped.
    ///
    /// The memory source has to be `'static`, because the memory of a pinned value that is forgotten has to
    /// remain allocated.
    #[inline]
    pub fn into_pin(this: Self) -> Pin<Self>
    where
        C::Source: 'static,
    {
        // SAFETY: moving the box does not move the value, and the value is dropped before its slot is freed. A
        // slot that is never freed keeps the core, and so the source.
        unsafe { Pin::new_unchecked(this) }
    }

    /// Returns the address of the value.
    #[inline]
    pub fn as_ptr(this: &Self) -> NonNull<T> {
        this.value
    }
}

impl<T, C: Config> SlabBox<MaybeUninit<T>, C> {
    /// Writes a value, and returns its box. *O*(1).
    ///
    /// ```
    /// # use slab_cache::{SlabBox, SlabCache};
    /// let pages = SlabCache::new()?;
    /// let page: SlabBox<[u8; 100]> = SlabBox::write(pages.alloc_uninit()?, [7; 100]);
    /// assert_eq!(page[99], 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn write(mut this: Self, value: T) -> SlabBox<T, C> {
        (*this).write(value);
        // SAFETY: the value was just written.
        unsafe { Self::assume_init(this) }
    }

    /// Returns the box of a value that was written. *O*(1).
    ///
    /// # Safety
    ///
    /// The memory holds a valid `T`.
    #[inline]
    pub unsafe fn assume_init(this: Self) -> SlabBox<T, C> {
        let value = Self::into_raw(this).cast();
        // SAFETY: B1 holds, because slots for `T` and for `MaybeUninit<T>` are the same, and B2, because the
        // caller says so.
        unsafe { SlabBox::new(value) }
    }
}

impl<T: ?Sized, C: Config> Drop for SlabBox<T, C> {
    #[inline]
    fn drop(&mut self) {
        let slot = self.value.cast();
        let geometry = Geometry::of_value::<T, C>(self);
        if !mem::needs_drop::<T>() {
            // SAFETY: by B1 and B3; the box is not used any more, and such a value needs no drop.
            return unsafe { free::<C>(slot, &geometry) };
        }
        // SAFETY: by B1 to B3 this is a slot with a value, and the box is not used any more. The slot is freed
        // after the value is dropped, also if that panics.
        unsafe {
            check_before_drop::<C>(slot, &geometry, true);
            let _slot = EmptySlot::<C>::new(slot, geometry);
            ptr::drop_in_place(self.value.as_ptr());
        }
    }
}

impl<T: ?Sized, C: Config> Deref for SlabBox<T, C> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: by B1 and B2, and the box is borrowed.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized, C: Config> DerefMut for SlabBox<T, C> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by B1 and B2, and the box is borrowed mutably.
        unsafe { self.value.as_mut() }
    }
}
