//! A memory source that refuses requests as planned and finds leaks.
#![expect(unsafe_code, reason = "implements the unsafe trait Allocator")]

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use allocator_api2::alloc::{AllocError, Allocator, Global};

use crate::Shadow;

/// An [`Allocator`] that refuses the n-th request, and knows which blocks are live.
///
/// Pass it by reference. A resize counts as a request and always moves the block. Freeing a block that is not
/// live, or with another layout, panics.
///
/// # Examples
///
/// ```
/// use allocator_api2::alloc::Global;
/// use allocator_api2::vec::Vec;
/// use slab_testkit::FailingSource;
///
/// let source = FailingSource::failing_at(Global, 2);
/// let mut numbers: Vec<u32, _> = Vec::new_in(&source);
/// assert!(numbers.try_reserve(10).is_ok());
/// assert!(numbers.try_reserve(100).is_err());
/// assert!(numbers.try_reserve(100).is_ok());
/// assert_eq!((source.requests(), source.failures(), source.live_blocks()), (3, 1, 1));
/// ```
#[derive(Debug)]
pub struct FailingSource<A> {
    inner: A,
    plan: Plan,
    state: Mutex<State>,
}

/// Which requests are refused, counted from 1.
#[derive(Debug, Clone, Copy)]
enum Plan {
    Never,
    At(usize),
    From(usize),
    /// Refuses nothing. The request panics.
    PanicsAt(usize),
    /// Refuses nothing. The release deallocates its block and then panics.
    PanicsAtRelease(usize),
}

#[derive(Debug)]
struct State {
    requests: usize,
    releases: usize,
    failures: usize,
    live: Shadow,
}

impl<A> FailingSource<A> {
    /// Returns a source that refuses nothing and counts the requests.
    pub fn new(inner: A) -> Self {
        Self::with_plan(inner, Plan::Never)
    }

    /// Returns a source that refuses only the `nth` request, counted from 1.
    pub fn failing_at(inner: A, nth: usize) -> Self {
        Self::with_plan(inner, Plan::At(nth))
    }

    /// Returns a source that refuses the `nth` request, counted from 1, and all after it.
    pub fn failing_from(inner: A, nth: usize) -> Self {
        Self::with_plan(inner, Plan::From(nth))
    }

    /// Returns a source that panics at the `nth` request, counted from 1, and refuses nothing.
    pub fn panicking_at(inner: A, nth: usize) -> Self {
        Self::with_plan(inner, Plan::PanicsAt(nth))
    }

    /// Returns a source whose `nth` release, counted from 1, deallocates its block and then panics. It
    /// refuses nothing.
    pub fn panicking_at_release(inner: A, nth: usize) -> Self {
        Self::with_plan(inner, Plan::PanicsAtRelease(nth))
    }

    fn with_plan(inner: A, plan: Plan) -> Self {
        let state = State { requests: 0, releases: 0, failures: 0, live: Shadow::anywhere() };
        Self { inner, plan, state: Mutex::new(state) }
    }

    /// Returns the number of requests, refused ones included.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// Returns the number of blocks that were freed, including those of no bytes.
    pub fn releases(&self) -> usize {
        self.state().releases
    }

    /// Returns the number of requests that were refused, and of requests and releases that panicked.
    pub fn failures(&self) -> usize {
        self.state().failures
    }

    /// Returns the number of live blocks, without those of no bytes.
    pub fn live_blocks(&self) -> usize {
        self.state().live.live_count()
    }

    /// Returns the bytes of the live blocks.
    pub fn live_bytes(&self) -> usize {
        self.state().live.live_bytes()
    }

    /// Returns the state, also after a panic under the lock: destructors of the failed test still free blocks.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: blocks come from `inner` and go back to it. An allocator may always refuse.
unsafe impl<A: Allocator> Allocator for FailingSource<A> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let mut state = self.state();
        state.requests += 1;
        let fails = match self.plan {
            Plan::Never | Plan::PanicsAtRelease(_) => false,
            Plan::At(nth) => state.requests == nth,
            Plan::From(nth) => state.requests >= nth,
            Plan::PanicsAt(nth) if state.requests == nth => {
                state.failures += 1;
                drop(state);
                panic!("request {nth} panics as planned");
            }
            Plan::PanicsAt(_) => false,
        };
        if fails {
            state.failures += 1;
            return Err(AllocError);
        }
        let block = self.inner.allocate(layout)?;
        if layout.size() != 0 {
            let outcome = state.live.insert(block.cast(), layout);
            outcome.unwrap_or_else(|error| panic!("the source itself is broken: {error}"));
        }
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let mut state = self.state();
        state.releases += 1;
        let panics = matches!(self.plan, Plan::PanicsAtRelease(nth) if state.releases == nth);
        state.failures += usize::from(panics);
        if layout.size() != 0 {
            match state.live.remove(block) {
                Ok(known) => assert_eq!(layout, known, "a block came back with another layout"),
                Err(error) => panic!("a block came back that was not live: {error}"),
            }
        }
        drop(state);
        // SAFETY: the caller guarantees that the block came from here, and so from `inner`, with this layout.
        unsafe { self.inner.deallocate(block, layout) };
        assert!(!panics, "the release panics as planned");
    }
}

