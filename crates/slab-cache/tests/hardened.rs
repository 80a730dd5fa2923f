//! What `unsafe` code gets wrong, and who finds it.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "makes mistakes on purpose")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use lock_api::RawMutex;
use slab_cache::{
    CacheError, Checked, Global, Hardened, Mode, NoLock, SlabBox, SlabCache, Unchecked,
};

type Spin = spin::Mutex<()>;
type Cache<R, M> = SlabCache<[u64; 8], R, Global, 4096, M>;
type Held<R, M> = SlabBox<[u64; 8], R, Global, 4096, M>;

/// Returns what a mistake was reported as.
fn report_of(mistake: impl FnOnce()) -> String {
    std::panic::set_hook(Box::new(|_| {}));
    let panic = catch_unwind(AssertUnwindSafe(mistake)).expect_err("the mistake is reported");
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(_) => panic!("a message with numbers"),
    }
}

fn again<R: RawMutex + 'static, M: Mode>(pointer: NonNull<[u64; 8]>) {
    // SAFETY: none: this is the mistake, which is found before the slot is used.
    drop(unsafe { Held::<R, M>::from_raw(pointer) });
}

/// Frees a box twice; other boxes live in the slab.
fn freed_twice<R: RawMutex + 'static, M: Mode>(cache: &Cache<R, M>) -> String {
    let _others = [1, 2, 3].map(|n| cache.alloc([n; 8]).expect("memory"));
    let pointer = SlabBox::into_raw(cache.alloc([7; 8]).expect("memory"));
    again::<R, M>(pointer);
    report_of(|| again::<R, M>(pointer))
}

#[test]
fn a_box_freed_twice_is_found() {
    assert!(freed_twice(&Cache::<NoLock, Checked>::new().expect("memory")).contains("not live"));
    assert!(freed_twice(&Cache::<NoLock, Hardened>::new().expect("memory")).contains("not live"));
    assert!(freed_twice(&Cache::<Spin, Hardened>::new().expect("memory")).contains("not live"));
}

#[test]
fn a_box_freed_twice_is_found_when_its_slot_is_about_to_serve_again() {
    let cache = Cache::<NoLock, Checked>::new().expect("memory");
    let slots = Cache::<NoLock, Checked>::SLOTS_PER_SLAB as usize;
    let mut held: Vec<_> =
        (1..slots).map(|n| cache.alloc([n as u64; 8]).expect("memory")).collect();
    let pointer = SlabBox::into_raw(cache.alloc([7; 8]).expect("memory"));
    again::<NoLock, Checked>(pointer);
    // The word goes to the front again with two slots, of which the lower serves first.
    drop(held.swap_remove(0));
    let _front = cache.alloc([1; 8]).expect("memory");
    assert!(report_of(|| again::<NoLock, Checked>(pointer)).contains("not live"));
}

/// With a lock, a cache that is only checked finds out when it reads the list of freed slots.
#[test]
#[cfg_attr(miri, ignore = "the cache loses the slab")]
fn a_box_freed_twice_without_the_lock_is_found_later() {
    let cache = std::mem::ManuallyDrop::new(Cache::<Spin, Checked>::new().expect("memory"));
    let other = cache.alloc([1; 8]).expect("memory");
    let pointer = SlabBox::into_raw(cache.alloc([7; 8]).expect("memory"));
    again::<Spin, Checked>(pointer);
    again::<Spin, Checked>(pointer);
    assert!(report_of(|| _ = cache.stats()).contains("list of freed slots"));
    assert_eq!(*other, [1; 8]);
    std::mem::forget(other);
}

#[test]
fn a_pointer_into_a_value_is_found() {
    let cache = Cache::<NoLock, Hardened>::new().expect("memory");
    let held = cache.alloc([7; 8]).expect("memory");
    let inside = SlabBox::as_ptr(&held).cast::<u64>();
    // SAFETY: the value has eight words.
    let inside = unsafe { inside.add(1) }.cast();
    assert!(report_of(|| again::<NoLock, Hardened>(inside)).contains("no slot starts"));
    assert_eq!(*held, [7; 8]);
}

