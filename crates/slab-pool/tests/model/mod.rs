//! One operation language for pools, and the model that each answer is compared with. Shared by the
//! property tests, the fuzz target and Miri.
//!
//! Threads are simulated: [`magazines`] runs several explicit thread caches over one depot and knows where each
//! item is; [`buffers`] runs one thread over a whole pool and knows what each buffer contains.

use std::collections::BTreeMap;

use slab_pool::magazine::{Cache, Depot, Linked, Shape};
use slab_pool::{
    BufferChain, BufferPool, Oversize, PoolError, PooledBuffer, SharedBuffer, Zeroing,
};

/// Bytes that make one operation.
pub const OP_BYTES: usize = 4;

/// Four bytes that mean what the run makes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    kind: u8,
    low: u8,
    wide: u16,
}

impl Op {
    /// Reads a program; what is left of an incomplete operation is ignored.
    pub fn decode_all(bytes: &[u8]) -> Vec<Self> {
        let decode = |&[kind, low, a, b]: &[u8; OP_BYTES]| Self {
            kind,
            low,
            wide: u16::from_le_bytes([a, b]),
        };
        bytes.as_chunks().0.iter().map(decode).collect()
    }
}

/// The operations that a run executed. Tests assert these numbers: a run that did nothing proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Report {
    pub executed: usize,
    pub recycled: usize,
    pub discarded: usize,
    pub refused: usize,
}

struct Item {
    next: Option<Box<Item>>,
    number: u32,
}

impl Linked for Item {
    fn link(&mut self) -> &mut Option<Box<Self>> {
        &mut self.next
    }
}

const CLASSES: usize = 2;
const CACHES: usize = 3;

/// Runs operations on thread caches over a depot; panics at the first item lost, doubled or over a limit.
pub fn magazines(setup: u16, ops: &[Op]) -> Report {
    let capacity = usize::from(setup % 40);
    let bytes_max = if setup & 0x100 == 0 { usize::MAX } else { usize::from(setup >> 9) };
    let shape =
        |item_bytes| Shape::new(item_bytes, capacity, 8, usize::from(setup >> 6 & 3) * 4 + 1);
    let shapes = [shape(1), shape(3)];
    let depot = Depot::<Item>::new(&shapes, bytes_max, 1 << (setup >> 4 & 1));
    let mut caches: Vec<_> = (0..CACHES).map(|_| Cache::new(&depot)).collect();
    // Items outside, and the classes of those that the depot and the caches may hold.
    let mut out: Vec<(usize, Box<Item>)> = Vec::new();
    let mut idle: BTreeMap<u32, usize> = BTreeMap::new();
    let mut made = 0;
    let mut report = Report::default();
    for op in ops {
        let (class, cache) = (usize::from(op.low) % CLASSES, usize::from(op.low >> 1) % CACHES);
        let pick = usize::from(op.wide) % out.len().max(1);
        match op.kind % 32 {
            0..=11 => {
                let found = match op.kind % 4 {
                    0 => depot.take_one(class),
                    1 => caches[cache].pop(class),
                    _ => caches[cache].take(&depot, class),
                };
                let item = found.inspect(|item| {
                    assert_eq!(
                        idle.remove(&item.number),
                        Some(class),
                        "an item that was out, or of another class"
                    );
                    report.recycled += 1;
                });
                out.push((
                    class,
                    item.unwrap_or_else(|| {
                        made += 1;
                        Box::new(Item { next: None, number: made })
                    }),
                ));
            }
            12..=25 if !out.is_empty() => {
                let (class, item) = out.swap_remove(pick);
                let number = item.number;
                let outcome = match op.kind % 4 {
                    0 => depot.put_one(class, item),
                    1 => caches[cache].push(class, item),
                    _ => caches[cache].put(&depot, class, item),
                };
                match outcome {
                    Ok(()) => _ = idle.insert(number, class),
                    Err(_) => report.discarded += 1,
                }
            }
            26 => {
                caches[cache].flush(&depot);
                idle.retain(|_, class| *class < CLASSES);
            }
            27 => {
                caches[cache] = {
                    caches[cache].flush(&depot);
                    Cache::new(&depot)
                }
            }
            28 => caches[cache].sync(&depot),
            29 => _ = depot.sweep(op.wide & 1 == 0),
            30 => _ = depot.trim(),
            31 if op.low < 16 => _ = caches[cache].trim(&depot),
            _ => {}
        }
        report.executed += 1;
        check_magazines(&depot, &caches, &shapes, bytes_max);
        // Sweeps and trims free items without saying which.
        if (26..32).contains(&(op.kind % 32)) {
            let kept: usize = (0..CLASSES).map(|class| depot.idle(class)).sum();
            assert!(kept <= idle.len());
        } else {
            for class in 0..CLASSES {
                assert!(depot.idle(class) <= idle.values().filter(|&&of| of == class).count());
            }
        }
    }
    for cache in &mut caches {
        cache.flush(&depot);
    }
    for (class, shape) in shapes.iter().enumerate() {
        assert_eq!(depot.available_items(class) + depot.idle(class), shape.capacity);
        while depot.take_one(class).is_some() {}
        assert_eq!((depot.available_items(class), depot.idle(class)), (shape.capacity, 0));
    }
    assert_eq!(depot.available_bytes(), bytes_max);
    report
}

