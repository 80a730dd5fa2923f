//! Buffers in one mapping: stable indices, memory that is zero and vacant again, and all that a system may refuse.
#![cfg(all(feature = "arena", unix, not(loom)))]
#![expect(unsafe_code, reason = "limits of the process, set in a child")]

use std::collections::{HashMap, HashSet};
use std::thread;

use slab_pool::{
    Arena, ArenaPages, ArenaRequest, ArenaSettings, BufferPool, PoolError, PooledBuffer,
};

const CLASSES: [usize; 2] = [4096, 10_000];

fn pool_of(settings: ArenaSettings) -> BufferPool {
    let builder = BufferPool::builder().classes(&CLASSES).capacity_per_class(16);
    builder.arena(settings).build().expect("sound")
}

fn arena(pool: &BufferPool) -> &Arena {
    pool.arena().expect("a few pages")
}

fn index(buffer: &PooledBuffer) -> Option<usize> {
    buffer.arena_index().map(usize::from)
}

#[test]
fn an_index_is_a_buffer_s_place_and_never_changes() {
    let pool = pool_of(ArenaSettings::new(5));
    let arena = arena(&pool);
    let iovecs = arena.iovecs();
    assert_eq!((arena.len(), iovecs.len(), arena.get(10)), (10, 10, None));
    let mapping = arena.mapping();
    let from = mapping.cast::<u8>().addr().get();
    let mut ends = HashSet::new();
    for round in 0..3 {
        for bytes in CLASSES {
            let held: Vec<_> = (0..5).map(|_| pool.acquire(bytes)).collect();
            let indices: HashSet<_> = held.iter().map(|buffer| index(buffer).expect("5")).collect();
            assert_eq!(indices.len(), 5, "each once");
            for buffer in &held {
                let place = index(buffer).expect("in the arena");
                let iovec = &iovecs[place];
                let start = buffer.as_ptr().addr();
                assert_eq!((iovec.iov_base.addr(), iovec.iov_len), (start, bytes));
                assert_eq!(start % 4096, 0);
                assert!(from <= start && start + bytes <= from + mapping.len());
                assert_eq!(ends.insert((place, start)), round == 0);
            }
            assert!(held.iter().all(|buffer| **buffer == vec![0; bytes][..]));
            held.into_iter().for_each(|mut buffer| buffer.fill(7));
            pool.trim();
        }
    }
    let shared = pool.acquire(1).freeze();
    assert_eq!(shared.arena_index(), shared.slice(7..9).arena_index());
}

/// The arena keeps zeroes: also those of buffers that were freed and allocated again, or hold a secret.
#[test]
fn vacant_memory_is_zero() {
    let pool = pool_of(ArenaSettings::new(2));
    pool.acquire(1).write_at(100, b"secret").expect("inside");
    pool.trim();
    let place = arena(&pool).get(0).expect("a buffer");
    // SAFETY: the memory stays mapped while the pool exists, and no buffer of it is in use.
    assert!(*unsafe { place.as_ref() } == [0; 4096]);
    let idle = arena(&pool).mapped_bytes();
    assert_eq!((pool.held_bytes(), pool.used_bytes()), (idle, 0));
    let buffer = pool.acquire(1);
    assert_eq!((pool.held_bytes() - idle, pool.used_bytes()), (128, 4096));
    drop(buffer);
}

/// More buffers than the arena has come from the allocator, and are not kept: those that are idle are registered.
#[test]
fn buffers_beyond_the_arena_are_freed_on_release() {
    let pool = pool_of(ArenaSettings::new(2));
    let held: Vec<_> = (0..5).map(|_| pool.acquire(1)).collect();
    assert_eq!(held.iter().filter(|buffer| index(buffer).is_some()).count(), 2);
    drop(held);
    assert_eq!(pool.idle(0), 2);
    for _ in 0..10 {
        let pair = (pool.acquire(1), pool.acquire(1));
        assert!(index(&pair.0).is_some() && index(&pair.1).is_some());
    }
    // Beyond the classes, buffers are kept as in every pool.
    let large = pool.class_of(15_000).expect("a doubling");
    let buffer = pool.acquire(15_000);
    assert_eq!(index(&buffer), None);
    drop(buffer);
    assert_eq!(pool.idle(large), 1);
}

