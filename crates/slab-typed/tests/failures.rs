//! Each operation that asks for memory, with a source that refuses each of its requests in turn, or
//! panics at it: an error, nothing lost, nothing changed.
#![expect(unsafe_code, reason = "a memory source is an unsafe trait")]

use std::alloc::Layout;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use slab_testkit::{FailingSource, for_each_failure};
use slab_typed::{SecondaryMap, SlabAllocator, SlabError, SlotHandle};

type Source<'a> = &'a FailingSource<Global>;
type Slab<'a> = SlabAllocator<Box<usize>, SlotHandle, Source<'a>>;
type Map<'a> = SecondaryMap<SlotHandle, Box<usize>, Source<'a>>;

/// One chunk a slab, and several; Miri takes minutes for the latter.
const CAPACITIES: &[usize] = if cfg!(miri) { &[2] } else { &[1, 5, 2500] };

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

/// An operation that asks for memory, and whether it was refused. It checks itself what it promises of a
/// refusal; that nothing else changed is checked for all alike.
type Operation = fn(&mut Slab<'_>) -> bool;

/// Changes of the values that are live are told through the handles returned.
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
    ("vacant_entry", |slab| match slab.vacant_entry() {
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
        // A smaller directory that is refused is one that stays.
        slab.shrink_to(0);
        false
    }),
    ("SecondaryMap::insert", |slab| {
        with_map(slab, |map, handle, number| match map.insert(handle, Box::new(number)) {
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
            let stored = map.get_or_insert_with(handle, || {
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
            let stored = map.insert(handle, Box::new(number));
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

/// Works on a map beside the slab, one value after the other, until one is refused.
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

#[test]
fn each_operation_with_each_of_its_requests_refused() {
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
                // And it works again.
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

/// What asks for nothing goes on when there is nothing.
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
fn a_source_that_panics_leaves_everything_as_it_was() {
    // Slabs of two chunks each, so that a panic can come in the middle of one.
    let slab_capacity = if cfg!(miri) { 1025 } else { 1500 };
    // Miri takes a minute for each.
    let step = if cfg!(miri) { 4 } else { 1 };
    let mut nth = 0;
    loop {
        nth += step;
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

/// Panics once, when the n-th block has come back.
struct Reluctant(Cell<usize>, FailingSource<Global>);

// SAFETY: blocks are the inner source's.
unsafe impl Allocator for Reluctant {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.1.allocate(layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.1.deallocate(block, layout) };
        self.0.set(self.0.get().wrapping_sub(1));
        assert!(self.0.get() != 0, "it panics");
    }
}

#[test]
fn a_source_that_panics_when_a_block_comes_back_gets_none_twice() {
    for nth in 1..20 {
        let source = Reluctant(Cell::new(nth), FailingSource::new(Global));
        let attempt = |action: &mut dyn FnMut()| _ = catch_unwind(AssertUnwindSafe(action));
        let mut slab: SlabAllocator<u64, SlotHandle, &Reluctant> =
            SlabAllocator::new_in(2, &source);
        let mut live = Vec::new();
        for number in 0..20 {
            // The directory moves to a longer block now and then.
            attempt(&mut || live.push((slab.allocate(number).unwrap(), number)));
        }
        assert!(live.len() >= 19);
        live.retain(|&(handle, number)| number < 6 || slab.free(handle).is_err());
        attempt(&mut || _ = slab.compact());
        attempt(&mut || slab.shrink_to(0));
        assert!(live.iter().all(|&(handle, number)| slab.get(handle) == Some(&number)));
        source.0.set(0);
        drop(slab);
        assert_eq!(source.1.live_blocks(), 0);
    }
}

#[cfg(feature = "serde")]
mod reading {
    use super::*;

    /// A source without a name, as deserialisation makes its own: it refuses the n-th request of its thread.
    #[derive(Debug, Default, Clone, Copy)]
    struct OfThread;

    thread_local! {
        /// Requests to the next refusal, and blocks that are live.
        static COUNTS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    // SAFETY: blocks are `Global`'s.
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
            // SAFETY: the caller's promise is the same.
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
                Err(error) => assert!(error.to_string().contains("memory was refused"), "{error}"),
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
