//! The behaviour of the published buffer pool that its users rely on, and its defects, each as a test that the old
//! logic fails.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use slab_pool::BufferPool;

/// Compared as a whole: Miri takes its time over single bytes.
fn all_are(bytes: &[u8], value: u8) -> bool {
    bytes == vec![value; bytes.len()]
}

#[test]
fn a_buffer_has_at_least_the_bytes_asked_for() {
    let pool = BufferPool::new(4);
    assert_eq!(pool.acquire(1000).len(), 4096);
    for (requested, class) in [(1, 4096), (4096, 4096), (8193, 16384), (65_537, 131_072)] {
        let buffer = pool.acquire(requested);
        assert_eq!((buffer.len(), buffer.capacity()), (class, class), "for {requested}");
    }
}

#[test]
fn a_released_buffer_is_used_again() {
    let pool = BufferPool::new(4);
    let first = pool.acquire(4096);
    assert_eq!((pool.allocations(), pool.misses(), pool.recycles()), (1, 1, 0));
    let address = first.as_ptr();
    pool.release(first);
    let second = pool.acquire(4096);
    assert_eq!(second.as_ptr(), address);
    let stats = pool.stats();
    assert_eq!((stats.allocations, stats.misses, stats.recycles), (2, 1, 1));
    assert!((stats.recycle_rate - 0.5).abs() < f64::EPSILON);
}

#[test]
fn the_capacity_is_reached_and_not_exceeded() {
    let capacities = [0, 1, 2, 3, 4, 5, 7, 8, 16, 33, 100];
    for capacity in capacities.into_iter().take(if cfg!(miri) { 6 } else { 11 }) {
        let pool = BufferPool::new(capacity);
        let buffers: Vec<_> = (0..capacity + 3).map(|_| pool.acquire(4096)).collect();
        drop(buffers);
        assert_eq!(pool.idle(0), capacity);
        let buffers: Vec<_> = (0..capacity + 3).map(|_| pool.acquire(4096)).collect();
        assert_eq!(pool.recycles(), capacity as u64, "all that is kept is found again");
        assert_eq!(pool.idle(0), 0);
        drop(buffers);
    }
}

#[test]
fn what_is_written_is_read_through_deref() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire(4096);
    buffer[0] = 0xAA;
    buffer.as_mut_slice()[1] = 0xBB;
    buffer.as_mut()[2] = 0xCC;
    assert_eq!(buffer[..3], [0xAA, 0xBB, 0xCC]);
    assert_eq!(buffer.as_slice(), buffer.as_ref());
    assert!(!buffer.is_empty());
}

/// The old pool cleared a whole class at each acquire.
#[test]
fn only_what_was_dirtied_is_cleared() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire(64 << 10);
    buffer.write_at(0, &[7; 100]).expect("inside");
    assert_eq!(buffer.dirty_len(), 100);
    drop(buffer);
    let buffer = pool.acquire(64 << 10);
    assert_eq!(buffer.dirty_len(), 0);
    assert!(all_are(&buffer, 0));
    assert_eq!(pool.recycles(), 1);
}

/// The old pool filed a 5 MB vector under 4 KiB after a `resize`.
#[test]
fn a_buffer_that_outgrows_its_class_moves_to_another() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire(4096);
    buffer[..4].copy_from_slice(b"head");
    buffer.resize(5_000_000, 1);
    assert_eq!((&buffer[..4], buffer[4095], buffer[4096]), (&b"head"[..], 0, 1));
    assert_eq!((buffer.len(), buffer.capacity()), (5_000_000, 8 << 20));
    assert_eq!(pool.idle(0), 1, "the small one returned");
    drop(buffer);
    assert_eq!(pool.acquire(1).capacity(), 4096);
    assert_eq!(pool.idle(pool.class_of(5_000_000).expect("kept")), 1);
}

/// A pool of the peers' keeps what grew through `Write` in its old class.
#[test]
fn a_buffer_that_grows_by_writing_moves_too() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire_for_write(10);
    for _ in 0..if cfg!(miri) { 30 } else { 3000 } {
        buffer.write_all(&[5; 1000]).expect("there is memory");
    }
    assert_eq!(buffer.len() % 1000, 0);
    assert!(all_are(&buffer, 5));
    drop(buffer);
    for class in 0..pool.class_sizes().len() {
        assert!(pool.idle(class) <= 1);
    }
    assert_eq!(pool.acquire(4096).capacity(), 4096);
}

