//! Allocators of `core` as memory sources for crates that take those of allocator-api2.
#![expect(unsafe_code, reason = "Allocator is an unsafe trait")]

use core::alloc::{Allocator, Layout};
use core::ptr::NonNull;

use crate::allocator::forward_allocator;

/// Makes any [`core::alloc::Allocator`] an `Allocator` of allocator-api2 0.2, and so a memory source for
/// slab-typed, slab-cache, slab-binned, hashbrown or bumpalo.
///
/// It exists if the compiler has `core`'s trait, which is stable since Rust 1.100. It is `Copy` only if it
/// holds a reference, because a copy of another allocator need not be able to free the blocks of the original.
///
/// # Examples
///
/// ```
/// use allocator_api2::vec::Vec;
/// use slab_traits::StdSource;
/// use std::alloc::System;
///
/// let mut numbers = Vec::new_in(StdSource(System));
/// numbers.extend([1, 2, 3]);
/// assert_eq!(numbers.iter().sum::<i32>(), 6);
/// ```
#[derive(Debug, Default)]
pub struct StdSource<A>(pub A);

impl<A: ?Sized> Clone for StdSource<&A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: ?Sized> Copy for StdSource<&A> {}

// SAFETY: the contract of `core`'s trait includes that of allocator-api2's. A clone holds the same reference,
// so it is the same allocator.
unsafe impl<A: Allocator> allocator_api2::alloc::Allocator for StdSource<A> {
    forward_allocator!(allocator_api2::alloc::AllocError, Allocator, |self| &self.0);
}
