//! A configuration from its parts, for tests that go over locks, sources, slab sizes and modes.

use std::marker::PhantomData;

use allocator_api2::alloc::Allocator;
use lock_api::RawMutex;
use slab_cache::{Checked, Config, Global, Mode};

/// Lock, source, slab size and mode.
pub struct With<R, A = Global, const SLAB_BYTES: usize = 4096, M = Checked> {
    _parts: PhantomData<(R, A, M)>,
}

impl<R, A, const SLAB_BYTES: usize, M> Config for With<R, A, SLAB_BYTES, M>
where
    R: RawMutex + 'static,
    A: Allocator,
    M: Mode,
{
    type Lock = R;
    type Mode = M;
    type Source = A;
    const SLAB_BYTES: usize = SLAB_BYTES;
}