#[test]
fn a_foreign_pointer_is_found() {
    #[repr(align(4096))]
    struct Page([[u64; 8]; 64]);
    let mut page = Box::new(Page([[1; 8]; 64]));
    let start = NonNull::from(&mut page.0);
    let first = 72_usize.next_multiple_of(8);
    // SAFETY: where the second slot of a slab would lie.
    let foreign = unsafe { start.cast::<u8>().add(first + 64) }.cast();
    assert!(report_of(|| again::<NoLock, Hardened>(foreign)).contains("no intact header"));
}

#[test]
#[cfg_attr(miri, ignore = "what is restored is a number, not a pointer")]
fn an_overwritten_header_is_found() {
    for word in 0..9 {
        let cache = Cache::<NoLock, Hardened>::new().expect("memory");
        let held = [1, 2].map(|n| cache.alloc([n; 8]).expect("memory"));
        let pointer = SlabBox::as_ptr(&held[0]);
        let header = pointer.as_ptr().map_addr(|address| address & !4095).cast::<u64>();
        // Links and the word of freed slots change by right: what is found there is found later.
        if (2..5).contains(&word) {
            continue;
        }
        // SAFETY: the header has nine words.
        let place = unsafe { header.add(word) };
        // SAFETY: none: this is the mistake.
        let before = unsafe { place.replace(0x4141_4141_4141_4141) };
        let report = report_of(|| again::<NoLock, Hardened>(pointer));
        assert!(report.contains("no intact header"), "word {word}: {report}");
        // SAFETY: as it was.
        unsafe { place.write(before) };
        assert_eq!(held.map(|held| held[7]), [1, 2]);
    }
}

#[test]
#[cfg_attr(miri, ignore = "leaks boxes to find the slot")]
fn a_write_after_free_is_found_when_the_slot_would_serve_again() {
    let cache = Cache::<NoLock, Hardened>::new().expect("memory");
    let pointer = SlabBox::into_raw(cache.alloc([7; 8]).expect("memory"));
    again::<NoLock, Hardened>(pointer);
    // SAFETY: the value is that long.
    let byte = unsafe { pointer.cast::<u8>().add(21) };
    // SAFETY: none: this is the mistake.
    unsafe { byte.write(1) };
    let report = report_of(|| {
        for _ in 0..100 {
            SlabBox::leak(cache.alloc([0; 8]).expect("memory"));
        }
    });
    assert!(report.contains("byte 21"), "{report}");
}

#[test]
fn adoption_checks_in_every_mode() {
    fn run<R: RawMutex + 'static, M: Mode>() {
        let cache = Cache::<R, M>::new().expect("memory");
        let other = Cache::<R, M>::new().expect("memory");
        let held = cache.alloc([7; 8]).expect("memory");
        let pointer = SlabBox::as_ptr(&held);
        // SAFETY: refused, or not used.
        let adopt = |cache: &Cache<R, M>, pointer| unsafe { cache.adopt(pointer) }.map(|_| ());
        let foreign = adopt(&other, pointer);
        assert!(matches!(foreign, Err(CacheError::ForeignPointer { .. })), "{foreign:?}");
        let inside = pointer.map_addr(|address| address.checked_add(8).expect("not the end"));
        assert!(matches!(adopt(&cache, inside), Err(CacheError::NotASlot { .. })));
        let keeps_slab = cache.alloc([8; 8]).expect("memory");
        drop(held);
        assert!(matches!(adopt(&cache, pointer), Err(CacheError::NotLive { .. })));
        assert!(cache.owns(SlabBox::as_ptr(&keeps_slab)));
        assert!(!other.owns(SlabBox::as_ptr(&keeps_slab)));
    }
    run::<NoLock, Unchecked>();
    run::<NoLock, Checked>();
    run::<Spin, Checked>();
    run::<Spin, Hardened>();
}
