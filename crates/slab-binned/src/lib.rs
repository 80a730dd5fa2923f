//! A deterministic allocator: the same operations give the same blocks, on every platform.
//!
//! * [`BinnedAllocator`] hands out blocks of bytes behind ids, in safe code.
//! * [`FingerprintedAllocator`] and [`LoggedAllocator`] remember their operations too: as a number that
//!   peers compare, or as a log that [replays](OpLog::replay) and that [`diverges_at`] compares with
//!   another.
//! * [`RollbackAllocator`] goes back to [checkpoints](BlockAllocator::checkpoint), at the cost of what
//!   changed since.
//! * [`Snapshot`] is the whole state, to be stored, sent and restored; a [`Delta`] has the changes since a checkpoint.
//! * [`DivergenceSearch`] finds the first operation in which two peers differ, by a few messages.
//! * [`BinnedByteAllocator`] is the allocator over raw memory regions, behind the traits of
//!   [`slab_traits`].
//!
//! # Determinism
//!
//! From the [`Config`] and the operations that succeeded, in their order, follow, on every platform
//! and in every build:
//!
//! * every id that is returned, and which ids are refused, with which reason;
//! * where each block lies: the number of its chunk and the offset in it ([`locate`]);
//! * every byte that a block shows: zero, or what was written there before;
//! * every count and statistic, the [`Occupancy`] report, and the fingerprint;
//! * snapshots, and which operations are refused: sizes, alignments, the cap.
//!
//! An operation that is refused changes nothing, so that it makes no difference whether it is tried.
//!
//! Not covered are **addresses**: chunks lie where the memory source puts them, at a multiple of
//! 4096; **failures of the memory source**, of which a peer has to learn by itself: the operation did
//! not happen there. [`metadata_bytes`] may change with the crate's
//! version, and so may everything with the version of snapshots, [`SNAPSHOT_VERSION`].
//!
//! For [`BinnedByteAllocator`] the same holds of the offsets of blocks in their regions, for regions
//! of equal sizes whose addresses are equal modulo the largest alignment asked for and 4096.
//!
//! [`locate`]: BinnedAllocator::locate
//! [`metadata_bytes`]: BinnedAllocator::metadata_bytes
//!
//! # Fingerprints and checksums
//!
//! Allocators that did the same have the same fingerprint. Two that did not have the same one by chance, once
//! in 2⁶⁴ pairs. No pattern of data makes that likelier: not changed signs, swapped values or shifted ones. Snapshots
//! and logs hold a checksum made by the same mixing, which is compared before anything is built from them.
//!
//! Neither is a signature. The mixing has no key, so that anyone can compute a collision on purpose, or the
//! checksum of a snapshot that was made up. Authenticate what comes from a peer that you do not trust.
//!
//! # Design
//!
//! **Classes.** A block has the size of its class: 16, 32, 48, 64, 128, … 16 K and 64 K, found by a
//! look into a table. Each class has a *bin*, in which the block freed last is the first to be used
//! again. Between 16 KiB and 64 KiB there is no class: see [`SizeClasses::Standard`] for what that
//! costs and [`SizeClasses::Fine`] for the table without the gap.
//!
//! **Pages.** Where a bin is empty, blocks of up to 2 KiB are cut from a page of 4096 bytes, one
//! after the other; the rest of a page that is too short is cut into smaller blocks. Larger blocks are
//! runs of pages. A free run is chosen by best fit, and of several equal ones the lowest (chunk,
//! offset); what it has more stays free, and what is freed is merged with what is free beside it. The
//! runs are in a balanced tree whose nodes lie in the *lines*, 16 bytes beside each page, so that
//! finding one takes *O*(log runs) steps and no memory. This part is shared by both faces.
//!
//! **Overflow.** A block of more than 64 KiB is a separate run, which goes back to the free runs as
//! soon as it is freed.
//!
//! **Growth.** Chunks are acquired zeroed and never moved. Records and lines are in segments that
//! double; growing writes and copies nothing that was there. The dearest allocation is *O*(log runs)
//! steps, which are counted ([`steps_max`](BinnedAllocator::steps_max): fewer than 130 on the way to
//! a gibibyte), a few requests to the memory source, and the zeroing of what is returned.
//!
//! **Ids.** The generation of an index is odd while its block lives. An id is compared with the record
//! of its index; nothing else is asked. An index that has had its 2³¹ − 1 lives is retired.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `alloc` | yes | the global allocator as the default memory source; logs, snapshots, checkpoints, deltas and searches |
//! | `serde` | no | serialisation of ids, configurations, logs, snapshots and deltas; needs `alloc` |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without allocator-api2's feature `nightly` the crate names no unstable trait.
#![cfg_attr(unstable_allocator, feature(allocator_api), allow(unused_features))]
#![warn(missing_debug_implementations)]

