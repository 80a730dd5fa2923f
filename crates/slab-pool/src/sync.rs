//! The workspace's atomics, which loom replaces in its models, a lock: `parking_lot`'s, or loom's, and a clock.

use std::time::Duration;

pub use slab_core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub use slab_core::sync::hint;

#[cfg(not(loom))]
pub use parking_lot::Mutex;

#[cfg(loom)]
pub use model::Mutex;

#[cfg(loom)]
mod model {
    use std::ops::DerefMut;

    /// The workspace's lock with the interface of `parking_lot`.
    #[derive(Debug)]
    pub struct Mutex<T>(slab_core::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(slab_core::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> impl DerefMut<Target = T> + '_ {
            self.0.lock().expect("no panic in a model")
        }

        pub fn try_lock(&self) -> Option<impl DerefMut<Target = T> + '_> {
            self.0.try_lock().ok()
        }
    }
}

/// A point in time. In models each one is old: a model must not depend on a clock.
#[derive(Debug, Clone, Copy)]
pub struct Moment(#[cfg(not(loom))] std::time::Instant);

impl Moment {
    pub fn now() -> Self {
        Self(
            #[cfg(not(loom))]
            std::time::Instant::now(),
        )
    }

    pub fn is_older_than(self, #[cfg_attr(loom, expect(unused))] age: Duration) -> bool {
        #[cfg(not(loom))]
        return self.0.elapsed() >= age;
        #[cfg(loom)]
        true
    }
}
