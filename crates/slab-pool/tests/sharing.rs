//! Frozen buffers: clones, slices, the way back, and what becomes of small slices of large buffers.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::thread;

use slab_pool::{BufferPool, PoolError, SharedBuffer};

fn frozen(pool: &BufferPool, contents: &[u8]) -> SharedBuffer {
    let mut buffer = pool.acquire_for_write(contents.len());
    buffer.extend_from_slice(contents).expect("there is memory");
    buffer.freeze()
}

#[test]
fn handles_cross_threads() {
    fn both<T: Send + Sync + 'static>() {}
    both::<BufferPool>();
    both::<slab_pool::PooledBuffer>();
    both::<SharedBuffer>();
    both::<slab_pool::AcquireFuture>();
}

#[test]
fn handles_are_small() {
    assert_eq!(size_of::<slab_pool::PooledBuffer>(), size_of::<usize>());
    assert_eq!(size_of::<Option<slab_pool::PooledBuffer>>(), size_of::<usize>());
    assert_eq!(size_of::<SharedBuffer>(), 3 * size_of::<usize>());
}

#[test]
fn the_last_reader_gives_the_buffer_back() {
    let pool = BufferPool::new(4);
    let whole = frozen(&pool, b"some bytes");
    let address = whole.as_ptr();
    let clones: Vec<_> = (0..5).map(|at| whole.slice(at..)).collect();
    drop(whole);
    assert_eq!(pool.idle(0), 0);
    for (at, clone) in clones.into_iter().enumerate() {
        assert_eq!(*clone, b"some bytes"[at..]);
    }
    assert_eq!(pool.idle(0), 1);
    assert_eq!(pool.acquire(1).as_ptr(), address);
}

#[test]
fn a_lone_reader_may_write_again() {
    let pool = BufferPool::new(4);
    let whole = frozen(&pool, b"0123456789");
    let part = whole.slice(2..=4).slice(1..);
    assert_eq!((&*part, part.len(), part.is_empty()), (&b"34"[..], 2, false));
    let whole = whole.try_mut().expect_err("two readers");
    drop(whole);
    let mut buffer = part.try_mut().expect("one reader");
    assert_eq!(&*buffer, b"0123456789", "all of it, not only the part");
    buffer[0] = b'x';
    assert_eq!(&buffer.freeze()[..2], b"x1");
}

#[test]
fn empty_slices_are_slices() {
    let pool = BufferPool::new(4);
    let whole = frozen(&pool, b"ab");
    assert!(
        whole.slice(2..).is_empty() && whole.slice(..0).is_empty() && whole.slice(1..1).is_empty()
    );
    assert!(frozen(&pool, b"").is_empty());
}

/// Neither without copying nor with it: an empty slice is one more reader.
#[test]
fn an_empty_slice_takes_no_buffer() {
    for copy_out_max in [0, 1, 100, usize::MAX] {
        let builder = BufferPool::builder().copy_out_max(copy_out_max);
        let pool = builder.outstanding_bytes_max(1 << 20).build().expect("sound");
        let whole = frozen(&pool, &[7; 60_000]);
        let before = pool.detailed_stats();
        let parts =
            [whole.slice(0..0), whole.slice(10..10), whole.slice(60_000..), whole.slice(..0)];
        assert!(parts.iter().all(SharedBuffer::is_empty));
        assert_eq!(pool.detailed_stats(), before, "{copy_out_max}");
        let whole = whole.try_mut().expect_err("the slices read");
        drop(parts);
        assert_eq!(whole.try_mut().expect("the only one").len(), 60_000);
    }
}

#[test]
#[should_panic(expected = "a slice to 3 of 2 bytes")]
fn a_slice_beyond_the_end_is_a_mistake() {
    let _ = frozen(&BufferPool::new(1), b"ab").slice(..3);
}

#[test]
#[should_panic(expected = "a slice from 2 to 1")]
#[expect(clippy::reversed_empty_ranges, reason = "that is the mistake")]
fn a_slice_that_ends_before_it_begins_is_a_mistake() {
    let _ = frozen(&BufferPool::new(1), b"ab").slice(2..1);
}

