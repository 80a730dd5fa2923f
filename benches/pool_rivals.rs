//! The contenders of `pool.rs` behind one trait: our pool in several uses, mimalloc, rival pools, the predecessor of our
//! pool, and work without memory.
//!
//! Rivals that pool objects get vectors of the right size, so they need not find a size class. Blocks of mimalloc are
//! aligned as our buffers are; the rivals' vectors are not.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use mimalloc::MiMalloc;
use parking_lot::Mutex;
use slab_pool::BufferPool;

/// The default alignment of our buffers.
pub const ALIGNMENT: usize = 4096;

/// A source of buffers that return when they are dropped.
pub trait Source: Sync {
    type Buffer<'a>: Send
    where
        Self: 'a;
    fn acquire(&self, bytes: usize) -> Self::Buffer<'_>;
}

pub struct Clean(pub BufferPool);

impl Source for Clean {
    type Buffer<'a> = slab_pool::PooledBuffer;

    #[inline(always)]
    fn acquire(&self, bytes: usize) -> slab_pool::PooledBuffer {
        self.0.acquire(bytes)
    }
}

pub struct ForWrite(pub BufferPool);

impl Source for ForWrite {
    type Buffer<'a> = slab_pool::PooledBuffer;

    #[inline(always)]
    fn acquire(&self, bytes: usize) -> slab_pool::PooledBuffer {
        self.0.acquire_for_write(bytes)
    }
}

/// A block of mimalloc.
pub struct Block(*mut u8, Layout);

// SAFETY: the value owns the block, and mimalloc frees it from any thread.
#[expect(unsafe_code, reason = "an allocator's own interface")]
unsafe impl Send for Block {}

impl Drop for Block {
    #[inline(always)]
    #[expect(unsafe_code, reason = "an allocator's own interface")]
    fn drop(&mut self) {
        // SAFETY: the block came from mimalloc with this layout, and is freed once.
        unsafe { MiMalloc.dealloc(self.0, self.1) };
    }
}

pub struct Mimalloc<const ALIGNMENT: usize>;

impl<const ALIGNMENT: usize> Source for Mimalloc<ALIGNMENT> {
    type Buffer<'a> = Block;

    #[inline(always)]
    #[expect(unsafe_code, reason = "an allocator's own interface")]
    fn acquire(&self, bytes: usize) -> Block {
        let layout = Layout::from_size_align(bytes, ALIGNMENT).expect("small");
        // SAFETY: the size is not zero.
        Block(unsafe { MiMalloc.alloc(layout) }, layout)
    }
}

pub struct MimallocZeroed;

impl Source for MimallocZeroed {
    type Buffer<'a> = Block;

    #[inline(always)]
    #[expect(unsafe_code, reason = "an allocator's own interface")]
    fn acquire(&self, bytes: usize) -> Block {
        let layout = Layout::from_size_align(bytes, ALIGNMENT).expect("small");
        // SAFETY: the size is not zero.
        Block(unsafe { MiMalloc.alloc_zeroed(layout) }, layout)
    }
}

pub struct Zeropool(pub zeropool::ZeroPool);

impl Source for Zeropool {
    type Buffer<'a> = zeropool::BufUninit<'a>;

    #[inline(always)]
    fn acquire(&self, bytes: usize) -> zeropool::BufUninit<'_> {
        self.0.alloc_uninit(bytes)
    }
}

pub struct ZeropoolZeroed(pub zeropool::ZeroPool);

impl Source for ZeropoolZeroed {
    type Buffer<'a> = zeropool::Buf<'a>;

    #[inline(always)]
    fn acquire(&self, bytes: usize) -> zeropool::Buf<'_> {
        self.0.alloc(bytes)
    }
}

pub struct ObjectPool(pub object_pool::Pool<Vec<u8>>);

impl Source for ObjectPool {
    type Buffer<'a> = object_pool::Reusable<'a, Vec<u8>>;

