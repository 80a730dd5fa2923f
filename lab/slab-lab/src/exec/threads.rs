//! Replays a trace on several threads.
//!
//! Each thread executes its requests in their order. A request on a block waits until the request
//! before it on the same block is done, if another thread makes that one: a free comes after the
//! allocation, also across threads. Nothing else is ordered, as in the recorded program.

use std::alloc::Layout;
use std::hint;
use std::ptr::{self, NonNull};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use slab_peers::{SharedContender, SharedHeap};

use super::{Failure, Region};
use crate::trace::{Op, Trace};

/// The requests of each thread.
#[derive(Debug)]
pub struct ThreadPlan {
    lists: Vec<Vec<Step>>,
    blocks: usize,
    requests: usize,
}

/// A request on a block.
#[derive(Debug, Clone, Copy)]
struct Step {
    action: Action,
    block: u32,
    /// The number of requests on the block before this one.
    turn: u32,
    /// Whether another thread makes the request before this one on the block.
    waits: bool,
    /// Whether another thread makes the request after this one on the block.
    announces: bool,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Alloc(Layout),
    AllocZeroed(Layout),
    Free(Layout),
    Realloc(Layout, usize),
}

/// The block in a slot.
#[derive(Clone, Copy)]
struct Live {
    block: u32,
    /// The number of requests on it so far.
    turn: u32,
    /// Thread and place of the last of them.
    last: (usize, usize),
}

impl ThreadPlan {
    /// Divides a trace among the threads that the recording names.
    pub fn recorded(trace: &Trace) -> Self {
        let context = trace.context();
        Self::new(trace, context.thread_count(), |request| usize::from(context.thread(request)))
    }

    /// Lets one thread make all requests, in the recorded order.
    pub fn single(trace: &Trace) -> Self {
        Self::new(trace, 1, |_| 0)
    }

    /// Lets each of some threads make all requests of a trace, on separate blocks.
    pub fn copies(trace: &Trace, copies: usize) -> Self {
        let single = Self::single(trace);
        let moved = |copy: usize| {
            let offset = (copy * single.blocks) as u32;
            single.lists[0]
                .iter()
                .map(|&step| Step { block: step.block + offset, ..step })
                .collect()
        };
        Self {
            lists: (0..copies).map(moved).collect(),
            blocks: single.blocks * copies,
            requests: single.requests * copies,
        }
    }

    fn new(trace: &Trace, threads: usize, thread_of: impl Fn(usize) -> usize) -> Self {
        let mut plan =
            Self { lists: vec![Vec::new(); threads], blocks: 0, requests: trace.ops().len() };
        let mut live: Vec<Option<Live>> = vec![None; trace.slots()];
        for (request, op) in trace.ops().iter().enumerate() {
            let thread = thread_of(request);
            let place = (thread, plan.lists[thread].len());
            let (slot, action) = match *op {
                Op::Alloc { slot, layout } => (slot, Action::Alloc(filled(layout))),
                Op::AllocZeroed { slot, layout } => (slot, Action::AllocZeroed(filled(layout))),
                Op::Free { slot, layout } => (slot, Action::Free(filled(layout))),
                Op::Realloc { slot, layout, new_size } => {
                    (slot, Action::Realloc(filled(layout), new_size.max(1)))
                }
            };
            let slot = &mut live[slot as usize];
            let (block, turn, before) = match slot.take() {
                Some(Live { block, turn, last }) => (block, turn, Some(last)),
                None => {
                    plan.blocks += 1;
                    (plan.blocks as u32 - 1, 0, None)
                }
            };
            let other = before.filter(|&(other, _)| other != thread);
            if let Some((other, index)) = other {
                plan.lists[other][index].announces = true;
            }
            let step = Step { action, block, turn, waits: other.is_some(), announces: false };
            if !matches!(action, Action::Free(_)) {
                *slot = Some(Live { block, turn: turn + 1, last: place });
            }
            plan.lists[thread].push(step);
        }
        plan
    }

    /// Returns the number of threads.
    pub fn threads(&self) -> usize {
        self.lists.len()
    }

