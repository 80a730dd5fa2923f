//! A cache on one thread.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "raw pointers become boxes again")]

mod config;

use std::collections::HashSet;
use std::pin::Pin;

use config::With;
use slab_cache::{Checked, Full, Global, Hardened, Mode, NoLock, SlabBox, SlabCache, Unchecked};

type Cache<T, const SLAB_SIZE: usize = 4096, M = Checked> =
    SlabCache<T, With<NoLock, Global, SLAB_SIZE, M>>;

#[test]
fn a_box_is_one_pointer_wide() {
    assert_eq!(size_of::<SlabBox<[u64; 9]>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<SlabBox<[u64; 9]>>>(), size_of::<usize>());
}

fn fill<T: Clone + PartialEq + std::fmt::Debug, const SLAB_SIZE: usize, M: Mode>(value: T) {
    let cache = Cache::<T, SLAB_SIZE, M>::with_config().expect("memory");
    let count = if cfg!(miri) { 8 } else { 3 * Cache::<T, SLAB_SIZE, M>::SLOTS_PER_SLAB + 5 };
    let mut held: Vec<_> =
        (0..count).map(|_| cache.alloc(value.clone()).expect("memory")).collect();
    let places: HashSet<_> = held.iter().map(|held| SlabBox::as_ptr(held).addr()).collect();
    assert_eq!(places.len(), held.len(), "no two have the same place");
    for held in &held {
        assert_eq!(SlabBox::as_ptr(held).addr().get() % align_of::<T>(), 0);
        assert_eq!(**held, value);
    }
    assert_eq!(cache.stats().live, u64::from(count));
    held.truncate(count as usize / 2);
    let again: Vec<_> = (0..count).map(|_| cache.alloc(value.clone()).expect("memory")).collect();
    assert_eq!(cache.stats().live, u64::from(count + count / 2));
    drop(again);
    drop(held);
    assert_eq!(cache.stats().live, 0);
    assert!(cache.reclaim() > 0);
    assert_eq!(cache.stats().slabs, 0);
}

#[derive(Clone, PartialEq, Debug)]
#[repr(align(512))]
struct Aligned(u8);

#[test]
fn values_of_all_sizes_and_alignments() {
    fill::<u8, 4096, Checked>(7);
    fill::<u8, 256, Unchecked>(7);
    fill::<u16, 4096, Hardened>(7);
    fill::<[u8; 3], 1024, Hardened>([1, 2, 3]);
    fill::<u64, 4096, Unchecked>(7);
    fill::<[u64; 8], 4096, Checked>([7; 8]);
    fill::<Aligned, 4096, Checked>(Aligned(3));
    fill::<Aligned, 2048, Hardened>(Aligned(3));
    fill::<[u8; 4032], 4096, Checked>([9; 4032]);
    fill::<[u8; 4000], 4096, Hardened>([9; 4000]);
    fill::<[u8; 5000], 16384, Checked>([9; 5000]);
    fill::<[u8; 40000], 65536, Checked>([9; 40000]);
}

#[test]
fn values_of_no_size_have_slots_of_their_own() {
    fill::<(), 4096, Checked>(());
    fill::<[u64; 0], 256, Hardened>([]);
}

#[test]
fn boxes_behave_as_their_values() {
    use std::hash::{BuildHasher, RandomState};

    let cache = SlabCache::<String>::new().expect("memory");
    let [one, two] = ["one", "two"].map(|word| cache.alloc(word.to_owned()).expect("memory"));
    assert_eq!(format!("{one} {two:?}"), "one \"two\"");
    assert!(one < two && one != two && one == cache.alloc("one".to_owned()).expect("memory"));
    let state = RandomState::new();
    assert_eq!(state.hash_one(&one), state.hash_one("one"));
    assert!(format!("{one:p}").starts_with("0x"));
    assert_eq!(one.as_ref(), "one");
    let two_again: String = two.clone();
    let set: HashSet<SlabBox<String>> = [one, two].into_iter().collect();
    assert!(set.contains(&two_again));
}

#[test]
fn inner_raw_leaked_and_adopted() {
    let cache = SlabCache::<String>::new().expect("memory");
    let make = |word: &str| cache.alloc(word.to_owned()).expect("memory");
    assert_eq!(SlabBox::into_inner(make("a")), "a");
    let pointer = SlabBox::into_raw(make("b"));
    assert_eq!(cache.stats().live, 1);
    // SAFETY: it comes from `into_raw`, and is made a box once.
    let back: SlabBox<String> = unsafe { SlabBox::from_raw(pointer) };
    assert_eq!(*back, "b");
    drop(back);
    let leaked: &mut String = SlabBox::leak(make("c"));
    leaked.push('!');
    // SAFETY: the reference is not used any more.
    let back = unsafe { cache.adopt(leaked.into()) }.expect("it is ours");
    assert_eq!(*back, "c!");
    drop(back);
    assert_eq!(cache.stats().live, 0);
}

