//! The part of a cache that its threads need to keep slots of it. It lies at the start of the core.
//!
//! | state | means | left by |
//! |---|---|---|
//! | `NONE` | the cache has no magazines | – |
//! | `OPEN` | a free pushes to the thread's magazine | the drop of the last handle, under the lock |
//! | `CLOSED` | a free goes to the slabs, under the lock | – |

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use slab_core::sync::atomic::AtomicU8;

use crate::error::CacheError;
use crate::ids;
use crate::magazine::{FreeBatch, Owner};

const NONE: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

/// Counts caches that were closed. A thread that sees a new count looks for slots of closed caches.
static CLOSURES: AtomicUsize = AtomicUsize::new(0);

/// Returns how many caches were closed.
pub fn closures() -> usize {
    // Relaxed: the count only says that it is time to look.
    CLOSURES.load(Ordering::Relaxed)
}

/// The state of a cache, its id, and how to free its slots. It lies in one cache line.
#[derive(Debug)]
#[repr(align(32))]
pub struct Anchor {
    state: AtomicU8,
    /// Unique among the caches with magazines that exist.
    id: usize,
    free_batch: FreeBatch,
}

impl Anchor {
    /// Returns the anchor of a cache without magazines.
    pub fn none() -> Self {
        Self { state: AtomicU8::new(NONE), id: 0, free_batch: |_, _| {} }
    }

    /// Returns the anchor of a cache with magazines.
    ///
    /// # Errors
    ///
    /// [`CacheError::OutOfMemory`] if there is no memory for the cache's id.
    pub fn new(free_batch: FreeBatch) -> Result<Self, CacheError> {
        Ok(Self { state: AtomicU8::new(OPEN), id: ids::acquire()?, free_batch })
    }

    /// Returns whether slots may go to magazines.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        // Relaxed: a thread that pushes a slot after the cache was closed frees it when it next looks for
        // closed caches, or when it ends.
        self.state.load(Ordering::Relaxed) == OPEN
    }

    /// Returns whether the cache ever had magazines, so that it counts its frees.
    #[inline(always)]
    pub fn is_some(&self) -> bool {
        // Relaxed: never changes.
        self.state.load(Ordering::Relaxed) != NONE
    }

    #[inline(always)]
    pub fn id(&self) -> usize {
        self.id
    }

    /// Returns the cache as the owner of slots.
    #[inline(always)]
    pub fn owner(&self, core: NonNull<()>) -> Owner {
        Owner { core, free_batch: self.free_batch }
    }

    /// Lets no more slots go to magazines.
    pub fn close(&self) {
        if self.is_some() {
            // Relaxed, both: see `is_open` and `closures`.
            self.state.store(CLOSED, Ordering::Relaxed);
            CLOSURES.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Releases the id: no thread has slots of the cache any more.
impl Drop for Anchor {
    fn drop(&mut self) {
        if self.is_some() {
            ids::release(self.id);
        }
    }
}
