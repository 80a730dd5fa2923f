//! The misuse matrix of both faces: ids that are stale or forged, and wrong frees of raw blocks, which
//! behind a global allocator end the program.
#![expect(unsafe_code, reason = "misuses raw memory")]

use std::alloc::Layout;
use std::cell::RefCell;
use std::ptr::NonNull;

use slab_binned::{BinnedAllocator, BinnedByteAllocator, BinnedError, BlockId, Fault};
use slab_testkit::{Arena, Misuse, child};
use slab_traits::{BaseAllocator, ByteAllocator, Locked};

// Ids.

#[test]
fn a_forged_id_reads_only_what_is_live_under_it() {
    let mut blocks = BinnedAllocator::new();
    let mut live = Vec::new();
    for step in 0..60_usize {
        let id = blocks.alloc(step * 7 % 100 + 1).expect("memory");
        blocks.update(id, |bytes| bytes.fill(step as u8)).expect("live");
        if step % 3 == 0 { blocks.free(id).expect("live") } else { live.push((id, step as u8)) }
    }
    let (mut read, mut refused) = (0, 0);
    for index in (0..70).chain([u32::MAX - 1, u32::MAX]) {
        for generation in (0..10).chain([u32::MAX - 1, u32::MAX]) {
            let Some(id) = BlockId::from_bits(u64::from(generation) << 32 | u64::from(index))
            else {
                assert!(generation % 2 == 0);
                continue;
            };
            let owner = live.iter().find(|(owner, _)| *owner == id);
            assert_eq!(blocks.contains(id), owner.is_some());
            match owner {
                Some((_, fill)) => {
                    assert!(blocks.get(id).expect("live").iter().all(|byte| byte == fill));
                    read += 1;
                }
                None => {
                    blocks.try_get(id).expect_err("nothing is live under it");
                    blocks.update(id, |_| ()).expect_err("nothing is live under it");
                    blocks.write(id, &[1]).expect_err("nothing is live under it");
                    blocks.usable_size(id).expect_err("nothing is live under it");
                    blocks.locate(id).expect_err("nothing is live under it");
                    blocks.free(id).expect_err("nothing is live under it");
                    refused += 1;
                }
            }
        }
    }
    assert!(read == live.len() && refused > 300, "{read} read, {refused} refused");
    assert_eq!(blocks.live_count(), live.len());
    blocks.validate().unwrap();
}

/// The limit: an id of another allocator may be live here too, and is then a block of this one.
#[test]
fn an_id_of_another_allocator_reads_nothing_or_a_live_block() {
    let (mut ours, mut theirs) = (BinnedAllocator::new(), BinnedAllocator::new());
    let our = ours.alloc(10).expect("memory");
    let their = theirs.alloc(10).expect("memory");
    assert_eq!(our, their);
    assert_eq!(ours.get(their), Some(&[0; 10][..]));
    let later = theirs.alloc(10).expect("memory");
    assert!(
        matches!(ours.try_get(later), Err(BinnedError::UnknownIndex { .. })),
        "{:?}",
        ours.try_get(later)
    );
    ours.free(our).expect("live");
    ours.try_get(their).expect_err("freed");
}

// Raw blocks.

const REGION_BYTES: usize = 400_000;
/// A block of a class, and one that is a run of pages.
const SMALL: usize = 200;
const LARGE: usize = 80_000;

fn bytes(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a valid layout")
}

/// Returns whether a fault is the one documented, or `None` where the free is taken for a right one: of a
/// block of a class, sizes below the block's fit it, and alignments are not looked at.
fn is_named(misuse: Misuse, size: usize, fault: &Fault) -> Option<bool> {
    Some(match misuse {
        Misuse::DoubleFree if size == SMALL => matches!(fault, Fault::DoubleFree { .. }),
        Misuse::DoubleFree | Misuse::NeverHandedOut => matches!(fault, Fault::NotLive { .. }),
        Misuse::Interior | Misuse::AlignedInterior | Misuse::Unaligned => {
            matches!(fault, Fault::Interior { .. })
        }
        Misuse::Foreign | Misuse::Stack => matches!(fault, Fault::Foreign { .. }),
        Misuse::SmallerLayout | Misuse::StricterLayout if size == SMALL => return None,
        Misuse::SmallerLayout | Misuse::StricterLayout | Misuse::LargerLayout => {
            matches!(fault, Fault::WrongLayout { .. })
        }
        Misuse::DoubleFreeAfterReuse => return None,
    })
}

/// Whether the free is taken for a right one.
fn is_taken(misuse: Misuse, size: usize) -> bool {
    is_named(misuse, size, &Fault::Foreign { address: 0 }).is_none()
}

