//! A thread inside a cache without a handle, from the lock to its exit.
#![expect(unsafe_code, reason = "frees the core")]

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;

use crate::error::{CacheError, report};
use crate::on_drop::OnDrop;
use crate::shared::CoreRef;
use crate::state::Deferred;

/// A thread that has entered a cache; see [`exits`](crate::exits). It does its deferred work and exits,
/// also when the lock or the source unwinds.
pub struct Inside<R: RawMutex + 'static, A: Allocator> {
    core: CoreRef<R, A>,
    /// `None` before the thread has entered and after it has exited.
    pub deferred: Option<Deferred>,
}

impl<R: RawMutex + 'static, A: Allocator> Inside<R, A> {
    #[inline(always)]
    pub fn new(core: CoreRef<R, A>, deferred: Option<Deferred>) -> Self {
        Self { core, deferred }
    }

    /// Does what is deferred, exits, and returns how many bytes the source got back. The core may be freed
    /// afterwards. *O*(chunks given back).
    ///
    /// # Panics
    ///
    /// If the thread found a caller's mistake; once it has exited.
    #[inline(never)]
    pub fn finish(mut self) -> usize {
        let (bytes, fault) = self.run();
        fault.inspect(|fault| report(fault));
        bytes
    }

    fn run(&mut self) -> (usize, Option<CacheError>) {
        let core = self.core;
        let mut bytes = 0;
        let Some(deferred) = self.deferred.as_mut() else { return (0, None) };
        while let Some(chunk) = deferred.chunk.take() {
            let _next = OnDrop::new(|| core.with_state(|state| state.next(deferred)));
            bytes += core.give_back(chunk);
        }
        let Some(Deferred { exit, fault, .. }) = self.deferred.take() else { return (0, None) };
        if core.record(exit) {
            // SAFETY: the cache is dead and every other thread that entered it has exited. A dead cache
            // has no chunk.
            unsafe { core.destroy() };
        }
        (bytes, fault)
    }
}

impl<R: RawMutex + 'static, A: Allocator> Drop for Inside<R, A> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.deferred.is_some() {
            // A panic is under way: a second one, with the fault, would end the program.
            self.run();
        }
    }
}
