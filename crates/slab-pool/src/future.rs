//! Futures that wait for the gate, in the same queue as threads.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::core::Plan;
use crate::error::PoolError;
use crate::gate::Place;
use crate::obtain::obtain;
use crate::open::OpenPool;
use crate::pooled::PooledBuffer;

/// How much of an acquired buffer is visible.
#[derive(Debug, Clone, Copy)]
pub enum Contents {
    /// All of it, as from [`BufferPool::acquire`](crate::BufferPool::acquire).
    Whole,
    /// Nothing, as from [`BufferPool::acquire_for_write`](crate::BufferPool::acquire_for_write).
    Empty,
}

/// The future of an acquired buffer; see [`BufferPool::acquire_async`](crate::BufferPool::acquire_async). It keeps the pool
/// open. Polled again after it was ready, it acquires another buffer.
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
/// # A future that is not polled
///
/// When there is room, the pool wakes the first request in the queue, which has to be polled to get its buffer. If it is not
/// polled within 50 milliseconds, because it was passed to [`std::mem::forget`] or is kept by a task that waits for something
/// else, the room goes to the next request. A future that is polled after all is at its old place in the queue.
///
/// The pool has no thread that watches the time. It looks for such futures whenever a request needs room, or a buffer is
/// released while requests wait; and while it waits for a future that never answered, it wakes the
/// next one, which then wakes itself until it is served. There is one gap: a future that was polled again while it waited, and is
/// then forgotten, blocks requests until the pool is next used.
#[must_use = "futures do nothing unless polled"]
pub struct AcquireFuture {
    pool: Arc<OpenPool>,
    plan: Result<Plan, PoolError>,
    place: Option<Place>,
    contents: Contents,
    location: &'static Location<'static>,
}

impl AcquireFuture {
    #[track_caller]
    pub(crate) fn new(pool: &Arc<OpenPool>, bytes: usize, contents: Contents) -> Self {
        Self {
            pool: Arc::clone(pool),
            plan: pool.core.plan(bytes),
            place: None,
            contents,
            location: Location::caller(),
        }
    }

    /// Returns whether this request has entered the gate; queues it if not.
    fn enter(&mut self, plan: Plan, waker: &Waker) -> bool {
        let Some(gate) = &self.pool.core.gate else { return true };
        let mut stands_by = false;
        match &self.place {
            Some(place) if place.is_granted() => {}
            // If the clone panics, the place stays where `drop` finds it.
            Some(place) => stands_by = gate.rewake(place, waker.clone()),
            None if gate.try_enter(plan.bytes) => return true,
            None => self.place = Some(gate.wait(plan.bytes, waker.clone())),
        }
        let entered = self.place.take_if(|place| place.take()).is_some();
        if stands_by && !entered {
            waker.wake_by_ref();
        }
        entered
    }
}

impl Future for AcquireFuture {
    type Output = Result<PooledBuffer, PoolError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let plan = self.plan.clone()?;
        if !self.enter(plan, context.waker()) {
            return Poll::Pending;
        }
        let buffer = obtain(&self.pool.core, plan, self.location)?;
        Poll::Ready(Ok(match self.contents {
            Contents::Whole => self.pool.whole(buffer),
            Contents::Empty => self.pool.empty(buffer),
        }))
    }
}

impl Drop for AcquireFuture {
    /// Gives up the place in the queue, and the bytes if they were granted.
    fn drop(&mut self) {
        if let (Some(place), Some(gate)) = (self.place.take(), &self.pool.core.gate) {
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
