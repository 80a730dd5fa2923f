//! A handle of a cache.

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;

use crate::shared::CoreRef;

/// Keeps the core of a cache alive.
pub struct Handle<R: RawMutex + 'static, A: Allocator>(CoreRef<R, A>);

impl<R: RawMutex + 'static, A: Allocator> Handle<R, A> {
    /// Returns the handle that a new core counts.
    pub fn of_new(core: CoreRef<R, A>) -> Self {
        Self(core)
    }

    #[inline(always)]
    pub fn core(&self) -> CoreRef<R, A> {
        self.0
    }
}

impl<R: RawMutex + 'static, A: Allocator> Clone for Handle<R, A> {
    /// # Panics
    ///
    /// If there are `usize::MAX` handles: most were forgotten, and one more would free the core too early.
    fn clone(&self) -> Self {
        let is_counted = self.0.with_state(|state| {
            let handles = state.handles.checked_add(1);
            state.handles = handles.unwrap_or(state.handles);
            handles.is_some()
        });
        assert!(is_counted, "slab-cache: a cache has {} handles at most", usize::MAX);
        Self(self.0)
    }
}

impl<R: RawMutex + 'static, A: Allocator> Drop for Handle<R, A> {
    fn drop(&mut self) {
        let core = self.0;
        core.enter(|state| {
            state.handles -= 1;
            if state.handles == 0 {
                #[cfg(feature = "std")]
                core.anchor().close();
                state.abandon_front();
            }
            Some(state.enter_and_defer())
        });
    }
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
