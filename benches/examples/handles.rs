//! Does one operation of `slab-typed` or `slab` many times, for `count_handles.sh` to count:
//! `handles CRATE OPERATION TIMES`.

use std::hint::black_box;

use slab::Slab;
use slab_typed::{SlabAllocator, SlotHandle};

#[inline(never)]
fn typed_get(store: &SlabAllocator<u64>, key: SlotHandle) -> Option<&u64> {
    store.get(key)
}

#[inline(never)]
fn typed_churn(store: &mut SlabAllocator<u64>, key: SlotHandle) -> SlotHandle {
    let value = store.remove(key).expect("it is live");
    store.insert(value)
}

#[inline(never)]
fn typed_insert(store: &mut SlabAllocator<u64>, value: u64) -> SlotHandle {
    store.insert(value)
}

#[inline(never)]
fn typed_take(store: &mut SlabAllocator<u64>, key: SlotHandle) -> Option<u64> {
    store.remove(key)
}

#[inline(never)]
fn slab_get(store: &Slab<u64>, key: usize) -> Option<&u64> {
    store.get(key)
}

#[inline(never)]
fn slab_churn(store: &mut Slab<u64>, key: usize) -> usize {
    let value = store.try_remove(key).expect("it is live");
    store.insert(value)
}

#[inline(never)]
fn slab_insert(store: &mut Slab<u64>, value: u64) -> usize {
    store.insert(value)
}

#[inline(never)]
fn slab_take(store: &mut Slab<u64>, key: usize) -> Option<u64> {
    store.try_remove(key)
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [name, operation, times] = &arguments[..] else { panic!("handles CRATE OPERATION TIMES") };
    let times: u64 = times.parse().expect("TIMES is a number");
    let mut typed = SlabAllocator::new(1024);
    let handles: Vec<_> = (0..times).map(|n| typed.insert(n)).collect();
    let mut slab = Slab::new();
    let keys: Vec<_> = (0..times).map(|n| slab.insert(n)).collect();
    let (mut handle, mut key) = (handles[0], keys[0]);
    for n in 0..times {
        match (name.as_str(), operation.as_str()) {
            ("slab-typed", "get") => _ = black_box(typed_get(&typed, black_box(handle))),
            ("slab-typed", "churn") => handle = typed_churn(&mut typed, handle),
            ("slab-typed", "insert") => _ = black_box(typed_insert(&mut typed, n)),
            ("slab-typed", "take") => _ = black_box(typed_take(&mut typed, handles[n as usize])),
            ("slab", "get") => _ = black_box(slab_get(&slab, black_box(key))),
            ("slab", "insert") => _ = black_box(slab_insert(&mut slab, n)),
            ("slab", "take") => _ = black_box(slab_take(&mut slab, keys[n as usize])),
            ("slab", "churn") => key = slab_churn(&mut slab, key),
            _ => _ = black_box((black_box(handle), black_box(key))),
        }
    }
}
