//! Atomics of the workspace's facade, and the lock: `parking_lot`'s, or in models that of the facade.

pub use slab_core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub use slab_core::sync::hint;

#[cfg(not(loom))]
pub use parking_lot::Mutex;

#[cfg(loom)]
pub use model::Mutex;

#[cfg(loom)]
mod model {
    use std::ops::DerefMut;

    /// The facade's lock with the calls of `parking_lot`.
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
