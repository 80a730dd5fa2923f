//! Values of all shapes, and auto traits and variance.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use allocator_api2::alloc::Global;
use slab_testkit::implements;
use slab_typed::{IntoIter, Iter, IterMut, SecondaryMap, SlabAllocator, SlotHandle, TypedHandle};

/// Stores, frees, iterates, compacts and stores again.
fn exercise<T: Clone + PartialEq + std::fmt::Debug>(slab_capacity: usize, make: impl Fn(u8) -> T) {
    let mut slab = SlabAllocator::new(slab_capacity);
    let handles: Vec<_> = (0..30).map(|n| slab.allocate(make(n)).unwrap()).collect();
    for (n, &handle) in (0..).zip(&handles) {
        let value = slab.get(handle).unwrap();
        assert_eq!(value, &make(n));
        assert!((&raw const *value).is_aligned());
    }
    slab.validate().unwrap();
    handles.iter().step_by(2).for_each(|&handle| slab.free(handle).unwrap());
    assert_eq!(slab.iter().count(), 15);
    assert_eq!(slab.clone().into_iter().map(|(_, value)| value).next(), Some(make(1)));
    slab.retain(|handle, _| handle == handles[29]);
    slab.compact();
    assert_eq!(slab.take(handles[29]), Some(make(29)));
    slab.validate().unwrap();
}

#[test]
fn zero_sized_small_large_and_over_aligned_values() {
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(256))]
    struct Wide(u8);
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(8192))]
    struct Page(u8);
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(64))]
    struct Nothing;

    for slab_capacity in [1, 7, 64].into_iter().take(if cfg!(miri) { 2 } else { 3 }) {
        exercise(slab_capacity, |_| ());
        exercise(slab_capacity, |_| Nothing);
        exercise(slab_capacity, |n| n);
        exercise(slab_capacity, |n| [n; 3]);
        exercise(slab_capacity, |n| vec![n; n as usize]);
        exercise(slab_capacity, |n| [u64::from(n); 700]);
        exercise(slab_capacity, Wide);
        exercise(slab_capacity, Page);
        exercise(slab_capacity, Rc::new);
    }
}

#[test]
fn zero_sized_values_have_handles_of_their_own() {
    let mut slab = SlabAllocator::new(16);
    let handles: HashSet<_> = (0..100).map(|_| slab.allocate(()).unwrap()).collect();
    assert_eq!(handles.len(), 100);
}

#[test]
fn growing_moves_no_value() {
    let mut slab = SlabAllocator::new(64);
    let first = slab.allocate(0).unwrap();
    let address = &raw const slab[first];
    for n in 1..if cfg!(miri) { 300 } else { 10_000 } {
        slab.allocate(n).unwrap();
    }
    assert_eq!(&raw const slab[first], address);
}

const _: () = {
    assert!(size_of::<SlotHandle>() == 8 && size_of::<Option<SlotHandle>>() == 8);
    assert!(size_of::<TypedHandle<String>>() == 8 && size_of::<Option<TypedHandle<String>>>() == 8);
};

const fn sendable<T: Send>() {}
const fn shareable<T: Sync>() {}

/// `Send` and `Sync`, though its tag is neither.
type Tagged = TypedHandle<*const ()>;

const _: () = {
    sendable::<SlabAllocator<String>>();
    shareable::<SlabAllocator<String>>();
    sendable::<SlabAllocator<String, Tagged>>();
    sendable::<SlabAllocator<std::cell::Cell<u8>>>();
    sendable::<IterMut<'_, std::cell::Cell<u8>>>();
    sendable::<Iter<'_, String>>();
    sendable::<IntoIter<String>>();
    sendable::<SecondaryMap<Tagged, String>>();
    shareable::<Tagged>();
};

#[test]
fn a_typed_handle_hashes_as_the_handle_in_it() {
    let state = RandomState::new();
    let mut slab: SlabAllocator<u8, Tagged> = SlabAllocator::with_key(8);
    let handles = [(); 50].map(|()| slab.allocate(1).unwrap());
    let hashes: HashSet<_> = handles.iter().map(|handle| state.hash_one(handle)).collect();
    assert_eq!(hashes.len(), 50);
    for handle in handles {
        assert_eq!(state.hash_one(handle), state.hash_one(slab_typed::Key::handle(handle)));
    }
}

#[test]
fn what_may_not_be_sent_is_not() {
    use std::cell::Cell;
    use std::sync::MutexGuard;
    assert!(!implements!(SlabAllocator<Rc<u8>>: Send));
    assert!(!implements!(SlabAllocator<Cell<u8>>: Sync));
    assert!(!implements!(Iter<'static, Cell<u8>>: Send));
    assert!(!implements!(IterMut<'static, Rc<u8>>: Send));
    assert!(!implements!(SlabAllocator<MutexGuard<'static, u8>>: Send));
}

/// Compiles only if the allocator and its iterators are covariant in the value.
#[expect(dead_code, reason = "it is enough that it compiles")]
fn covariant<'short>(
    slab: SlabAllocator<&'static str>,
    iter: Iter<'short, &'static str>,
    map: SecondaryMap<SlotHandle, &'static str>,
) -> (
    SlabAllocator<&'short str>,
    Iter<'short, &'short str>,
    SecondaryMap<SlotHandle, &'short str, Global>,
) {
    (slab, iter, map)
}

#[test]
fn debug_shows_live_values() {
    let mut slab = SlabAllocator::new(4);
    let gone = slab.allocate("gone").unwrap();
    slab.allocate("here").unwrap();
    slab.free(gone).unwrap();
    assert_eq!(format!("{slab:?}"), r#"{1v1: "here"}"#);
}

#[test]
fn a_static_slab_costs_nothing_until_it_is_used() {
    static EMPTY: SlabAllocator<u64> = SlabAllocator::new(1024);
    assert_eq!((EMPTY.memory_bytes(), EMPTY.live_count()), (0, 0));
    assert!(EMPTY.get(SlotHandle::from_bits(1 << 32).unwrap()).is_none());
}
