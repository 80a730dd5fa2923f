//! What the handles and the boxes of a cache share: the lock, the state behind it, and the memory
//! source, which is only called without the lock.
//!
//! The core lives while there is a handle, a used slab, or a chunk on its way back. The one who ends
//! the last of them finds that out under the lock, and is then alone.
#![expect(
    unsafe_code,
    reason = "the core is shared by raw pointer, and its source gives raw memory"
)]

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::sync::UnsafeCell;
use slab_core::{Mode, poison};

use crate::chunk::{self, ChunkRef};
use crate::error::{CacheError, report};
use crate::geometry::{Geometry, Shape};
use crate::guard;
use crate::lock::is_local;
#[cfg(feature = "std")]
use crate::magazine::{self, Anchor};
use crate::remote;
use crate::slab::SlabRef;
use crate::state::{Aftermath, Freed, State};

#[repr(C)]
struct Core<R, A> {
    /// First, so that a thread's cache finds it without knowing the other types.
    #[cfg(feature = "std")]
    anchor: Anchor,
    lock: R,
    state: UnsafeCell<State>,
    geometry: Geometry,
    source: A,
}

/// The core of a cache.
///
/// # Invariants
///
/// - **K1 (alive)**: it points to an initialised core for as long as the user of this reference has a
///   handle of the cache, a live slot, a chunk on its way back, or was told that the cache is dead.
/// - **K2 (kind)**: the slabs of the cache have its geometry.
/// - **K3 (one thread)**: if the lock is [`NoLock`](crate::NoLock), one thread can reach it.
#[derive(Debug)]
#[repr(transparent)]
pub struct CoreRef<R, A>(NonNull<Core<R, A>>);

impl<R, A> Clone for CoreRef<R, A> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, A> Copy for CoreRef<R, A> {}