#[test]
fn buffers_outlive_the_pool_and_arenas_outlive_both() {
    let pool = pool_of(ArenaSettings::new(2));
    let kept = arena(&pool).clone();
    let mut buffer = pool.acquire(1);
    drop(pool);
    buffer.fill(3);
    let place = kept.get(buffer.arena_index().expect("in the arena")).expect("a buffer");
    drop(buffer);
    // SAFETY: the arena keeps the memory mapped, and no buffer of it is in use.
    assert!(*unsafe { place.as_ref() } == [0; 4096]);
}

#[test]
fn threads_never_share_a_buffer_of_the_arena() {
    let pool = pool_of(ArenaSettings::new(3));
    thread::scope(|scope| {
        for thread in 1..=4_u8 {
            let pool = &pool;
            scope.spawn(move || {
                for _ in 0..if cfg!(miri) { 5 } else { 500 } {
                    let mut held = [pool.acquire(1), pool.acquire(1)];
                    held.iter_mut().for_each(|buffer| buffer[..64].fill(thread));
                    thread::yield_now();
                    assert!(held.iter().all(|buffer| buffer[..64] == [thread; 64]));
                    drop(held);
                    pool.trim();
                }
            });
        }
    });
    pool.trim();
    let held: HashMap<_, _> = (0..3).map(|_| pool.acquire(1)).map(|it| (index(&it), it)).collect();
    assert!(held.len() == 3 && !held.contains_key(&None), "none is lost");
}

#[test]
fn an_arena_that_cannot_be_is_an_error() {
    let build = |classes: &[usize], settings| {
        BufferPool::builder().classes(classes).arena(settings).build().map(|_| ())
    };
    let error = build(&CLASSES, ArenaSettings::new(0));
    assert_eq!(error, Err(PoolError::ArenaBuffers { count: 0, max: 1 << 14 }));
    let error = build(&CLASSES, ArenaSettings::new((1 << 13) + 1));
    assert_eq!(error, Err(PoolError::ArenaBuffers { count: (1 << 14) + 2, max: 1 << 14 }));
    let huge = usize::MAX / 4 + 1;
    let error = build(&[huge], ArenaSettings::new(4));
    assert_eq!(error, Err(PoolError::TooLarge { bytes: huge, alignment: 4096 }));
    assert!(matches!(build(&[huge], ArenaSettings::new(2)), Err(PoolError::TooLarge { .. })));
}

/// The system has no such memory: the pool works without an arena, and says why.
#[test]
#[cfg(all(target_pointer_width = "64", not(miri)))]
fn a_mapping_that_is_refused_leaves_a_pool_without_an_arena() {
    let builder = BufferPool::builder().classes(&[4096, 1 << 46]);
    let settings = ArenaSettings::new(64).huge_pages(true).lock(true);
    let pool = builder.arena(settings).build().expect("the settings are sound");
    assert!(pool.arena().is_none());
    let requests: Vec<_> = pool.arena_refusals().iter().map(|it| it.request()).collect();
    assert_eq!(requests, [ArenaRequest::HugePages, ArenaRequest::Memory]);
    let refusal = &pool.arena_refusals()[1];
    assert_eq!(refusal.bytes(), 64 * ((1 << 46) + 4096));
    let text = refusal.to_string();
    assert!(
        text.contains("buffers come from the allocator")
            && text.contains(&refusal.error().to_string())
    );
    let buffer = pool.acquire(1);
    assert_eq!((buffer.len(), buffer.arena_index()), (4096, None));
    drop(buffer);
    assert_eq!(pool.idle(0), 1);
}

