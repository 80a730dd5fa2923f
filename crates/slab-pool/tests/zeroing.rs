//! With `Zeroing::Always` safe code reads no byte of an earlier owner, whatever it does with a buffer: random programs of two
//! owners, each buffer marked with its own tag, and readers that look at the memory they are given or lie about it.
#![cfg(not(loom))]

use std::io::{self, Read};

use slab_pool::{BufferPool, Oversize, PooledBuffer, SharedBuffer, Zeroing};

/// Copies what it is offered, and reads nothing.
#[derive(Default)]
struct Peek(Vec<u8>);

impl Read for Peek {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.0 = target.to_vec();
        Ok(0)
    }
}

/// Writes nothing, and reports so many bytes more than it was offered.
struct Liar(usize);

impl Read for Liar {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        Ok(target.len() + self.0)
    }
}

/// A buffer with the only byte other than zero that may be in it.
enum Held {
    Alone(PooledBuffer, u8),
    Shared(SharedBuffer, u8),
}

fn check(bytes: &[u8], tag: u8, place: &str) {
    let foreign = bytes.iter().position(|&byte| byte != 0 && byte != tag);
    assert_eq!(foreign, None, "byte of another owner, {place}, tag {tag}: {bytes:?}");
}

impl Held {
    /// Checks all bytes that safe code can read without changing the buffer.
    fn check(&self) {
        match self {
            Self::Alone(buffer, tag) => check(buffer, *tag, "visible"),
            Self::Shared(shared, tag) => check(shared, *tag, "shared"),
        }
    }

    /// Checks the whole memory, and gives the buffer back.
    fn end(self) {
        self.check();
        let (mut buffer, tag) = match self {
            Self::Alone(buffer, tag) => (buffer, tag),
            Self::Shared(shared, tag) => match shared.try_mut() {
                Ok(buffer) => (buffer, tag),
                Err(_) => return,
            },
        };
        let capacity = buffer.capacity();
        let mut spare = Peek::default();
        assert_eq!(buffer.read_from(&mut spare, usize::MAX).expect("nothing read"), 0);
        check(&spare.0, tag, "behind the length");
        assert_eq!(spare.0.len(), capacity - buffer.len());
    }
}

#[cfg(feature = "bytes")]
fn buf_mut(buffer: &mut PooledBuffer, tag: u8, size: usize) {
    use bytes::BufMut;
    let room = buffer.remaining_mut();
    if size.is_multiple_of(3) {
        let count = size.min(room);
        buffer.chunk_mut()[..count].copy_from_slice(&vec![tag; count]);
    } else {
        buffer.put_bytes(tag, (size % 40).min(room));
        let room = buffer.remaining_mut();
        buffer.put_slice(&[tag; 7][..room.min(7)]);
    }
}

#[cfg(not(feature = "bytes"))]
fn buf_mut(_: &mut PooledBuffer, _: u8, _: usize) {}

#[derive(Debug, Default, Clone, Copy)]
struct Report {
    recycled: u64,
    moved: usize,
    detached: usize,
    lies: usize,
}

