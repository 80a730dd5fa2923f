//! What all handles, buffers and caches of one pool have in common.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::buffer::{Buffer, NO_CLASS};
use crate::cache::Cache;
use crate::classes::ClassMap;
use crate::config::{Oversize, Zeroing};
use crate::error::PoolError;
use crate::gate::Gate;
use crate::leaks::Leaks;
use crate::magazine::Depot;
use crate::raw::{remove_cache, with_cache};

/// What a builder decided.
#[derive(Debug)]
pub struct Config {
    pub alignment: usize,
    pub zeroing: Zeroing,
    pub wipe: bool,
    pub oversize: Oversize,
    pub copy_out_max: usize,
    pub retained_bytes_max: usize,
    pub idle_decay: Option<Duration>,
}

/// Everything but the handle that keeps a pool open.
#[derive(Debug)]
pub struct Core {
    /// Of no other pool of the process, and never zero.
    pub id: u64,
    pub config: Config,
    pub classes: ClassMap,
    pub depot: Depot<Buffer>,
    pub gate: Option<Gate>,
    pub leaks: Option<Leaks>,
    /// Requests beyond all classes.
    pub unclassed: AtomicU64,
    /// When the pool was made, and the last sweep in nanoseconds since then.
    made: Instant,
    swept_nanos: AtomicU64,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub class: Option<usize>,
    pub bytes: usize,
}

impl Core {
    pub fn new(
        config: Config,
        classes: ClassMap,
        depot: Depot<Buffer>,
        gate: Option<Gate>,
        leaks: Option<Leaks>,
    ) -> Arc<Self> {
        // Not of the models: those make no pools.
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            config,
            classes,
            depot,
            gate,
            leaks,
            unclassed: AtomicU64::new(0),
            made: Instant::now(),
            swept_nanos: AtomicU64::new(0),
        })
    }

    /// Returns whether a release has more to do than to keep the buffer.
    fn attention(&self) -> bool {
        self.gate.is_some() || self.leaks.is_some() || self.config.wipe
    }

    /// Returns which buffer a request of that size needs.
    pub fn plan(&self, requested_bytes: usize) -> Result<Plan, PoolError> {
        let plan = match self.classes.class_of(requested_bytes) {
            Some(class) => Plan { class: Some(class), bytes: self.classes.sizes()[class] },
            None if self.config.oversize == Oversize::Refuse => {
                let max_bytes = self.classes.sizes().last().copied().unwrap_or(0);
                return Err(PoolError::Oversize { requested_bytes, max_bytes });
            }
            None => Plan { class: None, bytes: requested_bytes },
        };
        let alignment = self.config.alignment;
        if std::alloc::Layout::from_size_align(plan.bytes, alignment).is_err() {
            return Err(PoolError::TooLarge { bytes: plan.bytes, alignment });
        }
        match &self.gate {
            Some(gate) if plan.bytes > gate.limit_bytes() => Err(PoolError::ExceedsLimit {
                buffer_bytes: plan.bytes,
                limit_bytes: gate.limit_bytes(),
            }),
            _ => Ok(plan),
        }
    }

    /// Enters the gate, if there is one, without waiting.
    pub fn try_enter(&self, plan: Plan) -> Result<(), PoolError> {
        match &self.gate {
            Some(gate) if !gate.try_enter(plan.bytes) => Err(PoolError::WouldWait {
                buffer_bytes: plan.bytes,
                outstanding_bytes: gate.used_bytes(),
                limit_bytes: gate.limit_bytes(),
                waiting: gate.waiting(),
            }),
            _ => Ok(()),
        }
    }

    /// Returns a buffer for somebody who has entered; leaves again if there is no memory. The contents are
    /// what they are.
    pub fn obtain(
        self: &Arc<Self>,
        plan: Plan,
        location: &'static Location<'static>,
    ) -> Result<Box<Buffer>, PoolError> {
        let recycled = plan.class.and_then(|class| self.recycled(class));
        let buffer = recycled.or_else(|| self.fresh(plan));
        let Some(mut buffer) = buffer else {
            if let Some(gate) = &self.gate {
                gate.leave(plan.bytes);
            }
            let alignment = self.config.alignment;
            return Err(PoolError::OutOfMemory { bytes: plan.bytes, alignment });
        };
        if let Some(leaks) = &self.leaks {
            buffer.ticket = leaks.note(plan.bytes, location);
        }
        Ok(buffer)
    }

    /// As [`Core::obtain`], with no byte visible, and all bytes zero under [`Zeroing::Always`].
    pub fn obtain_empty(
        self: &Arc<Self>,
        plan: Plan,
        location: &'static Location<'static>,
    ) -> Result<Box<Buffer>, PoolError> {
        self.obtain(plan, location).map(|buffer| self.config.zeroing.emptied(buffer))
    }

    fn recycled(self: &Arc<Self>, class: usize) -> Option<Box<Buffer>> {
        if self.depot.is_closed() {
            return None;
        }
        let make = || Cache::new(self);
        let buffer = with_cache(self.id, make, |cache| cache.local.take(&self.depot, class))
            .unwrap_or_else(|| self.depot.take_one(class));
        self.tick();
        buffer
    }

    fn fresh(self: &Arc<Self>, plan: Plan) -> Option<Box<Buffer>> {
        let buffer = self.make(plan)?;
        match plan.class {
            Some(class) => self.depot.count_miss(class),
            None => _ = self.unclassed.fetch_add(1, Ordering::Relaxed),
        }
        Some(buffer)
    }

    /// Returns a new buffer of zeroes, counted by nobody.
    pub fn make(self: &Arc<Self>, plan: Plan) -> Option<Box<Buffer>> {
        let class = plan.class.and_then(|class| u8::try_from(class).ok());
        let attention = class.is_none() || self.attention();
        Buffer::new(self, class.unwrap_or(NO_CLASS), plan.bytes, attention)
    }

    /// Lets idle memory go if it is time, on the occasion of a slow path.
    pub fn tick(&self) {
        if self.config.idle_decay.is_some() {
            self.decay(Instant::now(), false);
        }
    }

    /// Lets go of what was not needed since the last time, if that is long enough ago.
    pub fn decay(&self, now: Instant, wait: bool) -> usize {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let interval = nanos(self.config.idle_decay.unwrap_or_default());
        let now = nanos(now.saturating_duration_since(self.made));
        let last = self.swept_nanos.load(Ordering::Relaxed);
        let due = now >= last.saturating_add(interval);
        // Relaxed: it only decides who sweeps.
        let mine = || {
            self.swept_nanos
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        if due && mine() { self.depot.sweep(wait) } else { 0 }
    }

    /// Works on this thread's cache, if it can be had.
    pub fn with_own_cache<R>(self: &Arc<Self>, action: impl FnOnce(&mut Cache) -> R) -> Option<R> {
        with_cache(self.id, || Cache::new(self), action)
    }

    /// Ends the pool: nothing is idle from now on, but in caches of threads that do not come by.
    pub fn close(&self) {
        self.depot.close();
        remove_cache(self.id);
    }
}