impl<R: RawMutex + 'static, A: Allocator> CoreRef<R, A> {
    /// Makes the core of a cache with one handle.
    pub fn create<T, M: Mode, const SLAB_SIZE: usize>(
        source: A,
        #[cfg(feature = "std")] anchor: Anchor,
    ) -> Result<Self, CacheError> {
        let geometry = const { Shape::<T, M, SLAB_SIZE>::GEOMETRY };
        #[cfg(feature = "std")]
        let is_counted = anchor.is_some();
        #[cfg(not(feature = "std"))]
        let is_counted = false;
        let is_remote = remote::IS_POSSIBLE && !is_local::<R>() && !M::HARDENED && !is_counted;
        let layout = Layout::new::<Core<R, A>>();
        let Ok(block) = source.allocate(layout) else {
            return Err(CacheError::OutOfMemory { bytes: layout.size(), align: layout.align() });
        };
        let this = Self(block.cast());
        let core = Core {
            #[cfg(feature = "std")]
            anchor,
            lock: R::INIT,
            state: UnsafeCell::new(State::new(geometry, is_remote)),
            geometry,
            source,
        };
        // SAFETY: the block has the core's layout and is ours.
        unsafe { this.0.write(core) };
        Ok(this)
    }

    /// Returns the core that a slab's header names.
    ///
    /// # Safety
    ///
    /// The slab belongs to a cache with this lock and this source.
    #[inline(always)]
    pub unsafe fn of_slab(slab: SlabRef) -> Self {
        Self(slab.core().cast())
    }

    /// Returns the core of an erased pointer.
    ///
    /// # Safety
    ///
    /// K1 and K2 hold, and the core is one with this lock and this source.
    #[cfg(feature = "std")]
    pub unsafe fn from_erased(core: NonNull<()>) -> Self {
        Self(core.cast())
    }

    #[inline(always)]
    fn core<'a>(self) -> &'a Core<R, A> {
        // SAFETY: by K1. What changes in a core is in the lock and in cells. Not kept by callers.
        unsafe { self.0.as_ref() }
    }

    #[cfg(feature = "std")]
    #[inline(always)]
    pub fn anchor<'a>(self) -> &'a Anchor
    where
        Self: 'a,
    {
        &self.core().anchor
    }

    /// Returns the core as the headers of its slabs and the caches of threads name it.
    pub fn erased(self) -> NonNull<()> {
        self.0.cast()
    }

    /// Runs `action` on the state, under the lock. It must not call anything of the user's.
    #[inline(always)]
    pub fn with_state<X>(self, action: impl FnOnce(&mut State) -> X) -> X {
        struct Unlock<'a, R: RawMutex>(&'a R);

        impl<R: RawMutex> Drop for Unlock<'_, R> {
            #[inline(always)]
            fn drop(&mut self) {
                // SAFETY: this is made once the lock is held.
                unsafe { self.0.unlock() };
            }
        }

        let core = self.core();
        let _unlock = if is_local::<R>() {
            None
        } else {
            core.lock.lock();
            Some(Unlock(&core.lock))
        };
        // SAFETY: the lock is held; or by K3 there is one thread, and what runs here does not come
        // back here. So this is the only reference to the state.
        core.state.with_mut(|state| action(unsafe { &mut *state }))
    }

    /// Finds a slot where the front has none: out of attached slabs, else out of a new chunk.
    #[cold]
    #[inline(never)]
    pub fn take_slow(self) -> Option<NonNull<u8>> {
        let geometry = &self.core().geometry;
        let attempt = |state: &mut State| match state.front.take(geometry.stride) {
            Some(slot) => Some(slot),
            None if self.refill(state) => state.front.take(geometry.stride),
            None => None,
        };
        let (found, slabs) =
            self.with_state(|state| (attempt(state), state.chunks.wanted(geometry)));
        if found.is_some() {
            return found;
        }
        match self.grow(slabs) {
            Some(chunk) => self.with_state(|state| {
                state.attach(chunk);
                attempt(state)
            }),
            None => {
                let (found, fault) = self.with_state(|state| {
                    state.sweep();
                    (attempt(state), state.take_fault())
                });
                fault.inspect(report_found);
                found
            }
        }
    }

    /// Fills the front. Under the lock.
    pub fn refill(self, state: &mut State) -> bool {
        // SAFETY: by K1 the core outlives its chunks; by K2 the geometry is theirs.
        state.refill(|chunk| unsafe { chunk.take(self.erased(), &self.core().geometry) })
    }

    /// Asks the source for a chunk of that many slabs, or fewer. Without the lock.
    fn grow(self, wanted: u32) -> Option<ChunkRef> {
        let core = self.core();
        let least = chunk::slabs_min(&core.geometry);
        let mut slabs = wanted;
        loop {
            let layout = chunk::layout(slabs, &core.geometry)?;
            if let Ok(block) = core.source.allocate(layout) {
                // SAFETY: the block has that layout, and `wanted` is at most what a chunk can have.
                return Some(unsafe { ChunkRef::init(block.cast(), slabs, &core.geometry) });
            }
            if slabs == least {
                return None;
            }
            slabs = (slabs / 2).max(least);
        }
    }

    /// Takes a slot back, in a cache that counts.
    ///
    /// # Safety
    ///
    /// Slot number `slot` of the slab, one of this cache, starts at `start`; the caller gives it up.
    #[inline(always)]
    pub unsafe fn free<M: Mode>(self, slab: SlabRef, slot: u32, start: NonNull<u8>) {
        let aftermath = self.with_state(|state| {
            // SAFETY: the caller's promise.
            let freed = unsafe { self.free_counted::<M>(state, slab, slot, start) };
            if freed == Freed::Quietly { None } else { Some(follow(state, slab, start, freed)) }
        });
        if let Some(aftermath) = aftermath {
            self.finish(aftermath);
        }
    }

    /// # Safety
    ///
    /// As [`free`](Self::free).
    #[inline(always)]
    unsafe fn free_counted<M: Mode>(
        self,
        state: &mut State,
        slab: SlabRef,
        slot: u32,
        start: NonNull<u8>,
    ) -> Freed {
        if poison::is_active::<M>() && (!M::CHECKED || state.is_live(slab, slot)) {
            // SAFETY: the slot is live, and the caller gives it up.
            unsafe { guard::bury::<M>(start, self.core().geometry.value_bytes) };
        }
        state.free::<M>(slab, slot)
    }

    /// Takes several slots back, in a cache that counts.
    ///
    /// # Safety
    ///
    /// The slots belong to this cache, whose slabs have that size; the caller gives them up.
    #[cfg(feature = "std")]
    pub unsafe fn free_all<T, M: Mode, const SLAB_SIZE: usize>(self, slots: &[NonNull<u8>]) {
        let aftermath = self.with_state(|state| {
            for &start in slots {
                // SAFETY: the caller's promise.
                let (slab, slot) = unsafe { locate::<T, M, SLAB_SIZE>(start) };
                // SAFETY: as above.
                match unsafe { self.free_counted::<M>(state, slab, slot, start) } {
                    Freed::Quietly => {}
                    Freed::Calling => state.attend(slab),
                    Freed::NotLive => {
                        state.note(CacheError::NotLive { address: start.addr().get() });
                    }
                }
            }
            state.aftermath()
        });
        self.finish(aftermath);
    }

    /// Attends to a slab that called on a free without the lock.
    #[cold]
    #[inline(never)]
    pub fn attend(self, slab: SlabRef) {
        let aftermath = self.with_state(|state| {
            state.attend(slab);
            state.aftermath()
        });
        self.finish(aftermath);
    }

    /// Adds a handle.
    ///
    /// # Panics
    ///
    /// If there are `usize::MAX`: most were forgotten, and one more would let the core go too early.
    pub fn open(self) {
        let opened = self.with_state(|state| {
            let handles = state.handles.checked_add(1);
            state.handles = handles.unwrap_or(state.handles);
            handles.is_some()
        });
        assert!(opened, "slab-cache: a cache has {} handles at most", usize::MAX);
    }

    /// Removes a handle. Whoever removes the last one does not use the core any more.
    pub fn close(self) {
        let aftermath = self.with_state(|state| {
            state.handles -= 1;
            if state.handles == 0 {
                #[cfg(feature = "std")]
                self.anchor().close();
                state.abandon_front();
            }
            state.aftermath()
        });
        self.finish(aftermath);
    }

    /// Gives all empty chunks back, and returns how many bytes those were.
    pub fn reclaim(self) -> usize {
        self.with_state(|state| {
            state.sweep();
            state.release_front();
        });
        let mut bytes = 0;
        while let Some(chunk) = self.with_state(|state| state.chunks.reclaim()) {
            bytes += self.give_back(chunk);
        }
        let fault = self.with_state(State::take_fault);
        fault.inspect(report_found);
        bytes
    }

    /// Returns the bytes of the core itself.
    pub const fn bytes() -> usize {
        size_of::<Core<R, A>>()
    }

    #[cfg(feature = "std")]
    pub fn geometry(self) -> Geometry {
        self.core().geometry
    }

    /// Does what is left to do without the lock. The core may be gone afterwards.
    #[cold]
    #[inline(never)]
    pub fn finish(self, mut aftermath: Aftermath) {
        let fault = aftermath.fault.take();
        while let Some(chunk) = aftermath.chunk {
            self.give_back(chunk);
            aftermath = self.with_state(State::left);
        }
        if aftermath.is_dead {
            // SAFETY: nobody else can reach the core any more.
            unsafe { self.destroy() };
        }
        fault.or(aftermath.fault).inspect(report_found);
    }

    /// Gives a chunk back that is in no list any more, and returns its bytes.
    fn give_back(self, chunk: ChunkRef) -> usize {
        let core = self.core();
        let (start, slabs) = (chunk.start(), chunk.slabs_held());
        let layout = chunk::layout(slabs, &core.geometry).unwrap_or(Layout::new::<()>());
        // SAFETY: the chunk's memory is that long.
        unsafe { poison::permit(start, layout.size()) };
        // SAFETY: `grow` got the block with that layout, and nobody uses it any more.
        unsafe { core.source.deallocate(start, layout) };
        layout.size()
    }

    /// # Safety
    ///
    /// Nobody else can reach the core, and its chunks were given back.
    unsafe fn destroy(self) {
        // SAFETY: the core is initialised and not used any more.
        let core = unsafe { self.0.read() };
        #[cfg(feature = "std")]
        magazine::retire(&core.anchor);
        // SAFETY: `create` got the block with this layout.
        unsafe { core.source.deallocate(self.0.cast(), Layout::new::<Core<R, A>>()) };
    }
}

