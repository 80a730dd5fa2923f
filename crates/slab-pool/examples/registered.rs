//! One pool for two runtimes: a thread reads a file by `io_uring` into registered buffers, and tokio sends the same buffers over
//! a connection. The other end receives into buffers of the pool too.
//!
//! `cargo run --release -p slab-pool --features arena --example registered [-- --ordinary]`
//!
//! The arena is registered once, before the first read. Where the kernel refuses `io_uring`, or with `--ordinary`, the thread
//! reads with ordinary calls, and says so.
#![cfg_attr(
    all(target_os = "linux", not(miri)),
    expect(unsafe_code, reason = "the kernel writes into buffers that the ring owns")
)]

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;

use slab_pool::{ArenaSettings, BufferChain, BufferPool, PooledBuffer, SharedBuffer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Sender};

const CHUNK_BYTES: usize = 64 << 10;
const FILE_BYTES: usize = 20_000_123;
/// Reads in flight.
const DEPTH: usize = 8;
/// Buffers of the arena: those that are read, those in the channel, and those that are sent or received.
const BUFFERS: usize = 4 * DEPTH;

/// Reads whole chunks of a file, in any order.
trait ReadChunks {
    /// Starts to read the chunk with this number into a buffer.
    fn start(&mut self, chunk: usize, buffer: PooledBuffer) -> io::Result<()>;
    /// Waits for a chunk, and returns its number and its bytes.
    fn finish(&mut self) -> io::Result<(usize, PooledBuffer)>;
}

/// Reads by ordinary calls.
struct Ordinary {
    file: File,
    read: Vec<(usize, PooledBuffer)>,
}

impl ReadChunks for Ordinary {
    fn start(&mut self, chunk: usize, mut buffer: PooledBuffer) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let offset = (chunk * CHUNK_BYTES) as u64;
        let mut len = 0;
        loop {
            match self.file.read_at(&mut buffer[len..], offset + len as u64)? {
                0 => break,
                count => len += count,
            }
        }
        buffer.truncate(len);
        self.read.push((chunk, buffer));
        Ok(())
    }

    fn finish(&mut self) -> io::Result<(usize, PooledBuffer)> {
        self.read.pop().ok_or_else(|| io::Error::other("no read is in flight"))
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
mod ring {
    use std::collections::HashMap;
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;

    use io_uring::{IoUring, opcode, types};
    use slab_pool::{Arena, BufferPool, PooledBuffer};

    use super::{CHUNK_BYTES, DEPTH, ReadChunks};

    /// Reads by `io_uring` into registered buffers.
    pub struct Ring {
        ring: IoUring,
        file: File,
        /// The buffer of each read in flight, by its chunk.
        in_flight: HashMap<usize, PooledBuffer>,
        /// The registered memory.
        _arena: Arena,
    }

    impl Ring {
        /// Registers the pool's arena. The only registration.
        pub fn new(pool: &BufferPool, file: File) -> io::Result<Self> {
            let arena = pool.arena().ok_or_else(|| io::Error::other("there is no arena"))?.clone();
            let ring = IoUring::new(DEPTH as u32)?;
            // SAFETY: the memory stays mapped while the arena exists, which is dropped after the ring.
            unsafe { ring.submitter().register_buffers(&arena.iovecs())? };
            Ok(Self { ring, file, in_flight: HashMap::new(), _arena: arena })
        }
    }

    impl ReadChunks for Ring {
        fn start(&mut self, chunk: usize, mut buffer: PooledBuffer) -> io::Result<()> {
            let file = types::Fd(self.file.as_raw_fd());
            let offset = (chunk * CHUNK_BYTES) as u64;
            let (start, len) = (buffer.as_mut_slice().as_mut_ptr(), buffer.len() as u32);
            let read = match buffer.arena_index() {
                Some(index) => {
                    opcode::ReadFixed::new(file, start, len, index).offset(offset).build()
                }
                // More buffers are in use than the arena has: this one is not registered.
                None => opcode::Read::new(file, start, len).offset(offset).build(),
            };
            let read = read.user_data(chunk as u64);
            self.in_flight.insert(chunk, buffer);
            // SAFETY: the file and the buffer belong to this value until the kernel has finished the read.
            let pushed = unsafe { self.ring.submission().push(&read) };
            pushed.map_err(io::Error::other)?;
            self.ring.submit().map(drop)
        }

        fn finish(&mut self) -> io::Result<(usize, PooledBuffer)> {
            let entry = loop {
                if let Some(entry) = self.ring.completion().next() {
                    break entry;
                }
                self.ring.submit_and_wait(1)?;
            };
            let chunk = entry.user_data() as usize;
            let finished = self.in_flight.remove(&chunk);
            let mut buffer = finished.ok_or_else(|| io::Error::other("no such read"))?;
            if entry.result() < 0 {
                return Err(io::Error::from_raw_os_error(-entry.result()));
            }
            buffer.truncate(entry.result() as usize);
            Ok((chunk, buffer))
        }
    }

    impl Drop for Ring {
        /// The kernel still writes into the buffers of reads that are in flight.
        fn drop(&mut self) {
            let mut reads = self.in_flight.len();
            while reads > 0 && self.finish().is_ok() {
                reads -= 1;
            }
            // If it is unknown whether they have ended, their memory must never be used again.
            self.in_flight.drain().for_each(std::mem::forget);
        }
    }
}

/// Returns a reader, and why it is not a ring.
fn reader(pool: &BufferPool, path: &Path, ring: bool) -> io::Result<(Box<dyn ReadChunks>, String)> {
    let why = if ring {
        #[cfg(all(target_os = "linux", not(miri)))]
        match ring::Ring::new(pool, File::open(path)?) {
            Ok(ring) => return Ok((Box::new(ring), String::new())),
            Err(error) => error.to_string(),
        }
        #[cfg(not(all(target_os = "linux", not(miri))))]
        "this system has none".to_string()
    } else {
        "not asked for".to_string()
    };
    let _ = pool;
    Ok((Box::new(Ordinary { file: File::open(path)?, read: Vec::new() }), why))
}

/// Reads all chunks, several at a time, and passes them on in their order.
fn read_all(
    pool: &BufferPool,
    chunks: usize,
    reader: &mut dyn ReadChunks,
    sender: &Sender<SharedBuffer>,
) -> io::Result<()> {
    let mut started = 0;
    let mut waiting: Vec<(usize, PooledBuffer)> = Vec::new();
    for next in 0..chunks {
        while started < chunks.min(next + DEPTH) {
            reader.start(started, pool.acquire(CHUNK_BYTES))?;
            started += 1;
        }
        let buffer = loop {
            if let Some(place) = waiting.iter().position(|&(chunk, _)| chunk == next) {
                break waiting.swap_remove(place).1;
            }
            waiting.push(reader.finish()?);
        };
        sender.blocking_send(buffer.freeze()).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Copies a file over a connection, and returns what arrived, and why there was no ring.
fn transfer(pool: &BufferPool, path: &Path, ring: bool) -> io::Result<(Vec<u8>, String)> {
    let chunks = fs::metadata(path)?.len().div_ceil(CHUNK_BYTES as u64) as usize;
    let (sender, mut receiver) = mpsc::channel(DEPTH);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let (mut reader, why) = reader(pool, path, ring)?;
            read_all(pool, chunks, &mut *reader, &sender)?;
            Ok::<_, io::Error>(why)
        });
        let received = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let mut output = TcpStream::connect(listener.local_addr()?).await?;
            let (mut input, _) = listener.accept().await?;
            let sending = async {
                while let Some(buffer) = receiver.recv().await {
                    let mut message = BufferChain::from(buffer);
                    // With whatever else has been read.
                    while let Ok(buffer) = receiver.try_recv() {
                        message.push(buffer);
                    }
                    output.write_all_buf(&mut message).await?;
                }
                output.shutdown().await
            };
            let receiving = async {
                let mut all = Vec::new();
                let mut buffer = pool.acquire_async(CHUNK_BYTES).await?;
                loop {
                    match input.read(&mut buffer).await? {
                        0 => return Ok(all),
                        count => all.extend_from_slice(&buffer[..count]),
                    }
                }
            };
            tokio::try_join!(sending, receiving)
        });
        let why = reading.join().expect("no panic")?;
        Ok((received?.1, why))
    })
}

