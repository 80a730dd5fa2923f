//! Atomics, interior mutability and spinning: those of `core`, or those of loom in a build with
//! `--cfg loom`. The only place in the workspace that knows which.
//!
//! A concurrent algorithm written against this module runs unchanged on hardware and in a loom
//! model that tries its interleavings. Targets without compare-and-swap get the atomics that they
//! have.

pub use imp::{UnsafeCell, atomic, hint};

/// The lock of a model. Outside of models a crate brings its own: `core` has none.
#[cfg(loom)]
pub use imp::Mutex;

#[cfg(not(loom))]
mod imp {
    pub use core::hint;
    pub use core::sync::atomic;

    /// A cell that is shared, whose accesses the caller keeps apart.
    ///
    /// As [`core::cell::UnsafeCell`], but its pointers live in closures, so that loom can see
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
}
