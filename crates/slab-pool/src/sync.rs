//! The workspace's atomics, which loom replaces in its models, and a lock: `parking_lot`'s, or loom's.

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
