//! Damage that only code inside the crate can do: `validate` detects it and names the invariant.
#![expect(unsafe_code, reason = "gives a region away")]

use core::alloc::Layout;
use std::vec::Vec;

use slab_core::LiveWord;
use slab_testkit::Arena;
use slab_traits::{BaseAllocator, ByteAllocator, PageAllocator};

use super::*;
use crate::line::{LineList, Slots};

type Heap = SlabByteAllocator;

const SMALL: Layout = Layout::new::<[u8; 512]>();
const LARGE: Layout = Layout::new::<[u8; 9 << 10]>();

/// Hands out a heap that has lines of every kind.
fn with_heap(action: impl FnOnce(&mut Heap)) {
    let arena = Arena::new(256 << 10, 0);
    let mut heap = Heap::new();
    // SAFETY: the arena outlives the heap and is used through it alone.
    unsafe { heap.add_region(arena.region()) }.expect("large enough");
    let large = [(); 4].map(|()| heap.alloc(LARGE).expect("room"));
    let small = [(); 40].map(|()| heap.alloc(SMALL).expect("room"));
    heap.alloc(Layout::new::<[u8; 4096]>()).expect("room");
    heap.alloc_pages(1, 1).expect("room");
    // One run is free, the other cached.
    // SAFETY: live, and forgotten here.
    unsafe { heap.try_free(large[1], LARGE) }.expect("live");
    heap.reclaim();
    // SAFETY: live, and forgotten here.
    unsafe { heap.try_free(large[3], LARGE) }.expect("live");
    // The first two segments have two slots each, the third has four: this makes two partial ones
    // and a spare one.
    for nth in [0, 2, 3, 4] {
        // SAFETY: live, and forgotten here.
        unsafe { heap.try_free(small[nth], SMALL) }.expect("live");
    }
    heap.validate().expect("nothing is broken yet");
    action(&mut heap);
}

fn lines(heap: &Heap) -> Vec<LineRef> {
    let mut all = Vec::new();
    heap.regions.for_each(|region| all.extend(region.view().lines().map(|(_, line)| line)));
    all
}

/// Returns the first line of a kind.
fn first(heap: &Heap, kind: Kind) -> LineRef {
    let found = lines(heap).into_iter().find(|line| line.kind() == kind);
    found.unwrap_or_else(|| panic!("the heap has a line of kind {kind:?}"))
}

/// Returns the partial segment of four slots.
fn newest_partial(heap: &Heap) -> LineRef {
    let class = SizeClass::of(512, 1).expect("a class");
    heap.class_states[class].partial.first().expect("two are partial")
}

/// Returns a line of the run that begins at `head`.
fn line_of(heap: &Heap, head: LineRef, behind: usize) -> LineRef {
    let all = lines(heap);
    let at = all.iter().position(|&line| line == head).expect("a line of this heap");
    all[at + behind]
}

/// Returns a number that depends on how long a line is.
fn figure(of: impl Fn(&Heap) -> usize) -> usize {
    let mut figure = 0;
    with_heap(|heap| figure = of(heap));
    figure
}

/// Asserts that a damage is named so, with what was expected and what was found.
#[track_caller]
fn broken(what: &str, numbers: [usize; 2], damage: impl FnOnce(&mut Heap)) {
    let mut found = None;
    with_heap(|heap| {
        damage(heap);
        found = Some(heap.validate().expect_err(what));
    });
    let found = found.expect("the action was called");
    assert_eq!(found.what, what, "{found}");
    assert_eq!([found.expected, found.found], numbers, "{found}");
}

#[test]
fn a_heap_has_lines_of_every_kind() {
    with_heap(|heap| {
        for kind in [Kind::Inside, Kind::Free, Kind::FreeEnd, Kind::Block, Kind::Pages] {
            first(heap, kind);
        }
        for kind in [Kind::Cached, Kind::Active, Kind::Partial, Kind::Full, Kind::Spare] {
            first(heap, kind);
        }
    });
}

