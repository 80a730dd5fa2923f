//! A pool for as long as a handle of it exists, and the hot path of an acquire.

use std::panic::Location;
use std::sync::Arc;

#[cfg(all(feature = "arena", unix))]
use crate::arena::ArenaRefusal;
use crate::changes::Undo;
use crate::classes::KeyMap;
use crate::core::{Core, PoolBuffer};
use crate::error::PoolError;
use crate::obtain::{emptied, obtain};
use crate::pooled::PooledBuffer;
use crate::settings::Zeroing;
use crate::thread_caches::{hot_pop, remove_cache};
use crate::wait::{Patience, enter};

/// A pool that is open. All handles share one; it closes the pool when the last of them is dropped.
#[derive(Debug)]
pub struct OpenPool {
    keys: KeyMap,
    /// The changes to undo before a buffer is handed out as a whole.
    undo: Undo,
    zeroing: Zeroing,
    pub core: Arc<Core>,
    /// The requests of the arena that the system refused.
    #[cfg(all(feature = "arena", unix))]
    pub refusals: Vec<ArenaRefusal>,
}

impl OpenPool {
    pub fn new(
        core: Arc<Core>,
        #[cfg(all(feature = "arena", unix))] refusals: Vec<ArenaRefusal>,
    ) -> Self {
        let zeroing = core.settings.zeroing;
        Self {
            keys: core.classes.keys(core.key),
            undo: zeroing.undo(),
            zeroing,
            core,
            #[cfg(all(feature = "arena", unix))]
            refusals,
        }
    }

    /// The hot path: one comparison in `hot_pop` finds the thread's cache of this pool and the class, and one in `whole`
    /// finds that nothing must be undone.
    #[inline(always)]
    #[track_caller]
    pub fn acquire(&self, min_size: usize) -> PooledBuffer {
        match hot_pop(self.keys.key(min_size)) {
            Some(buffer) => self.whole(buffer),
            None => self.acquire_slow(min_size),
        }
    }

    #[cold]
    #[inline(never)]
    #[track_caller]
    fn acquire_slow(&self, min_size: usize) -> PooledBuffer {
        self.whole(expect(self.request(min_size, Patience::Unlimited)))
    }

    #[inline(always)]
    #[track_caller]
    pub fn acquire_zeroed(&self, len: usize) -> PooledBuffer {
        let mut buffer = self.acquire_any(len);
        if buffer.dirty() > 0 {
            let all = self.zeroing == Zeroing::Always;
            buffer.zero(if all { buffer.capacity() } else { len });
        }
        buffer.set_len(len);
        PooledBuffer::new(buffer)
    }

    #[inline(always)]
    #[track_caller]
    pub fn acquire_for_write(&self, capacity: usize) -> PooledBuffer {
        self.empty(self.acquire_any(capacity))
    }

    /// Returns a buffer with unspecified length and contents.
    #[inline]
    #[track_caller]
    fn acquire_any(&self, bytes: usize) -> Box<PoolBuffer> {
        match hot_pop(self.keys.key(bytes)) {
            Some(buffer) => buffer,
            None => expect(self.request(bytes, Patience::Unlimited)),
        }
    }

    /// Returns a buffer with unspecified length and contents, from the slow path.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub fn request(&self, bytes: usize, patience: Patience) -> Result<Box<PoolBuffer>, PoolError> {
        let plan = self.core.plan(bytes)?;
        enter(&self.core, plan, patience)?;
        obtain(&self.core, plan, Location::caller())
    }

    /// Returns the buffer with all bytes visible, and zero unless the pool has [`Zeroing::Never`].
    #[inline(always)]
    pub fn whole(&self, buffer: Box<PoolBuffer>) -> PooledBuffer {
        let needed = buffer.needs(self.undo);
        PooledBuffer::new(if needed { buffer.undo(self.undo) } else { buffer })
    }

    /// Returns the buffer with no byte visible.
    #[inline(always)]
    pub fn empty(&self, buffer: Box<PoolBuffer>) -> PooledBuffer {
        PooledBuffer::new(emptied(self.zeroing, buffer))
    }
}

/// Returns the value, or panics at the location of the caller's caller.
#[track_caller]
fn expect<T>(outcome: Result<T, PoolError>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("no buffer: {error}"),
    }
}

impl Drop for OpenPool {
    /// Closes the pool and frees its idle buffers, except those in caches of other threads.
    fn drop(&mut self) {
        self.core.depot.close();
        remove_cache(self.core.key);
    }
}
