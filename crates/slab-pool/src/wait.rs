//! Waiting for one's turn: threads and futures in one queue.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::core::{Core, Plan};
use crate::error::PoolError;
use crate::gate::Place;
use crate::pool::BufferPool;
use crate::pooled::PooledBuffer;

/// How long a request waits.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    None,
    Timeout(Duration),
    Endless,
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Enters the gate, if there is one, as soon as it is its turn.
pub fn enter(core: &Core, plan: Plan, patience: Patience) -> Result<(), PoolError> {
    match (core.try_enter(plan), patience) {
        (Err(PoolError::WouldWait { .. }), Patience::Timeout(timeout)) => {
            wait(core, plan, Some(timeout))
        }
        (Err(PoolError::WouldWait { .. }), Patience::Endless) => wait(core, plan, None),
        (outcome, _) => outcome,
    }
}

#[cold]
fn wait(core: &Core, plan: Plan, timeout: Option<Duration>) -> Result<(), PoolError> {
    let Some(gate) = &core.gate else { return Ok(()) };
    // A time that the clock cannot show is none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let place = gate.wait(plan.bytes, Waker::from(Arc::new(Unpark(thread::current()))));
    while !place.is_granted() {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match left {
            None => thread::park(),
            Some(Duration::ZERO) => {
                gate.cancel(place);
                let waited = timeout.unwrap_or_default();
                return Err(PoolError::TimedOut { buffer_bytes: plan.bytes, waited });
            }
            Some(left) => thread::park_timeout(left),
        }
    }
    Ok(())
}

/// A buffer to come; see [`BufferPool::acquire_async`]. Polled again once it was ready, it asks for another
/// one.
///
/// # Wakers
///
/// The pool holds no lock while it clones, wakes or drops a waker, so a waker may acquire from the same pool, release to it and
/// poll or drop its futures. A thread that releases a buffer calls `wake` of each request that it serves, so a slow `wake`
/// delays that thread; other threads serve the queue meanwhile. A `wake` that releases memory at once serves the next request
/// inside itself, one level of the stack per request.
///
/// A panic of `wake` or of a waker's `drop` ends in the pool once the panic hook has reported it: releases do not panic,
/// and the requests behind are served. A panic of `clone` reaches the caller of `poll`; the request keeps its place in the queue.
///
/// A future that is forgotten ([`std::mem::forget`]) keeps its place and its turn, and the requests behind it wait.
#[must_use = "futures do nothing unless polled"]
pub struct AcquireFuture {
    pool: Arc<BufferPool>,
    plan: Result<Plan, PoolError>,
    place: Option<Place>,
    location: &'static Location<'static>,
}

impl AcquireFuture {
    pub(crate) fn new(
        pool: Arc<BufferPool>,
        plan: Result<Plan, PoolError>,
        location: &'static Location<'static>,
    ) -> Self {
        Self { pool, plan, place: None, location }
    }

    /// Returns whether it is this one's turn; queues it up if not.
    fn enter(&mut self, plan: Plan, waker: &Waker) -> bool {
        let core = self.pool.core();
        let Some(gate) = &core.gate else { return true };
        match &self.place {
            Some(place) if place.is_granted() => {}
            // The clone may panic: the place stays where `drop` finds it.
            Some(place) => gate.rewake(place, waker.clone()),
            None if gate.try_enter(plan.bytes) => return true,
            None => self.place = Some(gate.wait(plan.bytes, waker.clone())),
        }
        self.place.take_if(|place| place.is_granted()).is_some()
    }
}

impl Future for AcquireFuture {
    type Output = Result<PooledBuffer, PoolError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let plan = self.plan.clone()?;
        if !self.enter(plan, context.waker()) {
            return Poll::Pending;
        }
        let buffer = self.pool.core().obtain(plan, self.location)?;
        Poll::Ready(Ok(self.pool.prepared(buffer)))
    }
}

impl Drop for AcquireFuture {
    /// Gives up the place, and the turn if it had come.
    fn drop(&mut self) {
        if let (Some(place), Some(gate)) = (self.place.take(), &self.pool.core().gate) {
            gate.cancel(place);
        }
    }
}

impl fmt::Debug for AcquireFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireFuture")
            .field("plan", &self.plan)
            .field("waiting", &self.place.is_some())
            .finish_non_exhaustive()
    }
}
