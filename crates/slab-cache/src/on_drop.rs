//! A guard for steps that have to run even if the user's code unwinds.

use core::mem;

/// Runs a closure when it is dropped, unless it is disarmed.
pub struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> OnDrop<F> {
    pub const fn new(action: F) -> Self {
        Self(action)
    }

    /// Drops the guard without running the closure.
    pub fn disarm(self) {
        mem::forget(self);
    }
}

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
