//! The limit of outstanding bytes, and the queue of those who wait for it.
//!
//! # Invariants
//!
//! - **G1 (counted)**: `used_bytes` is the sum of what was entered and not left, grants included, and never more than the limit.
//! - **G2 (order)**: grants go to the head of the queue; while it cannot be served nobody behind it is, and
//!   no newcomer enters.
//! - **G3 (served)**: after every change that could serve the head, somebody looks: whoever changes something
//!   raises `signals` and tries the lock; whoever holds the lock looks at `signals` after letting go.
//!
//! - **G4 (unlocked)**: no code of a waker runs under the lock. The caller clones a waker before the gate locks the queue;
//!   the gate wakes or drops it after it has unlocked the queue.
//! - **G5 (contained)**: a panic of a waker's `wake` or `drop` ends in `contain`, so the callers behind it are served and a
//!   release does not panic.
//!
//! Leaving only tries the lock, so that a release waits for nobody.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, fence};

/// Counts bytes handed out, up to a limit.
#[derive(Debug)]
pub struct Gate {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    /// Length of the queue, as of its last unlocking.
    waiting: AtomicUsize,
    signals: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By rising ticket.
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

/// A place in the queue. Whoever has it ends it with [`Gate::cancel`], or is granted the bytes.
#[derive(Debug)]
pub struct Place {
    ticket: u64,
    bytes: usize,
    granted: Arc<AtomicBool>,
}

impl Place {
    /// Returns whether the bytes are the holder's now.
    pub fn is_granted(&self) -> bool {
        // Acquire: pairs with the grant, so that what was given back before it is seen.
        self.granted.load(Ordering::Acquire)
    }
}

impl Queue {
    fn position(&self, place: &Place) -> Option<usize> {
        self.entries.binary_search_by_key(&place.ticket, |entry| entry.ticket).ok()
    }
}

impl Gate {
    /// Returns a gate that lets so many bytes in.
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

    /// Returns the bytes that are in.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Returns how many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Enters if there is room and nobody waits. One read-modify-write.
    pub fn try_enter(&self, bytes: usize) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0 && self.admit(bytes)
    }

    fn admit(&self, bytes: usize) -> bool {
        let mut used = self.used_bytes.load(Ordering::Relaxed);
        loop {
            if bytes > self.limit_bytes - used {
                return false;
            }
            // Acquire: pairs with `leave`, so that what was given back before is seen.
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

    /// Gives bytes back, and wakes those who can enter now, in their order. Waits for nobody.
    pub fn leave(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::AcqRel);
        // Between giving back and looking who waits; `wait` has its pair between queueing and entering.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.serve();
        }
    }

    /// Queues up; `waker` is called once the bytes are granted. *O*(1).
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
        // Somebody may have been turned away by this lock.
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

    /// Grants what can be granted. Whoever finds the lock taken leaves it to the holder: **G3**.
    #[cold]
    fn serve(&self) {
        self.signals.fetch_add(1, Ordering::SeqCst);
        loop {
            // Between the signal and the lock; the holder has its pair between unlocking and looking.
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
    // The payload's `Drop` is code of the user as well. What it panics with is leaked instead of dropped.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
}