/// Pages of 2 MiB, or a line that says why not.
#[test]
#[cfg_attr(miri, ignore = "Miri has no huge pages")]
fn huge_pages_are_used_or_their_refusal_is_said() {
    let pool = pool_of(ArenaSettings::new(300).huge_pages(true));
    let arena = arena(&pool);
    let refused: Vec<_> = pool.arena_refusals().iter().map(|it| it.request()).collect();
    match arena.pages() {
        ArenaPages::Huge => assert_eq!(refused, []),
        ArenaPages::HugeIfPossible => assert_eq!(refused, [ArenaRequest::HugePages]),
        _ => assert_eq!(refused, [ArenaRequest::HugePages, ArenaRequest::HugeIfPossible]),
    }
    if arena.pages() != ArenaPages::Usual {
        assert_eq!(arena.mapping().cast::<u8>().addr().get() % (2 << 20), 0);
    }
    let mut buffer = pool.acquire(1);
    buffer.fill(1);
}

#[test]
#[cfg_attr(miri, ignore = "Miri unmaps whole mappings only")]
fn alignments_beyond_a_page_hold() {
    for (alignment, huge_pages) in
        [(1, false), (64, false), (64 << 10, false), (64 << 10, true), (4 << 20, true)]
    {
        let builder = BufferPool::builder().classes(&[1000, 5000]).alignment(alignment);
        let pool =
            builder.arena(ArenaSettings::new(2).huge_pages(huge_pages)).build().expect("sound");
        let held = [1000, 1000, 5000, 5000].map(|bytes| pool.acquire(bytes));
        assert!(held.iter().all(|it| it.as_ptr().addr() % alignment == 0 && index(it).is_some()));
    }
}

/// Runs a test in a child whose limits it changes.
#[cfg(all(target_os = "linux", not(miri)))]
fn in_child(action: impl FnOnce()) {
    // SAFETY: the child has one thread. It builds pools, which wait for no lock of another thread but the allocator's, and
    // glibc's allocator works after a fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action));
        // SAFETY: ends the process without its destructors.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    let mut status = 0;
    // SAFETY: the status is a place for the answer.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((waited, status), (child, 0), "the child fails");
}

#[cfg(all(target_os = "linux", not(miri)))]
fn limit(resource: libc::__rlimit_resource_t, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the limit is read.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn a_lock_that_is_refused_leaves_an_arena_that_is_not_locked() {
    in_child(|| {
        limit(libc::RLIMIT_MEMLOCK, 0);
        // Whoever may change limits may also exceed this one: no longer.
        // SAFETY: changes the child's user.
        unsafe { libc::setuid(65_534) };
        let pool = pool_of(ArenaSettings::new(5).lock(true));
        assert!(!arena(&pool).is_locked());
        let [refusal] = pool.arena_refusals() else { panic!("one refusal") };
        assert_eq!(refusal.request(), ArenaRequest::Lock);
        assert!(refusal.to_string().contains("not locked in memory"), "{refusal}");
        assert_eq!(index(&pool.acquire(1)), Some(0));
    });
    let pool = pool_of(ArenaSettings::new(5).lock(true));
    assert_eq!(arena(&pool).is_locked(), pool.arena_refusals().is_empty());
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn an_address_space_that_is_full_leaves_a_pool_without_an_arena() {
    in_child(|| {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("on Linux");
        let pages: u64 = pages.split(' ').next().expect("a number").parse().expect("a number");
        limit(libc::RLIMIT_AS, pages * 4096 + (1 << 30));
        let builder = BufferPool::builder().classes(&[4096, 64 << 20]);
        let pool = builder.arena(ArenaSettings::new(32)).build().expect("sound");
        assert!(pool.arena().is_none());
        assert_eq!(pool.arena_refusals()[0].error().raw_os_error(), Some(libc::ENOMEM));
        assert_eq!(pool.try_acquire(1).expect("memory").len(), 4096);
    });
}
