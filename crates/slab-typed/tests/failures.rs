//! Operations that request memory, over a source that refuses or panics at each request in turn: they return an error,
//! lose nothing and change nothing.
#![cfg_attr(feature = "serde", expect(unsafe_code, reason = "a memory source is an unsafe trait"))]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use allocator_api2::alloc::Global;
use slab_testkit::{FailingSource, for_each_failure};
use slab_typed::{SecondaryMap, SlabAllocator, SlabError, SlotHandle};

type Source<'a> = &'a FailingSource<Global>;
type Slab<'a> = SlabAllocator<Box<usize>, SlotHandle, Source<'a>>;
type Map<'a> = SecondaryMap<SlotHandle, Box<usize>, Source<'a>>;

/// Slabs of one chunk, and of several.
const CAPACITIES: &[usize] = &[1, 5, 2500];

/// Fills a slab with as many values as it gets, and returns them by their handles.
fn filled(slab: &mut Slab<'_>, count: usize) -> Vec<(SlotHandle, usize)> {
    let mut live = Vec::new();
    for number in 0..count {
        if let Ok(handle) = slab.allocate(Box::new(number)) {
            live.push((handle, number));
        }
    }
    live
}

fn assert_holds(slab: &Slab<'_>, live: &[(SlotHandle, usize)]) {
    slab.validate().unwrap();
    assert_eq!(slab.live_count(), live.len());
    assert!(live.iter().all(|&(handle, number)| *slab[handle] == number));
}

