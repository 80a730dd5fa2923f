//! The way of a slot from its owner back to its slab, and what is checked on it.
#![expect(unsafe_code, reason = "frees slots, which their owners give up")]

use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::{Mode, poison};

use crate::error::{CacheError, report};
use crate::geometry::Shape;
use crate::guard;
use crate::lock::is_local;
#[cfg(feature = "std")]
use crate::magazine;
use crate::remote;
use crate::shared::{CoreRef, locate};
use crate::slab::SlabRef;

/// Which kind of cache a slot belongs to.
pub type Kind<R, A, M> = PhantomData<fn() -> (R, A, M)>;

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
pub unsafe fn look_at<T, R, A, const SLAB_SIZE: usize, M>(slot: NonNull<u8>)
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
pub unsafe fn release<T, R, A, const SLAB_SIZE: usize, M>(slot: NonNull<u8>)
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
