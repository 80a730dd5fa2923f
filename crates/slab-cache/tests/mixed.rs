//! Caches of several types, boxes of trait objects and slices, and pinned values.
#![cfg(not(loom))]

mod config;

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomPinned;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;

use config::With;
use lock_api::RawMutex;
use slab_cache::{
    Checked, Config, Full, Global, Hardened, Mode, NoLock, SharedConfig, SlabArc, SlabBox,
    SlabCache, Unchecked, WithSlots, coerce,
};
use slab_testkit::{FailingSource, for_each_failure};

type Spin = spin::Mutex<()>;
type Mixed<'a, R, M> = WithSlots<48, With<R, &'a FailingSource<Global>, 1024, M>>;

/// The sum of its parts.
trait Sum {
    fn sum(&self) -> u64;
}

impl Sum for u8 {
    fn sum(&self) -> u64 {
        u64::from(*self)
    }
}

impl<const N: usize> Sum for [u64; N] {
    fn sum(&self) -> u64 {
        self.iter().sum()
    }
}

/// Counts its drops.
struct Watched<'a>(&'a Cell<usize>);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

impl Sum for Watched<'_> {
    fn sum(&self) -> u64 {
        100
    }
}

fn types_share_slots<R: RawMutex + 'static, M: Mode>() {
    let source = FailingSource::new(Global);
    let drops = Cell::new(0);
    let cache = SlabCache::<(), Mixed<'_, R, M>>::with_config_in(&source).expect("memory");
    let mut held: Vec<SlabBox<dyn Sum + '_, Mixed<'_, R, M>>> = Vec::new();
    for _ in 0..30 {
        let byte = cache.of().alloc(7_u8).expect("memory");
        let words = cache.of().alloc([1_u64; 6]).expect("memory");
        let watched = cache.of().alloc_with(|| Watched(&drops)).expect("memory");
        held.push(SlabBox::unsize(byte, coerce!(dyn Sum + '_)));
        held.push(SlabBox::unsize(words, coerce!(dyn Sum + '_)));
        held.push(SlabBox::unsize(watched, coerce!(dyn Sum + '_)));
    }
    assert_eq!(held.iter().map(|held| held.sum()).sum::<u64>(), 30 * 113);
    assert_eq!((cache.len(), cache.used_bytes()), (90, 90 * 48));
    let place = SlabBox::as_ptr(&held[0]).cast::<u8>();
    held.remove(0);
    let mut again = Vec::new();
    while cache.stats().live < cache.stats().slots {
        again.push(cache.of().alloc([2_u64; 5]).expect("memory"));
    }
    assert!(again.iter().any(|again| SlabBox::as_ptr(again).cast() == place), "another type");
    let another = cache.of().alloc_rc([3_u64; 5]).expect("memory");
    drop(again);
    drop(held);
    assert_eq!((drops.get(), cache.len(), *another), (30, 1, [3; 5]));
    let words = cache.of::<[u64; 2]>().clone();
    drop(cache);
    let pair = words.alloc([4, 5]).expect("memory");
    drop(words);
    assert_eq!(pair.sum(), 9);
    drop(another);
    drop(pair);
    assert_eq!(source.live_blocks(), 0);
}

#[test]
fn values_of_several_types_share_the_slots_of_a_cache() {
    types_share_slots::<NoLock, Checked>();
    types_share_slots::<NoLock, Unchecked>();
    types_share_slots::<NoLock, Hardened>();
    types_share_slots::<Spin, Checked>();
    types_share_slots::<Spin, Hardened>();
}

#[test]
fn memory_goes_back_while_values_of_other_types_live() {
    let cache = SlabCache::with_slots::<64>().expect("memory");
    let kept = cache.of().alloc("kept".to_owned()).expect("memory");
    let count = if cfg!(miri) { 700 } else { 3000 };
    let held: Vec<_> = (0..count).map(|n| cache.of().alloc([n; 8]).expect("memory")).collect();
    let most = cache.held_bytes();
    drop(held);
    cache.trim();
    assert!(cache.held_bytes() < most / 2 && *kept == "kept", "{}", cache.held_bytes());
}

#[test]
fn a_slot_may_have_any_layout_that_the_configuration_says() {
    #[repr(align(128))]
    struct Line([u8; 100]);
    enum Lines {}
    impl Config for Lines {
        type Lock = NoLock;
        type Mode = Hardened;
        type Source = Global;
        const SLOT: Option<std::alloc::Layout> = Some(std::alloc::Layout::new::<Line>());
    }
    let cache = SlabCache::<(), Lines>::with_config().expect("memory");
    let line = cache.of().alloc(Line([7; 100])).expect("memory");
    let byte = cache.of().alloc(8_u8).expect("memory");
    assert_eq!((line.0[99], *byte), (7, 8));
    assert_eq!(SlabBox::as_ptr(&byte).addr().get() % 128, 0);
    assert_eq!(SlabBox::into_inner(byte), 8);
}

#[test]
#[cfg(feature = "std")]
fn threads_cache_slots_for_values_of_several_types() {
    let cache = SlabCache::<(), WithSlots<64, SharedConfig>>::with_thread_caches().expect("memory");
    let rounds = if cfg!(miri) { 40 } else { 2000 };
    let work = |id| {
        for round in 0..rounds {
            let pair = cache.of().alloc([id, round]).expect("memory");
            let word = cache.of().alloc_arc(format!("{round}")).expect("memory");
            let shown = SlabBox::unsize(pair, coerce!(dyn Sum + Send));
            assert_eq!((shown.sum(), word.parse()), (id + round, Ok(round)));
        }
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(|| work(0)), scope.spawn(|| work(1))];
        // A thread that is joined has freed the slots that it cached.
        assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
    });
    cache.flush_thread_cache();
    assert!(cache.is_empty());
}

#[test]
fn trait_objects_go_where_their_values_may() {
    let cache = SlabCache::shared().expect("memory");
    let pair = cache.alloc([3_u64, 4]).expect("memory");
    let sum: SlabBox<dyn Sum + Send, SharedConfig> = SlabBox::unsize(pair, coerce!(dyn Sum + Send));
    let shared: SlabArc<[u64; 2]> =
        SlabCache::shared().expect("memory").alloc_arc([5, 6]).expect("memory");
    let shared: SlabArc<dyn Sum + Send + Sync> =
        SlabArc::unsize(shared, coerce!(dyn Sum + Send + Sync));
    let other = shared.clone();
    let sums = thread::spawn(move || sum.sum() + other.sum()).join().expect("no panic");
    assert_eq!((sums, shared.sum(), cache.len()), (18, 11, 0));
}

#[test]
fn slices_free_their_slots_by_their_length() {
    let drops = Cell::new(0);
    let cache = SlabCache::new().expect("memory");
    let mut held: Vec<SlabBox<[Watched<'_>]>> = Vec::new();
    for _ in 0..40 {
        let three = cache.alloc([0; 3].map(|_| Watched(&drops))).expect("memory");
        held.push(SlabBox::unsize(three, coerce!([Watched<'_>])));
    }
    assert_eq!((held[7].len(), cache.len()), (3, 40));
    held.truncate(10);
    assert_eq!((drops.get(), cache.len()), (90, 10));
}

#[test]
fn trait_objects_become_those_of_a_supertrait() {
    trait Twice: Sum {
        fn twice(&self) -> u64 {
            2 * self.sum()
        }
    }
    impl Twice for u8 {}
    let cache = SlabCache::new().expect("memory");
    let twice = SlabBox::unsize(cache.alloc(21_u8).expect("memory"), coerce!(dyn Twice));
    assert_eq!(twice.twice(), 42);
    let sum: SlabBox<dyn Sum> = SlabBox::unsize(twice, coerce!(dyn Sum));
    assert_eq!((sum.sum(), cache.len()), (21, 1));
    drop(sum);
    assert!(cache.is_empty());
}

#[test]
fn a_panicking_trait_object_frees_its_slot() {
    std::panic::set_hook(Box::new(|_| {}));
    struct Fragile;
    impl Drop for Fragile {
        fn drop(&mut self) {
            panic_any(());
        }
    }
    trait Any {}
    impl<T> Any for T {}
    fn run<R: RawMutex + 'static, M: Mode>() {
        let source = FailingSource::new(Global);
        let config =
            SlabCache::<_, With<R, &FailingSource<Global>, 1024, M>>::with_config_in(&source);
        let cache = config.expect("memory");
        let held = SlabBox::unsize(cache.alloc(Fragile).expect("memory"), coerce!(dyn Any));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(held))).is_err());
        assert_eq!(cache.len(), 0);
    }
    run::<NoLock, Checked>();
    run::<Spin, Hardened>();
}

/// A future that stays where it was polled first.
struct Stays {
    polls: usize,
    place: Option<usize>,
    _pinned: PhantomPinned,
}

impl Future for Stays {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        let place = (&raw const *self).addr();
        // SAFETY: nothing is moved out of it.
        #[expect(unsafe_code, reason = "fields of a pinned value")]
        let this = unsafe { self.get_unchecked_mut() };
        assert_eq!(*this.place.get_or_insert(place), place, "it has moved");
        this.polls += 1;
        context.waker().wake_by_ref();
        if this.polls < 3 { Poll::Pending } else { Poll::Ready(this.polls) }
    }
}

#[test]
fn futures_of_several_types_are_pinned_in_one_cache() {
    type Task = Pin<SlabBox<dyn Future<Output = usize>, WithSlots<64>>>;
    let cache = SlabCache::with_slots::<64>().expect("memory");
    let stays = Stays { polls: 0, place: None, _pinned: PhantomPinned };
    let first = cache.of().alloc(stays).expect("memory");
    let second = cache.of().alloc(async { 5 }).expect("memory");
    let mut tasks: Vec<Task> = vec![
        SlabBox::into_pin(SlabBox::unsize(first, coerce!(dyn Future<Output = usize>))),
        SlabBox::into_pin(SlabBox::unsize(second, coerce!(dyn Future<Output = usize>))),
    ];
    let mut context = Context::from_waker(Waker::noop());
    let mut sum = 0;
    while let Some(mut task) = tasks.pop() {
        match task.as_mut().poll(&mut context) {
            Poll::Ready(number) => sum += number,
            Poll::Pending => tasks.insert(0, task),
        }
    }
    assert_eq!((sum, cache.len()), (8, 0));

    let stays = Stays { polls: 2, place: None, _pinned: PhantomPinned };
    let one = SlabCache::new().expect("memory").alloc_pin(stays).expect("memory");
    assert_eq!(pin!(one).poll(&mut context), Poll::Ready(3));
}

#[test]
fn a_refused_value_of_any_type_comes_back() {
    let mut refused = 0;
    let injected = for_each_failure(|source| {
        let Ok(cache) = SlabCache::<(), Mixed<'_, NoLock, Checked>>::with_config_in(source) else {
            return;
        };
        let mut held: Vec<SlabBox<dyn Sum, _>> = Vec::new();
        for number in 0..30 {
            match cache.of().alloc([number; 3]) {
                Ok(made) => held.push(SlabBox::unsize(made, coerce!(dyn Sum))),
                Err(Full(value)) => {
                    refused += 1;
                    assert_eq!(value, [number; 3]);
                }
            }
            match cache.of().alloc_rc(number as u8) {
                Ok(made) => assert_eq!(u64::from(*made), number),
                Err(Full(value)) => assert_eq!(u64::from(value), number),
            }
        }
        assert_eq!(cache.len(), held.len());
        drop(cache);
    });
    assert!(injected >= 2 && refused > 0, "{injected} requests, {refused} refused");
}
