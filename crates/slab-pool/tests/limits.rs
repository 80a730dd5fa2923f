//! Sizes and settings at their limits: an error with numbers, or behaviour that is documented.

use slab_pool::{BufferPool, Oversize, PoolError, Zeroing};

/// Compared as a whole: Miri takes its time over single bytes.
fn all_are(bytes: &[u8], value: u8) -> bool {
    bytes == vec![value; bytes.len()]
}

#[test]
fn odd_requests() {
    let pool = BufferPool::new(4);
    assert_eq!(pool.acquire(0).len(), 4096);
    assert_eq!(pool.acquire(1).len(), 4096);
    assert_eq!(pool.acquire(4097).len(), 8192);
    assert_eq!(pool.acquire_zeroed(0).len(), 0);
    assert_eq!(pool.acquire_zeroed(4097).len(), 4097);
    assert_eq!(pool.acquire_for_write(0).capacity(), 4096);
    for bytes in [usize::MAX, usize::MAX - 4096, isize::MAX as usize] {
        assert_eq!(
            pool.try_acquire(bytes).expect_err("beyond the address space"),
            PoolError::TooLarge { bytes, alignment: 4096 }
        );
    }
    assert_eq!(pool.stats().allocations, 6, "what is refused is not counted");
}

#[test]
#[should_panic(expected = "no buffer: 18446744073709551615 bytes aligned to 4096 are more than")]
#[cfg(target_pointer_width = "64")]
fn acquire_says_why_it_panics() {
    drop(BufferPool::new(4).acquire(usize::MAX));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has the memory, in principle")]
#[cfg(target_pointer_width = "64")]
fn no_memory_is_an_error_and_costs_no_place() {
    let pool = BufferPool::builder()
        .outstanding_bytes_max(usize::MAX)
        .oversize(Oversize::Allocate)
        .build()
        .expect("sound");
    let bytes = 1 << 60;
    let error = pool.try_acquire(bytes).expect_err("no machine has an exbibyte");
    assert_eq!(error, PoolError::OutOfMemory { bytes, alignment: 4096 });
    assert_eq!(pool.detailed_stats().outstanding_bytes, Some(0));
}

#[test]
fn resizing_to_the_limits() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire(1);
    let error = buffer.try_resize(usize::MAX, 0).expect_err("beyond the address space");
    assert_eq!(error, PoolError::TooLarge { bytes: usize::MAX, alignment: 4096 });
    assert_eq!(buffer.len(), 4096);
    buffer.resize(0, 9);
    assert!(buffer.is_empty());
    buffer.resize(4096, 0);
    assert!(all_are(&buffer, 0));
    buffer.resize(4097, 3);
    assert_eq!((buffer.len(), buffer.capacity(), buffer[4096]), (4097, 8192, 3));
}

#[test]
fn what_a_builder_refuses() {
    let refused =
        |classes: &[usize]| BufferPool::builder().classes(classes).build().expect_err("bad");
    assert_eq!(refused(&[]), PoolError::NoClasses);
    assert_eq!(refused(&[0, 1]), PoolError::EmptyClass { index: 0 });
    let order =
        |index, bytes, previous_bytes| PoolError::ClassOrder { index, bytes, previous_bytes };
    assert_eq!(refused(&[64, 32]), order(1, 32, 64));
    assert_eq!(refused(&[32, 64, 64]), order(2, 64, 64));
    let many: Vec<_> = (1..=33).collect();
    assert_eq!(refused(&many), PoolError::TooManyClasses { count: 33, max: 32 });
    let bytes = usize::MAX / 2 + 1;
    assert_eq!(refused(&[64, bytes]), PoolError::TooLarge { bytes, alignment: 4096 });
    for alignment in [0, 3, 4097] {
        let error =
            BufferPool::builder().alignment(alignment).build().expect_err("no power of two");
        assert_eq!(error, PoolError::Alignment { alignment });
    }
    for limit_bytes in [0, 4095] {
        let builder = BufferPool::builder().outstanding_bytes_max(limit_bytes);
        let error = builder.build().expect_err("no buffer ever");
        assert_eq!(error, PoolError::LimitBelowClass { limit_bytes, class_bytes: 4096 });
    }
}

#[test]
fn odd_classes_and_any_alignment_work() {
    let builder = BufferPool::builder().classes(&[1, 3, 1000, 5003]).alignment(1);
    let pool = builder.oversize(Oversize::Allocate).build().expect("sound");
    for (requested, got) in [(0, 1), (1, 1), (2, 3), (3, 3), (4, 1000), (1001, 5003), (5004, 5004)]
    {
        assert_eq!(pool.acquire(requested).len(), got, "{requested}");
        assert_eq!(pool.acquire(requested).len(), got, "{requested} again");
    }
    let largest = isize::MAX as usize;
    let pool = BufferPool::builder().classes(&[1, largest]).alignment(1).build().expect("sound");
    assert_eq!(pool.class_sizes(), [1, largest], "no class of what cannot be");
    let pool = BufferPool::builder().alignment(1 << 16).build().expect("sound");
    assert_eq!(pool.acquire(1).as_ptr().addr() % (1 << 16), 0);
}

