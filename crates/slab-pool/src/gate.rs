//! The *gate*: the limit of outstanding bytes, and the queue of the requests that wait for it.
//!
//! # Invariants
//!
//! - **G1 (counted)**: `used_bytes` is the sum of what entered and did not leave, grants included, and never more than the limit.
//! - **G2 (order)**: grants go to the head of the queue. While the head cannot be served, no request behind it is served and
//!   no new one enters.
//! - **G3 (served)**: after every change that could serve the head, a thread checks whether it does. A thread that makes a
//!   change increments `signals` and tries the lock; the thread that holds the lock reads `signals` again after unlocking.
//! - **G4 (unlocked)**: no code of a waker runs under the lock. The caller clones a waker before the gate locks the queue;
//!   the gate wakes or drops it after it has unlocked the queue.
//! - **G5 (contained)**: a panic of a waker's `wake` or `drop` ends in `contain`, so the requests behind it are served and a
//!   release does not panic.
//!
//! Leaving only tries the lock, so a release never blocks.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, fence};

/// Counts the bytes that are handed out, up to a limit.
#[derive(Debug)]
pub struct Gate {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    /// The length of the queue at its last unlock.
    waiting: AtomicUsize,
    signals: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// In the order of their tickets.
    entries: VecDeque<Entry>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Entry {
    ticket: u64,
    bytes: usize,
    waker: Waker,
    granted: Arc<AtomicBool>,
}

/// A place in the queue. The owner waits until the bytes are granted, or calls [`Gate::cancel`].
#[derive(Debug)]
pub struct Place {
    ticket: u64,
    bytes: usize,
    granted: Arc<AtomicBool>,
}

impl Place {
    /// Returns whether the bytes are granted.
    pub fn is_granted(&self) -> bool {
        // Acquire: pairs with the grant, so that the buffer that made room for it is found.
        self.granted.load(Ordering::Acquire)
    }
}

impl Queue {
    fn position(&self, place: &Place) -> Option<usize> {
        self.entries.binary_search_by_key(&place.ticket, |entry| entry.ticket).ok()
    }
}

impl Gate {
    /// Returns a gate with this limit.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            signals: AtomicUsize::new(0),
            queue: Mutex::new(Queue::default()),
        }
    }

    /// Returns the limit.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Returns the bytes that entered and did not leave.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Enters if there is room and no request waits. One read-modify-write.
    pub fn try_enter(&self, bytes: usize) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0 && self.admit(bytes)
    }

    fn admit(&self, bytes: usize) -> bool {
        let mut used = self.used_bytes.load(Ordering::Relaxed);
        loop {
            if bytes > self.limit_bytes - used {
                return false;
            }
            // Acquire: pairs with `leave`, so that the buffer that made room is found.
            match self.used_bytes.compare_exchange_weak(
                used,
                used + bytes,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => used = now,
            }
        }
    }

    /// Leaves, and wakes the requests that can enter now, in their order. Never blocks.
    pub fn leave(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::AcqRel);
        // Between the subtraction and the load of `waiting`; pairs with the fence in `serve`, after `wait` has queued.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.serve();
        }
    }

    /// Enters the queue. The gate calls `waker` once the bytes are granted. *O*(1).
    pub fn wait(&self, bytes: usize, waker: Waker) -> Place {
        let granted = Arc::new(AtomicBool::new(false));
        let mut queue = self.queue.lock();
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.entries.push_back(Entry { ticket, bytes, waker, granted: Arc::clone(&granted) });
        self.waiting.store(queue.entries.len(), Ordering::Relaxed);
        drop(queue);
        self.serve();
        Place { ticket, bytes, granted }
    }

    /// Replaces the waker of a place. *O*(log waiting).
    pub fn rewake(&self, place: &Place, mut waker: Waker) {
        let mut queue = self.queue.lock();
        if let Some(index) = queue.position(place) {
            mem::swap(&mut queue.entries[index].waker, &mut waker);
        }
        drop(queue);
        // Another thread may have found the lock taken and left the work to this one.
        self.serve();
        contain(|| drop(waker));
    }

    /// Gives up a place, and the bytes if they were granted meanwhile. *O*(waiting).
    pub fn cancel(&self, place: Place) {
        let mut queue = self.queue.lock();
        let index = queue.position(&place);
        let entry = index.and_then(|index| queue.entries.remove(index));
        self.waiting.store(queue.entries.len(), Ordering::Relaxed);
        drop(queue);
        if place.is_granted() {
            self.used_bytes.fetch_sub(place.bytes, Ordering::AcqRel);
        }
        self.serve();
        contain(|| drop(entry));
    }

    /// Grants what can be granted. If the lock is taken, its holder does so: **G3**.
    #[cold]
    fn serve(&self) {
        self.signals.fetch_add(1, Ordering::SeqCst);
        loop {
            // Between the signal and the lock; pairs with the fence of the holder, between its unlock and its load of `signals`.
            fence(Ordering::SeqCst);
            let Some(mut queue) = self.queue.try_lock() else { return };
            let seen = self.signals.load(Ordering::SeqCst);
            let served = match queue.entries.front() {
                Some(head) if self.admit(head.bytes) => queue.entries.pop_front(),
                _ => None,
            };
            if let Some(entry) = &served {
                // Release: pairs with `is_granted`.
                entry.granted.store(true, Ordering::Release);
            }
            self.waiting.store(queue.entries.len(), Ordering::Relaxed);
            drop(queue);
            match served {
                Some(entry) => contain(|| entry.waker.wake()),
                None => {
                    fence(Ordering::SeqCst);
                    if self.signals.load(Ordering::SeqCst) == seen {
                        return;
                    }
                }
            }
        }
    }
}

/// Calls a waker's code. Its panic ends here, after the panic hook has reported it: the caller that released memory did not
/// cause it, and a second panic during unwinding would abort the process.
fn contain(call: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else { return };
    // The payload's `Drop` is code of the user as well. If it panics, its own payload is leaked instead of dropped.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
}
