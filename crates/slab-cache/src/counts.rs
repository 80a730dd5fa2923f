//! How counted pointers count their owners. Safe code.
//!
//! The count lies beside the value in its slot. It starts at 1, and is 0 once the last owner is gone.

use core::marker::PhantomData;

use slab_core::sync::atomic::{AtomicUsize, Ordering};

/// The most owners of a value, as of `std::sync::Arc`. A program that forgets so many aborts: a count that wraps
/// would drop a value that has owners.
const OWNERS_MAX: usize = isize::MAX as usize;

/// How a [`SlabCounted`](crate::SlabCounted) counts: [`LocalCount`] or [`AtomicCount`]. No other type can
/// implement it.
pub trait Count: sealed::Sealed {}

mod sealed {
    use slab_core::sync::atomic::AtomicUsize;

    pub trait Sealed {
        /// Adds an owner. The program aborts if there are too many.
        fn add(count: &AtomicUsize);
        /// Removes an owner, and returns whether it was the last one.
        fn remove(count: &AtomicUsize) -> bool;
        /// Returns whether there is one owner: the caller, who may write to the value then.
        fn is_unique(count: &AtomicUsize) -> bool;
    }
}

/// The count of [`SlabRc`](crate::SlabRc), for owners on one thread.
#[derive(Debug)]
pub struct LocalCount(PhantomData<*const ()>);

impl Count for LocalCount {}

// All owners are on one thread, so that nothing is ordered: relaxed loads and stores are plain ones.
impl sealed::Sealed for LocalCount {
    #[inline(always)]
    fn add(count: &AtomicUsize) {
        let before = count.load(Ordering::Relaxed);
        if before >= OWNERS_MAX {
            abort();
        }
        count.store(before + 1, Ordering::Relaxed);
    }

    #[inline(always)]
    fn remove(count: &AtomicUsize) -> bool {
        let before = count.load(Ordering::Relaxed);
        count.store(before - 1, Ordering::Relaxed);
        before == 1
    }

    #[inline(always)]
    fn is_unique(count: &AtomicUsize) -> bool {
        count.load(Ordering::Relaxed) == 1
    }
}

/// The count of `SlabArc`, for owners on several threads. Only on targets with compare-and-swap.
#[cfg(target_has_atomic = "ptr")]
#[derive(Debug)]
pub struct AtomicCount(());

#[cfg(target_has_atomic = "ptr")]
impl Count for AtomicCount {}

#[cfg(target_has_atomic = "ptr")]
impl sealed::Sealed for AtomicCount {
    #[inline(always)]
    fn add(count: &AtomicUsize) {
        // Relaxed: the new owner is made from this one, which orders all that it must see. The count may exceed the
        // maximum for a moment, by the number of threads at most.
        if count.fetch_add(1, Ordering::Relaxed) >= OWNERS_MAX {
            abort();
        }
    }

    #[inline(always)]
    fn remove(count: &AtomicUsize) -> bool {
        // Release: what this owner did with the value happens before the last owner drops it.
        if count.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        // Acquire: so does what the other owners did. This reads the zero that was just written, which continues
        // their releases. A load instead of a fence, which the thread sanitizer does not understand.
        count.load(Ordering::Acquire);
        true
    }

    #[inline(always)]
    fn is_unique(count: &AtomicUsize) -> bool {
        // Acquire: what former owners did with the value happens before the caller writes to it.
        count.load(Ordering::Acquire) == 1
    }
}

/// Aborts the program, also without `std`: a panic while another panic drops `Twice` does.
#[cold]
#[inline(never)]
fn abort() -> ! {
    struct Twice;

    impl Drop for Twice {
        fn drop(&mut self) {
            panic!(
                "slab-cache: the program aborts, because a count that wraps frees a value with owners"
            );
        }
    }

    let _twice = Twice;
    panic!("slab-cache: a value has at most {OWNERS_MAX} owners");
}

#[cfg(all(test, not(any(loom, miri)), target_has_atomic = "ptr"))]
mod tests {
    use super::sealed::Sealed;
    use super::*;
    use slab_testkit::child::{self, mistake};

    /// The child's part; on its own it does nothing.
    #[test]
    fn acts() {
        let Some(name) = child::cell() else { return };
        let full = AtomicUsize::new(OWNERS_MAX);
        // The program ends although this catches a panic.
        let _ = std::panic::catch_unwind(|| {
            mistake(|| match name.as_str() {
                "local" => LocalCount::add(&full),
                _ => AtomicCount::add(&full),
            });
        });
    }

    /// Where a `usize` has 32 bits, forgetting so many owners takes a minute.
    #[test]
    fn forgotten_owners_end_the_program_before_their_count_wraps() {
        let count = AtomicUsize::new(OWNERS_MAX - 1);
        LocalCount::add(&count);
        assert!(!LocalCount::remove(&count) && !LocalCount::is_unique(&count));
        for cell in ["local", "atomic"] {
            let words = ["slab-cache: a value has at most", "the program aborts"];
            child::run_child("counts::tests::acts", cell).assert_ended(&words);
        }
    }
}
