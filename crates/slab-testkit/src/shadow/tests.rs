use super::*;
use crate::Arena;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("test layouts are valid")
}

fn at(arena: &Arena, offset: usize) -> NonNull<u8> {
    assert!(offset <= arena.region().len());
    // SAFETY: the offset was just checked.
    unsafe { arena.region().cast::<u8>().add(offset) }
}

#[test]
fn overlap_is_found_on_every_side() {
    let arena = Arena::new(256, 0);
    let mut shadow = Shadow::new();
    shadow.add_region(arena.region());
    shadow.insert(at(&arena, 64), layout(32, 1)).expect("free");
    for (offset, size) in [(64, 32), (64, 1), (95, 1), (80, 4), (0, 65), (63, 2), (0, 256)] {
        let outcome = shadow.insert(at(&arena, offset), layout(size, 1));
        assert!(matches!(outcome, Err(ShadowError::Overlap { .. })), "{offset}+{size}");
    }
    for (offset, size) in [(0, 64), (96, 160)] {
        shadow.insert(at(&arena, offset), layout(size, 1)).expect("touching is no overlap");
    }
    assert_eq!((shadow.live_count(), shadow.live_bytes()), (3, 256));
}

#[test]
fn a_block_of_no_bytes_has_a_distinct_address() {
    let arena = Arena::new(16, 0);
    let mut shadow = Shadow::new();
    shadow.add_region(arena.region());
    shadow.insert(at(&arena, 0), layout(0, 1)).expect("free");
    assert!(shadow.insert(at(&arena, 0), layout(0, 1)).is_err());
    assert!(shadow.insert(at(&arena, 16), layout(0, 1)).is_err(), "past the end");
    assert_eq!(shadow.live_bytes(), 1);
}

#[test]
fn misplaced_and_unknown_blocks_are_refused() {
    let arena = Arena::new(64, 0);
    let mut shadow = Shadow::new();
    let first = at(&arena, 0);
    assert!(matches!(shadow.insert(first, layout(1, 1)), Err(ShadowError::OutsideRegions { .. })));
    shadow.add_region(arena.region());
    assert!(matches!(shadow.insert(first, layout(65, 1)), Err(ShadowError::OutsideRegions { .. })));
    assert!(matches!(
        shadow.insert(at(&arena, 4), layout(8, 8)),
        Err(ShadowError::Misaligned { align: 8, .. })
    ));
    assert!(matches!(shadow.remove(first), Err(ShadowError::Unknown { .. })));
    assert_eq!((shadow.live_count(), shadow.live_bytes()), (0, 0));
}

#[test]
fn one_changed_byte_is_named_and_a_resize_keeps_the_content() {
    let arena = Arena::new(256, 1);
    let mut shadow = Shadow::new();
    shadow.add_region(arena.region());
    let (block, moved) = (at(&arena, 0), at(&arena, 100));
    shadow.insert(block, layout(21, 1)).expect("free");
    // SAFETY: both blocks lie in the arena, which only this test uses, and do not overlap.
    unsafe {
        shadow.fill(block).expect("live");
        moved.copy_from_nonoverlapping(block, 21);
    }
    shadow.resize(block, moved, layout(50, 1)).expect("free");
    // SAFETY: the block lies in the arena. Its first 21 bytes were copied, and then all 50 are filled; byte 49 is
    // the last of them.
    let written = unsafe {
        assert_eq!(shadow.check_prefix(moved, 21), Ok(()));
        shadow.fill(moved).expect("live");
        assert_eq!(shadow.check_content(moved), Ok(()));
        let last = moved.add(49);
        let written = last.read();
        last.write(!written);
        written
    };
    let start = moved.addr().get();
    let expected = ShadowError::Content { start, offset: 49, found: !written, expected: written };
    // SAFETY: the block lies in the arena and was filled.
    assert_eq!(unsafe { shadow.check_content(moved) }, Err(expected));
}

#[test]
#[cfg_attr(miri, ignore = "slow, and free of unsafe code")]
fn blocks_alive_together_differ_even_in_a_few_bytes() {
    let heads: std::collections::HashSet<_> = (0..1000).map(|id| &content(id, 0)[..6]).collect();
    assert_eq!(heads.len(), 1000);
    let chunks: std::collections::HashSet<_> = (0..1000).map(|at| &content(7, at)[..6]).collect();
    assert_eq!(chunks.len(), 1000);
}
