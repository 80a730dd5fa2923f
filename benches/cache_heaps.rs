//! The contenders of `cache.rs` behind one trait: our caches, a buffer, `Box`, mimalloc and rival caches.
#![expect(unsafe_code, reason = "rivals that are raw allocators")]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use attachable_slab_allocator as attachable;
use lock_api::RawMutex;
use mimalloc::MiMalloc;
use slab_cache::{Config, Global, Mode, SlabBox, SlabCache};

pub const HELD: usize = 200_000;

pub type Object = [u64; 8];

pub fn object(number: usize) -> Object {
    [number as u64; 8]
}

/// The rival's source of slabs.
mod hooks {
    use std::alloc::Layout;
    use std::ptr::NonNull;

    use attachable_slab_allocator::{Result, define_allocation_hooks};

    define_allocation_hooks!(system_slab, free_slab);

    unsafe fn system_slab(layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the rival requests slabs of at least one byte.
        NonNull::new(unsafe { std::alloc::alloc(layout) })
    }

    unsafe fn free_slab(slab: NonNull<u8>, layout: Layout) -> Result<()> {
        // SAFETY: the rival returns a slab of `system_slab` with its layout.
        unsafe { std::alloc::dealloc(slab.as_ptr(), layout) };
        Ok(())
    }
}

/// Makes objects in boxes.
pub trait Heap {
    type Held;
    fn make(&mut self, value: Object) -> Self::Held;
}

/// A lock and a mode, over the global allocator.
pub struct With<R, M>(std::marker::PhantomData<fn() -> (R, M)>);

impl<R: RawMutex + 'static, M: Mode> Config for With<R, M> {
    type Lock = R;
    type Mode = M;
    type Source = Global;
}

pub struct Ours<R: RawMutex + 'static, M: Mode>(SlabCache<Object, With<R, M>>);

impl<R: RawMutex + 'static, M: Mode> Ours<R, M> {
    pub fn new() -> Self {
        Self(SlabCache::with_config().expect("memory"))
    }
}

pub type Spin = spin::Mutex<()>;

impl<M: Mode> Ours<Spin, M> {
    pub fn with_thread_caches() -> Self {
        Self(SlabCache::with_thread_caches().expect("memory"))
    }
}

impl<R: RawMutex + 'static, M: Mode> Heap for Ours<R, M> {
    type Held = SlabBox<Object, With<R, M>>;

    #[inline(always)]
    fn make(&mut self, value: Object) -> Self::Held {
        self.0.alloc(value).expect("memory")
    }
}

pub struct Attachable<L: attachable::locks::LockTrait>(attachable::SlabCache<Object, L, 4096>);

impl<L: attachable::locks::LockTrait> Attachable<L> {
    pub fn new() -> Self {
        Self(attachable::SlabCache::new().expect("memory"))
    }
}

impl<L: attachable::locks::LockTrait> Heap for Attachable<L> {
    type Held = attachable::SlabBox<Object, L, 4096>;

    #[inline(always)]
    fn make(&mut self, value: Object) -> Self::Held {
        let mut held = self.0.alloc().expect("memory");
        *held = value;
        held
    }
}

/// A box on a `GlobalAlloc`.
pub struct Raw<A: GlobalAlloc + Default>(NonNull<Object>, std::marker::PhantomData<A>);

// SAFETY: it owns its object, and a `GlobalAlloc` serves all threads.
unsafe impl<A: GlobalAlloc + Default> Send for Raw<A> {}

impl<A: GlobalAlloc + Default> Drop for Raw<A> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the object came from there with this layout.
        unsafe { A::default().dealloc(self.0.as_ptr().cast(), Layout::new::<Object>()) };
    }
}

pub struct On<A>(std::marker::PhantomData<A>);

impl<A> On<A> {
    pub fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<A: GlobalAlloc + Default> Heap for On<A> {
    type Held = Raw<A>;

    #[inline(always)]
    fn make(&mut self, value: Object) -> Self::Held {
        // SAFETY: the layout has a size.
        let block = unsafe { A::default().alloc(Layout::new::<Object>()) };
        let block = NonNull::new(block.cast()).expect("memory");
        // SAFETY: it is a block for an object.
        unsafe { block.write(value) };
        Raw(block, std::marker::PhantomData)
    }
}

#[derive(Default)]
pub struct Mi;

// SAFETY: every call goes to mimalloc.
unsafe impl GlobalAlloc for Mi {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the precondition is that of `GlobalAlloc::alloc`, which the caller meets.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller passes a live block of `alloc` with its layout.
        unsafe { MiMalloc.dealloc(block, layout) };
    }
}

/// `Box` itself.
pub struct Boxes;

impl Heap for Boxes {
    type Held = Box<Object>;

    #[inline(always)]
    fn make(&mut self, value: Object) -> Self::Held {
        Box::new(value)
    }
}

/// No allocator: objects are written to a buffer, one after the other.
pub struct Buffer {
    objects: Vec<Object>,
    next: usize,
}

impl Buffer {
    pub fn new() -> Self {
        Self { objects: vec![object(0); HELD], next: 0 }
    }
}

impl Heap for Buffer {
    type Held = NonNull<Object>;

    #[inline(always)]
    fn make(&mut self, value: Object) -> Self::Held {
        let place = &mut self.objects[self.next];
        self.next = if self.next + 1 == HELD { 0 } else { self.next + 1 };
        *place = value;
        NonNull::from(place)
    }
}

/// The rival with several kinds of pointers. Its boxes outlive the pool and are `Send`, as ours are.
pub struct Plurality(plurality::Pool<Object>);

impl Plurality {
    pub fn new() -> Self {
        Self(plurality::Pool::new())
    }
}

impl Heap for Plurality {
    type Held = plurality::Box<Object>;

    #[inline(always)]
    fn make(&mut self, value: Object) -> Self::Held {
        self.0.alloc_box(value)
    }
}

/// Makes objects by a function: a counted pointer, an object in a cache of several types, or a trait object.
pub struct By<F>(pub F);

impl<X, F: FnMut(Object) -> X> Heap for By<F> {
    type Held = X;

    #[inline(always)]
    fn make(&mut self, value: Object) -> X {
        (self.0)(value)
    }
}
