//! The *gate*: the limit of outstanding bytes, and the queue of the requests that wait for it.
//!
//! A thread that is served has its bytes for certain. A future gets an *offer*: it takes the bytes when it is next polled. A
//! future may have been forgotten, and the gate cannot know. So an offer that was not taken within [`PATIENCE`] *lapses* as soon
//! as another request needs its bytes. The future keeps its ticket: if it is polled after all, it is queued at its old place.
//!
//! No thread of the pool waits for that time to pass. Any use of the gate that needs room looks for offers to lapse. So that a
//! use comes, the gate also wakes the requests behind an offer to a future that never answered a wake-up, up to the first one
//! that has answered before. That one is *standing by*: it polls the gate until it is served or the offer is taken. A
//! request that has answered once is trusted, so each one is woken for nothing about once at most.
//!
//! # Invariants
//!
//! - **G1 (counted)**: `used_bytes` is the sum of what entered and did not leave, offers included, and never more than the limit.
//! - **G2 (order)**: bytes go to the head of the queue. While the head cannot be served, no request behind it is served and
//!   no new one enters.
//! - **G3 (served)**: after every change that could serve the head, a thread checks whether it does. A thread that makes a
//!   change increments `signals` and tries the lock; the thread that holds the lock reads `signals` again after unlocking.
//! - **G4 (unlocked)**: no code of a waker runs under the lock. The caller clones a waker before the gate locks the queue;
//!   the gate wakes or drops it after it has unlocked the queue.
//! - **G5 (contained)**: a panic of a waker's `wake` or `drop` ends in `contain`, so the requests behind it are served and a
//!   release does not panic.
//! - **G6 (one taker)**: an offer is taken by its owner or lapses, by a compare-and-swap on its turn; never both.
//!
//! Leaving only tries the lock, so a release never blocks.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::sync::{AtomicUsize, Moment, Mutex, Ordering, fence};

/// How long an offer stands before another request may have its bytes. Much longer than a busy executor takes to poll a task that
/// was woken.
pub const PATIENCE: Duration = Duration::from_millis(50);

/// Counts the bytes that are handed out, up to a limit.
#[derive(Debug)]
pub struct Gate {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    /// The length of the queue at its last unlock.
    waiting: AtomicUsize,
    /// The number of offers at the last unlock, those included that were taken since they were made.
    offers: AtomicUsize,
    signals: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// In the order of their tickets.
    entries: VecDeque<Entry>,
    /// In the order in which they were made.
    offers: Vec<Offer>,
    next_ticket: u64,
}

/// A request that waits.
#[derive(Debug)]
struct Entry {
    request: Request,
    /// `None` once it was woken to stand by, until it is polled.
    waker: Option<Waker>,
    /// It stands by for offers of tickets below this one, or was woken to do so.
    stands_by_below: u64,
}

#[derive(Debug, Clone)]
struct Request {
    ticket: u64,
    bytes: usize,
    turn: Arc<Turn>,
    owner: Owner,
}

/// The kind of a request's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A blocked thread. It always comes for its bytes.
    Thread,
    /// A future that was polled again after it was queued.
    Trusted,
    /// A future that was polled once. It may have been forgotten.
    Untested,
}

/// Bytes that are reserved for a future until it is polled.
#[derive(Debug)]
struct Offer {
    request: Request,
    made: Moment,
}

/// The state of a request.
///
/// | state | meaning | next |
/// |---|---|---|
/// | `WAITING` | in the queue | `OFFERED`, under the lock |
/// | `OFFERED` | its bytes are counted in `used_bytes` | `TAKEN` by its owner, `LAPSED` under the lock |
/// | `TAKEN` | its owner has the bytes, or gave the request up | |
/// | `LAPSED` | its bytes went to others, and it is not in the queue | `WAITING`, under the lock |
#[derive(Debug)]
struct Turn(AtomicUsize);

const WAITING: usize = 0;
const OFFERED: usize = 1;
const TAKEN: usize = 2;
const LAPSED: usize = 3;

impl Turn {
    fn is(&self, state: usize) -> bool {
        // Acquire: pairs with the grant, so that the buffer that made room for it is found.
        self.0.load(Ordering::Acquire) == state
    }

