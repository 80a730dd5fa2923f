//! The way back of a buffer.

use std::sync::Arc;

use crate::buffer::Buffer;
use crate::cache::Cache;
use crate::raw::{hot_push, remove_cache, with_cache};

/// Gives a buffer back to its pool.
#[inline(always)]
pub fn release(buffer: Box<Buffer>) {
    if let Err(buffer) = hot_push(buffer) {
        take_back(buffer);
    }
}

/// All that can be to do: wiping, striking off, swapping magazines, freeing, letting others in.
#[cold]
#[inline(never)]
fn take_back(mut buffer: Box<Buffer>) {
    let core = Arc::clone(&buffer.core);
    let bytes = buffer.capacity();
    if core.config.wipe {
        buffer.wipe();
    }
    if let Some(leaks) = &core.leaks {
        leaks.strike(buffer.ticket);
    }
    if core.depot.is_closed() {
        remove_cache(core.id);
        drop(buffer);
    } else if let Some(class) = buffer.class() {
        keep(&core, class, buffer);
    } else {
        drop(buffer);
    }
    if let Some(gate) = &core.gate {
        gate.leave(bytes);
    }
}

/// Keeps a buffer for the next one who asks, if the limits allow it.
fn keep(core: &Arc<crate::core::Core>, class: usize, buffer: Box<Buffer>) {
    // Somebody waits: the buffer goes where that thread finds it.
    let wanted = core.gate.as_ref().is_some_and(|gate| gate.waiting() > 0);
    let mut pending = Some(buffer);
    let cached = (!wanted).then(|| {
        let make = || Cache::new(core);
        with_cache(core.id, make, |cache| {
            pending =
                pending.take().and_then(|item| cache.local.put(&core.depot, class, item).err());
        })
    });
    if cached.flatten().is_none()
        && let Some(buffer) = pending.take()
    {
        pending = core.depot.put_one(class, buffer).err();
    }
    // What could not be kept is freed here, where no lock and no cache is held.
    drop(pending);
    core.tick();
}
