//! The configuration of a cache: lock, mode, memory source and slab size, as one type.

use core::alloc::Layout;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_core::{Checked, Mode};
use slab_traits::Global;

use crate::lock::NoLock;
#[cfg(target_has_atomic = "8")]
use crate::lock::SpinLock;

/// The lock, the mode, the memory source and the slab size of a cache.
///
/// Most programs use [`DefaultConfig`], [`WithLock`] or [`WithSource`] and implement this trait for a mode
/// or a slab size only:
///
/// ```
/// use slab_cache::{Config, Global, Hardened, SlabBox, SlabCache, SpinLock};
///
/// /// 16 KiB slabs that several threads share, with all checks.
/// enum Sessions {}
///
/// impl Config for Sessions {
///     type Lock = SpinLock;
///     type Mode = Hardened;
///     type Source = Global;
///     const SLAB_BYTES: usize = 16 * 1024;
/// }
///
/// let sessions = SlabCache::<[u8; 3000], Sessions>::with_config()?;
/// let session: SlabBox<[u8; 3000], Sessions> = sessions.alloc([0; 3000])?;
/// # drop(session);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Boxes of different configurations are different types, also where one configuration is a subtype of another:
///
/// ```compile_fail,E0308
/// # use std::marker::PhantomData;
/// # use slab_cache::{Checked, Config, Global, NoLock, SlabBox};
/// struct Of<F>(PhantomData<F>);
/// type Any = Of<for<'a> fn(&'a u8)>;
/// type Static = Of<fn(&'static u8)>;
/// # macro_rules! config { ($name:ty, $bytes:literal) => {
/// # impl Config for $name {
/// #   type Lock = NoLock; type Mode = Checked; type Source = Global; const SLAB_BYTES: usize = $bytes;
/// # } } }
/// config!(Any, 4096);
/// config!(Static, 8192);
///
/// fn convert(held: SlabBox<u64, Any>) -> SlabBox<u64, Static> {
///     held
/// }
/// ```
pub trait Config {
    /// The lock: any [`RawMutex`] for a cache that threads share, [`NoLock`] for one that stays on a thread.
    ///
    /// The lock lies in memory of the source, which is deallocated once no thread is inside `unlock`.
    type Lock: RawMutex + 'static;
    /// The checks; see the [crate](crate#checks).
    type Mode: Mode;
    /// Where the memory comes from. The cache calls it without holding the lock.
    type Source: Allocator;
    /// Bytes of a slab, and its alignment: a power of two from 256 to 1 GiB. A slab has to hold one value
    /// beside a header of 64 bytes or more; a program in which it does not is rejected by the compiler.
    const SLAB_BYTES: usize = 4096;
    /// The slots of a cache for values of [several types](crate::SlabCache::of): each value is at most this long
    /// and aligned at most so. `None` is for a cache of one type, whose slots have the layout of that type.
    const SLOT: Option<Layout> = None;
}

/// [`NoLock`], [`Checked`], the [`Global`] allocator and slabs of 4096 bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultConfig;

impl Config for DefaultConfig {
    type Lock = NoLock;
    type Mode = Checked;
    type Source = Global;
}

/// The configuration `C` with the lock `L`.
///
/// ```
/// use slab_cache::{SlabCache, WithLock};
///
/// let words = SlabCache::<String, WithLock<parking_lot::RawMutex>>::with_config()?;
/// let word = words.alloc("slab".to_owned())?;
/// std::thread::spawn(move || drop(word)).join().expect("no panic");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WithLock<L, C = DefaultConfig>(PhantomData<fn() -> (L, C)>);

impl<L: RawMutex + 'static, C: Config> Config for WithLock<L, C> {
    type Lock = L;
    type Mode = C::Mode;
    type Source = C::Source;
    const SLAB_BYTES: usize = C::SLAB_BYTES;
    const SLOT: Option<Layout> = C::SLOT;
}

/// The configuration `C` with memory from `A`; see [`SlabCache::new_in`](crate::SlabCache::new_in).
#[derive(Debug)]
pub struct WithSource<A, C = DefaultConfig>(PhantomData<fn() -> (A, C)>);

impl<A: Allocator, C: Config> Config for WithSource<A, C> {
    type Lock = C::Lock;
    type Mode = C::Mode;
    type Source = A;
    const SLAB_BYTES: usize = C::SLAB_BYTES;
    const SLOT: Option<Layout> = C::SLOT;
}

/// The configuration `C` with slots for values of any type of up to `BYTES` bytes, aligned to 16 or less; see
/// [`SlabCache::of`](crate::SlabCache::of).
#[derive(Debug)]
pub struct WithSlots<const BYTES: usize, C = DefaultConfig>(PhantomData<fn() -> C>);

impl<const BYTES: usize, C: Config> Config for WithSlots<BYTES, C> {
    type Lock = C::Lock;
    type Mode = C::Mode;
    type Source = C::Source;
    const SLAB_BYTES: usize = C::SLAB_BYTES;
    const SLOT: Option<Layout> = match Layout::from_size_align(BYTES, SLOT_ALIGN) {
        Ok(slot) => Some(slot),
        Err(_) => panic!("BYTES is more than an object can have"),
    };
}

/// The alignment of [`WithSlots`]: that of the blocks of most system allocators.
const SLOT_ALIGN: usize = 16;

/// A configuration for several threads: [`DefaultConfig`] with a [`SpinLock`].
#[cfg(target_has_atomic = "8")]
pub type SharedConfig = WithLock<SpinLock>;

/// Marks a type as invariant in its configuration: a subtype of `C` may implement [`Config`] differently.
pub type Invariant<C> = PhantomData<fn(C) -> C>;