/// Runs a scenario with the first request refused, then with the second, and so on: each alone, and each with all
/// that follow, until a run makes fewer requests. Returns how many requests were refused alone, which is at least
/// the number of requests of a run without refusals.
///
/// # Panics
///
/// If a run leaves a block live, or if the scenario panics.
///
/// # Examples
///
/// ```
/// use allocator_api2::vec::Vec;
/// use slab_testkit::for_each_failure;
///
/// let injected = for_each_failure(|source| {
///     let mut numbers: Vec<u32, _> = Vec::new_in(source);
///     if numbers.try_reserve_exact(1).is_ok() {
///         let before = numbers.capacity();
///         let grown = numbers.try_reserve_exact(1000).is_ok();
///         assert!(grown || numbers.capacity() == before);
///     }
/// });
/// assert_eq!(injected, 2);
/// ```
pub fn for_each_failure(mut scenario: impl FnMut(&FailingSource<Global>)) -> usize {
    let mut run = |source: FailingSource<Global>, nth: usize| {
        scenario(&source);
        let leaked = (source.live_blocks(), source.live_bytes());
        assert_eq!(leaked, (0, 0), "blocks and bytes leaked when request {nth} was refused");
        source.failures()
    };
    let mut injected = 0;
    while run(FailingSource::failing_at(Global, injected + 1), injected + 1) != 0 {
        injected += 1;
        run(FailingSource::failing_from(Global, injected), injected);
    }
    injected
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::boxed::Box;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn requests_are_refused_as_planned() {
        let layout = Layout::new::<u64>();
        let answers = |source: FailingSource<Global>| {
            let blocks: Vec<_> = (0..4).map(|_| source.allocate(layout)).collect();
            let answers: Vec<bool> = blocks.iter().map(|block| block.is_ok()).collect();
            for block in blocks.into_iter().flatten() {
                // SAFETY: allocated above with this layout.
                unsafe { source.deallocate(block.cast(), layout) };
            }
            assert_eq!((source.live_blocks(), source.live_bytes()), (0, 0));
            answers
        };
        assert_eq!(answers(FailingSource::new(Global)), [true; 4]);
        assert_eq!(answers(FailingSource::failing_at(Global, 2)), [true, false, true, true]);
        assert_eq!(answers(FailingSource::failing_from(Global, 3)), [true, true, false, false]);
        assert_eq!(answers(FailingSource::panicking_at(Global, 5)), [true; 4]);
        let panicking = || answers(FailingSource::panicking_at(Global, 1));
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    }

    #[test]
    fn a_release_that_panics_has_deallocated_its_block() {
        let source = FailingSource::panicking_at_release(Global, 2);
        let layout = Layout::new::<u64>();
        let outcomes = [(); 3].map(|()| {
            let block = source.allocate(layout).expect("nothing is refused").cast::<u8>();
            // SAFETY: allocated above with this layout.
            let release = || unsafe { source.deallocate(block, layout) };
            catch_unwind(AssertUnwindSafe(release)).is_ok()
        });
        assert_eq!(outcomes, [true, false, true]);
        assert_eq!((source.releases(), source.failures(), source.live_blocks()), (3, 1, 0));
    }

    #[test]
    #[cfg_attr(miri, ignore = "leaks on purpose")]
    fn a_leak_under_failure_is_found() {
        let leaky = |source: &FailingSource<Global>| {
            let Ok(first) = Box::try_new_in(1_u8, source) else { return };
            match Box::try_new_in(2_u8, source) {
                Ok(_) => drop(first),
                Err(_) => core::mem::forget(first),
            }
        };
        assert!(catch_unwind(AssertUnwindSafe(|| for_each_failure(leaky))).is_err());
    }

    #[test]
    fn a_wrong_layout_and_an_unknown_block_are_found() {
        let source = FailingSource::new(Global);
        let layout = Layout::new::<u64>();
        let block = source.allocate(layout).expect("nothing fails").cast::<u8>();
        // SAFETY: not met; the source panics before it uses the block.
        let wrong = || unsafe { source.deallocate(block, Layout::new::<u32>()) };
        assert!(catch_unwind(AssertUnwindSafe(wrong)).is_err());
        // SAFETY: not met; the source panics before it uses the block, which it no longer knows.
        let again = || unsafe { source.deallocate(block, layout) };
        assert!(catch_unwind(AssertUnwindSafe(again)).is_err());
        // SAFETY: the block came from the same allocator with this layout and was not freed.
        unsafe { Global.deallocate(block, layout) };
    }

    #[test]
    fn a_scenario_without_requests_injects_nothing() {
        assert_eq!(for_each_failure(|_| {}), 0);
    }
}