    #[inline(always)]
    fn acquire(&self, bytes: usize) -> object_pool::Reusable<'_, Vec<u8>> {
        self.0.pull(|| vec![0; bytes])
    }
}

pub struct LockFree(pub lockfree_object_pool::LinearObjectPool<Vec<u8>>);

impl Source for LockFree {
    type Buffer<'a> = lockfree_object_pool::LinearReusable<'a, Vec<u8>>;

    #[inline(always)]
    fn acquire(&self, _: usize) -> lockfree_object_pool::LinearReusable<'_, Vec<u8>> {
        self.0.pull()
    }
}

pub struct VecMaker(pub usize);

impl opool::PoolAllocator<Vec<u8>> for VecMaker {
    fn allocate(&self) -> Vec<u8> {
        vec![0; self.0]
    }
}

pub struct Bytesbuf(pub bytesbuf::mem::GlobalPool);

impl Source for Bytesbuf {
    type Buffer<'a> = bytesbuf::BytesBuf;

    #[inline(always)]
    fn acquire(&self, bytes: usize) -> bytesbuf::BytesBuf {
        self.0.reserve(bytes)
    }
}

pub struct Opool(pub opool::Pool<VecMaker, Vec<u8>>);

impl Source for Opool {
    type Buffer<'a> = opool::RefGuard<'a, VecMaker, Vec<u8>>;

    #[inline(always)]
    fn acquire(&self, _: usize) -> opool::RefGuard<'_, VecMaker, Vec<u8>> {
        self.0.get()
    }
}

/// The predecessor of our pool: a mutex per class over a `Vec`, the whole class zeroed on every acquire, three
/// shared counters.
pub struct SeedScheme {
    lists: [Mutex<Vec<Vec<u8>>>; 9],
    counters: [AtomicUsize; 3],
}

pub struct SeedBuffer<'a> {
    pub bytes: Vec<u8>,
    class: usize,
    pool: &'a SeedScheme,
}

impl SeedScheme {
    const CAPACITY: usize = 64;

    pub fn new() -> Self {
        let lists = std::array::from_fn(|_| Mutex::new(Vec::new()));
        Self { lists, counters: std::array::from_fn(|_| AtomicUsize::new(0)) }
    }
}

impl Source for SeedScheme {
    type Buffer<'a> = SeedBuffer<'a>;

    fn acquire(&self, bytes: usize) -> SeedBuffer<'_> {
        self.counters[0].fetch_add(1, Ordering::Relaxed);
        let class = (0..9).find(|class| 4096 << class >= bytes).expect("a mebibyte at most");
        let kept = self.lists[class].lock().pop();
        self.counters[if kept.is_some() { 1 } else { 2 }].fetch_add(1, Ordering::Relaxed);
        let mut bytes = kept.unwrap_or_default();
        bytes.clear();
        bytes.resize(4096 << class, 0);
        SeedBuffer { bytes, class, pool: self }
    }
}

impl Drop for SeedBuffer<'_> {
    fn drop(&mut self) {
        let mut list = self.pool.lists[self.class].lock();
        if list.len() < SeedScheme::CAPACITY {
            list.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Writes a hundred bytes to a block.
#[expect(unsafe_code, reason = "an allocator's own interface")]
pub fn write_block(block: &mut Block, contents: &[u8; 100]) {
    // SAFETY: the block is longer than that, and the borrow is exclusive.
    unsafe { block.0.cast::<[u8; 100]>().write(*contents) };
}

/// Arithmetic without memory: the limit of the machine for so many threads.
pub struct Arithmetic;

impl Source for Arithmetic {
    type Buffer<'a> = usize;

    #[inline(always)]
    fn acquire(&self, bytes: usize) -> usize {
        (0..8).fold(bytes, |number, _| black_box(number.wrapping_mul(31) ^ number >> 7))
    }
}

/// Numbers instead of buffers: the cost of the harness.
pub struct Nothing;

impl Source for Nothing {
    type Buffer<'a> = usize;

    #[inline(always)]
    fn acquire(&self, bytes: usize) -> usize {
        bytes
    }
}