    /// Returns the number of requests of all threads.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// Executes the plan on a fresh heap and returns the time, and how often a request found the lock
    /// taken.
    ///
    /// # Errors
    ///
    /// [`Failure::RegionRefused`], or [`Failure::NoMemory`] if the heap refused a request.
    pub fn run(
        &self,
        contender: &SharedContender,
        region: &mut Region,
    ) -> Result<(Duration, Option<u64>), Failure> {
        let memory = region.first(usize::MAX);
        // SAFETY: the region is borrowed until this function returns, and the heap ends before.
        let heap = unsafe { contender.build(memory) }?;
        let shared = Shared {
            heap: &*heap,
            blocks: (0..self.blocks).map(|_| Block::default()).collect(),
            failed: AtomicBool::new(false),
        };
        let start_line = Barrier::new(self.lists.len() + 1);
        let took = thread::scope(|scope| {
            for list in &self.lists {
                scope.spawn(|| {
                    start_line.wait();
                    shared.execute(list);
                });
            }
            start_line.wait();
            Instant::now()
        })
        .elapsed();
        let failed = shared.failed.load(Ordering::Relaxed);
        shared.free_the_rest(self);
        if failed { Err(Failure::NoMemory) } else { Ok((took, heap.contended())) }
    }
}

/// Returns the layout with at least one byte, which every heap accepts.
fn filled(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size().max(1), layout.align()).unwrap_or(layout)
}

/// A block and the number of requests on it that are done, as far as another thread waits for them.
#[derive(Default)]
struct Block {
    start: AtomicPtr<u8>,
    turn: AtomicU32,
}

struct Shared<'h> {
    heap: &'h dyn SharedHeap,
    blocks: Vec<Block>,
    /// A request was refused: the threads end, because others may wait for its block.
    failed: AtomicBool,
}

impl Shared<'_> {
    fn execute(&self, list: &[Step]) {
        for step in list {
            let block = &self.blocks[step.block as usize];
            if step.waits && !self.wait(block, step.turn) {
                return;
            }
            let old = block.start.load(Ordering::Relaxed);
            let new = match step.action {
                // SAFETY: `filled` gave the layout a size.
                Action::Alloc(layout) => unsafe { self.heap.alloc(layout) },
                // SAFETY: `filled` gave the layout a size.
                Action::AllocZeroed(layout) => unsafe { self.heap.alloc_zeroed(layout) },
                // SAFETY: by T2 the block is live with this layout: the requests before it on this
                // block are done, because this thread made the last one or has waited for it.
                Action::Realloc(layout, size) => unsafe { self.heap.realloc(old, layout, size) },
                Action::Free(layout) => {
                    // SAFETY: as for a resize, the block is live with this layout.
                    unsafe { self.heap.dealloc(old, layout) };
                    block.start.store(ptr::null_mut(), Ordering::Relaxed);
                    continue;
                }
            };
            let Some(start) = NonNull::new(new) else {
                self.failed.store(true, Ordering::Relaxed);
                return;
            };
            // SAFETY: the block has at least one byte and is this thread's until it is announced.
            unsafe { start.write(step.block as u8) };
            block.start.store(start.as_ptr(), Ordering::Relaxed);
            if step.announces {
                block.turn.store(step.turn + 1, Ordering::Release);
            }
        }
    }

    /// Waits until so many requests on a block are done; `false` if a request was refused.
    fn wait(&self, block: &Block, turn: u32) -> bool {
        let mut looks = 0;
        while block.turn.load(Ordering::Acquire) < turn {
            if self.failed.load(Ordering::Relaxed) {
                return false;
            }
            looks += 1;
            // The other thread may need this processor.
            if looks < 100 { hint::spin_loop() } else { thread::yield_now() }
        }
        true
    }

    /// Frees the blocks that are still live.
    fn free_the_rest(&self, plan: &ThreadPlan) {
        // The threads have ended. Of a block whose requests were not all made the layout is unknown, and
        // the region is given up with it.
        if self.failed.load(Ordering::Relaxed) {
            return;
        }
        let mut last: Vec<Option<(u32, Layout)>> = vec![None; plan.blocks];
        for step in plan.lists.iter().flatten() {
            let layout = match step.action {
                Action::Alloc(layout) | Action::AllocZeroed(layout) => layout,
                Action::Realloc(layout, size) => super::heap::resized(layout, size),
                Action::Free(_) => continue,
            };
            let known = &mut last[step.block as usize];
            if known.is_none_or(|(turn, _)| turn <= step.turn) {
                *known = Some((step.turn, layout));
            }
        }
        for (block, last) in self.blocks.iter().zip(last) {
            let start = block.start.load(Ordering::Relaxed);
            if let Some((_, layout)) = last.filter(|_| !start.is_null()) {
                // SAFETY: the block is live, and this is the layout of the last request on it.
                unsafe { self.heap.dealloc(start, layout) };
            }
        }
    }
}
