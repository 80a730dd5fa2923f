//! A thread that takes the lock without a handle of the cache: it enters, does deferred work without the lock,
//! and exits. See [`exits`](crate::exits).
#![expect(unsafe_code, reason = "frees the core")]

use crate::config::Config;
use crate::error::{CacheError, report_any};
use crate::on_drop::OnDrop;
use crate::shared::CoreRef;
use crate::state::{Deferred, State};

/// Runs `action` on the state under the lock, for a thread that frees a slot or drops its handle, and then does
/// what `action` defers. Returns how many bytes the source got back. The core may be freed afterwards.
///
/// The thread counts as inside until it has left `unlock` and done its work. A cache without a lock counts only
/// threads that have work to do.
///
/// # Panics
///
/// If misuse was detected, once the thread has exited.
#[inline(always)]
pub fn enter<C: Config>(
    core: CoreRef<C>,
    action: impl FnOnce(&mut State) -> Option<Deferred>,
) -> usize {
    if CoreRef::<C>::is_local() {
        let Some(deferred) = core.with_state(action) else { return 0 };
        return Entry { core, deferred: Some(deferred) }.finish();
    }
    let mut entry = Entry { core, deferred: None };
    core.with_state(|state| {
        let deferred = action(state).unwrap_or_else(|| state.enter());
        entry.deferred = Some(deferred);
    });
    entry.finish()
}

/// A thread that has entered a cache. It does its deferred work and exits, also when the lock or the source
/// unwinds.
struct Entry<C: Config> {
    core: CoreRef<C>,
    /// `None` before the thread has entered and after it has exited.
    deferred: Option<Deferred>,
}

impl<C: Config> Entry<C> {
    /// Does the deferred work and exits. *O*(chunks returned).
    #[inline(never)]
    fn finish(mut self) -> usize {
        let (bytes, fault) = self.run();
        report_any(fault);
        bytes
    }

    fn run(&mut self) -> (usize, Option<CacheError>) {
        let core = self.core;
        let mut bytes = 0;
        let Some(deferred) = self.deferred.as_mut() else { return (0, None) };
        while let Some(chunk) = deferred.chunk.take() {
            let _next = OnDrop::new(|| core.with_state(|state| state.next_deferred(deferred)));
            bytes += core.deallocate_chunk(chunk);
        }
        let Some(Deferred { exit, fault, .. }) = self.deferred.take() else { return (0, None) };
        if core.record_exit(exit) {
            // SAFETY: the cache is dead and every other thread that entered it has exited. A dead cache
            // has no chunk.
            unsafe { core.destroy() };
        }
        (bytes, fault)
    }
}

impl<C: Config> Drop for Entry<C> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.deferred.is_some() {
            // The thread is unwinding: another panic, with the fault, would abort the program.
            self.run();
        }
    }
}