fn check_magazines(
    depot: &Depot<Item>,
    caches: &[Cache<Item>],
    shapes: &[Shape],
    bytes_max: usize,
) {
    let mut bytes = 0;
    for (class, shape) in shapes.iter().enumerate() {
        let held: Vec<_> = caches.iter().map(|cache| cache.held(class)).collect();
        for &(items, reserved) in &held {
            assert!(items <= reserved && reserved <= shape.share, "{items} {reserved} {shape:?}");
        }
        let in_caches: usize = held.iter().map(|held| held.0).sum();
        let in_depot = depot.idle(class) - in_caches;
        let reserved: usize = held.iter().map(|held| held.1).sum();
        assert_eq!(in_depot + reserved + depot.available_items(class), shape.capacity);
        bytes += (in_depot + reserved) * shape.item_bytes;
    }
    assert_eq!(bytes + depot.available_bytes(), bytes_max);
}

/// A buffer that is out, and what it must contain.
enum Held {
    Alone(PooledBuffer, Vec<u8>),
    Shared(SharedBuffer, Vec<u8>),
}

const SMALLEST: usize = 64;

/// Runs operations on a pool; panics at the first wrong byte or number.
pub fn buffers(setup: u16, ops: &[Op]) -> Report {
    let zeroing = [Zeroing::OnAcquire, Zeroing::Always, Zeroing::Never][usize::from(setup % 3)];
    let limit = 8192;
    let mut builder = BufferPool::builder()
        .classes(&[SMALLEST, 200, 256, 1000])
        .alignment(1 << (setup >> 2 & 7))
        .capacity_per_class(usize::from(setup >> 5 & 7))
        .zeroing(zeroing)
        .wipe_on_release(setup & 0x100 != 0)
        .copy_out_max(usize::from(setup >> 9 & 1) * 50)
        .oversize(if setup & 0x400 == 0 {
            Oversize::Allocate
        } else {
            Oversize::Keep { max_bytes: 4000 }
        });
    if setup & 0x800 != 0 {
        builder = builder.outstanding_bytes_max(limit);
    }
    let pool = builder.build().expect("sound");
    let mut held: Vec<Held> = Vec::new();
    let mut report = Report::default();
    for op in ops {
        let size = usize::from(op.wide) % 3000;
        let pick = usize::from(op.low) % held.len().max(1);
        match (op.kind % 16, held.get_mut(pick)) {
            (0..=3, _) => match pool.try_acquire(size) {
                Ok(buffer) => {
                    assert!(buffer.len() >= size.max(1) && buffer.len() == buffer.capacity());
                    assert_eq!(buffer.as_ptr().addr() % buffer.alignment(), 0);
                    let clean = *buffer == vec![0; buffer.len()];
                    assert!(clean || zeroing == Zeroing::Never, "somebody's bytes");
                    let contents = buffer.to_vec();
                    held.push(Held::Alone(buffer, contents));
                }
                Err(error) => refused(&error, &mut report),
            },
            (4, _) => match pool.try_acquire_for_write(size) {
                Ok(buffer) => {
                    assert!(buffer.is_empty() && buffer.capacity() >= size);
                    held.push(Held::Alone(buffer, Vec::new()));
                }
                Err(error) => refused(&error, &mut report),
            },
            (5, _) if setup & 0x800 == 0 => {
                let buffer = pool.acquire_zeroed(size);
                assert_eq!(&*buffer, &vec![0; size]);
                held.push(Held::Alone(buffer, vec![0; size]));
            }
            (6..=8, Some(_)) => drop(held.swap_remove(pick)),
            (9, Some(Held::Alone(buffer, contents))) => {
                let (offset, bytes) = (size % 300, vec![op.low | 1; usize::from(op.low)]);
                match buffer.write_at(offset, &bytes) {
                    Ok(()) => contents[offset..offset + bytes.len()].copy_from_slice(&bytes),
                    Err(error) => {
                        assert!(offset + bytes.len() > contents.len());
                        refused(&error, &mut report);
                    }
                }
            }
            (10, Some(Held::Alone(buffer, contents))) => {
                buffer.fill(op.low);
                contents.fill(op.low);
            }
            (11, Some(Held::Alone(buffer, contents))) => {
                match buffer.try_resize(size, op.low & 3) {
                    Ok(()) => contents.resize(size, op.low & 3),
                    Err(error) => refused(&error, &mut report),
                }
            }
            (12, Some(Held::Alone(buffer, contents))) => {
                let bytes = [op.low; 20];
                match buffer.extend_from_slice(&bytes) {
                    Ok(()) => contents.extend(bytes),
                    Err(error) => refused(&error, &mut report),
                }
            }
            (13, Some(_)) => {
                let next = match held.swap_remove(pick) {
                    Held::Alone(buffer, contents) => Held::Shared(buffer.freeze(), contents),
                    Held::Shared(shared, contents) => match shared.try_mut() {
                        Ok(buffer) => {
                            let contents = buffer.to_vec();
                            Held::Alone(buffer, contents)
                        }
                        Err(shared) => Held::Shared(shared, contents),
                    },
                };
                held.push(next);
            }
            (14, Some(Held::Shared(shared, contents))) => {
                let start = size % (contents.len() + 1);
                let end = start + usize::from(op.low) % (contents.len() - start + 1);
                let slice = Held::Shared(shared.slice(start..end), contents[start..end].to_vec());
                held.push(slice);
            }
            (15, _) => match op.low % 8 {
                0 => _ = pool.trim(),
                1 => _ = pool.decay(std::time::Instant::now()),
                2 => _ = pool.prefill(usize::from(op.low >> 3) % 4, size % 4),
                3..=5 => parts(&mut held, op.low, size),
                _ => chain(&mut held, size),
            },
            _ => {}
        }
        report.executed += 1;
        if held.len() > 60 {
            held.truncate(30);
        }
        check_buffers(&pool, &held, limit);
    }
    report.recycled = usize::try_from(pool.recycles()).unwrap_or(usize::MAX);
    drop(held);
    check_buffers(&pool, &[], limit);
    report
}