fn run(setup: u8, program: &[u8]) -> Report {
    let oversize = match setup & 3 {
        0 => Oversize::Allocate,
        _ => Oversize::Keep { max_bytes: 4000 },
    };
    let pool = BufferPool::builder()
        .classes(&[100, 300, 1000])
        .alignment(1)
        .capacity_per_class(8)
        .zeroing(Zeroing::Always)
        .wipe_on_release(setup & 4 != 0)
        .copy_out_max(usize::from(setup >> 3 & 1) * 150)
        .oversize(oversize)
        .build()
        .expect("sound");
    let mut owners: [Vec<Held>; 2] = Default::default();
    let mut tag = 0_u8;
    let mut report = Report::default();
    for (step, &[kind, pick, low, high]) in program.as_chunks().0.iter().enumerate() {
        let size = usize::from(u16::from_le_bytes([low, high])) % 2500;
        let [held, other] = &mut owners;
        if kind & 0x80 != 0 {
            std::mem::swap(held, other);
        }
        let index = usize::from(pick) % held.len().max(1);
        let capacity_before = match held.get(index) {
            Some(Held::Alone(buffer, _)) => buffer.capacity(),
            _ => usize::MAX,
        };
        match (kind % 20, held.get_mut(index)) {
            (0..=3, _) => {
                tag = tag.checked_add(1).unwrap_or(1);
                let buffer = match kind % 20 {
                    0 => pool.acquire(size),
                    1 => pool.acquire_zeroed(size),
                    2 => pool.acquire_for_write(size),
                    _ => pool.try_acquire_for_write(size).expect("no limit"),
                };
                check(&buffer, 0, "acquired");
                held.push(Held::Alone(buffer, tag));
            }
            (4..=6, Some(_)) => held.swap_remove(index).end(),
            (7, Some(Held::Alone(buffer, tag))) => buffer.fill(*tag),
            (8, Some(Held::Alone(buffer, tag))) => {
                let bytes = [*tag; 50];
                _ = buffer.write_at(size % 300, &bytes[..usize::from(pick) % 50]);
            }
            (9, Some(Held::Alone(buffer, tag))) => buffer.resize(size, *tag * (pick & 1)),
            (10 | 11, Some(Held::Alone(buffer, tag))) => {
                buffer.extend_from_slice(&vec![*tag; size % 200]).expect("no limit");
            }
            (12, Some(Held::Alone(buffer, _))) => buffer.truncate(size % 400),
            (13 | 14, Some(Held::Alone(buffer, _))) => {
                // It moves the length over bytes that no one wrote.
                buffer.read_from(&mut Liar(0), size).expect("a lie");
                report.lies += 1;
            }
            (15, Some(Held::Alone(buffer, _))) => {
                let len = buffer.len();
                let excess = usize::from(pick) + 1;
                buffer.read_from(&mut Liar(excess), size).expect_err("more than offered");
                assert_eq!(buffer.len(), len);
            }
            (16, Some(Held::Alone(buffer, tag))) => buf_mut(buffer, *tag, size),
            (17, Some(_)) => {
                let next = match held.swap_remove(index) {
                    Held::Alone(buffer, tag) => Held::Shared(buffer.freeze(), tag),
                    Held::Shared(shared, tag) => match shared.try_mut() {
                        Ok(buffer) => Held::Alone(buffer, tag),
                        Err(shared) => Held::Shared(shared, tag),
                    },
                };
                held.push(next);
            }
            (18 | 19, Some(Held::Shared(shared, tag))) => {
                let start = size % (shared.len() + 1);
                let part =
                    shared.slice(start..start + usize::from(pick) % (shared.len() - start + 1));
                let (part, tag) =
                    (if kind % 20 == 18 { Some(part) } else { part.detached() }, *tag);
                report.detached += usize::from(kind % 20 == 19 && part.is_some());
                held.extend(part.map(|part| Held::Shared(part, tag)));
            }
            _ => {}
        }
        if let Some(Held::Alone(buffer, _)) = held.get(index) {
            report.moved += usize::from(buffer.capacity() > capacity_before);
        }
        // Miri takes its time over single bytes.
        if !cfg!(miri) || step % 16 == 0 {
            owners.iter().flatten().for_each(Held::check);
        }
        if owners[0].len() > 12 {
            owners[0].drain(..6).for_each(Held::end);
        }
    }
    owners.into_iter().flatten().for_each(Held::end);
    report.recycled = pool.recycles();
    report
}

const OPS: usize = if cfg!(miri) { 60 } else { 2000 };
const PROGRAMS: u8 = if cfg!(miri) { 4 } else { 40 };

#[test]
fn programs_read_no_byte_of_another_owner() {
    let mut total = Report::default();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for setup in 0..PROGRAMS {
        let program: Vec<u8> = (0..OPS * 4).map(|_| byte()).collect();
        let report = run(setup, &program);
        total.recycled += report.recycled;
        total.moved += report.moved;
        total.detached += report.detached;
        total.lies += report.lies;
    }
    assert!(total.recycled > 10 && total.moved > 2 && total.lies > 2, "{total:?}");
    assert!(cfg!(miri) || total.detached > 100, "{total:?}");
}

