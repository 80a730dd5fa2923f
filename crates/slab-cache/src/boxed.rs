//! The box: one pointer, and the way home.
#![expect(unsafe_code, reason = "owns a value behind a raw pointer")]

use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::{self, NonNull};

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::{Checked, Mode, poison};

use crate::error::{CacheError, report};
use crate::geometry::Shape;
use crate::guard;
use crate::lock::{NoLock, is_local};
#[cfg(feature = "std")]
use crate::magazine;
use crate::remote;
use crate::shared::{CoreRef, locate};
use crate::slab::SlabRef;
use slab_traits::Global;

/// Which kind of cache a slot belongs to.
type Kind<R, A, M> = PhantomData<fn() -> (R, A, M)>;

/// A value in a slot of a [`SlabCache`](crate::SlabCache), which it owns; dropping it frees the slot.
///
/// As wide as a pointer, as is `Option<SlabBox>`: the slab is found by masking the address, and the
/// cache by the slab's header. So a box may outlive every handle of its cache; the last of them all
/// takes the cache's memory along. It is `Send` where value, lock and memory source permit.
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

/// Frees a slot that holds no value, also while a panic passes.
pub struct SlotGuard<T, R, A, const SLAB_SIZE: usize, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    slot: NonNull<u8>,
    kind: PhantomData<fn() -> T>,
    cache: Kind<R, A, M>,
}

impl<T, R, A, const SLAB_SIZE: usize, M> SlotGuard<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    /// Takes a slot over as its owner.
    ///
    /// # Safety
    ///
    /// B1 holds for it.
    #[inline(always)]
    pub unsafe fn new(slot: NonNull<u8>) -> Self {
        Self { slot, kind: PhantomData, cache: PhantomData }
    }

    /// Returns the slot.
    #[inline(always)]
    pub fn into_slot(self) -> NonNull<u8> {
        ManuallyDrop::new(self).slot
    }
}

impl<T, R, A, const SLAB_SIZE: usize, M> Drop for SlotGuard<T, R, A, SLAB_SIZE, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the slot is the guard's.
        unsafe { release::<T, R, A, SLAB_SIZE, M>(self.slot) };
    }
}

/// Looks whether a box may be freed before its value is used, where that can be told at once: in
/// `Hardened` mode; in `Checked` mode without a lock, for values whose drop would do damage. Where nothing
/// is done with the value, [`release`] is early enough.
///
/// # Safety
///
/// B1 holds for the slot; what is reported is a caller's mistake about that.
#[inline(always)]
unsafe fn look_at<T, R, A, const SLAB_SIZE: usize, M>(slot: NonNull<u8>)
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    if M::HARDENED {
        // SAFETY: the caller's promise.
        unsafe { verify::<T, R, A, SLAB_SIZE, M>(slot) };
    } else if M::CHECKED && is_local::<R>() && mem::needs_drop::<T>() {
        let geometry = const { &Shape::<T, M, SLAB_SIZE>::GEOMETRY };
        let address = slot.addr().get();
        // SAFETY: by B1.
        let (slab, index) = unsafe { locate::<T, M, SLAB_SIZE>(slot) };
        // SAFETY: by B1 the slab belongs to such a cache.
        let core = unsafe { CoreRef::<R, A>::of_slab(slab) };
        if !core.with_state(|state| state.is_live(slab, index)) {
            report(&CacheError::NotLive { address });
        }
        if slab.slot_start(index, geometry) != slot {
            report(&CacheError::NotASlot { address });
        }
    }
}

