//! Atomics, interior mutability and spin hints, from `core` or, in a build with `--cfg loom`, from loom.
//! No other module of the workspace depends on which.
//!
//! An algorithm that uses this module runs unchanged on hardware and in a loom model, which tries its
//! interleavings. On targets without compare-and-swap the module has the atomics of `core` there.

pub use imp::{UnsafeCell, atomic, hint};

/// The lock of loom models. There is none in other builds, because `core` has no lock.
#[cfg(loom)]
pub use imp::Mutex;
/// The thread-local variables of loom models. There are none in other builds, because `core` has none.
#[cfg(loom)]
pub use imp::thread_local;

#[cfg(not(loom))]
mod imp {
    pub use core::hint;
    pub use core::sync::atomic;

    /// A [`core::cell::UnsafeCell`] that gives its pointers to closures only, so that loom can detect
    /// accesses that overlap.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T: ?Sized>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// Wraps a value.
        pub const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        /// Returns the value.
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Calls `action` with a pointer to read through.
        #[inline(always)]
        pub fn with<R>(&self, action: impl FnOnce(*const T) -> R) -> R {
            action(self.0.get())
        }

        /// Calls `action` with a pointer to write through.
        #[inline(always)]
        pub fn with_mut<R>(&self, action: impl FnOnce(*mut T) -> R) -> R {
            action(self.0.get())
        }
    }
}

#[cfg(loom)]
mod imp {
    pub use loom::cell::UnsafeCell;
    pub use loom::hint;
    pub use loom::sync::Mutex;
    pub use loom::sync::atomic;
    pub use loom::thread_local;
}
