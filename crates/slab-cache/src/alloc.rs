//! Takes a slot for a value: from the thread's magazine, the active slab, another slab, or a new chunk.
#![expect(unsafe_code, reason = "unpoisons slots")]

use core::ptr::NonNull;

#[cfg(feature = "std")]
use slab_core::Mode;
use slab_core::OnDrop;

use crate::config::Config;
use crate::error::{CacheError, report, report_any};
use crate::geometry::Shape;
use crate::guard;
#[cfg(feature = "std")]
use crate::magazine::{BATCH, Batch};
use crate::shared::CoreRef;
use crate::state::State;
#[cfg(feature = "std")]
use crate::thread_cache::{self, Transfer};

/// Takes a slot that is the caller's from then on; `None` if the memory source has no more. *O*(1) amortised,
/// *O*(slabs) before it returns `None`.
///
/// # Panics
///
/// In `Hardened` mode if the slot was written to after it was freed. The slot is not used again. Before it returns
/// `None`, if it detects a damaged remote free list.
#[inline(always)]
pub fn take_slot<T, C: Config>(core: CoreRef<C>) -> Option<NonNull<u8>> {
    let slot = take_poisoned::<T, C>(core)?;
    let value_bytes = const { Shape::<T, C>::GEOMETRY.value_bytes };
    // SAFETY: the slot was just taken, and was poisoned when it was freed, or never used.
    if let Some(offset) = unsafe { guard::unpoison::<C::Mode>(slot, value_bytes) } {
        report(&CacheError::WriteAfterFree { address: slot.addr().get(), offset });
    }
    Some(slot)
}

#[inline(always)]
fn take_poisoned<T, C: Config>(core: CoreRef<C>) -> Option<NonNull<u8>> {
    #[cfg(feature = "std")]
    if !CoreRef::<C>::is_local() && !C::Mode::HARDENED && core.anchor().is_open() {
        return match thread_cache::pop(core.anchor().id()) {
            Some(slot) => Some(slot),
            None => take_batch(core),
        };
    }
    let stride = const { Shape::<T, C>::STRIDE };
    match core.with_state(|state| state.active.pop(stride)) {
        Some(slot) => Some(slot),
        None => take_slow(core),
    }
}

/// Takes a slot where there is no active one: out of attached slabs, else out of a new chunk.
#[cold]
#[inline(never)]
fn take_slow<C: Config>(core: CoreRef<C>) -> Option<NonNull<u8>> {
    let geometry = core.geometry();
    let attempt = |state: &mut State| match state.active.pop(geometry.stride) {
        Some(slot) => Some(slot),
        None if core.refill(state) => state.active.pop(geometry.stride),
        None => None,
    };
    let (found, slabs) =
        core.with_state(|state| (attempt(state), state.chunks.next_slabs(geometry)));
    if found.is_some() {
        return found;
    }
    match core.allocate_chunk(slabs) {
        Some(chunk) => {
            // If the lock panics, the source gets its chunk back.
            let unattached = OnDrop::new(chunk, |chunk| _ = core.deallocate_chunk(*chunk));
            core.with_state(|state| {
                unattached.disarm();
                state.attach(chunk);
                attempt(state)
            })
        }
        None => {
            let (found, fault) = core.with_state(|state| {
                state.collect_all();
                (attempt(state), state.take_fault())
            });
            report_any(fault);
            found
        }
    }
}

/// Takes a slot, and a batch of others for the thread's magazine, under one taking of the lock.
#[cfg(feature = "std")]
#[cold]
#[inline(never)]
fn take_batch<C: Config>(core: CoreRef<C>) -> Option<NonNull<u8>> {
    thread_cache::flush_closed();
    let id = core.anchor().id();
    let most = if thread_cache::has_magazine(id) { BATCH } else { 1 };
    let stride = core.geometry().stride;
    let mut transfer = Transfer::new(id, Batch::new(core.anchor().owner(core.erased())));
    let batch = &mut transfer.batch;
    core.with_state(|state| {
        while batch.len() < most {
            match state.active.pop(stride) {
                Some(slot) => batch.push(slot),
                None if core.refill(state) => {}
                None => break,
            }
        }
    });
    // The slot that was taken first is returned, and the next one is on top of the others.
    while transfer.batch.len() > 1 {
        if !transfer.cache_last() {
            // The lock itself has used this cache, and the magazine is full.
            transfer.free();
            return match thread_cache::pop(id) {
                Some(slot) => Some(slot),
                None => take_batch(core),
            };
        }
    }
    match transfer.batch.pop() {
        Some(slot) => Some(slot),
        None => take_slow(core),
    }
}
