//! A fast reader, a slow writer, and a queue without a bound between them: the pool's limit of outstanding bytes is
//! what slows the reader down.
//!
//! `cargo run --release -p slab-pool --example pipeline`

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use slab_pool::{BufferPool, PoolError, SharedBuffer};

const BLOCK_BYTES: usize = 64 << 10;
const BLOCKS: usize = 400;
const LIMIT_BLOCKS: usize = 16;

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| sum * 31 % 1_000_003 + u64::from(byte))
}

fn main() -> Result<(), PoolError> {
    let pool = BufferPool::builder().outstanding_bytes_max(LIMIT_BLOCKS * BLOCK_BYTES).build()?;
    let (sender, queue) = channel::<SharedBuffer>();
    let queued_max = AtomicUsize::new(0);
    let queued = AtomicUsize::new(0);
    let start = Instant::now();
    let (read, waits, written) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut sum, mut waits) = (0, 0);
            for block in 0..BLOCKS {
                let mut buffer = pool.try_acquire_for_write(BLOCK_BYTES).or_else(|_| {
                    waits += 1;
                    let mut buffer = pool.acquire_timeout(BLOCK_BYTES, Duration::from_secs(60))?;
                    buffer.clear();
                    Ok::<_, PoolError>(buffer)
                })?;
                buffer.resize(BLOCK_BYTES, block as u8);
                sum += checksum(&buffer);
                queued_max.fetch_max(queued.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                // The writer stays until the sender is gone.
                let _ = sender.send(buffer.freeze());
            }
            drop(sender);
            Ok::<_, PoolError>((sum, waits))
        });
        let written = queue.into_iter().map(|block| {
            thread::sleep(Duration::from_micros(200));
            let sum = checksum(&block);
            queued.fetch_sub(1, Ordering::Relaxed);
            sum
        });
        let written: u64 = written.sum();
        let (read, waits) = reader.join().expect("the reader does not panic")?;
        Ok::<_, PoolError>((read, waits, written))
    })?;
    let stats = pool.stats();
    println!("{BLOCKS} blocks in {:.0?}, sums {read} and {written}", start.elapsed());
    println!(
        "the reader waited {waits} times; at most {queued_max:?} blocks were queued, limit {LIMIT_BLOCKS}"
    );
    println!("buffers acquired: {}, allocated: {}", stats.allocations, stats.misses);
    assert_eq!(read, written);
    assert!(queued_max.into_inner() <= LIMIT_BLOCKS);
    Ok(())
}
