//! Frees a slot: to the thread's magazine, to the remote free list of its slab, or under the lock; and what is
//! checked before.
#![expect(unsafe_code, reason = "frees slots, which their owners give up")]

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use slab_core::{Mode, OnDrop, poison};

use crate::config::{Config, Invariant};
use crate::entry::enter;
use crate::error::{CacheError, report};
use crate::geometry::Geometry;
#[cfg(feature = "std")]
use crate::geometry::Shape;
use crate::guard;
#[cfg(feature = "std")]
use crate::magazine::Batch;
use crate::remote;
use crate::shared::CoreRef;
use crate::slab::SlabRef;
use crate::state::{Deferred, Freed, State};
#[cfg(feature = "std")]
use crate::thread_cache;

/// A slot without a value; it is freed when this is dropped, also by a panic.
pub struct EmptySlot<C: Config> {
    slot: NonNull<u8>,
    geometry: Geometry,
    config: Invariant<C>,
}

impl<C: Config> EmptySlot<C> {
    /// Takes over a slot.
    ///
    /// # Safety
    ///
    /// As [`free`], once this is dropped.
    #[inline(always)]
    pub unsafe fn new(slot: NonNull<u8>, geometry: Geometry) -> Self {
        Self { slot, geometry, config: PhantomData }
    }

    #[inline(always)]
    pub fn into_slot(self) -> NonNull<u8> {
        ManuallyDrop::new(self).slot
    }
}

impl<C: Config> Drop for EmptySlot<C> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the precondition holds by `new`.
        unsafe { free::<C>(self.slot, &self.geometry) };
    }
}

/// Checks a box before its value is used, where a mistake can be detected at once: in `Hardened` mode; and in
/// `Checked` mode without a lock, for values with a destructor. For other values [`free`] checks early enough.
///
/// # Safety
///
/// As [`free`], but the owner keeps the slot. A report means that this does not hold.
#[inline(always)]
pub unsafe fn check_before_drop<C: Config>(
    slot: NonNull<u8>,
    geometry: &Geometry,
    needs_drop: bool,
) {
    if C::Mode::HARDENED {
        // SAFETY: the precondition is the same.
        unsafe { verify::<C>(slot, geometry) };
    } else if C::Mode::CHECKED && CoreRef::<C>::is_local() && needs_drop {
        let address = slot.addr().get();
        // SAFETY: by B1 the slot belongs to a slab of such a cache with this geometry.
        let (slab, index, core) = unsafe {
            let (slab, index) = geometry.locate(slot);
            (slab, index, CoreRef::<C>::of_slab(slab))
        };
        if !core.with_state(|state| state.is_live(slab, index)) {
            report(&CacheError::NotLive { address });
        }
        if geometry.slot_start(slab, index) != slot {
            report(&CacheError::NotASlot { address });
        }
    }
}

/// Frees a slot. *O*(1).
///
/// # Safety
///
/// [B1](crate::SlabBox#invariants) holds for the slot and a cache of `C` with this geometry. Its owner gives it up.
#[inline(always)]
pub unsafe fn free<C: Config>(slot: NonNull<u8>, geometry: &Geometry) {
    if C::Mode::HARDENED {
        // SAFETY: the precondition is the same.
        return unsafe { free_hardened::<C>(slot, geometry) };
    }
    // SAFETY: by B1 the slot belongs to a slab of such a cache with this geometry.
    let (slab, index, core) = unsafe {
        let (slab, index) = geometry.locate(slot);
        (slab, index, CoreRef::<C>::of_slab(slab))
    };
    if CoreRef::<C>::is_local() || !remote::IS_POSSIBLE {
        // SAFETY: by B1 that slot of the slab starts there, and the caller gives it up.
        return unsafe { free_counted(core, slab, index, slot) };
    }
    #[cfg(feature = "std")]
    if core.anchor().is_some() {
        // SAFETY: as for `free_counted` above; the cache has, or had, magazines.
        return unsafe { free_to_magazine(core, slab, index, slot, geometry.value_bytes) };
    }
    // SAFETY: the caller gives the slot up. The slab is not used afterwards, unless this thread claims it.
    let is_claimed = unsafe {
        if poison::is_active::<C::Mode>() {
            guard::poison::<C::Mode>(slot, geometry.value_bytes);
        }
        slab.remote().push(slot, index as u16)
    };
    if is_claimed {
        relist(core, slab);
    }
}

/// Frees a slot to the thread's magazine, or under the lock if the cache is closed.
///
/// # Safety
///
/// As [`free_counted`]; the cache has, or had, magazines.
#[cfg(feature = "std")]
#[inline(always)]
unsafe fn free_to_magazine<C: Config>(
    core: CoreRef<C>,
    slab: SlabRef,
    index: u32,
    slot: NonNull<u8>,
    value_bytes: usize,
) {
    if !core.anchor().is_open() {
        // SAFETY: the precondition is the same; such a cache counts.
        return unsafe { free_counted(core, slab, index, slot) };
    }
    if poison::is_active::<C::Mode>() {
        // SAFETY: the caller gives the slot up.
        unsafe { guard::poison::<C::Mode>(slot, value_bytes) };
    }
    let (id, owner) = (core.anchor().id(), core.anchor().owner(core.erased()));
    if !thread_cache::push(id, owner, slot) {
        thread_cache::push_slow(id, owner, slot);
    }
}

