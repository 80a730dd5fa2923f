//! Threads that wait for the gate.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::core::{Core, Plan};
use crate::error::PoolError;
use crate::gate::PATIENCE;

/// How long a request waits.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    None,
    Timeout(Duration),
    Unlimited,
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Enters the gate, if there is one, and waits for it as long as `patience` says.
pub fn enter(core: &Core, plan: Plan, patience: Patience) -> Result<(), PoolError> {
    match (core.try_enter(plan), patience) {
        (Err(PoolError::WouldWait { .. }), Patience::Timeout(timeout)) => {
            wait(core, plan, Some(timeout))
        }
        (Err(PoolError::WouldWait { .. }), Patience::Unlimited) => wait(core, plan, None),
        (outcome, _) => outcome,
    }
}

#[cold]
fn wait(core: &Core, plan: Plan, timeout: Option<Duration>) -> Result<(), PoolError> {
    let Some(gate) = &core.gate else { return Ok(()) };
    // A deadline that the clock cannot represent is no deadline.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let waker = || Waker::from(Arc::new(Unpark(thread::current())));
    let place = gate.wait_blocked(plan.bytes, waker());
    let mut stands_by = false;
    while !place.is_granted() {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match (left, stands_by) {
            (Some(Duration::ZERO), _) => {
                gate.cancel(place);
                let waited = timeout.unwrap_or_default();
                return Err(PoolError::TimedOut { buffer_bytes: plan.bytes, waited });
            }
            (None, false) => thread::park(),
            (Some(left), false) => thread::park_timeout(left),
            (left, true) => thread::park_timeout(left.map_or(PATIENCE, |left| left.min(PATIENCE))),
        }
        if !place.is_granted() {
            stands_by = gate.rewake(&place, waker());
        }
    }
    Ok(())
}