#[test]
fn a_run_that_is_no_run_is_found() {
    broken("free runs do not touch", [0, 1], |heap| {
        let head = first(heap, Kind::Free);
        let whole = head.get();
        head.edit(|line| line.len = 2);
        line_of(heap, head, 1).set(Line { len: 2, kind: Kind::FreeEnd, ..Line::default() });
        line_of(heap, head, 2).set(Line { len: whole.len - 2, ..whole });
    });
    broken("a run starts here", [1, 0], |heap| first(heap, Kind::Block).set_kind(Kind::Inside));
    broken("a run starts here", [1, 0], |heap| first(heap, Kind::Block).set_kind(Kind::FreeEnd));
    broken("a head points back to itself", [0, 1], |heap| {
        first(heap, Kind::Block).edit(|line| line.back = 1);
    });
    broken("a run lies in its region", [1, 0], |heap| {
        first(heap, Kind::Block).edit(|line| line.len = 0)
    });
    broken("a run lies in its region", [1, 0], |heap| {
        first(heap, Kind::Block).edit(|line| line.len = u32::MAX);
    });
    broken("a run lies in its region", [1, 0], |heap| {
        let mut heads = lines(heap).into_iter().filter(|line| line.kind().is_head());
        heads.next_back().expect("many").edit(|line| line.len += 1);
    });
}

#[test]
fn a_line_inside_a_run_that_says_otherwise_is_found() {
    broken("both ends know a run's length", [9, 8], |heap| {
        let head = first(heap, Kind::Free);
        line_of(heap, head, 8).edit(|line| line.len -= 1);
    });
    broken("a free run is marked at its end", [Kind::FreeEnd as usize, 0], |heap| {
        let head = first(heap, Kind::Free);
        line_of(heap, head, 8).set_kind(Kind::Inside);
    });
    for (kind, behind) in [(Kind::Free, 7), (Kind::Block, 8), (Kind::Block, 1), (Kind::Cached, 1)] {
        let end = Kind::FreeEnd as usize;
        broken("no head or end lies inside a run", [0, end], |heap| {
            let head = first(heap, kind);
            line_of(heap, head, behind).set_kind(Kind::FreeEnd);
        });
    }
    for behind in [1, 3] {
        broken("a line in a segment knows its head", [behind, behind + 1], |heap| {
            let active = first(heap, Kind::Active);
            line_of(heap, active, behind).edit(|line| line.back += 1);
        });
    }
}

#[test]
fn a_segment_that_miscounts_its_slots_is_found() {
    broken("a segment has the slots of its length", [4, 3], |heap| {
        newest_partial(heap).edit(|line| line.slots = Slots::new(3));
    });
    broken("no slot beyond the last is live", [4, 5], |heap| {
        let partial = newest_partial(heap);
        let mut beyond = LiveWord::default();
        beyond.fill(5);
        partial.set_live(beyond);
    });
}

#[test]
fn a_segment_that_its_class_knows_otherwise_is_found() {
    broken("a class knows its active segment", [1, 0], |heap| {
        first(heap, Kind::Active).set_kind(Kind::Full)
    });
    broken("a class knows its active segment", [0, 1], |heap| {
        first(heap, Kind::Full).set_kind(Kind::Active)
    });
    broken("only full segments are in no list", [0, 1], |heap| {
        first(heap, Kind::Partial).set_kind(Kind::Full);
    });
    broken("only full segments are in no list", [1, 0], |heap| {
        first(heap, Kind::Full).set_kind(Kind::Partial);
    });
    broken("a class knows its spare segment", [1, 0], |heap| {
        first(heap, Kind::Spare).set_kind(Kind::Partial);
    });
    broken("a class knows its spare segment", [0, 1], |heap| {
        first(heap, Kind::Partial).set_kind(Kind::Spare);
    });
    broken("a class keeps one spare segment", [0, 1], |heap| {
        first(heap, Kind::Partial).set_live(LiveWord::default());
    });
    broken("a class keeps one spare segment", [1, 0], |heap| {
        let mut live = LiveWord::default();
        live.fill(1);
        first(heap, Kind::Spare).set_live(live);
    });
}

#[test]
fn a_class_that_miscounts_its_segments_is_found() {
    let class = SizeClass::of(512, 1).expect("a class");
    broken("a class knows its segments", [9, 10], |heap| {
        heap.class_states[class].segment_count += 1
    });
    broken("lists link both ways", [1, 0], |heap| {
        let mut partial = heap.class_states[class].partial.iter();
        let [newer, older] = [(); 2].map(|()| partial.next().expect("two are partial"));
        older.edit(|line| line.prev = Some(older));
        assert_ne!(newer, older);
    });
    broken("a class lists its own segments", [1, 0], |heap| {
        // The block of 4096 bytes is its class's only one, and its segment full.
        let other = SizeClass::of(4096, 1).expect("a class");
        let full = first(heap, Kind::Full);
        heap.class_states[other].partial.push(full);
    });
    broken("exactly the partial segments are listed", [2, 0], |heap| {
        heap.class_states[class].partial = LineList::EMPTY;
    });
    broken("exactly the partial segments are listed", [2, 1], |heap| {
        let mut partial = heap.class_states[class].partial.iter();
        partial.next().expect("two are partial").edit(|line| line.next = None);
    });
}