#[test]
fn limits_of_nothing_keep_nothing() {
    let without_capacity = BufferPool::with_capacity(0);
    let without_bytes = BufferPool::builder().retained_bytes_max(0).build().expect("sound");
    for pool in [without_capacity, without_bytes] {
        drop(pool.acquire(1));
        drop(pool.acquire(1));
        assert_eq!((pool.idle(0), pool.recycles(), pool.misses()), (0, 0, 2));
        assert_eq!(pool.prefill(0, 5), Ok(0));
    }
}

#[test]
fn by_default_a_pool_keeps_64_mebibytes() {
    let pool = BufferPool::default();
    assert_eq!(pool.detailed_stats().retained_bytes_max, 64 << 20);
    assert_eq!(pool.detailed_stats().classes[0].capacity, 64);
    let largest = pool.class_sizes().len() - 1;
    assert_eq!(pool.class_sizes()[largest], 64 << 20, "the largest buffer fits once");
    assert_eq!(BufferPool::with_capacity(1).detailed_stats().retained_bytes_max, (2 * 2044) << 10);
    if cfg!(miri) {
        return;
    }
    drop((0..100).map(|_| pool.acquire(1 << 20)).collect::<Vec<_>>());
    let held_bytes = pool.held_bytes();
    assert!((32 << 20..65 << 20).contains(&held_bytes), "{held_bytes}");
}

#[test]
fn held_and_used_bytes_count_buffers() {
    let builder = BufferPool::builder().classes(&[4096, 8192]);
    let pool = builder.oversize(Oversize::Allocate).build().expect("sound");
    assert_eq!((pool.held_bytes(), pool.used_bytes()), (0, 0));
    let (small, large) = (pool.acquire(1), pool.acquire(5000));
    let beyond_all_classes = pool.acquire(8193);
    let used_bytes = 4096 + 8192 + 8193;
    assert_eq!(pool.used_bytes(), used_bytes);
    let header_bytes = (pool.held_bytes() - used_bytes) / 3;
    assert!((64..=256).contains(&header_bytes), "{header_bytes}");
    drop((small, beyond_all_classes));
    assert_eq!((pool.used_bytes(), pool.held_bytes()), (8192, 4096 + 8192 + 2 * header_bytes));
    pool.trim();
    assert_eq!((pool.used_bytes(), pool.held_bytes()), (8192, 8192 + header_bytes));
    drop(large);
    pool.trim();
    assert_eq!((pool.used_bytes(), pool.held_bytes()), (0, 0));
}

#[test]
fn clones_are_handles_of_one_pool_and_the_last_one_closes_it() {
    let pool = BufferPool::with_capacity(4);
    assert_eq!(size_of::<BufferPool>(), size_of::<usize>());
    let other = pool.clone();
    drop(other.acquire(1));
    drop(pool.acquire(1));
    assert_eq!((pool.misses(), other.recycles()), (1, 1));
    drop(pool);
    drop(other.acquire(1));
    assert_eq!((other.misses(), other.idle(0)), (1, 1), "still open");
    let (future, last) = (other.acquire_async(1), other.acquire(1));
    drop(other);
    drop((future, last));
    let published: std::sync::Arc<BufferPool> = BufferPool::new(4);
    let handle: BufferPool = (*published).clone();
    drop(published);
    drop(handle.acquire(1));
    assert_eq!(handle.idle(0), 1);
}

#[test]
fn large_requests_are_refused_or_allocated_or_kept() {
    let large = (1 << 20) + 1;
    let refuse = BufferPool::builder().oversize(Oversize::Refuse).build().expect("sound");
    let refused = PoolError::Oversize { requested_bytes: large, max_bytes: 1 << 20 };
    assert_eq!(refuse.try_acquire(large).expect_err("too large"), refused);

    let allocate = BufferPool::builder().oversize(Oversize::Allocate).build().expect("sound");
    assert_eq!(allocate.acquire(large).len(), large);
    assert_eq!(allocate.acquire(large).len(), large);
    assert_eq!((allocate.misses(), allocate.detailed_stats().unclassed), (2, 2));

    let keep = Oversize::Keep { max_bytes: 4 << 20 };
    let keep = BufferPool::builder().oversize(keep).build().expect("sound");
    assert_eq!(keep.class_sizes().len(), 11);
    assert_eq!(keep.acquire((4 << 20) + 1).len(), (4 << 20) + 1);
}

