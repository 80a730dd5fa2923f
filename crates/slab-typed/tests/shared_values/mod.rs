//! Values for tests of `SharedSlab`, and the sizes of the tests.
#![allow(dead_code, reason = "each test uses some of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The slots of a slab of small values, fewer under Miri.
pub const SLAB_SLOTS: usize = if cfg!(miri) { 64 } else { 1024 };

/// Fewer operations under Miri.
pub fn some(count: usize) -> usize {
    if cfg!(miri) { count.div_ceil(100) } else { count }
}

/// Lets other threads run.
pub fn linger() {
    if cfg!(miri) {
        thread::yield_now();
    } else {
        (0..200).for_each(|_| std::hint::spin_loop());
    }
}

/// A number and its complement, on the heap: a reader of a dropped or overwritten value finds a difference, or Miri and the
/// sanitizers do.
pub struct Pair(Box<[u64; 2]>);

impl Pair {
    pub fn new(number: u64) -> Self {
        Self(Box::new([number, !number]))
    }

    pub fn number(&self) -> u64 {
        assert_eq!(self.0[0], !self.0[1]);
        self.0[0]
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.number();
        *self.0 = [0, 0];
    }
}

/// Counts its drops.
pub struct Counted(pub Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts its drops, and panics in them if told so.
pub struct Bomb(pub bool, pub Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
        if self.0 {
            std::panic::panic_any("bomb");
        }
    }
}