/// Frees a slot. *O*(1).
///
/// # Safety
///
/// B1 holds for it, and its owner gives it up.
#[inline(always)]
unsafe fn release<T, R, A, const SLAB_SIZE: usize, M>(slot: NonNull<u8>)
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    if M::HARDENED {
        // SAFETY: the caller's promise, of which some is checked.
        return unsafe { release_hardened::<T, R, A, SLAB_SIZE, M>(slot) };
    }
    // SAFETY: by B1.
    let (slab, index) = unsafe { locate::<T, M, SLAB_SIZE>(slot) };
    // SAFETY: by B1 the slab belongs to such a cache.
    let core = unsafe { CoreRef::<R, A>::of_slab(slab) };
    if is_local::<R>() || !remote::IS_POSSIBLE {
        // SAFETY: by B1; such a cache counts.
        return unsafe { core.free::<M>(slab, index, slot) };
    }
    #[cfg(feature = "std")]
    if core.anchor().is_some() {
        // SAFETY: by B1; the cache has, or had, magazines.
        return unsafe { release_to_magazine::<T, R, A, M>(core, slab, index, slot) };
    }
    if poison::is_active::<M>() {
        // SAFETY: nobody needs what is in the slot.
        unsafe { guard::bury::<M>(slot, size_of::<T>()) };
    }
    // SAFETY: by B1; the slab is not used afterwards, unless it calls.
    if unsafe { remote::push(slab, slot, index as u16) } {
        core.attend(slab);
    }
}

/// # Safety
///
/// As [`release`]; the cache has, or had, magazines.
#[cfg(feature = "std")]
#[inline(always)]
unsafe fn release_to_magazine<T, R, A, M>(
    core: CoreRef<R, A>,
    slab: SlabRef,
    index: u32,
    slot: NonNull<u8>,
) where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    if core.anchor().is_open() {
        if poison::is_active::<M>() {
            // SAFETY: nobody needs what is in the slot.
            unsafe { guard::bury::<M>(slot, size_of::<T>()) };
        }
        // SAFETY: the caller's promise.
        unsafe { magazine::put(core, slot) };
    } else {
        // SAFETY: the caller's promise; such a cache counts.
        unsafe { core.free::<M>(slab, index, slot) };
    }
}

/// Frees a slot after all that can be checked was.
///
/// # Safety
///
/// As [`release`].
#[inline(never)]
unsafe fn release_hardened<T, R, A, const SLAB_SIZE: usize, M>(slot: NonNull<u8>)
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    // SAFETY: the caller's promise.
    let (core, slab, index) = unsafe { verify::<T, R, A, SLAB_SIZE, M>(slot) };
    // SAFETY: by B1; such a cache counts.
    unsafe { core.free::<M>(slab, index, slot) };
}

/// Checks all that can be, and returns where the slot is.
///
/// # Safety
///
/// As [`look_at`], in `Hardened` mode.
#[inline(never)]
unsafe fn verify<T, R, A, const SLAB_SIZE: usize, M>(
    slot: NonNull<u8>,
) -> (CoreRef<R, A>, SlabRef, u32)
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    let geometry = const { &Shape::<T, M, SLAB_SIZE>::GEOMETRY };
    let address = slot.addr().get();
    // SAFETY: by B1.
    let (slab, index) = unsafe { locate::<T, M, SLAB_SIZE>(slot) };
    let offset = geometry.first + index as usize * geometry.stride;
    if index >= geometry.slots || offset != address & (SLAB_SIZE - 1) {
        report(&CacheError::NotASlot { address });
    }
    if !guard::is_intact(slab, geometry) {
        report(&CacheError::CorruptHeader { address });
    }
    // SAFETY: the header is intact, so it names the core of such a cache.
    let core = unsafe { CoreRef::<R, A>::of_slab(slab) };
    let (is_counted, is_live) =
        core.with_state(|state| (guard::is_counted(slab, geometry), state.is_live(slab, index)));
    if !is_counted {
        report(&CacheError::CorruptHeader { address });
    }
    if !is_live {
        report(&CacheError::NotLive { address });
    }
    let size = size_of::<T>();
    // SAFETY: a slot of such a cache starts there.
    if let Some(offset) = unsafe { guard::overrun::<M>(slot, size) } {
        report(&CacheError::Overrun { address, size, offset });
    }
    (core, slab, index)
}