#[test]
fn splitting_copies_nothing_and_the_parts_become_the_buffer_again() {
    let pool = BufferPool::builder().copy_out_max(100).build().expect("sound");
    let mut middle = frozen(&pool, b"head|body|tail");
    let address = middle.as_ptr();
    let head = middle.split_to(5);
    let mut tail = middle.split_off(5);
    assert_eq!((&*head, &*middle, &*tail), (&b"head|"[..], &b"body|"[..], &b"tail"[..]));
    assert_eq!(
        [&head, &middle, &tail].map(|part| part.as_ptr().addr() - address.addr()),
        [0, 5, 10]
    );
    tail.truncate(9);
    assert_eq!(tail.len(), 4);
    tail.truncate(1);
    assert_eq!(tail, b"t");
    assert!(middle.split_to(0).is_empty() && middle.split_off(5).is_empty());
    drop((head, tail));
    let whole = middle.try_mut().expect("the other parts are gone");
    assert_eq!(&*whole, b"head|body|tail");
}

#[test]
#[should_panic(expected = "a split at 3 of 2 bytes")]
fn a_split_to_beyond_the_end_is_a_mistake() {
    drop(frozen(&BufferPool::new(1), b"ab").split_to(3));
}

#[test]
#[should_panic(expected = "a split at 3 of 2 bytes")]
fn a_split_off_beyond_the_end_is_a_mistake() {
    drop(frozen(&BufferPool::new(1), b"ab").split_off(3));
}

#[test]
fn shared_buffers_are_compared_ordered_and_hashed_as_their_bytes() {
    let pool = BufferPool::new(4);
    let whole = frozen(&pool, b"abcabd");
    let (first, second) = (whole.slice(..3), whole.slice(3..));
    assert_ne!(first, second);
    assert!(first < second);
    assert_eq!(first, frozen(&pool, b"abc"));
    assert_eq!(first, *b"abc");
    assert_eq!(first, "abc");
    assert_eq!(first, b"abc".to_vec());
    let counts = HashMap::from([(first, 1), (second, 2)]);
    assert_eq!(counts.get(&b"abd"[..]), Some(&2), "found by its bytes");
    assert_eq!(counts.get(&frozen(&pool, b"abc")), Some(&1));
}

#[test]
fn small_slices_leave_large_buffers_free() {
    let pool = BufferPool::builder().copy_out_max(100).build().expect("sound");
    let large = frozen(&pool, &[7; 60_000]);
    let (small, long) = (large.slice(10..110), large.slice(10..111));
    let class = pool.class_of(60_000).expect("64 KiB");
    drop(large);
    assert_eq!(pool.idle(class), 0, "the long slice holds it");
    drop(long);
    assert_eq!(pool.idle(class), 1, "the small one does not");
    assert_eq!(*small, [7; 100]);

    let little = frozen(&pool, b"already in the smallest class");
    let part = little.slice(..3);
    assert_eq!(part.as_ptr(), little.as_ptr(), "nothing is won by copying");
    assert!(part.detached().is_none());
    let large = frozen(&pool, &[8; 60_000]);
    let detached = large.slice(..5000).detached().expect("a smaller class");
    drop(large);
    assert_eq!((pool.idle(class), &detached[..2]), (1, &[8, 8][..]));
}

#[test]
fn readers_on_many_threads() {
    let pool = BufferPool::new(4);
    let whole = frozen(&pool, &[3; 4096]);
    thread::scope(|scope| {
        for at in 0..4 {
            let part = whole.slice(at * 1000..);
            scope.spawn(move || assert_eq!(*part.clone(), [3; 4096][at * 1000..]));
        }
    });
    assert!(whole.try_mut().is_ok());
}

/// The last reader releases the buffer, and the next owner writes to it: not before all others have read.
#[test]
fn the_last_reader_may_write_what_others_read() {
    let pool = BufferPool::new(1);
    for round in 0..if cfg!(miri) { 2 } else { 50 } {
        let whole = frozen(&pool, &[round; 4096]);
        thread::scope(|scope| {
            for _ in 0..3 {
                let (part, pool) = (whole.clone(), &pool);
                scope.spawn(move || {
                    assert_eq!(*part, [round; 4096]);
                    drop(part);
                    drop(frozen(pool, &[200; 4096]));
                });
            }
            drop(whole);
        });
    }
}

#[test]
fn cursors_mark_what_they_write() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire_zeroed(20);
    let mut cursor = buffer.cursor();
    cursor.write_all(b"abc").expect("room");
    assert_eq!(cursor.seek(SeekFrom::End(-2)).expect("inside"), 18);
    assert_eq!(cursor.write(b"xyz").expect("some"), 2);
    assert_eq!(cursor.write(b"z").expect("none"), 0);
    assert!(cursor.seek(SeekFrom::Current(-21)).is_err());
    assert_eq!((cursor.seek(SeekFrom::Start(1)).expect("inside"), cursor.position()), (1, 1));
    let mut read = [0; 4];
    cursor.read_exact(&mut read).expect("inside");
    assert_eq!(read, [b'b', b'c', 0, 0]);
    cursor.seek(SeekFrom::Start(u64::MAX)).expect("as any seek");
    assert_eq!((cursor.read(&mut read).expect("end"), cursor.write(b"q").expect("end")), (0, 0));
    assert_eq!((buffer.dirty_len(), &buffer[18..]), (20, &b"xy"[..]));
}

