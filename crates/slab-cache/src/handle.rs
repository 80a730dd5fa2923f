//! A handle of a cache: it keeps the core alive.

use crate::config::Config;
use crate::entry::enter;
use crate::shared::CoreRef;

/// One counted handle.
pub struct Handle<C: Config>(CoreRef<C>);

impl<C: Config> Handle<C> {
    /// Returns the first handle, which a new core counts already.
    pub fn of_new(core: CoreRef<C>) -> Self {
        Self(core)
    }

    /// Returns another handle.
    ///
    /// # Panics
    ///
    /// If there are `usize::MAX` handles: most were forgotten, and one more would free the core too early.
    pub fn another(core: CoreRef<C>) -> Self {
        let is_counted = core.with_state(|state| {
            let handles = state.handles.checked_add(1);
            state.handles = handles.unwrap_or(state.handles);
            handles.is_some()
        });
        assert!(is_counted, "slab-cache: a cache has at most {} handles", usize::MAX);
        Self(core)
    }

    #[inline(always)]
    pub fn core(&self) -> CoreRef<C> {
        self.0
    }
}

impl<C: Config> Clone for Handle<C> {
    /// # Panics
    ///
    /// As [`another`](Handle::another).
    fn clone(&self) -> Self {
        Self::another(self.0)
    }
}

impl<C: Config> Drop for Handle<C> {
    fn drop(&mut self) {
        let core = self.0;
        enter(core, |state| {
            state.handles -= 1;
            if state.handles == 0 {
                #[cfg(feature = "std")]
                core.anchor().close();
                state.release_active();
            }
            Some(state.enter_and_defer())
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::cache::SlabCache;
    use crate::error::CacheError;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Where a `usize` has 32 bits, forgetting so many handles takes a minute.
    #[test]
    fn forgotten_handles_never_end_the_cache() -> Result<(), CacheError> {
        let cache = SlabCache::<u64>::new()?;
        let core = cache.core();
        core.with_state(|state| state.handles = usize::MAX);
        assert!(catch_unwind(AssertUnwindSafe(|| cache.clone())).is_err());
        core.with_state(|state| state.handles = 1);
        drop(cache.clone());
        Ok(())
    }
}