#[test]
fn writes_beyond_the_length_are_refused_whole() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire_zeroed(10);
    for (offset, count) in [(10, 1), (0, 11), (usize::MAX, 2), (11, 0)] {
        let error = buffer.write_at(offset, &vec![1; count]).expect_err("beyond");
        assert_eq!(error, PoolError::OutOfBounds { offset, count, len: 10 });
    }
    assert_eq!((buffer.write_at(10, &[]), buffer.dirty_len()), (Ok(()), 0));
    assert_eq!(buffer[..], [0; 10]);
}

#[test]
fn zeroing_policies() {
    let contents = |zeroing| {
        let pool = BufferPool::builder().zeroing(zeroing).build().expect("sound");
        pool.acquire(1).fill(7);
        let acquired = pool.acquire(1)[100];
        pool.acquire(1).fill(7);
        let zeroed = pool.acquire_zeroed(200)[100];
        pool.acquire(1).fill(7);
        let for_write = pool.acquire_for_write(1).dirty_len() > 0;
        (acquired, zeroed, for_write)
    };
    assert_eq!(contents(Zeroing::OnAcquire), (0, 0, true));
    assert_eq!(contents(Zeroing::Always), (0, 0, false));
    assert_eq!(contents(Zeroing::Never), (7, 0, true));
}

#[test]
fn bytes_hidden_by_a_short_length_do_not_come_back() {
    let pool = BufferPool::new(4);
    pool.acquire(1).fill(7);
    let mut short = pool.acquire_zeroed(10);
    short.resize(4096, 0);
    assert!(all_are(&short, 0));
    short.fill(8);
    short.clear();
    drop(short);
    assert!(all_are(&pool.acquire(1), 0));
    let mut append = pool.acquire_for_write(1);
    append.resize(4096, 0);
    assert!(all_are(&append, 0));
}

/// Short prefixes are cleared another way than long ones, and in buffers that are shorter than that, again another.
#[test]
fn all_that_was_dirtied_is_cleared() {
    for class in [1, 100, 127, 128, 129, 600] {
        let builder = BufferPool::builder().classes(&[class]).alignment(1);
        let pool = builder.build().expect("sound");
        for dirty in [1, 2, 63, 64, 65, 100, 127, 128, 129, 191, 192, 255, 256, 257, 599, 600] {
            let mut buffer = pool.acquire(class);
            assert!(all_are(&buffer, 0), "{class} before {dirty}");
            if dirty <= class {
                buffer.write_at(dirty - 1, &[7]).expect("inside");
                buffer.write_at(0, &vec![7; dirty]).expect("inside");
                assert_eq!(buffer.dirty_len(), dirty);
            }
            drop(buffer);
            // Less than all of it cleared: the rest stays dirty.
            let part = pool.acquire_zeroed(dirty.min(class) / 2);
            assert!(all_are(&part, 0));
        }
        assert_eq!(pool.misses(), 1);
    }
}

#[test]
fn a_length_is_not_inherited() {
    for zeroing in [Zeroing::OnAcquire, Zeroing::Always, Zeroing::Never] {
        let pool = BufferPool::builder().zeroing(zeroing).build().expect("sound");
        drop(pool.acquire_for_write(1));
        assert_eq!(pool.acquire(1).len(), 4096);
        pool.acquire(1).truncate(7);
        assert_eq!(pool.acquire_zeroed(5000).len(), 5000);
        assert_eq!(pool.acquire(5000).len(), 8192);
        assert_eq!(pool.acquire(1).len(), 4096);
        drop(pool.acquire_zeroed(9).freeze());
        assert!(pool.acquire_for_write(1).is_empty());
        assert_eq!(pool.acquire(1).len(), 4096);
        assert_eq!((pool.misses(), pool.recycles()), (2, 7), "{zeroing:?}");
    }
}

#[test]
fn wiped_on_release() {
    let builder = BufferPool::builder().wipe_on_release(true).zeroing(Zeroing::Never);
    let pool = builder.build().expect("sound");
    // More than once: the first release makes room for the next ones, which take the short way if they may.
    for _ in 0..4 {
        pool.acquire(1).fill(7);
        let buffer = pool.acquire(1);
        assert_eq!((buffer.dirty_len(), buffer[4095]), (0, 0));
    }
    assert_eq!(pool.recycles(), 7);
}

#[test]
fn prefilled_buffers_are_found() {
    let pool = BufferPool::new(10);
    assert_eq!(pool.prefill(1, 4), Ok(4));
    assert_eq!((pool.idle(1), pool.allocations()), (4, 0));
    assert_eq!(pool.prefill(1, 100), Ok(6));
    assert_eq!(pool.prefill(99, 1), Err(PoolError::NoSuchClass { class: 99, count: 15 }));
    let held: Vec<_> = (0..10).map(|_| pool.acquire(8192)).collect();
    assert_eq!((pool.recycles(), pool.misses()), (10, 0));
    drop(held);
}
