//! The atomics of this module, of `core` or of loom, and what models need beside them.

pub use slab_core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(loom)]
pub use slab_core::sync::Mutex;
#[cfg(not(loom))]
pub use std::sync::Mutex;

/// Declares a `const fn`. In models, where atomics are made at run time, it is an ordinary one.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

/// Returns an array of new values.
pub fn array<V, const N: usize>(new: impl Fn() -> V) -> [V; N] {
    core::array::from_fn(|_| new())
}

/// Null pointers, as a constant where atomics are.
macro_rules! nulls {
    ($count:expr) => {{
        #[cfg(not(loom))]
        let nulls = [const { AtomicPtr::new(ptr::null_mut()) }; $count];
        #[cfg(loom)]
        let nulls = core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
        nulls
    }};
}
pub(crate) use nulls;