#[cfg(test)]
extern crate std;

// The modules from the bottom up. First what both faces share:
// arithmetic of size classes;
mod classes;
// choices made when an allocator is made;
mod config;
// the ids of blocks;
mod id;
// errors;
mod error;
// the mixing under fingerprints and checksums;
mod mix;
// the page that small blocks are cut from;
mod small_page;
// runs of pages, in a tree.
mod space;

// The record of an index;
mod record;
// memory from a source, and tapes that keep old values for a rollback;
mod memory;
// lists of dead blocks;
mod bin;
// counts, and the heads of those lists;
mod numbers;
// fingerprints and logs;
mod journal;
// a search for the first difference between two logs, by messages;
#[cfg(feature = "alloc")]
mod search;
// the allocator: its state, the fast paths of `alloc` and `free`;
mod allocator;
// their slow paths: checks, fresh space, large blocks;
mod carve;
// reads and writes;
mod access;
// giving memory back;
mod trim;
// counts and reports;
mod stats;
// a walk over the invariants;
mod validate;
// the operations of a log, done again;
#[cfg(feature = "alloc")]
mod replay;
// the whole state as plain values;
#[cfg(feature = "alloc")]
mod snapshot;
// checkpoints;
#[cfg(feature = "alloc")]
mod rollback;
// what changed since a checkpoint, for a peer.
#[cfg(feature = "alloc")]
mod delta;

pub use allocator::{BinnedAllocator, BlockAllocator, FingerprintedAllocator};
pub use classes::SizeClasses;
pub use config::{ALIGN_MAX, BLOCK_BYTES_MAX, Config};
pub use error::{BinnedError, Inconsistency};
pub use id::BlockId;
pub use journal::{Fingerprinted, Journal, Tracked, Untracked};
pub use slab_traits::{Fault, Global};
pub use stats::{BinStats, Occupancy};

#[cfg(feature = "alloc")]
pub use allocator::LoggedAllocator;
#[cfg(feature = "alloc")]
pub use delta::{DELTA_VERSION, Delta, DeltaError};
#[cfg(feature = "alloc")]
pub use journal::{
    Divergence, LogError, Logged, OpLog, Operation, Operations, WithLog, diverges_at,
};
#[cfg(feature = "alloc")]
pub use replay::ReplayError;
#[cfg(feature = "alloc")]
pub use rollback::{Checkpoint, Rewindable, RollbackAllocator, RollbackError};
#[cfg(feature = "alloc")]
pub use search::{
    ByteDifference, DivergenceSearch, MESSAGE_BYTES_MAX, OperationSummary, PeerDivergence,
    SEARCH_VERSION, SearchError,
};
#[cfg(feature = "alloc")]
pub use snapshot::{SNAPSHOT_VERSION, Snapshot, SnapshotError};

/// The deterministic allocator over raw memory regions: the byte heap of `slab-bytes`. The same operations give blocks at
/// the same offsets, on every machine, for regions of equal sizes at addresses that are equal modulo the
/// largest alignment asked for.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// use slab_binned::BinnedByteAllocator;
/// use slab_traits::{BaseAllocator, ByteAllocator};
///
/// let mut memory = vec![0_u64; 8192];
/// let first = NonNull::from(&mut memory[0]).cast::<u8>();
/// let mut heap = BinnedByteAllocator::new();
/// // SAFETY: the vector outlives the heap and is used through it alone.
/// unsafe { heap.add_region(NonNull::slice_from_raw_parts(first, 65_536)) }?;
/// let block = heap.alloc(Layout::new::<[u64; 5]>()).expect("48 bytes of 64 KiB");
/// # Ok::<(), slab_traits::RegionError>(())
/// ```
pub type BinnedByteAllocator = slab_bytes::SlabByteAllocator;

/// The examples of the README, run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
