//! The core of a cache: what its handles and boxes share. That is the lock, the state behind it, and the memory
//! source, which is called without the lock only.
//!
//! The core lives while there is a handle, a used slab, or a thread inside; see [`exits`](crate::exits).
#![expect(
    unsafe_code,
    reason = "the core is shared by raw pointer, and its source allocates raw memory"
)]

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::sync::UnsafeCell;
use slab_core::{Mode, poison};

#[cfg(feature = "std")]
use crate::anchor::Anchor;
use crate::chunk::{self, ChunkRef};
use crate::config::Config;
use crate::error::CacheError;
use crate::exits::{Exit, Exits};
use crate::geometry::{Geometry, Shape};
use crate::lock::is_local;
use crate::remote;
use crate::slab::SlabRef;
use crate::state::State;

#[repr(C)]
struct Core<C: Config> {
    /// First, so that a thread finds it without knowing the types.
    #[cfg(feature = "std")]
    anchor: Anchor,
    /// Each free reads the anchor. The fields that never change lie between it and the lock: in one cache line with the
    /// lock, each use of the lock by another thread would cost the next free a cache miss.
    geometry: Geometry,
    source: C::Source,
    lock: C::Lock,
    exits: Exits,
    state: UnsafeCell<State>,
}

/// The core of a cache.
///
/// # Invariants
///
/// - **K1 (alive)**: it points to an initialised core for as long as the user of this reference has a
///   handle of the cache, a live slot, or has entered the cache and not exited.
/// - **K2 (kind)**: the slabs of the cache have the core's geometry.
/// - **K3 (one thread)**: if the lock is [`NoLock`](crate::NoLock), one thread can reach it.
#[repr(transparent)]
pub struct CoreRef<C: Config>(NonNull<Core<C>>);

impl<C: Config> Clone for CoreRef<C> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<C: Config> Copy for CoreRef<C> {}

impl<C: Config> CoreRef<C> {
    /// Whether the lock is [`NoLock`](crate::NoLock).
    #[inline(always)]
    pub fn is_local() -> bool {
        is_local::<C::Lock>()
    }

    /// Makes the core of a cache of `T` with one handle.
    pub fn create<T>(
        source: C::Source,
        #[cfg(feature = "std")] anchor: Anchor,
    ) -> Result<Self, CacheError> {
        let geometry = const { Shape::<T, C>::GEOMETRY };
        #[cfg(feature = "std")]
        let has_thread_caches = anchor.is_some();
        #[cfg(not(feature = "std"))]
        let has_thread_caches = false;
        let is_counted = Self::is_local() || C::Mode::HARDENED || has_thread_caches;
        let is_remote = remote::IS_POSSIBLE && !is_counted;
        let layout = Layout::new::<Core<C>>();
        let Ok(block) = source.allocate(layout) else {
            return Err(CacheError::OutOfMemory { bytes: layout.size(), align: layout.align() });
        };
        let this = Self(block.cast());
        let core = Core {
            #[cfg(feature = "std")]
            anchor,
            geometry,
            source,
            lock: C::Lock::INIT,
            exits: Exits::new(),
            state: UnsafeCell::new(State::new(geometry, is_remote)),
        };
        // SAFETY: the block has the core's layout and belongs to the caller.
        unsafe { this.0.write(core) };
        Ok(this)
    }

    /// Returns the core that a slab's header names.
    ///
    /// # Safety
    ///
    /// The slab belongs to a cache with this configuration.
    #[inline(always)]
    pub unsafe fn of_slab(slab: SlabRef) -> Self {
        Self(slab.core().cast())
    }

    /// Returns the core of an erased pointer.
    ///
    /// # Safety
    ///
    /// K1 and K2 hold, and the core has this configuration.
    #[cfg(feature = "std")]
    pub unsafe fn from_erased(core: NonNull<()>) -> Self {
        Self(core.cast())
    }

