//! The depot: a shared bounded stack of batches behind a lock that is only tried, never waited for.
#![expect(unsafe_code, reason = "the batches lie in memory that the caller provides")]

use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use slab_core::sync::UnsafeCell;
use slab_core::sync::atomic::{AtomicBool, Ordering};

/// Accesses after which a depot decays.
const EPOCH_ACCESSES: u32 = 64;

/// A bounded stack of batches that threads and CPUs share.
///
/// Its lock is only tried: a caller that finds it held goes to the heap instead, so no thread waits here, and
/// an interrupt that finds its own CPU inside is refused like any other. Without compare-and-swap the lock is
/// never had.
///
/// A depot starts without memory, and then every batch is refused; see [`provide`](Self::provide).
///
/// **Decay**: the depot remembers its *low water*, the fewest batches that it had since the last epoch. Those
/// were of no use. After 64 accesses the epoch ends, and [`decayed`](Self::decayed) hands half of them out one by one.
pub struct Depot<B: Copy> {
    is_locked: AtomicBool,
    inner: UnsafeCell<Inner<B>>,
}

/// # Invariants
///
/// - **D1 (initialised)**: the first `len` batches of `storage` are initialised, and `low <= len <= storage.len()`.
struct Inner<B> {
    storage: NonNull<[MaybeUninit<B>]>,
    len: usize,
    /// The smallest `len` of this epoch.
    low: usize,
    /// Batches that are to be handed out by `decayed`.
    excess: usize,
    accesses: u32,
}

// SAFETY: the inner part is accessed under the lock alone, and batches move between threads.
unsafe impl<B: Copy + Send> Sync for Depot<B> {}
// SAFETY: the storage belongs to the depot, see `provide`.
unsafe impl<B: Copy + Send> Send for Depot<B> {}

/// Why a batch was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The depot has no memory yet.
    NoStorage,
    /// There is no room.
    Full,
    /// Another caller has the lock.
    Contended,
}

impl<B: Copy> Depot<B> {
    /// Returns a depot without memory.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { is_locked: AtomicBool::new(false), inner: UnsafeCell::new(Inner::new()) }
    }

    /// Returns a depot without memory.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { is_locked: AtomicBool::new(false), inner: UnsafeCell::new(Inner::new()) }
    }

    /// Gives the depot memory for its batches. Returns `false`, and takes nothing, if it has some already or if
    /// another caller has the lock.
    ///
    /// # Safety
    ///
    /// The memory is valid for writes of that many batches, and the depot alone uses it as long as it exists.
    pub unsafe fn provide(&self, storage: NonNull<[MaybeUninit<B>]>) -> bool {
        let provided = self.with(|inner| {
            let is_new = inner.storage.is_empty();
            if is_new {
                inner.storage = storage;
            }
            is_new
        });
        provided.unwrap_or(false)
    }

    /// Adds a batch. *O*(1).
    ///
    /// # Errors
    ///
    /// The reason, if the batch was not taken.
    pub fn push(&self, batch: B) -> Result<(), Refusal> {
        self.with(|inner| inner.push(batch)).unwrap_or(Err(Refusal::Contended))
    }

    /// Removes and returns the newest batch, unless there is none or another caller has the lock. *O*(1).
    pub fn pop(&self) -> Option<B> {
        self.with(|inner| {
            inner.count_access();
            inner.pop()
        })?
    }

    /// Removes and returns a batch that was of no use for an epoch, if there is one. *O*(1).
    pub fn decayed(&self) -> Option<B> {
        self.with(|inner| {
            inner.excess = inner.excess.checked_sub(1)?;
            inner.pop()
        })?
    }

    /// Returns how many batches there are; `None` if another caller has the lock.
    pub fn batch_count(&self) -> Option<usize> {
        self.with(|inner| inner.len)
    }

    /// Runs an action under the lock, if it can be had at once.
    fn with<T>(&self, action: impl FnOnce(&mut Inner<B>) -> T) -> Option<T> {
        if !self.try_lock() {
            return None;
        }
        // SAFETY: this caller set the flag, so no other is between `try_lock` and the store below.
        let outcome = self.inner.with_mut(|inner| action(unsafe { &mut *inner }));
        // Release: the next holder sees what this one did.
        self.is_locked.store(false, Ordering::Release);
        Some(outcome)
    }

    #[cfg(target_has_atomic = "8")]
    fn try_lock(&self) -> bool {
        // Acquire: this holder sees what the previous one did.
        let take = |is_locked: &AtomicBool| {
            is_locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
        };
        !self.is_locked.load(Ordering::Relaxed) && take(&self.is_locked).is_ok()
    }

    #[cfg(not(target_has_atomic = "8"))]
    fn try_lock(&self) -> bool {
        false
    }
}

