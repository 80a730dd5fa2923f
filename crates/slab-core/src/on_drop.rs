//! A last step that also runs when code of the user unwinds.

use core::fmt;
use core::ops::{Deref, DerefMut};

/// Calls a closure on its state when it is dropped, unless it was disarmed first.
///
/// An allocator that calls code of its user (a memory source, a destructor, a hook) puts the rest of
/// the work into such a guard: if that code panics, the unwinding drops the guard, and no memory is lost.
/// The guard dereferences to its state, most often a `&mut` to the allocator, so that the operation
/// itself works through the guard.
///
/// A second panic, in the closure, while the first one unwinds aborts the program.
///
/// # Examples
///
/// ```
/// use slab_core::OnDrop;
///
/// let mut lists = vec![3, 2, 1];
/// let mut guarded = OnDrop::new(&mut lists, |lists| lists.sort());
/// guarded.push(0); // If this panics, the vector is sorted all the same.
/// drop(guarded);
/// assert_eq!(lists, [0, 1, 2, 3]);
///
/// let undo = OnDrop::new(&mut lists, |lists| lists.clear());
/// undo.disarm(); // The operation succeeded.
/// assert_eq!(lists, [0, 1, 2, 3]);
/// ```
#[must_use = "the closure runs at once if the guard is not kept"]
pub struct OnDrop<S, F: FnMut(&mut S)> {
    state: S,
    action: F,
    is_armed: bool,
}

impl<S, F: FnMut(&mut S)> OnDrop<S, F> {
    /// Returns a guard that will call `action` on `state`.
    #[inline]
    pub const fn new(state: S, action: F) -> Self {
        Self { state, action, is_armed: true }
    }

    /// Drops the guard without calling the closure.
    #[inline]
    pub fn disarm(mut self) {
        self.is_armed = false;
    }
}

impl<S, F: FnMut(&mut S)> Drop for OnDrop<S, F> {
    #[inline]
    fn drop(&mut self) {
        if self.is_armed {
            (self.action)(&mut self.state);
        }
    }
}

impl<S, F: FnMut(&mut S)> Deref for OnDrop<S, F> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S, F: FnMut(&mut S)> DerefMut for OnDrop<S, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}

impl<S: fmt::Debug, F: FnMut(&mut S)> fmt::Debug for OnDrop<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDrop")
            .field("state", &self.state)
            .field("is_armed", &self.is_armed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::format;
    use std::panic::{self, AssertUnwindSafe};
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_closure_runs_once_at_the_end() {
        let mut steps = Vec::new();
        let mut guard = OnDrop::new(&mut steps, |steps| steps.push("last"));
        guard.push("first");
        assert_eq!(guard.len(), 1);
        assert_eq!(format!("{guard:?}"), "OnDrop { state: [\"first\"], is_armed: true, .. }");
        drop(guard);
        assert_eq!(steps, ["first", "last"]);
    }

    #[test]
    fn the_closure_runs_when_the_guarded_code_unwinds() {
        let mut returned = 0;
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            let mut guard = OnDrop::new(&mut returned, |returned| **returned += 1);
            **guard += 10;
            panic::resume_unwind(Box::new("the source of the user"));
        }));
        assert!(outcome.is_err());
        assert_eq!(returned, 11);
    }

    #[test]
    fn a_disarmed_guard_drops_its_state_and_nothing_else() {
        let state = std::rc::Rc::new(());
        OnDrop::new(state.clone(), |_| unreachable!("it was disarmed")).disarm();
        assert_eq!(std::rc::Rc::strong_count(&state), 1);
    }
}