#[cfg(not(miri))]
proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::with_cases(100)
    })]

    #[test]
    fn any_program_reads_no_byte_of_another_owner(
        setup: u8,
        program in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..1200),
    ) {
        run(setup, &program);
    }
}

/// Returns a pool whose idle buffers of the first two classes are full of old bytes.
fn used(zeroing: Zeroing) -> BufferPool {
    let pool = BufferPool::builder().zeroing(zeroing).build().expect("sound");
    let held: Vec<_> = [1, 1, 5000, 5000].map(|size| pool.acquire(size)).into();
    for mut buffer in held {
        buffer.fill(0xee);
    }
    pool
}

fn spare(buffer: &mut PooledBuffer) -> Vec<u8> {
    let mut peek = Peek::default();
    buffer.read_from(&mut peek, usize::MAX).expect("nothing read");
    peek.0
}

#[test]
fn behind_the_length_of_a_zeroed_buffer_lie_zeroes() {
    let pool = used(Zeroing::Always);
    assert_eq!(spare(&mut pool.acquire_zeroed(10)), vec![0; 4086]);
    let mut lied_to = pool.acquire_zeroed(1);
    lied_to.read_from(&mut Liar(0), 100).expect("a lie");
    assert_eq!(*lied_to, [0; 101]);
}

#[test]
fn behind_contents_that_moved_lie_zeroes() {
    let pool = used(Zeroing::Always);
    let mut buffer = pool.acquire_for_write(4096);
    buffer.extend_from_slice(&[1; 4097]).expect("no limit");
    assert_eq!((buffer.capacity(), spare(&mut buffer)), (8192, vec![0; 4095]));
    let mut buffer = pool.acquire_for_write(4096);
    buffer.resize(5000, 1);
    assert_eq!(spare(&mut buffer), vec![0; 3192]);
}

#[test]
fn behind_a_detached_copy_lie_zeroes() {
    let pool = used(Zeroing::Always);
    let mut copy = {
        let large = pool.acquire(1 << 16).freeze();
        large.slice(..10).detached().expect("a smaller class").try_mut().expect("the only one")
    };
    assert_eq!((copy.capacity(), spare(&mut copy)), (4096, vec![0; 4086]));
}

/// As documented for the default: a reader that looks at its target sees old bytes there.
#[test]
fn without_always_a_reader_may_see_old_bytes_behind_the_length() {
    let pool = used(Zeroing::OnAcquire);
    assert!(spare(&mut pool.acquire_for_write(10)).contains(&0xee));
    assert_eq!(*pool.acquire_zeroed(4096), [0; 4096]);
    assert_eq!(*pool.acquire(1), [0; 4096]);
}

/// The error has both numbers, and no byte becomes visible, also if the reader panics.
#[test]
fn a_reader_that_reports_too_much_or_panics_shows_nothing() {
    struct Panic;
    impl Read for Panic {
        fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            target.fill(3);
            panic!("boom")
        }
    }
    for zeroing in [Zeroing::OnAcquire, Zeroing::Always, Zeroing::Never] {
        let pool = used(zeroing);
        let mut buffer = pool.acquire_for_write(4096);
        buffer.extend_from_slice(b"mine").expect("room");
        let error = buffer.read_from(&mut Liar(1), 10).expect_err("more than offered");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(error.to_string(), "the reader reports 11 bytes read into 10");
        buffer.read_from(&mut Liar(usize::MAX - 4092), usize::MAX).expect_err("the most there is");
        let read = std::panic::AssertUnwindSafe(|| buffer.read_from(&mut Panic, 10));
        assert!(std::panic::catch_unwind(read).is_err());
        assert_eq!(&*buffer, b"mine", "{zeroing:?}");
        assert!(buffer.dirty_len() >= 14, "what the reader wrote is dirty");
    }
}