impl<B: Copy> Inner<B> {
    const fn new() -> Self {
        let storage = NonNull::slice_from_raw_parts(NonNull::dangling(), 0);
        Self { storage, len: 0, low: 0, excess: 0, accesses: 0 }
    }

    fn push(&mut self, batch: B) -> Result<(), Refusal> {
        if self.storage.is_empty() {
            return Err(Refusal::NoStorage);
        }
        self.count_access();
        if self.len == self.storage.len() {
            return Err(Refusal::Full);
        }
        // SAFETY: `len` is below the length of the storage, which is valid for writes (see `provide`).
        unsafe {
            self.storage.cast::<MaybeUninit<B>>().add(self.len).write(MaybeUninit::new(batch))
        };
        self.len += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<B> {
        self.len = self.len.checked_sub(1)?;
        self.low = self.low.min(self.len);
        // SAFETY: initialised by D1.
        Some(unsafe { self.storage.cast::<B>().add(self.len).read() })
    }

    fn count_access(&mut self) {
        self.accesses += 1;
        if self.accesses == EPOCH_ACCESSES {
            self.accesses = 0;
            self.excess = self.low.div_ceil(2);
            self.low = self.len;
        }
    }
}

impl<B: Copy> Default for Depot<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Copy> fmt::Debug for Depot<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Depot").field("batch_count", &self.batch_count()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Returns a depot for as many batches as the memory has.
    fn with_room(storage: &mut [MaybeUninit<u32>]) -> Depot<u32> {
        let depot = Depot::new();
        assert_eq!(depot.push(0), Err(Refusal::NoStorage));
        // SAFETY: the callers use the memory no more, and it outlives the depot.
        assert!(unsafe { depot.provide(NonNull::from(storage)) });
        depot
    }

    #[test]
    fn batches_leave_newest_first_and_a_full_depot_refuses() {
        let mut storage = [MaybeUninit::uninit(); 2];
        let depot = with_room(&mut storage);
        assert_eq!(
            (depot.push(1), depot.push(2), depot.push(3)),
            (Ok(()), Ok(()), Err(Refusal::Full))
        );
        assert_eq!((depot.pop(), depot.pop(), depot.pop()), (Some(2), Some(1), None));
    }

    #[test]
    fn batches_below_the_low_water_decay() {
        let mut storage = [MaybeUninit::uninit(); 8];
        let depot = with_room(&mut storage);
        for batch in 0..8 {
            depot.push(batch).unwrap();
        }
        assert_eq!(depot.decayed(), None);
        let mut decayed = 0;
        for _ in 0..1000 {
            let batch = depot.pop().expect("one is in use");
            depot.push(batch).unwrap();
            while depot.decayed().is_some() {
                decayed += 1;
            }
        }
        assert_eq!((decayed, depot.batch_count()), (7, Some(1)), "only the batch in use stays");
    }

    #[test]
    fn batches_in_use_do_not_decay() {
        let mut storage = [MaybeUninit::uninit(); 8];
        let depot = with_room(&mut storage);
        for round in 0..1000 {
            let all = core::iter::from_fn(|| depot.pop()).count();
            assert!(all == 0 || all == 8, "{round}");
            for batch in 0..8 {
                depot.push(batch).unwrap();
            }
            assert_eq!(depot.decayed(), None);
        }
    }
}
