//! What the handles and the boxes of a cache share: the lock, the state behind it, and the memory
//! source, which is only called without the lock.
//!
//! The core lives while there is a handle, a used slab, or a thread inside; see
//! [`exits`](crate::exits).
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
use crate::exits::{Exit, Exits};
use crate::geometry::{Geometry, Shape};
use crate::guard;
use crate::inside::Inside;
use crate::lock::is_local;
#[cfg(feature = "std")]
use crate::magazine::{Anchor, Batch};
use crate::on_drop::OnDrop;
use crate::remote;
use crate::slab::SlabRef;
use crate::state::{Deferred, Freed, State};

#[repr(C)]
struct Core<R, A> {
    /// First, so that a thread's cache finds it without knowing the other types.
    #[cfg(feature = "std")]
    anchor: Anchor,
    lock: R,
    exits: Exits,
    state: UnsafeCell<State>,
    geometry: Geometry,
    source: A,
}

/// The core of a cache.
///
/// # Invariants
///
/// - **K1 (alive)**: it points to an initialised core for as long as the user of this reference has a
///   handle of the cache, a live slot, or has entered the cache and not exited.
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
            exits: Exits::new(),
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

    /// Runs `action` on the state under the lock, for a thread that frees a slot or closes its handle, and
    /// then does what the action returns. `None` is nothing. Returns how many bytes the source got back.
    /// The core may be freed afterwards.
    ///
    /// The thread is counted as inside until it has left `unlock` and done its work. A cache without a lock
    /// counts only threads that have work.
    #[inline(always)]
    pub fn enter(self, action: impl FnOnce(&mut State) -> Option<Deferred>) -> usize {
        if is_local::<R>() {
            let Some(deferred) = self.with_state(action) else { return 0 };
            return Inside::new(self, Some(deferred)).finish();
        }
        let mut inside = Inside::new(self, None);
        self.with_state(|state| {
            let deferred = action(state).unwrap_or_else(|| state.enter());
            inside.deferred = Some(deferred);
        });
        inside.finish()
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
            Some(chunk) => {
                // If the lock panics, the source gets its chunk back.
                let unattached = OnDrop::new(|| _ = self.give_back(chunk));
                self.with_state(|state| {
                    unattached.disarm();
                    state.attach(chunk);
                    attempt(state)
                })
            }
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
        self.enter(|state| {
            // SAFETY: the caller's promise.
            let freed = unsafe { self.free_counted::<M>(state, slab, slot, start) };
            if freed == Freed::Quietly { None } else { Some(defer(state, slab, start, freed)) }
        });
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

    /// Takes the slots of a batch back, in a cache that counts. If the lock panics, they stay in the batch.
    ///
    /// # Safety
    ///
    /// The slots belong to this cache, whose slabs have that size. The batch owns them.
    #[cfg(feature = "std")]
    pub unsafe fn free_all<T, M: Mode, const SLAB_SIZE: usize>(self, batch: &mut Batch) {
        self.enter(|state| {
            while let Some(start) = batch.pop() {
                // SAFETY: the caller's promise.
                let (slab, slot) = unsafe { locate::<T, M, SLAB_SIZE>(start) };
                // SAFETY: the batch has given the slot up.
                match unsafe { self.free_counted::<M>(state, slab, slot, start) } {
                    Freed::Quietly => {}
                    Freed::Calling => state.attend(slab),
                    Freed::NotLive => {
                        state.note(CacheError::NotLive { address: start.addr().get() });
                    }
                }
            }
            Some(state.enter_and_defer())
        });
    }

    /// Attends to a slab that called on a free without the lock.
    #[cold]
    #[inline(never)]
    pub fn attend(self, slab: SlabRef) {
        // If the lock panics, the slab calls again on its next free.
        let unattended = OnDrop::new(|| remote::call_again(slab));
        self.enter(|state| {
            unattended.disarm();
            state.attend(slab);
            Some(state.enter_and_defer())
        });
    }

    /// Gives all empty chunks back, and returns how many bytes those were.
    pub fn reclaim(self) -> usize {
        self.enter(|state| {
            state.sweep();
            state.release_front();
            state.chunks.forget();
            let mut deferred = state.enter();
            deferred.slabs_reclaimed = state.chunks.slabs_empty();
            state.next(&mut deferred);
            Some(deferred)
        })
    }

    /// Returns the bytes of the core itself.
    pub const fn bytes() -> usize {
        size_of::<Core<R, A>>()
    }

    #[cfg(feature = "std")]
    pub fn geometry(self) -> Geometry {
        self.core().geometry
    }

    /// Records the exit of a thread that entered, and returns whether it has to [destroy](Self::destroy)
    /// the core. If not, the core may be freed now.
    pub fn record(self, exit: Exit) -> bool {
        self.core().exits.record(exit, is_local::<R>())
    }

    /// Gives a chunk back that is in no list any more, and returns its bytes.
    pub fn give_back(self, chunk: ChunkRef) -> usize {
        let core = self.core();
        let (start, slabs) = (chunk.start(), chunk.slabs_held());
        let layout = chunk::layout(slabs, &core.geometry).unwrap_or(Layout::new::<()>());
        // SAFETY: the chunk's memory is that long.
        unsafe { poison::permit(start, layout.size()) };
        // SAFETY: `grow` got the block with that layout, and nobody uses it any more.
        unsafe { core.source.deallocate(start, layout) };
        layout.size()
    }

    /// Frees the core, and drops the lock and the source.
    ///
    /// # Safety
    ///
    /// No other thread can reach the core, and its chunks were given back.
    pub unsafe fn destroy(self) {
        // SAFETY: the core is initialised and not used any more.
        let core = unsafe { self.0.read() };
        // SAFETY: `create` got the block with this layout.
        unsafe { core.source.deallocate(self.0.cast(), Layout::new::<Core<R, A>>()) };
    }
}

/// Handles a free that was not quiet, under the lock.
#[cold]
#[inline(never)]
fn defer(state: &mut State, slab: SlabRef, start: NonNull<u8>, freed: Freed) -> Deferred {
    if freed == Freed::Calling {
        state.attend(slab);
    } else {
        state.note(CacheError::NotLive { address: start.addr().get() });
    }
    state.enter_and_defer()
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
