//! The registry of the allocators that are compared.
#![expect(unsafe_code, reason = "building an allocator hands it raw memory")]

use std::ptr::NonNull;

use slab_bytes::{Bounded, Compact, SlabByteAllocator, UnitByteAllocator};
use slab_core::{Checked, Hardened, Unchecked};
use slab_traits::{ByteAllocator, RegionError};

use crate::rivals;

/// Whose allocator a contender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// An allocator of this workspace.
    Ours,
    /// A rival that allocates from a region, as ours do.
    Rival,
    /// An allocator that takes its memory from the operating system: shown for orientation, never
    /// the best rival.
    Reference,
}

/// The checks of a contender, compared with the default of its crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Checks {
    /// The default of its crate.
    #[default]
    Default,
    /// Nothing: a mode that trusts its caller.
    Off,
    /// More: a mode that finds mistakes and is not meant to be fast.
    More,
}

/// A fresh allocator on its region, or the reason why it refused the region.
type Built = Result<Box<dyn ByteAllocator>, RegionError>;

/// An allocator that can be compared with others.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    name: &'static str,
    version: &'static str,
    side: Side,
    checks: Checks,
    build: unsafe fn(NonNull<[u8]>) -> Built,
}

/// The version that all crates of this workspace share.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// Returns all contenders, ours first. To add one, add its block.
pub fn contenders() -> &'static [Contender] {
    const {
        &[
            Contender::new::<SlabByteAllocator<Checked>>("slab-bytes", OURS, Side::Ours),
            Contender::new::<SlabByteAllocator<Unchecked>>(
                "slab-bytes/unchecked",
                OURS,
                Side::Ours,
            )
            .with(Checks::Off),
            Contender::new::<SlabByteAllocator<Hardened>>("slab-bytes/hardened", OURS, Side::Ours)
                .with(Checks::More),
            Contender::new::<UnitByteAllocator<Compact>>("slab-bytes/compact", OURS, Side::Ours),
            Contender::new::<UnitByteAllocator<Bounded>>("slab-bytes/bounded", OURS, Side::Ours),
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
        Self { name, version, side, checks: Checks::Default, build: build::<A> }
    }

    const fn with(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// Returns the contender of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        contenders().iter().find(|contender| contender.name == name)
    }

    /// Returns the crate's name, followed by a mode where it has several.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the crate's version; empty if it has none.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// Returns whose allocator this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Returns its checks.
    pub fn checks(&self) -> Checks {
        self.checks
    }

    /// Makes a fresh allocator that allocates from `region`. A [`Side::Reference`] does not touch it.
    ///
    /// # Errors
    ///
    /// A [`RegionError`] if the region is too small for this allocator.
    ///
    /// # Safety
    ///
    /// As [`BaseAllocator::add_region`](slab_traits::BaseAllocator::add_region): nothing else uses
    /// the region for as long as the allocator or any block from it is used.
    pub unsafe fn build(
        &self,
        region: NonNull<[u8]>,
    ) -> Result<Box<dyn ByteAllocator>, RegionError> {
        // SAFETY: the precondition is the caller's.
        unsafe { (self.build)(region) }
    }
}

/// # Safety
///
/// As [`Contender::build`].
unsafe fn build<A: ByteAllocator + Default + 'static>(region: NonNull<[u8]>) -> Built {
    // Boxed before it gets memory: dlmalloc points into itself from its first block on.
    let mut heap = Box::new(A::default());
    // SAFETY: the caller gives up the region, as `add_region` requires.
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