/// Frees a slot in a cache that counts.
///
/// # Safety
///
/// Slot number `index` of the slab, one of this cache, starts at `slot`; the caller gives it up.
#[inline(always)]
unsafe fn free_counted<C: Config>(core: CoreRef<C>, slab: SlabRef, index: u32, slot: NonNull<u8>) {
    enter(core, |state| {
        // SAFETY: the precondition is the same.
        match unsafe { free_under_lock(core, state, slab, index, slot) } {
            Freed::Done => None,
            freed => Some(defer(state, slab, slot, freed)),
        }
    });
}

/// # Safety
///
/// As [`free_counted`].
#[inline(always)]
unsafe fn free_under_lock<C: Config>(
    core: CoreRef<C>,
    state: &mut State,
    slab: SlabRef,
    index: u32,
    slot: NonNull<u8>,
) -> Freed {
    if poison::is_active::<C::Mode>() && (!C::Mode::CHECKED || state.is_live(slab, index)) {
        // SAFETY: the slot is live, and the caller gives it up.
        unsafe { guard::poison::<C::Mode>(slot, core.geometry().value_bytes) };
    }
    state.free::<C::Mode>(slab, index)
}

/// Handles a free with more to do, under the lock.
#[cold]
#[inline(never)]
fn defer(state: &mut State, slab: SlabRef, slot: NonNull<u8>, freed: Freed) -> Deferred {
    if freed == Freed::Relist {
        state.relist(slab);
    } else {
        state.set_fault(CacheError::NotLive { address: slot.addr().get() });
    }
    state.enter_and_defer()
}

/// Relists a slab that this thread has claimed.
#[cold]
#[inline(never)]
fn relist<C: Config>(core: CoreRef<C>, slab: SlabRef) {
    // If the lock panics, the next free of the slab claims it.
    let claim = OnDrop::new(slab, |slab| slab.remote().abandon_claim());
    enter(core, |state| {
        claim.disarm();
        state.relist(slab);
        Some(state.enter_and_defer())
    });
}

/// Frees the slots of a batch, in a cache that counts. If the lock panics, they stay in the batch.
///
/// # Safety
///
/// `core` is the core of a cache of `T` and `C`. The batch owns slots of that cache.
#[cfg(feature = "std")]
pub unsafe fn free_batch<T, C: Config>(core: NonNull<()>, batch: &mut Batch) {
    // SAFETY: the core has this configuration, and lives while the batch owns slots.
    let core = unsafe { CoreRef::<C>::from_erased(core) };
    let geometry = const { &Shape::<T, C>::GEOMETRY };
    enter(core, |state| {
        while let Some(slot) = batch.pop() {
            // SAFETY: the slot belongs to such a cache, and the batch has given it up.
            let (slab, freed) = unsafe {
                let (slab, index) = geometry.locate(slot);
                (slab, free_under_lock(core, state, slab, index, slot))
            };
            match freed {
                Freed::Done => {}
                Freed::Relist => state.relist(slab),
                Freed::NotLive => {
                    state.set_fault(CacheError::NotLive { address: slot.addr().get() });
                }
            }
        }
        Some(state.enter_and_defer())
    });
}

/// Frees a slot after all checks of `Hardened` mode.
///
/// # Safety
///
/// As [`free`].
#[inline(never)]
unsafe fn free_hardened<C: Config>(slot: NonNull<u8>, geometry: &Geometry) {
    // SAFETY: B1 holds, as the caller says, so that slot of the slab starts there; such a cache counts.
    unsafe {
        let (core, slab, index) = verify::<C>(slot, geometry);
        free_counted(core, slab, index, slot);
    }
}

/// Makes all checks of `Hardened` mode, and returns the slot's cache, slab and number.
///
/// # Safety
///
/// As [`check_before_drop`], in `Hardened` mode.
#[inline(never)]
unsafe fn verify<C: Config>(slot: NonNull<u8>, geometry: &Geometry) -> (CoreRef<C>, SlabRef, u32) {
    let address = slot.addr().get();
    // SAFETY: by B1 the slot belongs to a slab of such a cache with this geometry.
    let (slab, index) = unsafe { geometry.locate(slot) };
    let offset = geometry.first + index as usize * geometry.stride;
    if index >= geometry.slots || offset != address & (C::SLAB_BYTES - 1) {
        report(&CacheError::NotASlot { address });
    }
    if !guard::is_intact(slab, geometry) {
        report(&CacheError::CorruptHeader { address });
    }
    // SAFETY: the header is intact, so it names the core of such a cache.
    let core = unsafe { CoreRef::<C>::of_slab(slab) };
    let (is_counted, is_live) =
        core.with_state(|state| (guard::is_counted(slab, geometry), state.is_live(slab, index)));
    if !is_counted {
        report(&CacheError::CorruptHeader { address });
    }
    if !is_live {
        report(&CacheError::NotLive { address });
    }
    let size = geometry.value_bytes;
    // SAFETY: a slot of such a cache starts there.
    if let Some(offset) = unsafe { guard::overrun::<C::Mode>(slot, size) } {
        report(&CacheError::Overrun { address, size, offset });
    }
    (core, slab, index)
}
