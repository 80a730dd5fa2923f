//! The slow path of an acquire, once the gate has let it in: a buffer from the thread's cache, the depot or the allocator.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::changes::Undo;
use crate::core::{Core, Plan, PoolBuffer};
use crate::decay::decay_if_due;
use crate::error::PoolError;
use crate::settings::Zeroing;
use crate::thread_caches::with_cache;

/// Returns a buffer with unspecified length and contents. If there is no memory, leaves the gate again.
pub fn obtain(
    core: &Arc<Core>,
    plan: Plan,
    location: &'static Location<'static>,
) -> Result<Box<PoolBuffer>, PoolError> {
    let recycled = plan.class.and_then(|class| recycled(core, class));
    let buffer = recycled.or_else(|| fresh(core, plan));
    let Some(mut buffer) = buffer else {
        if let Some(gate) = &core.gate {
            gate.leave(plan.bytes);
        }
        let alignment = core.settings.alignment;
        return Err(PoolError::OutOfMemory { bytes: plan.bytes, alignment });
    };
    if let Some(leaks) = &core.leaks {
        buffer.ticket = leaks.insert(plan.bytes, location);
    }
    Ok(buffer)
}

/// [`obtain`], followed by [`emptied`].
pub fn obtain_empty(
    core: &Arc<Core>,
    plan: Plan,
    location: &'static Location<'static>,
) -> Result<Box<PoolBuffer>, PoolError> {
    obtain(core, plan, location).map(|buffer| emptied(core.settings.zeroing, buffer))
}

/// Returns the buffer with no byte visible, and all bytes zero under [`Zeroing::Always`].
#[inline(always)]
pub fn emptied(zeroing: Zeroing, buffer: Box<PoolBuffer>) -> Box<PoolBuffer> {
    let zero = zeroing == Zeroing::Always && buffer.needs(Undo::ALL);
    let mut buffer = if zero { buffer.undo(Undo::ALL) } else { buffer };
    buffer.set_len(0);
    buffer
}

fn recycled(core: &Arc<Core>, class: usize) -> Option<Box<PoolBuffer>> {
    if core.depot.is_closed() {
        return None;
    }
    let cached =
        with_cache(core, |cache| (cache.magazines.take(&core.depot, class), cache.reads_clock()));
    let (buffer, reads_clock) = cached.unwrap_or_else(|| (core.depot.take_one(class), false));
    if reads_clock {
        decay_if_due(core);
    }
    buffer
}

fn fresh(core: &Arc<Core>, plan: Plan) -> Option<Box<PoolBuffer>> {
    let buffer = core.allocate(plan)?;
    match plan.class {
        Some(class) => core.depot.count_miss(class),
        None => _ = core.unclassed.fetch_add(1, Ordering::Relaxed),
    }
    Some(buffer)
}
