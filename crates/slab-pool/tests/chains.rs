//! Chains of parts: what a `Vec<u8>` would contain, without a copy, and no buffer lost.
#![cfg(not(loom))]

use std::io::{self, BufRead, IoSlice, Read, Write};

use slab_pool::{BufferChain, BufferPool, SharedBuffer};

fn frozen(pool: &BufferPool, contents: &[u8]) -> SharedBuffer {
    let mut buffer = pool.acquire_for_write(contents.len());
    buffer.extend_from_slice(contents).expect("there is memory");
    buffer.freeze()
}

fn chain(pool: &BufferPool, parts: &[&[u8]]) -> BufferChain {
    parts.iter().map(|part| frozen(pool, part)).collect()
}

fn contents(chain: &BufferChain) -> Vec<u8> {
    assert!(chain.parts().all(|part| !part.is_empty()));
    let contents: Vec<u8> = chain.parts().flat_map(|part| part.iter().copied()).collect();
    assert_eq!((contents.len(), contents.is_empty()), (chain.len(), chain.is_empty()));
    contents
}

#[test]
fn a_chain_behaves_like_its_bytes_and_gives_all_buffers_back() {
    let pool = BufferPool::builder().outstanding_bytes_max(1 << 20).build().expect("sound");
    let mut random = 0x9e37_79b9_u32;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    let mut subject = BufferChain::new();
    let mut model: Vec<u8> = Vec::new();
    for step in 0..if cfg!(miri) { 200 } else { 5000 } {
        let at = next(model.len() + 1);
        match next(8) {
            0 | 1 => {
                let bytes: Vec<u8> = (0..next(40)).map(|byte| (step + byte) as u8).collect();
                subject.push(frozen(&pool, &bytes));
                model.extend(bytes);
            }
            2 => {
                subject.advance(at);
                model.drain(..at);
            }
            3 => {
                // Parts of one buffer that were split are neighbours again.
                let tail = subject.split_off(at);
                let mut whole = subject;
                whole.extend(tail);
                subject = whole;
            }
            4 => {
                let head = subject.split_to(at);
                assert_eq!(contents(&head), model[..at]);
                model.drain(..at);
            }
            5 => {
                subject.truncate(at);
                model.truncate(at);
            }
            6 => {
                let mut read = vec![0; at];
                subject.read_exact(&mut read).expect("so many bytes");
                assert_eq!(read, model[..at]);
                model.drain(..at);
            }
            _ => subject = subject.clone(),
        }
        assert_eq!(contents(&subject), model);
        assert_eq!(subject.first_chunk().first(), model.first());
    }
    subject.clear();
    assert_eq!((subject.len(), pool.detailed_stats().outstanding_bytes), (0, Some(0)));
}

#[test]
fn advancing_gives_buffers_back_one_by_one() {
    let pool = BufferPool::with_capacity(8);
    let mut message = chain(&pool, &[b"one", b"two", b"three"]);
    message.advance(2);
    assert_eq!(pool.idle(0), 0);
    message.advance(2);
    assert_eq!((pool.idle(0), message.first_chunk()), (1, &b"wo"[..]));
    message.consume(2);
    assert_eq!((pool.idle(0), message.fill_buf().expect("bytes")), (2, &b"three"[..]));
}

#[test]
fn neighbours_are_joined_and_become_a_buffer_again() {
    let pool = BufferPool::with_capacity(8);
    let mut middle = frozen(&pool, b"head|body|tail");
    let head = middle.split_to(5);
    let tail = middle.split_off(5);
    let joined = BufferChain::from_iter([head, middle, tail]);
    assert_eq!(joined.parts().len(), 1);
    let whole = joined.try_into_shared().expect("one part");
    assert_eq!(whole, b"head|body|tail");
    assert_eq!(&*whole.try_mut().expect("the last part"), b"head|body|tail");
    let several = chain(&pool, &[b"a", b"b", b"c"]).try_into_shared().expect_err("three parts");
    assert_eq!(contents(&several), b"abc");
    assert!(BufferChain::new().try_into_shared().is_err());
}

#[test]
fn parts_are_joined_with_their_neighbours_only() {
    let pool = BufferPool::with_capacity(8);
    let mut whole = frozen(&pool, b"abcdef");
    let (first, second) = (whole.split_to(2), whole.split_to(2));
    let (second, first) = second.try_unsplit(first).expect_err("the wrong order");
    let (first, third) = first.try_unsplit(whole).expect_err("a gap");
    let pair = first.try_unsplit(second).expect("neighbours");
    assert_eq!(pair, b"abcd");
    let (pair, other) = pair.try_unsplit(frozen(&pool, b"ef")).expect_err("another buffer");
    let whole = pair.try_unsplit(other.slice(..0)).expect("nothing to join");
    let whole = whole.try_unsplit(third).expect("neighbours");
    let whole = other.slice(..0).try_unsplit(whole).expect("nothing to join");
    assert!(whole == b"abcdef" && whole.try_mut().is_ok(), "no owner is left over");
}

#[test]
fn the_last_part_becomes_a_buffer_of_its_bytes() {
    let pool = BufferPool::with_capacity(8);
    for range in [0..6, 0..3, 2..4, 5..6, 3..3, 6..6] {
        let whole = frozen(&pool, b"abcdef");
        let part = whole.slice(range.clone());
        let part = part.try_into_mut().expect_err("there is another part");
        drop(whole);
        let mut buffer = part.try_into_mut().expect("the last part");
        assert_eq!(*buffer, b"abcdef"[range.clone()]);
        buffer.extend_from_slice(b"+").expect("room");
        assert_eq!(buffer.len(), range.len() + 1);
        drop(buffer);
        assert_eq!(*pool.acquire(1), [0; 4096], "all that moved is dirty");
    }
}