/// What a free that was not quiet leads to. Under the lock.
#[cold]
#[inline(never)]
fn follow(state: &mut State, slab: SlabRef, start: NonNull<u8>, freed: Freed) -> Aftermath {
    if freed == Freed::Calling {
        state.attend(slab);
    } else {
        state.note(CacheError::NotLive { address: start.addr().get() });
    }
    state.aftermath()
}

fn report_found(fault: &CacheError) {
    report(fault);
}

/// Returns the slab and the number of a slot.
///
/// # Safety
///
/// The slot belongs to an attached slab of that kind, and the pointer may access all of that.
#[inline(always)]
pub unsafe fn locate<T, M: Mode, const SLAB_SIZE: usize>(start: NonNull<u8>) -> (SlabRef, u32) {
    // SAFETY: the caller's promise.
    let slab = unsafe { SlabRef::of_slot(start, SLAB_SIZE) };
    let offset = start.addr().get() & (SLAB_SIZE - 1);
    let first = const { Shape::<T, M, SLAB_SIZE>::FIRST };
    let stride = const { Shape::<T, M, SLAB_SIZE>::STRIDE };
    (slab, (offset.wrapping_sub(first) / stride) as u32)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::{CacheError, SlabCache};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Where a `usize` has 32 bits, forgetting so many handles takes a minute.
    #[test]
    fn forgotten_handles_never_end_the_cache() -> Result<(), CacheError> {
        let cache: SlabCache<u64> = SlabCache::new()?;
        let core = cache.core();
        core.with_state(|state| state.handles = usize::MAX);
        assert!(catch_unwind(AssertUnwindSafe(|| cache.clone())).is_err());
        core.with_state(|state| state.handles = 1);
        drop(cache.clone());
        Ok(())
    }
}
