//! Allocates and drops one 64-byte object many times, for `count_cache.sh` to count:
//! `cache_pairs CONTENDER TIMES`.

use std::hint::black_box;

use slab_cache::{
    Checked, Config, Global, Hardened, Mode, NoLock, SlabBox, SlabCache, Unchecked, coerce,
};

type Object = [u64; 8];
type Cache<R, M> = SlabCache<Object, With<R, M>>;

/// A lock and a mode, over the global allocator.
struct With<R, M>(std::marker::PhantomData<fn() -> (R, M)>);

impl<R: lock_api::RawMutex + 'static, M: Mode> Config for With<R, M> {
    type Lock = R;
    type Mode = M;
    type Source = Global;
}

fn pairs<R: lock_api::RawMutex + 'static, M: Mode>(cache: &Cache<R, M>, times: u64) {
    for number in 0..times {
        drop(black_box(cache.alloc([number; 8]).expect("memory")));
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [name, times] = &arguments[..] else { panic!("cache_pairs CONTENDER TIMES") };
    let times = times.parse().expect("TIMES is a number");
    type Spin = spin::Mutex<()>;
    match name.as_str() {
        "unchecked" => pairs(&Cache::<NoLock, Unchecked>::with_config().expect("memory"), times),
        "checked" => pairs(&Cache::<NoLock, Checked>::with_config().expect("memory"), times),
        "hardened" => pairs(&Cache::<NoLock, Hardened>::with_config().expect("memory"), times),
        "spin" => pairs(&Cache::<Spin, Checked>::with_config().expect("memory"), times),
        "thread-caches" => {
            pairs(&Cache::<Spin, Checked>::with_thread_caches().expect("memory"), times);
        }
        "dyn" => {
            let cache = SlabCache::with_slots::<64>().expect("memory");
            for number in 0..times {
                let value = cache.of().alloc([number; 8]).expect("memory");
                drop(black_box(SlabBox::unsize(value, coerce!(dyn Send))));
            }
        }
        "rc" => {
            let cache = SlabCache::new().expect("memory");
            for number in 0..times {
                drop(black_box(cache.alloc_rc([number; 8]).expect("memory")));
            }
        }
        "arc" => {
            let cache = SlabCache::shared().expect("memory");
            for number in 0..times {
                drop(black_box(cache.alloc_arc([number; 8]).expect("memory")));
            }
        }
        "plurality" => {
            let pool = plurality::Pool::<Object>::new();
            (0..times).for_each(|number| drop(black_box(pool.alloc_box([number; 8]))));
        }
        "std-rc" => {
            (0..times).for_each(|number| drop(black_box(std::rc::Rc::new([number; 8]))));
        }
        "box" => (0..times).for_each(|number| drop(black_box(Box::new([number; 8])))),
        _ => (0..times).for_each(|number| _ = black_box([number; 8])),
    }
}