struct Fixture {
    heap: BinnedByteAllocator,
    arena: Arena,
}

fn fixture() -> Fixture {
    let arena = Arena::new(REGION_BYTES, 0);
    let mut heap = BinnedByteAllocator::new();
    // SAFETY: the arena is dropped after the heap and used by no other code.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    Fixture { heap, arena }
}

fn refused_and_nothing_changed(misuse: Misuse, size: usize) {
    let (mut fixture, mut other) = (fixture(), fixture());
    let foreign = other.heap.alloc(bytes(size)).expect("room");
    let heap = RefCell::new(&mut fixture.heap);
    let (pointer, layout) = misuse.prepare(
        size,
        fixture.arena.region(),
        foreign,
        |layout| heap.borrow_mut().alloc(layout).expect("room"),
        // SAFETY: live, with this layout.
        |block, layout| unsafe { heap.borrow_mut().try_free(block, layout) }.expect("live"),
    );
    let used = fixture.heap.used_bytes();
    // SAFETY: the heap refuses pointers to no live block, and live blocks are not used.
    let outcome = unsafe { fixture.heap.try_free(pointer, layout) };
    fixture.heap.validate().expect("consistent whatever was passed");
    match outcome {
        Ok(()) => {
            assert!(is_taken(misuse, size), "{misuse:?} of {size} bytes passed");
            // The block's own free is the one refused.
            // SAFETY: the heap refuses what is not live.
            unsafe { fixture.heap.try_free(pointer, bytes(size)) }.expect_err("freed by mistake");
        }
        Err(error) => {
            assert_eq!(
                is_named(misuse, size, &error),
                Some(true),
                "{misuse:?} of {size}: {error:?}"
            );
            assert_eq!(fixture.heap.used_bytes(), used, "{misuse:?}");
        }
    }
    fixture.heap.validate().expect("consistent");
}

#[test]
fn every_wrong_free_is_refused_by_name() {
    for misuse in Misuse::ALL {
        for size in [SMALL, LARGE] {
            refused_and_nothing_changed(misuse, size);
        }
    }
}

/// User memory is not looked at, but for the links of dead blocks, which are checked before they are
/// followed: writes past the end and after a free damage other users, and no bookkeeping.
#[test]
#[cfg(not(any(miri, slab_sanitizer = "address")))]
fn wrong_writes_never_damage_the_bookkeeping() {
    let mut fixture = fixture();
    let blocks: Vec<_> = (0..40).map(|_| fixture.heap.alloc(bytes(SMALL)).expect("room")).collect();
    for &block in &blocks[..20] {
        // SAFETY: live, with this layout.
        unsafe { fixture.heap.try_free(block, bytes(SMALL)) }.expect("live");
    }
    for &block in &blocks {
        // SAFETY: within the region. Some is another block's, and some a dead one's: the mistakes.
        unsafe { block.write_bytes(0x5A, SMALL + 8) };
    }
    let mut more = 0;
    while fixture.heap.alloc(bytes(SMALL)).is_ok() {
        more += 1;
    }
    assert!(fixture.heap.corrupt_links() > 0, "links were overwritten");
    assert!(more > 1000, "{more}");
    fixture.heap.reclaim();
    fixture.heap.validate().expect("its bookkeeping lies elsewhere");
}

// The other face: a program whose allocator it is.

type Shared = Locked<spin::Mutex<()>, BinnedByteAllocator>;

fn shared() -> (Shared, NonNull<[u8]>) {
    let heap = Locked::new(BinnedByteAllocator::new());
    let region = NonNull::from(Box::leak(vec![0; REGION_BYTES].into_boxed_slice()));
    // SAFETY: leaked memory that no other code uses.
    unsafe { heap.add_region(region) }.expect("large enough");
    (heap, region)
}

fn cells() -> impl Iterator<Item = (String, Misuse, usize)> {
    let both = |misuse| [SMALL, LARGE].map(|size| (format!("{misuse:?} {size}"), misuse, size));
    Misuse::ALL.into_iter().flat_map(both)
}

/// The child's part; on its own it does nothing.
#[test]
fn acts() {
    let Some(cell) = child::cell() else { return };
    for (name, misuse, size) in cells() {
        if name == cell {
            let ((heap, region), (other, _)) = (shared(), shared());
            misuse.act_out(size, &heap, region, &other);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri runs no other program")]
fn every_wrong_free_ends_a_program_whose_global_allocator_it_is() {
    for (name, misuse, size) in cells() {
        let ending = child::run_child("acts", &name);
        if is_taken(misuse, size) {
            assert!(ending.went_on(), "{ending}");
        } else {
            ending.assert_ended(&["slabworks: "]);
        }
    }
}
