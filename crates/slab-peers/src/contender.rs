//! The registry of everything that takes part in a comparison.
#![expect(unsafe_code, reason = "building an allocator hands it raw memory")]

use std::ptr::NonNull;

use slab_binned::BinnedByteAllocator;
use slab_bytes::SlabByteAllocator;
use slab_core::{Checked, Hardened, Unchecked};
use slab_traits::{ByteAllocator, RegionError};

use crate::rivals;

/// Whose allocator a contender is, and so what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// One of this workspace.
    Ours,
    /// A rival that lives on a region, as ours do.
    Rival,
    /// Takes its memory from elsewhere; shown for orientation, never the best rival.
    Reference,
}

/// A fresh allocator on its region, or why the region was refused.
type Built = Result<Box<dyn ByteAllocator>, RegionError>;

/// An allocator that can be compared with others, by name.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    name: &'static str,
    version: &'static str,
    side: Side,
    build: unsafe fn(NonNull<[u8]>) -> Built,
}

/// All crates of this workspace share one version.
const SLAB_BYTES: &str = env!("CARGO_PKG_VERSION");

/// Returns all contenders, ours first. To add one, add its block.
pub fn contenders() -> &'static [Contender] {
    const {
        &[
            Contender::new::<SlabByteAllocator<Checked>>("slab-bytes", SLAB_BYTES, Side::Ours),
            Contender::new::<SlabByteAllocator<Unchecked>>(
                "slab-bytes/unchecked",
                SLAB_BYTES,
                Side::Ours,
            ),
            Contender::new::<SlabByteAllocator<Hardened>>(
                "slab-bytes/hardened",
                SLAB_BYTES,
                Side::Ours,
            ),
            Contender::new::<BinnedByteAllocator>("slab-binned", SLAB_BYTES, Side::Ours),
            #[cfg(feature = "talc")]
            Contender::new::<rivals::Talc>("talc", "5.1.1", Side::Rival),
            #[cfg(feature = "rlsf")]
            Contender::new::<rivals::Rlsf>("rlsf", "0.2.3", Side::Rival),
            #[cfg(feature = "buddy")]
            Contender::new::<rivals::Buddy>("buddy_system_allocator", "0.13.0", Side::Rival),
            #[cfg(feature = "linked-list")]
            Contender::new::<rivals::LinkedList>("linked_list_allocator", "0.10.6", Side::Rival),
            #[cfg(feature = "dlmalloc")]
            Contender::new::<rivals::Dlmalloc>("dlmalloc", "0.2.14", Side::Rival),
            #[cfg(feature = "axallocator")]
            Contender::new::<rivals::AxSlab>("axallocator", "0.2.0", Side::Rival),
            Contender::new::<rivals::System>("system", "", Side::Reference),
        ]
    }
}

impl Contender {
    const fn new<A: ByteAllocator + Default + 'static>(
        name: &'static str,
        version: &'static str,
        side: Side,
    ) -> Self {
        Self { name, version, side, build: build::<A> }
    }

    /// Returns the contender of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        contenders().iter().find(|contender| contender.name == name)
    }

    /// Returns the crate's name, followed by a mode where it has several.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the crate's version, or nothing if it has none.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// Returns whose allocator this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Makes a fresh allocator that lives on `region`. A [`Side::Reference`] leaves it untouched.
    ///
    /// # Errors
    ///
    /// A [`RegionError`] if the region is too small for this allocator.
    ///
    /// # Safety
    ///
    /// As [`BaseAllocator::add_region`](slab_traits::BaseAllocator::add_region): the region is
    /// nobody else's for as long as the allocator or any block from it is used.
    pub unsafe fn build(
        &self,
        region: NonNull<[u8]>,
    ) -> Result<Box<dyn ByteAllocator>, RegionError> {
        // SAFETY: the caller's promise is the same.
        unsafe { (self.build)(region) }
    }
}

/// # Safety
///
/// As [`Contender::build`].
unsafe fn build<A: ByteAllocator + Default + 'static>(region: NonNull<[u8]>) -> Built {
    // Boxed before it sees memory: dlmalloc points into itself from its first block on.
    let mut heap = Box::new(A::default());
    // SAFETY: the caller vouches for the region.
    unsafe { heap.add_region(region) }?;
    Ok(heap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_versions_are_the_built_ones() {
        let lock = include_str!("../../../Cargo.lock");
        for (index, contender) in contenders().iter().enumerate() {
            assert!(!contenders()[..index].iter().any(|other| other.name == contender.name));
            if contender.side == Side::Rival {
                let entry =
                    format!("name = \"{}\"\nversion = \"{}\"", contender.name, contender.version);
                assert!(lock.contains(&entry), "{entry} is not what the workspace builds");
            }
        }
    }
}
