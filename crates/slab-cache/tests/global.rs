//! A program whose allocator stands on a cache with caches of threads: these ask it for memory, and it
//! comes back to them.
#![cfg(all(feature = "std", not(loom)))]
#![expect(unsafe_code, reason = "a global allocator")]

mod config;

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::thread;

use allocator_api2::alloc::{AllocError, Allocator};
use config::With;
use slab_cache::{SlabBox, SlabCache};

/// The system's allocator, as a memory source.
#[derive(Debug)]
struct Pages;

// SAFETY: blocks are the system's.
unsafe impl Allocator for Pages {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: caches ask for no empty blocks.
        let block = NonNull::new(unsafe { System.alloc(layout) }).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller passes a live block with its layout, and the system allocated it.
        unsafe { System.dealloc(block.as_ptr(), layout) };
    }
}

/// The size that the cache serves: lists of magazines are that long.
type Middling = MaybeUninit<[u64; 512]>;
const LEAST_BYTES: usize = 512;
type Spin = spin::Mutex<()>;
type Held = SlabBox<Middling, With<Spin, Pages, 16_384>>;

static CACHE: OnceLock<SlabCache<Middling, With<Spin, Pages, 16_384>>> = OnceLock::new();

struct Middle;

// SAFETY: blocks are slots of the cache, or the system's; the cache knows its own.
unsafe impl GlobalAlloc for Middle {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let fits = layout.align() <= 8 && layout.size() <= size_of::<Middling>();
        match CACHE.get() {
            Some(cache) if fits && layout.size() >= LEAST_BYTES => match cache.alloc_uninit() {
                Ok(held) => SlabBox::into_raw(held).as_ptr().cast(),
                Err(_) => std::ptr::null_mut(),
            },
            // SAFETY: the precondition is that of this function, which the caller meets.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(pointer) = NonNull::new(block.cast::<Middling>()) else { return };
        match CACHE.get() {
            // SAFETY: `alloc` got it from `into_raw`.
            Some(cache) if cache.owns(pointer) => drop(unsafe { Held::from_raw(pointer) }),
            // SAFETY: it is the system's.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }
}

#[global_allocator]
static GLOBAL: Middle = Middle;

#[test]
fn lists_of_magazines_grow_on_an_allocator_that_has_some() {
    let cache = SlabCache::with_thread_caches_in(Pages).expect("memory");
    assert!(CACHE.set(cache).is_ok());
    let caches: Vec<SlabCache<u64, With<Spin>>> =
        (0..40).map(|_| SlabCache::with_thread_caches().expect("memory")).collect();
    thread::scope(|scope| {
        let work = || {
            for (number, cache) in (0..).zip(&caches) {
                let held = cache.alloc(number).expect("memory");
                let block = vec![number; 100];
                drop(held);
                assert_eq!(block, [number; 100]);
            }
        };
        // A join waits for the thread's destructors too, the end of the scope does not.
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    let live: u64 = caches.iter().map(|cache| cache.stats().live).sum();
    assert_eq!(live, 0, "each thread gave back what it kept");
    drop(caches);
}
