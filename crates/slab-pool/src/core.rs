//! The part of a pool that its handles, buffers and thread caches share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::block::Block;
use crate::buffer::{Buffer, Pool};
use crate::classes::ClassMap;
use crate::error::PoolError;
use crate::gate::Gate;
use crate::key::{Key, PoolKey};
use crate::leaks::Leaks;
use crate::magazine::Depot;
use crate::settings::{Oversize, Settings};

/// A buffer of a pool.
pub type PoolBuffer = Buffer<Core>;

/// Everything but the handle that keeps a pool open. It lives until the last buffer is freed.
#[derive(Debug)]
pub struct Core {
    /// Differs from that of every other pool of the process.
    pub key: PoolKey,
    pub settings: Settings,
    pub classes: ClassMap,
    pub depot: Depot<PoolBuffer>,
    pub gate: Option<Gate>,
    pub leaks: Option<Leaks>,
    pub arena: Option<Arena>,
    /// Requests beyond all classes.
    pub unclassed: AtomicU64,
    /// Buffers that exist, idle or handed out, and the sum of their capacities.
    held_buffers: AtomicUsize,
    held_capacity: AtomicUsize,
    /// When the pool was built.
    built: Instant,
    /// The last sweep, in nanoseconds since then.
    swept_nanos: AtomicU64,
}

/// The class and size of the buffer that serves a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub class: Option<usize>,
    pub bytes: usize,
}

impl Core {
    pub fn new(
        settings: Settings,
        classes: ClassMap,
        depot: Depot<PoolBuffer>,
        gate: Option<Gate>,
        leaks: Option<Leaks>,
        arena: Option<Arena>,
    ) -> Arc<Self> {
        // An atomic of `std`: loom's models build no pools.
        static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            key: PoolKey::new(LAST_NUMBER.fetch_add(1, Ordering::Relaxed) + 1),
            settings,
            classes,
            depot,
            gate,
            leaks,
            arena,
            unclassed: AtomicU64::new(0),
            held_buffers: AtomicUsize::new(0),
            held_capacity: AtomicUsize::new(0),
            built: Instant::now(),
            swept_nanos: AtomicU64::new(0),
        })
    }

    /// Returns the buffer that a request of this size needs.
    pub fn plan(&self, requested_bytes: usize) -> Result<Plan, PoolError> {
        let plan = match self.classes.class_of(requested_bytes) {
            Some(class) => Plan { class: Some(class), bytes: self.classes.sizes()[class] },
            None if self.settings.oversize == Oversize::Refuse => {
                let max_bytes = self.classes.sizes().last().copied().unwrap_or(0);
                return Err(PoolError::Oversize { requested_bytes, max_bytes });
            }
            None => Plan { class: None, bytes: requested_bytes },
        };
        let alignment = self.settings.alignment;
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

    /// Allocates a buffer of zeroes, in the arena if there is room. It counts as held, and in no other statistic.
    pub fn allocate(self: &Arc<Self>, plan: Plan) -> Option<Box<PoolBuffer>> {
        let block = self.block(plan)?;
        let slow = plan.class.is_none()
            || !self.keeps(plan.class, block.arena_index())
            || self.gate.is_some()
            || self.leaks.is_some()
            || self.settings.wipe;
        let key = Key::new(self.key, plan.class);
        let key = if slow { key.with_slow_release() } else { key };
        let buffer = Buffer::new(self, key, block);
        self.held_buffers.fetch_add(1, Ordering::Relaxed);
        self.held_capacity.fetch_add(buffer.capacity(), Ordering::Relaxed);
        Some(buffer)
    }

    /// Returns a block of zeroes for a buffer.
    fn block(&self, Plan { class, bytes }: Plan) -> Option<Block> {
        let slot = self.arena.as_ref().zip(class).and_then(|(arena, class)| arena.take(class));
        slot.map(Block::in_slot).or_else(|| Block::zeroed(bytes, self.settings.alignment))
    }

    /// Returns whether a buffer may become idle. Where the arena has buffers of its class, others are freed, so that the idle
    /// ones are registered.
    pub fn keeps(&self, class: Option<usize>, arena_index: Option<u16>) -> bool {
        match (&self.arena, class) {
            (Some(arena), Some(class)) => arena_index.is_some() || !arena.has(class),
            _ => true,
        }
    }

    /// Returns the bytes of all buffers, headers included, and those of the arena that belong to none.
    pub fn held_bytes(&self) -> usize {
        self.arena.as_ref().map_or(0, Arena::vacant_bytes)
            + self.held_capacity()
            + self.held_buffers.load(Ordering::Relaxed) * size_of::<PoolBuffer>()
    }

    /// Returns the bytes of all buffers without their headers.
    pub fn held_capacity(&self) -> usize {
        self.held_capacity.load(Ordering::Relaxed)
    }

    /// Returns the bytes of the idle buffers.
    pub fn idle_bytes(&self) -> usize {
        let idle = |(class, bytes): (usize, &usize)| self.depot.idle(class) * bytes;
        self.classes.sizes().iter().enumerate().map(idle).sum()
    }

    /// Frees the idle buffers that were not needed since the last sweep, if that was at least `interval` ago; returns
    /// their bytes.
    pub fn decay(&self, now: Instant, interval: Duration, wait: bool) -> usize {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let now = nanos(now.saturating_duration_since(self.built));
        let last = self.swept_nanos.load(Ordering::Relaxed);
        let due = now >= last.saturating_add(nanos(interval));
        // Relaxed: the exchange only decides which thread sweeps.
        let won = || {
            self.swept_nanos
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        if due && won() { self.depot.sweep(wait) } else { 0 }
    }
}

impl Pool for Core {
    fn subtract_held(&self, capacity: usize) {
        self.held_buffers.fetch_sub(1, Ordering::Relaxed);
        self.held_capacity.fetch_sub(capacity, Ordering::Relaxed);
    }
}