#[test]
fn runs_that_are_not_where_they_should_be_are_found() {
    let runs = figure(|heap| heap.runs.iter().count());
    broken("exactly the free runs are listed", [runs - 1, runs], |heap| {
        let head = first(heap, Kind::Free);
        head.set_kind(Kind::Block);
        line_of(heap, head, 8).set_kind(Kind::Inside);
    });
    broken("exactly the free runs are listed", [runs, runs + 1], |heap| {
        let head = first(heap, Kind::Free);
        head.edit(|line| line.next = Some(head));
    });
    broken("exactly the cached runs are in the cache", [2, 1], |heap| {
        first(heap, Kind::Block).set_kind(Kind::Cached);
    });
    // The cached run is split into a block and another cached run.
    broken("exactly the cached runs are in the cache", [1, 0], |heap| {
        let cached = heap.runs.iter_cached().next().expect("one is cached");
        let rest = cached.len() - 1;
        cached.set(Line { len: 1, kind: Kind::Block, ..Line::default() });
        line_of(heap, cached, 1).set(Line { len: rest, kind: Kind::Cached, ..Line::default() });
    });
    let free = figure(|heap| heap.runs.free_granules());
    // The last granule of a free run is made a block.
    broken("free granules are counted", [free - 1, free], |heap| {
        let head = first(heap, Kind::Free);
        let len = head.len() - 1;
        head.edit(|line| line.len = len);
        line_of(heap, head, len as usize - 1).set(Line {
            len,
            kind: Kind::FreeEnd,
            ..Line::default()
        });
        line_of(heap, head, len as usize).set(Line {
            len: 1,
            kind: Kind::Block,
            ..Line::default()
        });
    });
}

#[test]
fn a_cache_or_frontier_that_is_wrong_is_found() {
    broken("a stack of cached runs knows its depth", [1, 2], |heap| {
        first(heap, Kind::Cached).edit(|line| line.class = 2);
    });
    broken("exactly the cached runs are in the cache", [1, 2], |heap| {
        let run = first(heap, Kind::Cached);
        run.edit(|line| line.next = Some(run));
    });
    broken("cached runs and bins are filed by length", [0, 1], |heap| heap.runs.unmark_cached());
    broken("cached runs and bins are filed by length", [0, 1], |heap| {
        first(heap, Kind::Free).edit(|line| line.class ^= 1);
    });
    broken("cached runs are counted", [1, 2], |heap| heap.runs.miscount_cached_runs());
    broken("cached granules are counted", [9, 10], |heap| {
        heap.runs.miscount_cached();
    });
    let spare = figure(|heap| heap.spare_granules);
    broken("spare granules are counted", [spare, spare + 1], |heap| heap.spare_granules += 1);
    let frontier = Kind::Frontier as usize;
    broken("a region knows its frontier", [frontier, Kind::Edge as usize], |heap| {
        heap.regions.for_each(|region| region.frontier().set_kind(Kind::Edge));
    });
    let fresh = figure(|heap| heap.regions.fresh_granules());
    broken("fresh granules are counted", [fresh, fresh + 1], |heap| {
        heap.regions.miscount_fresh();
    });
}

#[test]
fn a_wrong_statistic_is_found() {
    broken("total bytes", [256 << 10, 1 + (256 << 10)], |heap| heap.total_bytes += 1);
    let granules = figure(|heap| heap.granule_total);
    broken("granules", [granules, granules + 1], |heap| heap.granule_total += 1);
    // Two blocks of 9 KiB, 36 of 512 bytes, one of 4096 and a page.
    let live = 2 * (9 << 10) + 36 * 512 + 4096 + 4096;
    broken("used bytes", [live, live + 1], |heap| heap.allocated_bytes += 1);
    broken("used bytes", [live, live - 1], |heap| heap.freed_bytes += 1);
}
