//! The magazines of the calling thread, one for each cache by its id. Most allocations and frees of a cache with
//! thread caches end here, without the lock.
//!
//! A thread frees its slots when it ends. If a cache was closed and the thread lives on, it frees the slots when
//! it next runs out of slots of some other cache.
#![expect(unsafe_code, reason = "borrows the thread's list, and calls back by an erased pointer")]

extern crate std;

use core::cell::{Cell, UnsafeCell};
use core::ptr::NonNull;
use std::vec::Vec;

use crate::anchor::{self, Anchor};
use crate::magazine::{BATCH, Batch, CAPACITY, Magazine, Owner};
use crate::on_drop::OnDrop;

struct Magazines {
    list: UnsafeCell<Vec<Magazine>>,
    /// The number of closures when the thread last looked for closed caches.
    closures: Cell<usize>,
}

std::thread_local! {
    static MAGAZINES: Magazines = const {
        Magazines { list: UnsafeCell::new(Vec::new()), closures: Cell::new(0) }
    };
}

/// Runs `action` on the thread's magazines; `None` if the thread has destroyed them. `action` must not come back
/// here: it frees no slot, takes no lock and calls no allocator.
#[inline(always)]
fn with_list<X>(action: impl FnOnce(&mut Vec<Magazine>) -> X) -> Option<X> {
    MAGAZINES
        .try_with(|magazines| {
            let list = magazines.list.get();
            // SAFETY: the list belongs to this thread, and `action` does not come back here, so there is no
            // other reference to it.
            action(unsafe { &mut *list })
        })
        .ok()
}

/// Pops the newest slot of a magazine. *O*(1).
#[inline(always)]
pub fn pop(id: usize) -> Option<NonNull<u8>> {
    with_list(|list| list.get_mut(id)?.pop()).flatten()
}

/// Returns whether the thread has a magazine with that id.
pub fn has_magazine(id: usize) -> bool {
    with_list(|list| list.get_mut(id).is_some()) == Some(true)
}

/// Pushes a slot to the magazine with that id, which takes it from the caller; `false` if there is no such
/// magazine, or it is full. *O*(1).
#[inline(always)]
pub fn push(id: usize, owner: Owner, slot: NonNull<u8>) -> bool {
    let pushed = with_list(|list| Some(list.get_mut(id)?.push(owner, slot)));
    pushed.flatten() == Some(true)
}

/// Pushes a slot where [`push`] could not: makes a magazine, or frees the oldest slots of a full one. The core may
/// be freed afterwards.
#[cold]
#[inline(never)]
pub fn push_slow(id: usize, owner: Owner, slot: NonNull<u8>) {
    grow_list(id);
    let evicted = with_list(|list| {
        let magazine = list.get_mut(id)?;
        let oldest = if magazine.is_full() { magazine.pop_oldest() } else { Batch::new(owner) };
        magazine.push(owner, slot);
        Some(oldest)
    });
    let batch = evicted.flatten().unwrap_or_else(|| {
        let mut batch = Batch::new(owner);
        batch.push(slot);
        batch
    });
    Transfer::new(id, batch).free();
}

/// Makes the thread's list long enough for that id, if there is memory.
///
/// The program's allocator may stand on a cache with magazines and come back here: nothing borrows the list while
/// the allocator is called.
fn grow_list(id: usize) {
    if with_list(|list| id < list.len()) != Some(false) {
        return;
    }
    let mut longer: Vec<Magazine> = Vec::new();
    if longer.try_reserve_exact((id + 1).next_power_of_two()).is_err() {
        return;
    }
    let unused = with_list(|list| {
        if id < list.len() {
            return longer;
        }
        longer.append(list);
        while longer.len() <= id {
            longer.push(Magazine::new());
        }
        core::mem::replace(list, longer)
    });
    drop(unused);
}

/// Frees the slots of the magazine with that id. The core may be freed afterwards.
///
/// A lock or a source that uses the same cache may push slots meanwhile: those stay.
pub fn flush(id: usize) {
    for _ in 0..CAPACITY / BATCH {
        let batch = with_list(|list| Some(list.get_mut(id)?.pop_oldest())).flatten();
        match batch {
            Some(batch) if batch.len() > 0 => Transfer::new(id, batch).free(),
            _ => return,
        }
    }
}

/// Frees the thread's slots of closed caches, if a cache was closed since the thread last looked. *O*(caches)
/// then.
pub fn flush_closed() {
    let closures = anchor::closures();
    let Ok(seen) = MAGAZINES.try_with(|magazines| magazines.closures.replace(closures)) else {
        return;
    };
    if seen == closures {
        return;
    }
    // If a source panics, the thread looks at the other caches next time.
    let look_again =
        OnDrop::new(|| _ = MAGAZINES.try_with(|magazines| magazines.closures.set(seen)));
    let count = with_list(|list| list.len()).unwrap_or(0);
    for id in 0..count {
        let is_closed = with_list(|list| {
            let owner = list.get(id)?.owner()?;
            // SAFETY: by G1 the core exists, and it begins with its anchor.
            let anchor = unsafe { owner.core.cast::<Anchor>().as_ref() };
            Some(!anchor.is_open())
        });
        if is_closed.flatten() == Some(true) {
            flush(id);
        }
    }
    look_again.disarm();
}

/// A batch between the magazine with that id and the slabs.
///
/// If a lock panics, the slots that are left go to the magazine. Slots that find no room there stay in use.
pub struct Transfer {
    id: usize,
    pub batch: Batch,
}

impl Transfer {
    pub fn new(id: usize, batch: Batch) -> Self {
        Self { id, batch }
    }

    /// Moves the slot that was added last to the magazine; `false` if there is no room.
    pub fn cache_last(&mut self) -> bool {
        let Some(slot) = self.batch.last() else { return false };
        let is_cached = push(self.id, self.batch.owner, slot);
        if is_cached {
            self.batch.pop();
        }
        is_cached
    }

    /// Frees the slots. The core may be freed afterwards.
    pub fn free(mut self) {
        if self.batch.len() > 0 {
            let Owner { core, free_batch } = self.batch.owner;
            // SAFETY: the batch owns slots of the core's cache, so the core exists.
            unsafe { free_batch(core, &mut self.batch) };
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        while self.cache_last() {}
    }
}

/// A thread that ends frees its slots.
impl Drop for Magazines {
    fn drop(&mut self) {
        for (id, magazine) in self.list.get_mut().iter_mut().enumerate() {
            while magazine.owner().is_some() {
                Transfer::new(id, magazine.pop_oldest()).free();
            }
        }
    }
}
