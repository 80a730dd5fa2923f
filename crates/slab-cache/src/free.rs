//! Frees a slot: to the thread's magazine, to the remote free list of its slab, or under the lock; and what is
//! checked before.
#![expect(unsafe_code, reason = "frees slots, which their owners give up")]

use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ptr::NonNull;

use slab_core::{Mode, poison};

use crate::config::{Config, Invariant};
use crate::entry::enter;
use crate::error::{CacheError, report};
use crate::geometry::Shape;
use crate::guard;
#[cfg(feature = "std")]
use crate::magazine::Batch;
use crate::on_drop::OnDrop;
use crate::remote;
use crate::shared::CoreRef;
use crate::slab::SlabRef;
use crate::state::{Deferred, Freed, State};
#[cfg(feature = "std")]
use crate::thread_cache;

/// A slot without a value; it is freed when this is dropped, also by a panic.
pub struct EmptySlot<T, C: Config> {
    slot: NonNull<u8>,
    kind: PhantomData<fn() -> T>,
    config: Invariant<C>,
}

impl<T, C: Config> EmptySlot<T, C> {
    /// Takes over a slot.
    ///
    /// # Safety
    ///
    /// [B1](crate::SlabBox#invariants) holds.
    #[inline(always)]
    pub unsafe fn new(slot: NonNull<u8>) -> Self {
        Self { slot, kind: PhantomData, config: PhantomData }
    }

    #[inline(always)]
    pub fn into_slot(self) -> NonNull<u8> {
        ManuallyDrop::new(self).slot
    }
}

impl<T, C: Config> Drop for EmptySlot<T, C> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: B1 holds by `new`.
        unsafe { free::<T, C>(self.slot) };
    }
}

/// Checks a box before its value is used, where a mistake can be detected at once: in `Hardened` mode; and in
/// `Checked` mode without a lock, for values with a destructor. For other values [`free`] checks early enough.
///
/// # Safety
///
/// B1 holds for the slot. A report means that B1 does not hold.
#[inline(always)]
pub unsafe fn check_before_drop<T, C: Config>(slot: NonNull<u8>) {
    if C::Mode::HARDENED {
        // SAFETY: the precondition is the same.
        unsafe { verify::<T, C>(slot) };
    } else if C::Mode::CHECKED && CoreRef::<C>::is_local() && mem::needs_drop::<T>() {
        let geometry = const { &Shape::<T, C>::GEOMETRY };
        let address = slot.addr().get();
        // SAFETY: by B1 the slot belongs to a slab of such a cache.
        let (slab, index, core) = unsafe {
            let (slab, index) = Shape::<T, C>::locate(slot);
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
/// B1 holds for the slot, and its owner gives it up.
#[inline(always)]
pub unsafe fn free<T, C: Config>(slot: NonNull<u8>) {
    if C::Mode::HARDENED {
        // SAFETY: the precondition is the same.
        return unsafe { free_hardened::<T, C>(slot) };
    }
    // SAFETY: by B1 the slot belongs to a slab of such a cache.
    let (slab, index, core) = unsafe {
        let (slab, index) = Shape::<T, C>::locate(slot);
        (slab, index, CoreRef::<C>::of_slab(slab))
    };
    if CoreRef::<C>::is_local() || !remote::IS_POSSIBLE {
        // SAFETY: by B1 that slot of the slab starts there, and the caller gives it up.
        return unsafe { free_counted(core, slab, index, slot) };
    }
    #[cfg(feature = "std")]
    if core.anchor().is_some() {
        // SAFETY: as for `free_counted` above; the cache has, or had, magazines.
        return unsafe { free_to_magazine::<T, C>(core, slab, index, slot) };
    }
    // SAFETY: the caller gives the slot up. The slab is not used afterwards, unless this thread claims it.
    let is_claimed = unsafe {
        if poison::is_active::<C::Mode>() {
            guard::poison::<C::Mode>(slot, size_of::<T>());
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
unsafe fn free_to_magazine<T, C: Config>(
    core: CoreRef<C>,
    slab: SlabRef,
    index: u32,
    slot: NonNull<u8>,
) {
    if !core.anchor().is_open() {
        // SAFETY: the precondition is the same; such a cache counts.
        return unsafe { free_counted(core, slab, index, slot) };
    }
    if poison::is_active::<C::Mode>() {
        // SAFETY: the caller gives the slot up.
        unsafe { guard::poison::<C::Mode>(slot, size_of::<T>()) };
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
    let claim = OnDrop::new(|| slab.remote().abandon_claim());
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
    enter(core, |state| {
        while let Some(slot) = batch.pop() {
            // SAFETY: the slot belongs to such a cache, and the batch has given it up.
            let (slab, freed) = unsafe {
                let (slab, index) = Shape::<T, C>::locate(slot);
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
unsafe fn free_hardened<T, C: Config>(slot: NonNull<u8>) {
    // SAFETY: B1 holds, as the caller says, so that slot of the slab starts there; such a cache counts.
    unsafe {
        let (core, slab, index) = verify::<T, C>(slot);
        free_counted(core, slab, index, slot);
    }
}

/// Makes all checks of `Hardened` mode, and returns the slot's cache, slab and number.
///
/// # Safety
///
/// As [`check_before_drop`], in `Hardened` mode.
#[inline(never)]
unsafe fn verify<T, C: Config>(slot: NonNull<u8>) -> (CoreRef<C>, SlabRef, u32) {
    let geometry = const { &Shape::<T, C>::GEOMETRY };
    let address = slot.addr().get();
    // SAFETY: by B1 the slot belongs to a slab of such a cache.
    let (slab, index) = unsafe { Shape::<T, C>::locate(slot) };
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
    let size = size_of::<T>();
    // SAFETY: a slot of such a cache starts there.
    if let Some(offset) = unsafe { guard::overrun::<C::Mode>(slot, size) } {
        report(&CacheError::Overrun { address, size, offset });
    }
    (core, slab, index)
}