    /// Ends an offer by this state, unless it ended otherwise.
    fn end_offer(&self, state: usize) -> bool {
        // Acquire: as in `is`. Release: what the owner did before is seen by whoever gets the bytes next.
        self.0.compare_exchange(OFFERED, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A place in the queue. The owner waits until it can [take](Place::take) the bytes, or calls [`Gate::cancel`].
#[derive(Debug)]
pub struct Place(Request);

impl Place {
    /// Returns whether the bytes are reserved for this place.
    pub fn is_granted(&self) -> bool {
        self.0.turn.is(OFFERED)
    }

    /// Takes the bytes if they are reserved for this place. The place is then of no more use.
    pub fn take(&self) -> bool {
        self.0.turn.end_offer(TAKEN)
    }
}

impl Queue {
    fn position(&self, ticket: u64) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&ticket, |entry| entry.request.ticket)
    }

    fn forget_taken(&mut self) {
        self.offers.retain(|offer| offer.request.turn.is(OFFERED));
    }

    /// Ends an offer that was not taken in time, and returns its bytes.
    fn lapse(&mut self) -> Option<usize> {
        let overdue = |offer: &Offer| offer.made.is_older_than(PATIENCE);
        while let Some(index) = self.offers.iter().position(overdue) {
            let request = self.offers.remove(index).request;
            if request.turn.end_offer(LAPSED) {
                return Some(request.bytes);
            }
        }
        None
    }

    /// Returns a bound above the tickets of all offers to untested futures; zero if there is none.
    fn untested_below(&self) -> u64 {
        let untested = self.offers.iter().filter(|offer| offer.request.owner == Owner::Untested);
        untested.map(|offer| offer.request.ticket + 1).max().unwrap_or(0)
    }

    /// Returns the waker of the next request that must stand by: those behind an offer to an untested future, up to the
    /// first that is not untested.
    fn next_to_stand_by(&mut self) -> Option<Waker> {
        let below = self.untested_below();
        let mut index = self.entries.partition_point(|entry| entry.stands_by_below >= below);
        while index == 0 || self.entries[index - 1].request.owner == Owner::Untested {
            let entry = self.entries.get_mut(index)?;
            entry.stands_by_below = below;
            if let Some(waker) = entry.waker.take() {
                return Some(waker);
            }
            index += 1;
        }
        None
    }
}

impl Gate {
    /// Returns a gate with this limit.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            used_bytes: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            offers: AtomicUsize::new(0),
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
        self.enter(bytes)
            || self.offers.load(Ordering::Relaxed) > 0 && {
                self.serve(true);
                self.enter(bytes)
            }
    }