/// Takes a few bytes of each call, and is interrupted in between.
struct Slow(Vec<u8>, usize);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let before = self.0.len();
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        self.0.extend(bytes.take(5));
        Ok(self.0.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn vectored_writes_drop_what_was_written() {
    let pool = BufferPool::with_capacity(200);
    let parts: Vec<Vec<u8>> = (0..150).map(|part| vec![part as u8; 1 + part % 7]).collect();
    let mut message: BufferChain = parts.iter().map(|part| frozen(&pool, part)).collect();
    let mut writer = Slow(Vec::new(), 0);
    message.write_to(&mut writer).expect("it takes all");
    assert_eq!(writer.0, parts.concat());
    assert!(message.is_empty());

    let mut slices = [IoSlice::new(&[]); 2];
    let message = chain(&pool, &[b"a", b"bc", b"d"]);
    assert_eq!(message.chunks_vectored(&mut slices), 2);
    assert_eq!((&*slices[0], &*slices[1]), (&b"a"[..], &b"bc"[..]));
}

/// A writer that fails after a number of bytes, or lies.
struct Faulty(Vec<io::Result<usize>>);

impl Write for Faulty {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.0.pop().expect("no further call")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_write_that_fails_leaves_the_bytes_that_were_not_written() {
    let pool = BufferPool::with_capacity(8);
    let failures: [(io::Result<usize>, io::ErrorKind); 3] = [
        (Err(io::ErrorKind::BrokenPipe.into()), io::ErrorKind::BrokenPipe),
        (Ok(0), io::ErrorKind::WriteZero),
        (Ok(9), io::ErrorKind::InvalidData),
    ];
    for (failure, kind) in failures {
        let mut message = chain(&pool, &[b"abcd", b"ef"]);
        let mut writer = Faulty(vec![failure, Ok(2)]);
        assert_eq!(message.write_to(&mut writer).expect_err("it fails").kind(), kind);
        assert_eq!(contents(&message), b"cdef");
    }
}

#[test]
#[should_panic(expected = "advanced by 3 of 2 bytes")]
fn advancing_beyond_the_end_is_a_mistake() {
    chain(&BufferPool::with_capacity(1), &[b"a", b"b"]).advance(3);
}

#[test]
#[should_panic(expected = "a split at 3 of 2 bytes")]
fn a_split_beyond_the_end_is_a_mistake() {
    drop(chain(&BufferPool::with_capacity(1), &[b"a", b"b"]).split_to(3));
}

#[test]
fn a_forgotten_chain_keeps_its_buffers_alone() {
    let pool = BufferPool::builder().outstanding_bytes_max(8192).build().expect("sound");
    let mut message = chain(&pool, &[b"a", b"b"]);
    let tail = message.split_off(1);
    let forgotten = std::mem::ManuallyDrop::new(message);
    drop(tail);
    assert_eq!((forgotten.len(), pool.detailed_stats().outstanding_bytes), (1, Some(4096)));
    drop(std::mem::ManuallyDrop::into_inner(forgotten));
}

/// `Bytes` and the parts of a buffer are split, joined and sliced alike.
#[cfg(feature = "bytes")]
mod bytes_crate {
    use super::*;
    use bytes::{Buf, Bytes};

    #[test]
    fn parts_are_split_like_bytes() {
        let pool = BufferPool::with_capacity(8);
        for at in 0..=6 {
            let (mut ours, mut theirs) = (frozen(&pool, b"abcdef"), Bytes::from_static(b"abcdef"));
            assert_eq!(ours.split_to(at), theirs.split_to(at));
            assert_eq!(ours, theirs);
            for rest in 0..=ours.len() {
                let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
                assert_eq!(ours.split_off(rest), theirs.split_off(rest));
                ours.truncate(rest / 2);
                theirs.truncate(rest / 2);
                assert_eq!(ours, theirs);
                assert_eq!(ours.slice(rest / 4..), theirs.slice(rest / 4..));
            }
        }
    }

    #[test]
    fn reading_as_buf_copies_only_over_borders() {
        let pool = BufferPool::with_capacity(8);
        let mut message = chain(&pool, &[b"\x00", b"\x05hello", b" world"]);
        let address = message.parts().nth(1).expect("a part").as_ptr();
        assert_eq!((message.get_u16(), message.remaining()), (5, 11));
        let hello = message.copy_to_bytes(5);
        assert_eq!((&*hello, hello.as_ptr().addr() - address.addr()), (&b"hello"[..], 1));
        assert_eq!(message.copy_to_bytes(0), Bytes::new());
        let mut message: BufferChain =
            [frozen(&pool, b"ab").into(), message].into_iter().flatten().collect();
        assert_eq!(message.copy_to_bytes(4), b"ab w"[..]);
        assert_eq!(message.chunk(), b"orld");
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(Buf::chunks_vectored(&message, &mut slices), 1);
        Buf::advance(&mut message, 4);
        drop(hello);
        assert!(!message.has_remaining());
        assert_eq!(pool.idle(0), 3, "one was used twice");
    }
}