/// Splits a shared buffer, joins two, or makes a part writable.
fn parts(held: &mut Vec<Held>, choice: u8, size: usize) {
    let pick = size % held.len().max(1);
    if !matches!(held.get(pick), Some(Held::Shared(..))) {
        return;
    }
    let Held::Shared(mut part, mut contents) = held.swap_remove(pick) else { return };
    match choice % 8 {
        3 => {
            let at = size % (contents.len() + 1);
            let (rest, split) = if choice & 8 == 0 {
                (contents.split_off(at), part.split_off(at))
            } else {
                let rest = contents.split_off(at);
                (std::mem::replace(&mut contents, rest), part.split_to(at))
            };
            held.push(Held::Shared(split, rest));
        }
        4 => match part.try_into_mut() {
            Ok(buffer) => return held.push(Held::Alone(buffer, contents)),
            Err(shared) => part = shared,
        },
        _ => {
            if let Some(Held::Shared(..)) = held.last()
                && let Some(Held::Shared(next, others)) = held.pop()
            {
                match part.try_unsplit(next) {
                    Ok(joined) => {
                        contents.extend(others);
                        part = joined;
                    }
                    Err((first, next)) => {
                        part = first;
                        held.push(Held::Shared(next, others));
                    }
                }
            }
        }
    }
    held.push(Held::Shared(part, contents));
}

/// Gathers all shared buffers in a chain, takes bytes off both ends, and holds the parts that are left.
fn chain(held: &mut Vec<Held>, size: usize) {
    let mut chain = BufferChain::new();
    let mut contents = Vec::new();
    let (shared, alone) = held.drain(..).partition(|held| matches!(held, Held::Shared(..)));
    *held = alone;
    for part in Vec::into_iter(shared) {
        let Held::Shared(part, bytes) = part else { continue };
        chain.push(part);
        contents.extend(bytes);
    }
    assert_eq!(chain.len(), contents.len());
    let at = size % (contents.len() + 1);
    let tail = chain.split_off(at);
    let skipped = at / 3;
    chain.advance(skipped);
    chain.extend(tail);
    let mut contents = &contents[skipped..];
    assert_eq!(chain.len(), contents.len());
    for part in chain {
        let (bytes, rest) = contents.split_at(part.len());
        contents = rest;
        held.push(Held::Shared(part, bytes.to_vec()));
    }
}

fn refused(error: &PoolError, report: &mut Report) {
    assert!(
        matches!(error, PoolError::WouldWait { .. } | PoolError::OutOfBounds { .. }),
        "nothing else can be wrong: {error}"
    );
    report.refused += 1;
}

fn check_buffers(pool: &BufferPool, held: &[Held], limit: usize) {
    for held in held {
        match held {
            Held::Alone(buffer, contents) => assert_eq!(**buffer, contents[..]),
            Held::Shared(shared, contents) => assert_eq!(**shared, contents[..]),
        }
    }
    let stats = pool.detailed_stats();
    assert_eq!(stats.totals.allocations, stats.totals.recycles + stats.totals.misses);
    assert!(stats.retained_bytes <= stats.retained_bytes_max);
    for class in &stats.classes {
        assert!(class.idle <= class.capacity, "{class:?}");
    }
    if let Some(out) = stats.outstanding_bytes {
        assert!(out <= limit && (out == 0) == held.is_empty(), "{out}");
    }
}