fn run(ring: bool) -> io::Result<String> {
    let settings = ArenaSettings::new(BUFFERS).huge_pages(true).lock(true);
    let pool = BufferPool::builder().classes(&[CHUNK_BYTES]).arena(settings).build();
    let pool = pool.map_err(io::Error::from)?;
    for refusal in pool.arena_refusals() {
        println!("arena: {refusal}");
    }
    println!("{:?}", pool.arena());
    let path = std::env::temp_dir().join(format!("registered-{}-{ring}", std::process::id()));
    let contents: Vec<u8> =
        (0..FILE_BYTES as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let outcome = fs::write(&path, &contents).and_then(|()| transfer(&pool, &path, ring));
    fs::remove_file(&path)?;
    let (received, why) = outcome?;
    assert!(received == contents, "what arrives is what was read");
    let stats = pool.stats();
    println!(
        "{} bytes in {} buffers, of which {} were allocated",
        received.len(),
        stats.allocations,
        stats.misses
    );
    Ok(why)
}

fn main() -> io::Result<()> {
    let why = run(std::env::args().all(|argument| argument != "--ordinary"))?;
    if why.is_empty() {
        println!(
            "io_uring: all reads went into registered buffers, and the arena was registered once"
        );
    } else {
        println!("io_uring: ordinary reads instead: {why}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn the_file_arrives_with_a_ring_and_without() {
        assert_eq!(run(false).expect("it arrives"), "not asked for");
        // With a ring, or by the same ordinary reads and a reason.
        println!("{}", run(true).expect("it arrives"));
    }

    /// No arena, no registration: the reason says so, and the file arrives.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn without_an_arena_reads_are_ordinary() {
        let pool = BufferPool::with_capacity(8);
        let path = std::env::temp_dir().join(format!("registered-{}-none", std::process::id()));
        fs::write(&path, [7; 200_000]).expect("a file");
        let outcome = transfer(&pool, &path, true);
        fs::remove_file(&path).expect("the file");
        let (received, why) = outcome.expect("it arrives");
        assert_eq!((received, why.is_empty()), (vec![7; 200_000], false));
    }
}
