//! Threads that wait for the gate.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::core::{Core, Plan};
use crate::error::PoolError;

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