#[test]
fn uninitialised_boxes_are_written_before_they_are_read() {
    let cache = SlabCache::<[u8; 100]>::new().expect("memory");
    let empty = cache.alloc_uninit().expect("memory");
    let mut full = SlabBox::write(empty, [1; 100]);
    full[0] = 2;
    assert_eq!((full[0], full[99]), (2, 1));
    drop(cache.alloc_uninit().expect("memory"));
    drop(full);
    assert_eq!(cache.stats().live, 0);
}

#[test]
fn pinned_values_stay() {
    let cache = SlabCache::<u64>::new().expect("memory");
    let pinned: Pin<SlabBox<u64>> = SlabBox::into_pin(cache.alloc(7).expect("memory"));
    let place = &raw const *pinned;
    let moved = Box::new(pinned);
    assert_eq!(&raw const **moved, place);
    let future = SlabCache::<_>::new().expect("memory");
    let boxed = future.alloc(std::future::ready(3)).expect("memory");
    let mut boxed = std::pin::pin!(boxed);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(Future::poll(boxed.as_mut(), &mut context), std::task::Poll::Ready(3));
}

#[test]
fn boxes_outlive_all_handles() {
    let cache = SlabCache::<String>::new().expect("memory");
    let other = cache.clone();
    let count = if cfg!(miri) { 60 } else { 1000 };
    let mut held: Vec<_> =
        (0..count).map(|n| other.alloc(n.to_string()).expect("memory")).collect();
    drop(cache);
    held.truncate(count / 2);
    drop(other);
    for (n, held) in held.iter().enumerate() {
        assert_eq!(**held, n.to_string());
    }
    while held.len() > 1 {
        held.swap_remove((held.len() / 3).max(1));
    }
    assert_eq!(*held[0], "0");
}

#[test]
fn a_cache_may_be_a_value_of_a_cache() {
    struct Node {
        _next: Option<SlabBox<Node>>,
        _cache: SlabCache<Node>,
    }
    let cache = SlabCache::<Node>::new().expect("memory");
    let mut list = None;
    for _ in 0..100 {
        let node = Node { _next: list.take(), _cache: cache.clone() };
        list = Some(cache.alloc(node).expect("memory"));
    }
    drop(cache);
    drop(list);
}

#[test]
fn a_value_may_allocate_and_free_while_it_is_made_and_dropped() {
    struct Busy(SlabCache<[u64; 8]>, Option<SlabBox<[u64; 8]>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            self.1 = None;
            drop(self.0.alloc([1; 8]).expect("memory"));
        }
    }
    let inner = SlabCache::<[u64; 8]>::new().expect("memory");
    let cache = SlabCache::<Busy>::new().expect("memory");
    for _ in 0..100 {
        let made = cache.alloc_with(|| {
            let _other = cache.alloc(Busy(inner.clone(), None));
            Busy(inner.clone(), inner.alloc([2; 8]).ok())
        });
        drop(made.expect("memory"));
    }
    assert_eq!((cache.stats().live, inner.stats().live), (0, 0));
}

#[test]
fn refusals_hand_the_value_back() {
    let full = Full("value");
    assert_eq!(full.to_string(), "no slot is free and the memory source has no more memory");
    assert_eq!(format!("{full:?}"), "Full(..)");
    assert_eq!(full.0, "value");
}

#[test]
fn the_same_word_serves_again_and_the_fullest_slab_first() {
    const SLOTS: usize = SlabCache::<[u64; 8]>::SLOTS_PER_SLAB as usize;
    let cache = SlabCache::<[u64; 8]>::new().expect("memory");
    let mut slabs: Vec<Vec<_>> = (0..3)
        .map(|_| (0..SLOTS).map(|n| cache.alloc([n as u64; 8]).expect("memory")).collect())
        .collect();
    // A fourth slab serves now, so that the first three are not the front.
    let front = cache.alloc([0; 8]).expect("memory");
    slabs[0].truncate(5);
    slabs[1].truncate(SLOTS - 2);
    slabs[2].truncate(SLOTS / 2);
    let base = |held: &SlabBox<[u64; 8]>| SlabBox::as_ptr(held).addr().get() / 4096;
    let (fullest, front) = (base(&slabs[1][0]), base(&front));
    let more: Vec<_> = (0..SLOTS).map(|_| cache.alloc([0; 8]).expect("memory")).collect();
    let of = |slab| more.iter().filter(|held| base(held) == slab).count();
    assert!(of(front) >= SLOTS - 3, "{} of the front", of(front));
    assert_eq!(of(fullest), 1.max(SLOTS - of(front)).min(2));
}
