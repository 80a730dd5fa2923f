//! Sweeps that threads carry out while they use the pool.

use std::sync::Arc;
use std::time::Instant;

use crate::core::Core;
use crate::thread_caches::with_cache;

/// Sweeps if the pool decays and it is time, and lets this thread's cache catch up with sweeps. Waits for no lock.
#[cold]
pub fn decay_if_due(core: &Arc<Core>) {
    if let Some(interval) = core.settings.sweep_interval {
        core.decay(Instant::now(), interval, false);
        with_cache(core, |cache| cache.magazines.sync(&core.depot));
    }
}
