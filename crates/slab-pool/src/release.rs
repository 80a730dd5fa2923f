//! The release of a buffer: hot path and slow path.

use std::sync::Arc;

use crate::core::{Core, PoolBuffer};
use crate::decay::decay_if_due;
use crate::thread_caches::{hot_push, remove_cache, with_cache};

/// Gives a buffer back to its pool.
#[inline(always)]
pub fn release(buffer: Box<PoolBuffer>) {
    if let Err(buffer) = hot_push(buffer) {
        release_slow(buffer);
    }
}

#[cold]
#[inline(never)]
fn release_slow(mut buffer: Box<PoolBuffer>) {
    let core = Arc::clone(&buffer.pool);
    let bytes = buffer.capacity();
    if core.settings.wipe {
        buffer.wipe();
    }
    if let Some(leaks) = &core.leaks {
        leaks.remove(buffer.ticket);
    }
    if core.depot.is_closed() {
        remove_cache(core.key);
        drop(buffer);
    } else if let Some(class) = buffer.key().class()
        && core.keeps(Some(class), buffer.arena_index())
    {
        keep(&core, class, buffer);
    } else {
        drop(buffer);
    }
    if let Some(gate) = &core.gate {
        gate.leave(bytes);
    }
}

/// Makes a buffer idle, or frees it if a limit leaves no room.
fn keep(core: &Arc<Core>, class: usize, buffer: Box<PoolBuffer>) {
    // While a request waits, its thread must find the buffer: in the depot, not in the cache of this thread.
    let waiting = core.gate.as_ref().is_some_and(|gate| gate.waiting() > 0);
    let mut pending = Some(buffer);
    let cached = (!waiting).then(|| {
        with_cache(core, |cache| {
            let put = |buffer| cache.magazines.put(&core.depot, class, buffer).err();
            pending = pending.take().and_then(put);
            cache.reads_clock()
        })
    });
    let reads_clock = cached.flatten();
    if reads_clock.is_none()
        && let Some(buffer) = pending.take()
    {
        pending = core.depot.put_one(class, buffer).err();
    }
    // Freed here, where this thread holds no lock and uses no cache: the allocator may use the pool.
    drop(pending);
    if reads_clock == Some(true) {
        decay_if_due(core);
    }
}