/// Says that it read more than it was offered.
struct Liar;

impl Read for Liar {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        Ok(target.len() + 1)
    }
}

#[test]
fn reading_into_a_buffer() {
    let pool = BufferPool::new(4);
    let mut buffer = pool.acquire_for_write(4096);
    let input = [5; 10_000];
    let mut reader = &input[..];
    assert_eq!(buffer.read_from(&mut reader, 100).expect("bytes"), 100);
    assert_eq!((buffer.len(), buffer.dirty_len()), (100, 100));
    assert_eq!(buffer.read_from(&mut reader, usize::MAX).expect("bytes"), 3996);
    assert_eq!(buffer.read_from(&mut reader, 10).expect("full"), 0);
    let mut copy = Vec::new();
    buffer.write_to(&mut copy).expect("memory");
    assert_eq!(copy, [5; 4096]);
    buffer.clear();
    assert!(buffer.read_from(&mut Liar, 10).is_err());
    assert!(buffer.is_empty());
}

#[test]
fn errors_become_io_errors() {
    let pool = BufferPool::builder().outstanding_bytes_max(4096).build().expect("sound");
    let held = pool.acquire(1);
    let error = std::io::Error::from(pool.try_acquire(1).expect_err("none left"));
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<PoolError>());
    assert!(matches!(inner, Some(PoolError::WouldWait { buffer_bytes: 4096, .. })));
    drop(held);
}

#[cfg(feature = "bytes")]
mod bytes_crate {
    use super::*;
    use bytes::{Buf, BufMut, Bytes};

    #[test]
    fn reading_as_buf_and_taking_bytes_without_a_copy() {
        let pool = BufferPool::new(4);
        let mut message = frozen(&pool, b"\x00\x05helloworld");
        let address = message.as_ptr();
        assert_eq!((message.get_u16(), message.remaining()), (5, 10));
        let hello = message.copy_to_bytes(5);
        assert_eq!((&*hello, hello.as_ptr().addr() - address.addr()), (&b"hello"[..], 2));
        message.advance(1);
        assert_eq!((message.chunk(), &*message), (&b"orld"[..], &b"orld"[..]));
        drop((message, hello));
        assert_eq!(pool.idle(0), 1);
    }

    #[test]
    #[should_panic(expected = "advanced by 3 of 2 bytes")]
    fn advancing_beyond_the_end_is_a_mistake() {
        frozen(&BufferPool::new(1), b"ab").advance(3);
    }

    #[test]
    fn a_bytes_gives_the_buffer_back() {
        let pool = BufferPool::new(4);
        let bytes = Bytes::from(frozen(&pool, b"zero copies"));
        let part = bytes.slice(5..);
        drop(bytes);
        assert_eq!((&*part, pool.idle(0)), (&b"copies"[..], 0));
        drop(part);
        assert_eq!(pool.idle(0), 1);
        drop(Bytes::from(pool.acquire(1)));
        assert_eq!(pool.idle(0), 1);
    }

    #[test]
    fn appending_as_buf_mut() {
        let pool = BufferPool::new(4);
        let mut buffer = pool.acquire_for_write(4096);
        assert_eq!(buffer.remaining_mut(), 4096);
        buffer.put_u32(0x0102_0304);
        buffer.put_bytes(9, 3);
        buffer.put_slice(b"end");
        assert_eq!((&*buffer, buffer.dirty_len()), (&b"\x01\x02\x03\x04\x09\x09\x09end"[..], 10));
        let rest = buffer.remaining_mut();
        buffer.put_bytes(0, rest);
        assert_eq!((buffer.len(), buffer.has_remaining_mut()), (4096, false));
    }

    #[test]
    #[should_panic(expected = "4097 bytes do not fit into 4096")]
    fn more_than_there_is_room_for_is_a_mistake() {
        BufferPool::new(4).acquire_for_write(1).put_bytes(1, 4097);
    }

    /// Bytes that are written to a chunk and never advanced over are dirty as well.
    #[test]
    fn chunks_leak_nothing() {
        let pool = BufferPool::new(4);
        let mut buffer = pool.acquire_for_write(1);
        buffer.chunk_mut()[1000..1006].copy_from_slice(b"secret");
        drop(buffer);
        assert_eq!(*pool.acquire(1), [0; 4096]);
    }
}
