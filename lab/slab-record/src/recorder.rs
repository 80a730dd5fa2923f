//! A global allocator that records its requests.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use core::alloc::{GlobalAlloc, Layout};

use crate::format::{Record, kind};

/// A request that a sink takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// One of [`kind`].
    pub kind: u8,
    /// The block; 0 if the request was refused.
    pub block: usize,
    /// The requested size; 0 for a free.
    pub size: usize,
    /// The requested alignment; 1 for a free.
    pub align: usize,
}

impl Request {
    /// Returns the record of this request.
    #[inline]
    pub(crate) fn record(self, stack: u32, thread: u64, ticks: u64) -> Record {
        let part = self.align.trailing_zeros() as u8;
        let numbers = [ticks, self.block as u64, self.size as u64];
        Record { kind: self.kind, part, stack, thread, numbers }
    }
}

/// Takes the requests of a [`Recorder`], from all threads, without allocating.
pub trait Sink {
    /// Takes a request.
    fn take(&self, request: Request);
}

/// An allocator that records its requests and leaves them to `A`.
#[derive(Debug)]
pub struct Recorder<A, S> {
    allocator: A,
    sink: S,
}

impl<A, S> Recorder<A, S> {
    /// Makes a recorder.
    pub const fn new(allocator: A, sink: S) -> Self {
        Self { allocator, sink }
    }

    /// Returns the sink.
    pub fn sink(&self) -> &S {
        &self.sink
    }
}

impl<A, S: Sink> Recorder<A, S> {
    #[inline]
    fn tell(&self, kind: u8, block: *mut u8, layout: Layout) {
        let (block, size, align) = (block.addr(), layout.size(), layout.align());
        self.sink.take(Request { kind, block, size, align });
    }
}

// SAFETY: every request is that of `A`, with the same arguments; a sink only sees numbers.
unsafe impl<A: GlobalAlloc, S: Sink> GlobalAlloc for Recorder<A, S> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout has a size.
        let block = unsafe { self.allocator.alloc(layout) };
        self.tell(kind::ALLOC, block, layout);
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout has a size.
        let block = unsafe { self.allocator.alloc_zeroed(layout) };
        self.tell(kind::ALLOC_ZEROED, block, layout);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.tell(kind::FREE, block, Layout::new::<()>());
        // SAFETY: the caller passes a live block of `A` with its layout.
        unsafe { self.allocator.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.tell(kind::RESIZE_START, block, Layout::new::<()>());
        // SAFETY: the caller passes a live block of `A` with its layout, and a valid new size.
        let moved = unsafe { self.allocator.realloc(block, layout, new_size) };
        let (kind, align) = (kind::RESIZE_END, layout.align());
        self.sink.take(Request { kind, block: moved.addr(), size: new_size, align });
        moved
    }
}