/// An operation that requests memory. It returns whether it was refused, and checks the value it gets back. The caller
/// checks that nothing else changed.
type Operation = fn(&mut Slab<'_>) -> bool;

/// The operations, by name.
const OPERATIONS: &[(&str, Operation)] = &[
    ("allocate", |slab| match slab.allocate(Box::new(70)) {
        Ok(handle) => *slab.take(handle).unwrap() != 70,
        Err(error) => {
            assert!(matches!(error.reason(), SlabError::OutOfMemory { .. }));
            assert_eq!(*error.into_value(), 70, "the value comes back");
            true
        }
    }),
    ("allocate_with", |slab| {
        let called = Cell::new(false);
        let made = slab.allocate_with(|_| {
            called.set(true);
            Box::new(71)
        });
        assert_eq!(made.is_ok(), called.get(), "not called if there is no slot");
        made.map(|handle| slab.free(handle).unwrap()).is_err()
    }),
    ("vacant_entry", |slab| match slab.try_vacant_entry() {
        Ok(entry) => {
            let handle = entry.key();
            entry.insert(Box::new(72));
            *slab.take(handle).unwrap() != 72
        }
        Err(error) => matches!(error, SlabError::OutOfMemory { .. }),
    }),
    ("try_reserve", |slab| {
        let before = (slab.free_slots(), slab.slab_count());
        let refused = slab.try_reserve(before.0 + 3 * slab.slab_capacity()).is_err();
        assert!(!refused || before == (slab.free_slots(), slab.slab_count()));
        refused
    }),
    ("try_clone", |slab| match slab.try_clone() {
        Ok(copy) => {
            copy.validate().unwrap();
            !copy.iter().eq(slab.iter())
        }
        Err(error) => matches!(error, SlabError::OutOfMemory { .. }),
    }),
    ("clone", |slab| {
        let cloned = catch_unwind(AssertUnwindSafe(|| slab.clone()));
        cloned.is_err()
    }),
    ("extend", |slab| {
        let before = slab.live_count();
        let extended = catch_unwind(AssertUnwindSafe(|| slab.extend((0..3).map(|_| Box::new(73)))));
        slab.retain(|_, value| **value != 73);
        assert_eq!(slab.live_count(), before);
        extended.is_err()
    }),
    ("shrink_to", |slab| {
        // If memory for the smaller directory is refused, the old one stays.
        slab.shrink_to(0);
        false
    }),
    ("SecondaryMap::insert", |slab| {
        with_map(slab, |map, handle, number| match map.try_insert(handle, Box::new(number)) {
            Ok(_) => false,
            Err(error) => {
                assert!(matches!(error.reason(), SlabError::OutOfMemory { .. }));
                assert_eq!(*error.into_value(), number, "the value comes back");
                true
            }
        })
    }),
    ("SecondaryMap::get_or_insert_with", |slab| {
        with_map(slab, |map, handle, number| {
            let called = Cell::new(false);
            let stored = map.try_get_or_insert_with(handle, || {
                called.set(true);
                Box::new(number)
            });
            let refused = stored.is_err();
            assert_eq!(refused, !called.get());
            refused
        })
    }),
    ("SecondaryMap::try_clone", |slab| {
        with_map(slab, |map, handle, number| {
            let stored = map.try_insert(handle, Box::new(number));
            drop(stored);
            match map.try_clone() {
                Ok(copy) => !copy.iter().eq(map.iter()),
                Err(_) => true,
            }
        })
    }),
    ("SecondaryMap::extend", |slab| {
        with_map(slab, |map, handle, number| {
            let one = [(handle, Box::new(number))];
            catch_unwind(AssertUnwindSafe(|| map.extend(one))).is_err()
        })
    }),
];

/// Inserts the values into a secondary map, one after the other, until one is refused.
fn with_map(
    slab: &Slab<'_>,
    mut action: impl FnMut(&mut Map<'_>, SlotHandle, usize) -> bool,
) -> bool {
    let mut map: Map<'_> = SecondaryMap::new_in(slab.slab_capacity(), slab.allocator());
    let mut refused = false;
    for (handle, value) in slab {
        let before = map.len();
        refused |= action(&mut map, handle, **value);
        map.validate().unwrap();
        assert!(map.len() >= before, "nothing is lost");
    }
    refused
}

/// Miri takes seconds for a backtrace.
fn without_backtraces() {
    if cfg!(miri) {
        std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes many minutes")]
fn each_operation_with_each_of_its_requests_refused() {
    without_backtraces();
    for &slab_capacity in CAPACITIES {
        for &(name, operation) in OPERATIONS {
            let (mut refusals, mut done) = (0, 0);
            let injected = for_each_failure(|source| {
                let mut slab: Slab<'_> = SlabAllocator::new_in(slab_capacity, source);
                let live = filled(&mut slab, 2 * slab_capacity.min(12) + 1);
                let refused = operation(&mut slab);
                assert_holds(&slab, &live);
                if refused {
                    refusals += 1
                } else {
                    done += 1
                }
                // Afterwards the allocator works again.
                if let Ok(handle) = slab.allocate(Box::new(99)) {
                    slab.free(handle).unwrap();
                }
                assert_holds(&slab, &live);
            });
            assert!(injected > 0 && done > 0, "{name}: {injected} requests, {done} done");
            assert!(refusals > 0 || name == "shrink_to", "{name} was never refused");
        }
    }
}

/// Operations that request no memory work when there is none.
#[test]
fn operations_that_free_memory_ask_for_none() {
    let source = FailingSource::new(Global);
    let mut slab: Slab<'_> = SlabAllocator::new_in(4, &source);
    let live = filled(&mut slab, 40);
    let requests = source.requests();
    for &(handle, number) in &live {
        if number % 4 != 0 {
            slab.free(handle).unwrap();
        }
    }
    assert!(slab.defragment(usize::MAX, |_, _, _| true) > 0);
    slab.retain(|_, value| **value % 8 == 0);
    assert!(slab.compact() > 0);
    slab.drain().for_each(drop);
    slab.clear();
    slab.raise_generation_floor(9);
    slab.validate().unwrap();
    assert_eq!(source.requests(), requests);
}

#[test]
#[cfg_attr(miri, ignore = "Miri takes many minutes for slabs of several chunks")]
fn a_source_that_panics_leaves_everything_as_it_was() {
    // Slabs of two chunks, so that a panic can happen between them.
    let slab_capacity = 1500;
    let mut nth = 0;
    loop {
        nth += 1;
        let source = FailingSource::panicking_at(Global, nth);
        let mut panics = 0;
        let mut slab: SlabAllocator<[u8; 3], SlotHandle, Source<'_>> =
            SlabAllocator::new_in(slab_capacity, &source);
        let mut attempt = |slab: &mut SlabAllocator<_, _, _>, action: fn(&mut _)| {
            panics += usize::from(catch_unwind(AssertUnwindSafe(|| action(slab))).is_err());
            slab.validate().unwrap();
        };
        let reserve = |slab: &mut SlabAllocator<_, _, _>| {
            slab.try_reserve(3 * slab.slab_capacity()).unwrap();
        };
        attempt(&mut slab, reserve);
        let handle = slab.allocate([7; 3]).unwrap();
        slab.compact();
        attempt(&mut slab, |slab| slab.shrink_to(0));
        attempt(&mut slab, reserve);
        attempt(&mut slab, |slab| drop(slab.try_clone().unwrap()));
        slab.compact();
        slab.validate().unwrap();
        assert_eq!(slab[handle], [7; 3]);
        drop(slab);
        assert_eq!(source.live_bytes(), 0);
        if panics == 0 {
            break;
        }
    }
    assert!(nth > 8, "{nth} requests");
}

/// A slab, its live values, and how often the source panicked.
struct Unwinding<'a> {
    slab: Slab<'a>,
    live: Vec<(SlotHandle, usize)>,
    panics: usize,
}

impl Unwinding<'_> {
    /// Runs an action that may panic, and checks the slab afterwards.
    fn attempt(&mut self, action: impl FnOnce(&mut Slab<'_>, &mut Vec<(SlotHandle, usize)>)) {
        let Self { slab, live, .. } = self;
        let outcome = catch_unwind(AssertUnwindSafe(|| action(slab, live)));
        self.panics += usize::from(outcome.is_err());
        assert_holds(&self.slab, &self.live);
        let Self { slab, live, .. } = self;
        let slots = slab.slab_count() * slab.slab_capacity();
        assert_eq!((slab.total_slots(), slab.free_slots()), (slots, slots - live.len()));
    }

    /// Fills one or two slabs, or more if they are small.
    fn fill(&mut self) {
        let count = self.slab.slab_capacity() + 20;
        self.attempt(|slab, live| {
            for number in 0..count {
                live.push((slab.allocate(Box::new(number)).unwrap(), number));
            }
        });
    }

    /// Removes all values except each `nth`.
    fn thin(&mut self, nth: usize) {
        let Self { slab, live, .. } = self;
        let mut position = 0;
        live.retain(|&(handle, _)| {
            position += 1;
            let stays = position % nth == 1;
            stays || slab.free(handle).is_err()
        });
    }
}

#[test]
fn a_source_that_unwinds_from_deallocate_finds_everything_done() {
    without_backtraces();
    // Under Miri slabs of several chunks are left to the test below: they take minutes here.
    for slab_capacity in if cfg!(miri) { &[2, 3][..] } else { &[2, 40, 2500] } {
        let slab_capacity = *slab_capacity;
        for nth in (1..).step_by(if cfg!(miri) { 19 } else { 1 }) {
            let source = FailingSource::panicking_at_release(Global, nth);
            let slab = SlabAllocator::new_in(slab_capacity, &source);
            let mut run = Unwinding { slab, live: Vec::new(), panics: 0 };
            for round in 0..3 {
                run.attempt(|slab, _| slab.try_reserve(3 * slab.slab_capacity()).unwrap());
                run.fill();
                run.thin([1_000_000, 7, 2][round]);
                run.attempt(|slab, _| _ = slab.compact());
                run.attempt(|slab, live| move_all(slab, live));
                run.attempt(|slab, _| slab.shrink_to(0));
                run.attempt(|slab, _| drop(slab.try_clone().unwrap()));
            }
            run.attempt(|slab, live| {
                live.clear();
                slab.drain().for_each(drop);
                slab.shrink_to(0);
            });
            run.fill();
            let Unwinding { slab, panics, .. } = run;
            let outcome = catch_unwind(AssertUnwindSafe(|| drop(slab.into_iter())));
            assert_eq!(source.live_blocks(), 0, "release {nth} of slabs of {slab_capacity}");
            assert_eq!(panics + usize::from(outcome.is_err()), source.failures());
            if source.failures() == 0 {
                assert!(nth > 8, "{nth} releases");
                break;
            }
        }
    }
}

/// Moves values out of the emptiest slabs.
fn move_all(slab: &mut Slab<'_>, live: &mut [(SlotHandle, usize)]) {
    slab.defragment(usize::MAX, |_, old, new| {
        live.iter_mut().filter(|(handle, _)| *handle == old).for_each(|(handle, _)| *handle = new);
        true
    });
}

#[test]
fn a_source_that_unwinds_while_half_a_slab_is_rolled_back_finds_everything_done() {
    without_backtraces();
    let (slab_capacity, step) = if cfg!(miri) { (2050, 5) } else { (4000, 1) };
    for refused in (1..9).step_by(step) {
        for release in (1..5).step_by(step) {
            let inner = FailingSource::panicking_at_release(Global, release);
            let source = FailingSource::failing_at(inner, refused);
            let mut slab: SlabAllocator<u16, SlotHandle, _> =
                SlabAllocator::new_in(slab_capacity, &source);
            let mut live = Vec::new();
            for number in 0..3 * slab_capacity as u16 {
                let stored = catch_unwind(AssertUnwindSafe(|| slab.allocate(number)));
                live.extend(stored.ok().and_then(Result::ok).map(|handle| (handle, number)));
                if !cfg!(miri) || number % 512 == 0 {
                    assert_eq!(slab.live_count(), live.len());
                }
            }
            slab.validate().unwrap();
            assert!(live.iter().all(|&(handle, number)| slab[handle] == number));
            assert_eq!(slab.total_slots(), 3 * slab_capacity);
            drop(catch_unwind(AssertUnwindSafe(|| drop(slab))));
            assert_eq!(source.live_blocks(), 0);
        }
    }
}

#[cfg(feature = "serde")]
mod reading {
    use std::alloc::Layout;
    use std::ptr::NonNull;

    use allocator_api2::alloc::{AllocError, Allocator};

    use super::*;

    /// A source that refuses the n-th request of its thread. It has no fields, because deserialisation makes its source.
    #[derive(Debug, Default, Clone, Copy)]
    struct OfThread;

    thread_local! {
        /// The requests until the next refusal, and the live blocks.
        static COUNTS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    // SAFETY: all blocks come from `Global` and go back there.
    unsafe impl Allocator for OfThread {
        fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
            let (left, live) = COUNTS.get();
            let block = if left == 1 { Err(AllocError) } else { Global.allocate(layout) };
            COUNTS.set((left.wrapping_sub(1), live + usize::from(block.is_ok())));
            block
        }

        unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
            let (left, live) = COUNTS.get();
            COUNTS.set((left, live - 1));
            // SAFETY: `Global` has the same preconditions, and allocated the block.
            unsafe { Global.deallocate(block, layout) };
        }
    }

    #[test]
    fn a_refusal_while_an_allocator_is_read_is_an_error() {
        let mut names: SlabAllocator<String> = SlabAllocator::new(4);
        for number in 0..40 {
            names.allocate(number.to_string()).unwrap();
        }
        let text = serde_json::to_string(&names).unwrap();
        for nth in 1.. {
            COUNTS.set((nth, 0));
            let read = serde_json::from_str::<SlabAllocator<String, SlotHandle, OfThread>>(&text);
            let refused = read.is_err();
            match read {
                Ok(copy) => assert!(copy.iter().eq(&names)),
                Err(error) => assert!(error.to_string().contains("no memory for"), "{error}"),
            }
            let (left, live) = COUNTS.get();
            assert_eq!(live, 0, "nothing leaks when request {nth} is refused");
            if left > 0 && left <= nth {
                assert!(nth > 10 && !refused, "{nth} requests");
                break;
            }
            assert!(refused);
        }
    }
}
