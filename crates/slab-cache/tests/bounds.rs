//! Which caches and boxes are `Send` and `Sync`, and how long their borrows live.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a memory source of one thread")]

mod config;

use std::alloc::Layout;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::MutexGuard;

use allocator_api2::alloc::{AllocError, Allocator};
use config::With;
use slab_cache::{Global, SlabBox, SlabCache};
use slab_testkit::implements;

type Spin = spin::Mutex<()>;

/// A source that may not be shared, or not even sent.
struct Bound<X>(PhantomData<X>);

// SAFETY: it is `Global`.
unsafe impl<X> Allocator for Bound<X> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block with its layout, and `Global` allocated it.
        unsafe { Global.deallocate(block, layout) };
    }
}

type Unshared = Bound<Cell<u8>>;
type Unsent = Bound<*const u8>;
/// A value that may not be sent, but shared.
type Guard = MutexGuard<'static, u8>;

#[test]
fn a_cache_goes_where_its_lock_and_its_source_go() {
    assert!(
        implements!(SlabCache<String, With<Spin>>: Send)
            && implements!(SlabCache<String, With<Spin>>: Sync)
    );
    // Values do not move with the cache.
    assert!(
        implements!(SlabCache<Rc<u8>, With<Spin>>: Send)
            && implements!(SlabCache<Rc<u8>, With<Spin>>: Sync)
    );
    assert!(!implements!(SlabCache<u8>: Send) && !implements!(SlabCache<u8>: Sync));
    // A handle that is dropped may call the source and drop it, while other threads do.
    assert!(!implements!(SlabCache<u8, With<Spin, Unshared>>: Send));
    assert!(!implements!(SlabCache<u8, With<Spin, Unshared>>: Sync));
    assert!(!implements!(SlabCache<u8, With<Spin, Unsent>>: Send));
}

#[test]
fn a_box_goes_where_its_value_and_its_cache_go() {
    assert!(
        implements!(SlabBox<String, With<Spin>>: Send)
            && implements!(SlabBox<String, With<Spin>>: Sync)
    );
    assert!(implements!(SlabBox<Cell<u8>, With<Spin>>: Send));
    assert!(!implements!(SlabBox<Cell<u8>, With<Spin>>: Sync));
    assert!(
        !implements!(SlabBox<Rc<u8>, With<Spin>>: Send)
            && !implements!(SlabBox<Rc<u8>, With<Spin>>: Sync)
    );
    assert!(
        !implements!(SlabBox<Guard, With<Spin>>: Send)
            && implements!(SlabBox<Guard, With<Spin>>: Sync)
    );
    // Dropped elsewhere it would use the cache there; borrowed there it does not.
    assert!(!implements!(SlabBox<u8>: Send) && implements!(SlabBox<u8>: Sync));
    assert!(!implements!(SlabBox<u8, With<Spin, Unshared>>: Send));
    assert!(!implements!(SlabBox<u8, With<Spin, Unsent>>: Send));
}

/// Compiles only if caches and boxes are covariant in the value.
#[expect(dead_code, reason = "it is enough that it compiles")]
fn covariant<'short>(
    cache: SlabCache<&'static str>,
    held: SlabBox<&'static str>,
) -> (SlabCache<&'short str>, SlabBox<&'short str>) {
    (cache, held)
}

#[test]
fn a_borrowed_value_is_dropped_before_what_it_borrows() {
    struct Last<'a>(&'a Cell<u8>);
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let count = Cell::new(0);
    let cache: SlabCache<Last<'_>> = SlabCache::new().expect("memory");
    let held = cache.alloc(Last(&count)).expect("memory");
    drop(cache);
    drop(held);
    assert_eq!(count.get(), 1);
}
