//! `SharedSlab` over a source that refuses or panics at each request in turn: values come back, nothing is lost, and readers
//! find what they look for.
#![cfg(all(feature = "std", not(loom)))]

use std::panic::{AssertUnwindSafe, catch_unwind};

use allocator_api2::alloc::Global;
use slab_testkit::FailingSource;
use slab_typed::{SharedSlab, SlabError, SlotHandle};

type Source<'a> = &'a FailingSource<Global>;
type Slab<'a> = SharedSlab<Box<usize>, SlotHandle, Source<'a>>;

/// Values for five chunks: the table of chunks grows.
const COUNT: usize = if cfg!(miri) { 4 * 64 + 1 } else { 4 * 1024 + 1 };

/// Miri takes seconds for each run.
const STEP: usize = if cfg!(miri) { 9 } else { 1 };

/// Miri takes seconds for a backtrace.
fn without_backtraces() {
    if cfg!(miri) {
        std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    }
}

/// Inserts, reads, removes and compacts. Returns how often the source panicked.
fn exercise(slab: &Slab<'_>) -> usize {
    let mut panics = 0;
    let mut live = Vec::new();
    let mut removed = Vec::new();
    for round in 0..2 {
        for number in 0..COUNT {
            match catch_unwind(AssertUnwindSafe(|| slab.try_insert(Box::new(number)))) {
                Ok(Ok(handle)) => live.push((handle, number)),
                Ok(Err(error)) => {
                    assert!(matches!(error.error(), SlabError::OutOfMemory { .. }));
                    assert_eq!(*error.into_value(), number, "the value comes back");
                }
                Err(_) => panics += 1,
            }
        }
        assert_eq!(slab.len(), live.len());
        for &(handle, number) in live.iter().step_by(17) {
            // The first look of a thread requests memory, and does without.
            match catch_unwind(AssertUnwindSafe(|| **slab.get(handle).unwrap())) {
                Ok(found) => assert_eq!(found, number),
                Err(_) => panics += 1,
            }
        }
        let found = slab.pin().iter().count();
        assert_eq!(found, live.len());
        for (handle, _) in live.split_off(if round == 0 { live.len().min(10) } else { 0 }) {
            assert!(slab.remove(handle));
            removed.push(handle);
        }
        panics += usize::from(catch_unwind(AssertUnwindSafe(|| slab.compact())).is_err());
        assert!(removed.iter().all(|&handle| !slab.contains(handle)));
        assert!(live.iter().all(|&(handle, number)| **slab.get(handle).unwrap() == number));
    }
    panics
}

/// Exercises a slab with a source that fails as planned at the first request or release, then with one that fails at a
/// later one, and so on, until a run fails nowhere.
fn with_each_failure(plan: impl Fn(Global, usize) -> FailingSource<Global>) {
    for nth in (1..).step_by(STEP) {
        let source = plan(Global, nth);
        let slab = Slab::new_in(&source);
        let panics = exercise(&slab);
        assert_eq!(slab.held_bytes(), source.live_bytes());
        if catch_unwind(AssertUnwindSafe(|| slab.compact())).is_ok() {
            assert_eq!((slab.len(), slab.slab_count()), (0, 0));
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| drop(slab))).is_err();
        assert_eq!(source.live_bytes(), 0);
        if source.failures() == 0 {
            assert!(panics == 0 && !panicked, "only the source panics");
            assert!(nth > 12, "the source could fail {nth} times");
            break;
        }
    }
}

#[test]
fn a_source_that_refuses_a_request_loses_nothing() {
    with_each_failure(FailingSource::failing_at);
}

#[test]
fn a_source_that_refuses_from_some_request_on_loses_nothing() {
    with_each_failure(FailingSource::failing_from);
}

#[test]
fn a_source_that_panics_at_a_request_leaves_everything_as_it_was() {
    without_backtraces();
    with_each_failure(FailingSource::panicking_at);
}

#[test]
fn a_source_that_panics_at_a_release_gets_the_rest_back() {
    without_backtraces();
    with_each_failure(FailingSource::panicking_at_release);
}

#[test]
fn a_thread_without_a_record_reads_inserts_and_removes() {
    // The first request is for the record of this thread.
    for nth in 1..3 {
        let source = FailingSource::failing_at(Global, nth);
        let slab: SharedSlab<u64, SlotHandle, Source<'_>> = SharedSlab::new_in(&source);
        assert_eq!(exercise_numbers(&slab), 0);
        drop(slab);
        assert_eq!(source.live_bytes(), 0);
    }
}

fn exercise_numbers(slab: &SharedSlab<u64, SlotHandle, Source<'_>>) -> usize {
    let handles: Vec<_> = (0..10).filter_map(|number| slab.try_insert(number).ok()).collect();
    let guards: Vec<_> = handles.iter().filter_map(|&handle| slab.get(handle)).collect();
    let pinned = slab.pin();
    handles.iter().for_each(|&handle| assert!(slab.remove(handle)));
    let more: Vec<_> = (100..300).filter_map(|number| slab.try_insert(number).ok()).collect();
    assert!(guards.iter().all(|guard| **guard < 10));
    assert!(more.iter().all(|&handle| pinned.get(handle).is_some_and(|&number| number >= 100)));
    drop((guards, pinned));
    more.iter().for_each(|&handle| assert!(slab.remove(handle)));
    slab.compact();
    slab.len() + slab.slab_count()
}