    fn enter(&self, bytes: usize) -> bool {
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
            self.serve(false);
        }
    }

    /// Queues a future. The gate calls `waker` once it has an offer, or is to stand by. *O*(1).
    pub fn wait(&self, bytes: usize, waker: Waker) -> Place {
        self.queue_up(bytes, waker, Owner::Untested)
    }

    /// Queues a thread, which always comes for its bytes. The gate calls `waker` once they are granted, or if it is to stand by.
    /// *O*(1).
    pub fn wait_blocked(&self, bytes: usize, waker: Waker) -> Place {
        self.queue_up(bytes, waker, Owner::Thread)
    }

    fn queue_up(&self, bytes: usize, waker: Waker, owner: Owner) -> Place {
        let turn = Arc::new(Turn(AtomicUsize::new(WAITING)));
        let mut queue = self.queue.lock();
        let request = Request { ticket: queue.next_ticket, bytes, turn, owner };
        queue.next_ticket += 1;
        let entry = Entry { request: request.clone(), waker: Some(waker), stands_by_below: 0 };
        queue.entries.push_back(entry);
        self.publish(&queue);
        drop(queue);
        self.serve(false);
        Place(request)
    }

    /// Replaces the waker of a place. If its offer lapsed, the place is in the queue again, where it was. Returns whether it
    /// stands by: it must then call this again soon, though nothing wakes it. *O*(waiting).
    pub fn rewake(&self, place: &Place, waker: Waker) -> bool {
        let mut new = Some(waker);
        let mut queue = self.queue.lock();
        let index = match queue.position(place.0.ticket) {
            Ok(index) => {
                let entry = &mut queue.entries[index];
                mem::swap(&mut entry.waker, &mut new);
                if entry.request.owner == Owner::Untested {
                    entry.request.owner = Owner::Trusted;
                }
                Some(index)
            }
            Err(index) if place.0.turn.is(LAPSED) => {
                // Release: pairs with `is`. Changes of the turn are under the lock but for an owner's, which waits here.
                place.0.turn.0.store(WAITING, Ordering::Release);
                let request = Request { owner: Owner::Trusted, ..place.0.clone() };
                // It stands by by itself, as the head.
                let entry = Entry { request, waker: new.take(), stands_by_below: u64::MAX };
                queue.entries.insert(index, entry);
                Some(index)
            }
            Err(_) => None,
        };
        self.publish(&queue);
        queue.forget_taken();
        let stands_by = index.is_some_and(|index| {
            queue.untested_below() > 0
                && queue.entries.iter().take(index).all(|entry| entry.waker.is_none())
        });
        drop(queue);
        // Another thread may have found the lock taken and left the work to this one.
        self.serve(false);
        contain(|| drop(new));
        stands_by
    }

    /// Gives up a place, and the bytes if they were granted meanwhile. *O*(waiting).
    pub fn cancel(&self, place: Place) {
        let ticket = place.0.ticket;
        let mut queue = self.queue.lock();
        let entry = queue.position(ticket).ok().and_then(|index| queue.entries.remove(index));
        queue.offers.retain(|offer| offer.request.ticket != ticket);
        self.publish(&queue);
        drop(queue);
        if place.take() {
            self.used_bytes.fetch_sub(place.0.bytes, Ordering::AcqRel);
        }
        self.serve(false);
        contain(|| drop(entry));
    }

    fn publish(&self, queue: &Queue) {
        self.waiting.store(queue.entries.len(), Ordering::Relaxed);
        self.offers.store(queue.offers.len(), Ordering::Relaxed);
    }

    /// Grants what can be granted. If the lock is taken, its holder does so: **G3**. `wanted`: a request that is not in the queue
    /// needs room.
    #[cold]
    fn serve(&self, wanted: bool) {
        self.signals.fetch_add(1, Ordering::SeqCst);
        loop {
            // Between the signal and the lock; pairs with the fence of the holder, between its unlock and its load of `signals`.
            fence(Ordering::SeqCst);
            let Some(mut queue) = self.queue.try_lock() else { return };
            let seen = self.signals.load(Ordering::SeqCst);
            let step = self.step(&mut queue, wanted);
            self.publish(&queue);
            drop(queue);
            match step {
                Step::Wake(waker) => contain(|| waker.wake()),
                Step::Again => {}
                Step::Done => {
                    fence(Ordering::SeqCst);
                    if self.signals.load(Ordering::SeqCst) == seen {
                        return;
                    }
                }
            }
        }
    }

    /// Grants the head its bytes; or lets an offer lapse, if its bytes are needed; or wakes a request to stand by.
    fn step(&self, queue: &mut Queue, wanted: bool) -> Step {
        queue.forget_taken();
        let admitted = queue.entries.front().is_some_and(|head| self.admit(head.request.bytes));
        if admitted && let Some(Entry { request, waker, .. }) = queue.entries.pop_front() {
            // Release: pairs with `is`.
            request.turn.0.store(OFFERED, Ordering::Release);
            if request.owner != Owner::Thread {
                queue.offers.push(Offer { request, made: Moment::now() });
            }
            return waker.map_or(Step::Again, Step::Wake);
        }
        if queue.entries.is_empty() && !wanted {
            return Step::Done;
        }
        if let Some(bytes) = queue.lapse() {
            self.used_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Step::Again;
        }
        queue.next_to_stand_by().map_or(Step::Done, Step::Wake)
    }
}

/// The work of a thread that serves the queue, after it has unlocked it.
enum Step {
    Wake(Waker),
    /// Takes the lock again.
    Again,
    /// Nothing, unless there was a signal.
    Done,
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