/// Ten acquires of 1 MiB + 1 were ten misses.
#[test]
fn there_is_no_cliff_behind_the_largest_class() {
    let pool = BufferPool::new(4);
    for _ in 0..10 {
        assert!(pool.acquire((1 << 20) + 1).len() > 1 << 20);
    }
    assert_eq!((pool.misses(), pool.recycles()), (1, 9));
}

/// 94 % of the old pool's snapshots under load contradicted themselves.
#[test]
fn statistics_are_never_torn_and_never_fall() {
    let pool = BufferPool::new(8);
    let done = AtomicBool::new(false);
    let rounds = if cfg!(miri) { 12 } else { 20_000 };
    let threads = if cfg!(miri) { 2 } else { 4 };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    for round in 0..rounds {
                        let held: Vec<_> = (0..round % 5).map(|_| pool.acquire(1)).collect();
                        drop(held);
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            let mut last = pool.detailed_stats();
            while !done.load(Ordering::Relaxed) {
                let now = pool.detailed_stats();
                let totals = now.totals;
                assert_eq!(totals.allocations, totals.recycles + totals.misses);
                let (class, before) = (&now.classes[0], &last.classes[0]);
                assert_eq!((class.recycles, class.misses), (totals.recycles, totals.misses));
                assert!(class.recycles >= before.recycles && class.misses >= before.misses);
                assert!(class.discards >= before.discards);
                last = now;
                thread::yield_now();
            }
        });
        for worker in workers {
            worker.join().expect("no panic");
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().expect("no panic");
    });
    let true_count: u64 = (0..rounds as u64).map(|round| round % 5).sum::<u64>() * threads;
    assert_eq!(pool.allocations(), true_count);
    let class = &pool.detailed_stats().classes[0];
    let freed_or_idle = class.discards + class.idle as u64;
    assert_eq!(freed_or_idle, class.misses, "what was made is idle, or was freed and counted");
}

/// Buffers were aligned for nothing in particular.
#[test]
fn buffers_are_aligned_for_direct_io() {
    let pool = BufferPool::new(4);
    for &bytes in pool.class_sizes().iter().take(9) {
        let buffer = pool.acquire(bytes);
        assert_eq!(buffer.as_ptr().addr() % 4096, 0);
        assert_eq!(buffer.alignment(), 4096);
    }
}

/// Nothing bounded the bytes that the old pool kept.
#[test]
fn idle_memory_is_bounded_in_bytes() {
    let pool = BufferPool::builder().retained_bytes_max(100 << 10).build().expect("sound");
    let held: Vec<_> =
        (0..20).flat_map(|_| [4096, 8192, 65_536].map(|n| pool.acquire(n))).collect();
    drop(held);
    let stats = pool.detailed_stats();
    assert!(stats.retained_bytes <= 100 << 10, "{}", stats.retained_bytes);
    assert!(stats.retained_bytes > 0);
    pool.trim();
    assert_eq!(pool.detailed_stats().retained_bytes, 0);
    assert_eq!(pool.acquire(1).len(), 4096);
}

/// Pools of the peers' share a thread-local: one evicts, or hands out, what is another's.
#[test]
fn pools_used_in_turn_keep_their_caches() {
    let pools: Vec<_> = (0..3).map(|_| BufferPool::new(8)).collect();
    let addresses: Vec<_> = pools.iter().map(|pool| pool.acquire(4096).as_ptr()).collect();
    let rounds = if cfg!(miri) { 20 } else { 1000 };
    for _ in 0..rounds {
        for (pool, &address) in pools.iter().zip(&addresses) {
            assert_eq!(pool.acquire(4096).as_ptr(), address);
        }
    }
    for pool in &pools {
        assert_eq!((pool.misses(), pool.recycles()), (1, rounds));
    }
}

/// A foreign vector filed under a class poisoned it; now only buffers can be released, and return to their pool.
#[test]
fn a_buffer_released_to_another_pool_returns_to_its_own() {
    let (ours, other) = (BufferPool::new(4), BufferPool::new(4));
    let buffer = ours.acquire(4096);
    other.release(buffer);
    assert_eq!((ours.idle(0), other.idle(0)), (1, 0));
}