    #[inline(always)]
    fn core<'a>(self) -> &'a Core<C> {
        // SAFETY: by K1 the core is initialised, and its mutable fields are the lock and cells. Callers in this
        // file drop the reference before the core can be freed.
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

    #[inline(always)]
    pub fn geometry<'a>(self) -> &'a Geometry
    where
        Self: 'a,
    {
        &self.core().geometry
    }

    /// Returns the core as the headers of its slabs and the magazines of threads name it.
    pub fn erased(self) -> NonNull<()> {
        self.0.cast()
    }

    /// Runs `action` on the state, under the lock. It must not call any of the user's code.
    #[inline(always)]
    pub fn with_state<X>(self, action: impl FnOnce(&mut State) -> X) -> X {
        struct Unlock<'a, R: RawMutex>(&'a R);

        impl<R: RawMutex> Drop for Unlock<'_, R> {
            #[inline(always)]
            fn drop(&mut self) {
                // SAFETY: this guard is made once the lock is held.
                unsafe { self.0.unlock() };
            }
        }

        let core = self.core();
        let _unlock = if Self::is_local() {
            None
        } else {
            core.lock.lock();
            Some(Unlock(&core.lock))
        };
        // SAFETY: the lock is held; or by K3 there is one thread, and `action` does not come back here. So
        // this is the only reference to the state.
        core.state.with_mut(|state| action(unsafe { &mut *state }))
    }

    /// Refills the active slots. Under the lock.
    pub fn refill(self, state: &mut State) -> bool {
        // SAFETY: by K1 the core outlives its chunks, and by K2 the geometry is theirs.
        state.refill(|chunk| unsafe { chunk.take(self.erased(), self.geometry()) })
    }

    /// Allocates a chunk of that many slabs, or of fewer. Without the lock.
    pub fn allocate_chunk(self, slabs_wanted: u32) -> Option<ChunkRef> {
        let core = self.core();
        let slabs_min = chunk::slabs_min(&core.geometry);
        let mut slabs = slabs_wanted;
        loop {
            let layout = chunk::layout(slabs, &core.geometry)?;
            if let Ok(block) = core.source.allocate(layout) {
                // SAFETY: the block has that layout, and `slabs` is in the range of a chunk: callers ask for
                // no more than a chunk can have.
                return Some(unsafe { ChunkRef::init(block.cast(), slabs, &core.geometry) });
            }
            if slabs == slabs_min {
                return None;
            }
            slabs = (slabs / 2).max(slabs_min);
        }
    }

    /// Deallocates a chunk that is in no list any more, and returns its bytes. Without the lock.
    pub fn deallocate_chunk(self, chunk: ChunkRef) -> usize {
        let core = self.core();
        let (start, slabs) = (chunk.start(), chunk.slabs_in_block());
        let layout = chunk::layout(slabs, &core.geometry).unwrap_or(Layout::new::<()>());
        // SAFETY: `allocate_chunk` got the block with that layout, and nothing uses it any more.
        unsafe {
            poison::allow_access(start, layout.size());
            core.source.deallocate(start, layout);
        }
        layout.size()
    }

    /// Returns the bytes of the core itself.
    pub const fn bytes() -> usize {
        size_of::<Core<C>>()
    }

    /// Records the exit of a thread that entered, and returns whether it has to [destroy](Self::destroy)
    /// the core. If not, another thread may free the core from now on.
    pub fn record_exit(self, exit: Exit) -> bool {
        self.core().exits.record(exit, Self::is_local())
    }

    /// Frees the core, and drops the lock and the source.
    ///
    /// # Safety
    ///
    /// No other thread can reach the core, and its chunks were deallocated.
    pub unsafe fn destroy(self) {
        // SAFETY: the core is initialised and not used any more, and `create` got its block with this layout.
        unsafe {
            let core = self.0.read();
            core.source.deallocate(self.0.cast(), Layout::new::<Core<C>>());
        }
    }
}

#[cfg(all(test, feature = "std", target_pointer_width = "64", not(loom)))]
mod tests {
    use super::*;
    use crate::config::DefaultConfig;

    #[test]
    fn the_lock_lies_in_another_cache_line_than_the_anchor() {
        const LINE_BYTES: usize = 64;
        assert_eq!(LINE_BYTES % size_of::<Anchor>(), 0);
        assert_eq!(align_of::<Anchor>(), size_of::<Anchor>());
        assert!(core::mem::offset_of!(Core<DefaultConfig>, lock) >= LINE_BYTES);
    }
}
