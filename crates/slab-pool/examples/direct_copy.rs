//! A file copied with direct I/O, which bypasses the page cache and takes aligned memory only; source and copy are
//! then compared by content.
//!
//! `cargo run --release -p slab-pool --example direct_copy [SOURCE]`

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use slab_pool::{BufferPool, PoolError};

const CHUNK_BYTES: usize = 256 << 10;
const SECTOR_BYTES: usize = 4096;

/// Opens a file for direct I/O; for ordinary I/O where the file system, or the platform, has none.
fn open(options: &OpenOptions, path: &Path) -> io::Result<(File, bool)> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let direct = options.clone().custom_flags(libc::O_DIRECT).open(path);
        match direct {
            Ok(file) => return Ok((file, true)),
            Err(error) => println!("{}: no direct I/O here ({error})", path.display()),
        }
    }
    Ok((options.open(path)?, false))
}

fn copy(pool: &BufferPool, from: &Path, to: &Path) -> io::Result<(u64, bool)> {
    let (mut source, direct_in) = open(OpenOptions::new().read(true), from)?;
    let (mut target, direct_out) =
        open(OpenOptions::new().write(true).create(true).truncate(true), to)?;
    let mut copied_bytes = 0;
    loop {
        let mut buffer = pool.acquire_for_write(CHUNK_BYTES);
        let count = buffer.read_from(&mut source, CHUNK_BYTES)?;
        if count == 0 {
            break;
        }
        // Direct writes are whole sectors; what is too much is cut off in the end.
        buffer.resize(count.next_multiple_of(SECTOR_BYTES), 0);
        target.write_all(&buffer)?;
        copied_bytes += count as u64;
        if count % SECTOR_BYTES != 0 {
            break;
        }
    }
    target.set_len(copied_bytes)?;
    Ok((copied_bytes, direct_in && direct_out))
}

/// Compares two files through two buffers.
fn same(pool: &BufferPool, one: &Path, two: &Path) -> io::Result<bool> {
    let (mut one, mut two) = (File::open(one)?, File::open(two)?);
    loop {
        let mut left = pool.acquire(CHUNK_BYTES);
        let mut right = pool.acquire(CHUNK_BYTES);
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(two.read(&mut right)? == 0);
        }
        match two.read_exact(&mut right[..count]) {
            Ok(()) if left[..count] == right[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn main() -> io::Result<()> {
    let pool: BufferPool = BufferPool::builder()
        .classes(&[CHUNK_BYTES])
        .alignment(SECTOR_BYTES)
        .build()
        .map_err(|error: PoolError| io::Error::from(error))?;
    let folder = std::env::temp_dir().join(format!("direct_copy-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let source = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => {
            let path = folder.join("source");
            let contents: Vec<u8> = (0..10_000_123_u32)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect();
            fs::write(&path, contents)?;
            path
        }
    };
    let target = folder.join("copy");
    let outcome = copy(&pool, &source, &target)
        .and_then(|(bytes, direct)| Ok((bytes, direct, same(&pool, &source, &target)?)));
    fs::remove_dir_all(&folder)?;
    let (bytes, direct, same) = outcome?;
    let stats = pool.stats();
    println!("{bytes} bytes copied, {} direct I/O", if direct { "with" } else { "without" });
    println!("contents are {}", if same { "the same" } else { "different" });
    println!("buffers acquired: {}, allocated: {}", stats.allocations, stats.misses);
    assert!(same);
    Ok(())
}
