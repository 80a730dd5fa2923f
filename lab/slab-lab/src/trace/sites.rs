//! Which call stacks allocate, how much of it is live, and what they leave behind.

use super::{Op, Trace, YOUNG_REQUESTS};

/// The moments at which live bytes are counted.
pub const MOMENTS: usize = 24;

/// The use of memory by one call stack. A block that is resized is the resizing stack's from then on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SiteUse {
    /// Allocations and resizes.
    pub requests: usize,
    /// Their sizes together.
    pub bytes: usize,
    /// The sizes of the blocks that were freed or resized within [`YOUNG_REQUESTS`] requests.
    pub churn_bytes: usize,
    /// Bytes that were live when the whole program had the most live bytes.
    pub peak_bytes: usize,
    /// Bytes that were live at [`MOMENTS`] moments, evenly distributed over the requests.
    pub live_bytes: Vec<usize>,
    /// Blocks that were never freed.
    pub left_blocks: usize,
    /// Their bytes.
    pub left_bytes: usize,
}

/// Counts the use of memory by each stack, in the order of [`Context::stacks`](super::Context::stacks);
/// the last one is that of requests without a stack.
pub fn site_uses(trace: &Trace) -> Vec<SiteUse> {
    let unknown = trace.context().stacks().len();
    let fresh = SiteUse { live_bytes: vec![0; MOMENTS], ..SiteUse::default() };
    let mut uses = vec![fresh; unknown + 1];
    let mut live_of = vec![0usize; unknown + 1];
    // For the block in each slot: its site, its size, and the request that made it.
    let mut blocks: Vec<Option<(usize, usize, usize)>> = vec![None; trace.slots()];
    let (mut live, mut peak) = (0usize, 0);
    let last = trace.ops().len().saturating_sub(1);
    let mut moment = 0;
    for (now, op) in trace.ops().iter().enumerate() {
        let (slot, new) = match *op {
            Op::Alloc { slot, layout } | Op::AllocZeroed { slot, layout } => {
                (slot, Some(layout.size()))
            }
            Op::Realloc { slot, new_size, .. } => (slot, Some(new_size)),
            Op::Free { slot, .. } => (slot, None),
        };
        let block = &mut blocks[slot as usize];
        if let Some((site, size, birth)) = block.take() {
            live_of[site] -= size;
            live -= size;
            if now - birth <= YOUNG_REQUESTS {
                uses[site].churn_bytes = uses[site].churn_bytes.saturating_add(size);
            }
        }
        if let Some(size) = new {
            let site = trace.context().site(now).filter(|&site| site < unknown).unwrap_or(unknown);
            *block = Some((site, size, now));
            uses[site].requests += 1;
            uses[site].bytes = uses[site].bytes.saturating_add(size);
            live_of[site] += size;
            live += size;
        }
        // The last of several equal peaks; a running copy for each of them would take too long.
        if live == trace.peak_live_bytes() && live > peak {
            peak = live;
            uses.iter_mut().zip(&live_of).for_each(|(use_, &bytes)| use_.peak_bytes = bytes);
        }
        while moment < MOMENTS && now >= last * (moment + 1) / MOMENTS {
            uses.iter_mut()
                .zip(&live_of)
                .for_each(|(use_, &bytes)| use_.live_bytes[moment] = bytes);
            moment += 1;
        }
    }
    for (site, size, _) in blocks.into_iter().flatten() {
        uses[site].left_blocks += 1;
        uses[site].left_bytes += size;
    }
    uses
}

/// Frames that allocate for others: the call site is the first frame that is none of them.
const ALLOCATORS: [&str; 24] = [
    "alloc::",
    "<alloc::",
    "core::",
    "<core::",
    "std::",
    "<std::",
    "__rust",
    "__rdl_",
    "__rg_",
    "hashbrown::",
    "<hashbrown::",
    "operator new",
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "strdup",
    "__strdup",
    "xmalloc",
    "xcalloc",
    "xrealloc",
    "<T as alloc",
    "__gnu_cxx::",
    "libc.so",
];

/// Returns the call site of a stack: the innermost frame that does not just allocate for its caller.
pub fn call_site(trace: &Trace, stack: usize) -> String {
    let frames = || trace.context().stacks().frames(stack);
    let allocates = |frame: &&str| ALLOCATORS.iter().any(|start| frame.starts_with(start));
    let site = frames().find(|frame| !allocates(frame)).or_else(|| frames().next());
    site.unwrap_or("(unknown)").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Run, TraceBuilder, Warnings};

    #[test]
    fn each_site_has_its_bytes() {
        let mut builder = TraceBuilder::default();
        for name in ["alloc::vec", "first", "second"] {
            builder.stacks().add_name(name.to_owned()).expect("a short name");
        }
        builder.stacks().add(&[0, 1]).expect("known frames");
        builder.stacks().add(&[2]).expect("known frames");
        let mut at = |site, request: &mut dyn FnMut(&mut TraceBuilder)| {
            builder.now(0, site, None).expect("one thread");
            request(&mut builder);
        };
        at(1, &mut |b| b.alloc(100, 16, false).map(|_slot| ()).expect("sound"));
        at(2, &mut |b| b.alloc(50, 16, false).map(|_slot| ()).expect("sound"));
        at(0, &mut |b| b.free(0).expect("sound"));
        at(1, &mut |b| b.realloc(1, 70).expect("sound"));
        at(0, &mut |b| b.alloc(7, 16, false).map(|_slot| ()).expect("sound"));
        let trace = builder.finish("t", Run::default(), Warnings::default());
        assert_eq!([call_site(&trace, 0), call_site(&trace, 1)], ["first", "second"]);
        let [first, second, unknown] = &site_uses(&trace)[..] else { panic!("three sites") };
        assert_eq!((first.requests, first.bytes, first.churn_bytes), (2, 170, 100));
        assert_eq!((first.peak_bytes, second.peak_bytes), (100, 50));
        assert_eq!((first.left_blocks, first.left_bytes, second.left_bytes), (1, 70, 0));
        assert_eq!((second.churn_bytes, unknown.left_bytes), (50, 7));
        assert_eq!((first.live_bytes[0], first.live_bytes[MOMENTS - 1]), (100, 70));
    }
}
