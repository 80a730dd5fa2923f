//! The numbers of one trace that can be compared, the best of them, and the verdict.

use slab_peers::{Checks, Side};

use crate::replay::{ContenderReport, TraceReport};

/// Times and sizes that differ by less than this factor count as equal: medians that are taken one
/// after the other on one machine differ by as much.
pub const LEVEL: f64 = 1.10;

/// A trace of fewer requests gets no verdict. The dynamic loader and the start of a language's
/// runtime alone make hundreds of requests, so a shorter recording shows how a program starts and
/// not what it does; and at 100 ns a request all of them take a tenth of a millisecond.
pub const REQUESTS_MIN: usize = 1_000;

/// To save a smaller part of the program's run is to save nothing that anybody notices.
pub const SHARE_MIN: f64 = 0.01;

/// To save less than this in a whole run, in nanoseconds, is to save nothing: it is [`SHARE_MIN`] of
/// the shortest run that a process can have, a millisecond.
const SAVING_NS_MIN: f64 = 10_000.0;

/// A time below this, in nanoseconds, is lost in the cost of the harness.
const NS_MIN: f64 = 0.1;

/// The most that heaptrack adds to a request, in nanoseconds, because it unwinds the stack. A run of
/// CPython took half a microsecond longer per request; deeper stacks take more.
const RECORDER_NS_MAX: f64 = 2_000.0;

/// The advice in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The trace is too short to tell.
    TooFewRequests,
    /// No allocator got through.
    Nothing,
    /// Only `malloc` got through.
    OnlyMalloc,
    /// Keep `malloc`: the pick is not clearly faster.
    NotFaster,
    /// Keep `malloc`: the pick saves too little.
    SavesLittle,
    /// It is unknown how much of the run `malloc` takes; if it is much, take the pick.
    Unknown,
    /// Take the pick.
    Take,
    /// Take the pick in a region; `malloc` was not timed.
    Region,
}

impl Verdict {
    /// Returns whether the advice is to keep `malloc`.
    pub fn keeps_malloc(self) -> bool {
        matches!(self, Self::OnlyMalloc | Self::NotFaster | Self::SavesLittle)
    }
}

/// The results that can be compared, and the best of them.
pub(super) struct Judged<'r> {
    pub(super) report: &'r TraceReport,
    /// The allocators on a region that got through with their checks on, in the registry's order.
    pub(super) passed: Vec<&'r ContenderReport>,
    /// `malloc`, if it got through.
    pub(super) malloc: Option<&'r ContenderReport>,
    pub(super) fastest: Option<&'r ContenderReport>,
    pub(super) smallest: Option<&'r ContenderReport>,
    pub(super) pick: Option<&'r ContenderReport>,
    pub(super) verdict: Verdict,
    /// Whether memory means the smallest region; else it means the footprint.
    by_arena: bool,
}

/// A part of the program's run, from 0 to 1, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    /// At least so much.
    pub(super) least: f64,
    /// At most so much.
    pub(super) most: f64,
}

impl<'r> Judged<'r> {
    pub(super) fn new(report: &'r TraceReport) -> Self {
        let ok = |result: &&ContenderReport| result.status == "ok";
        let (malloc, mut passed): (Vec<_>, Vec<_>) =
            report.results.iter().filter(ok).partition(|result| result.side == Side::Reference);
        passed.retain(|result| result.checks != Checks::Off);
        let by_arena = passed.iter().any(|result| result.smallest_arena_bytes.is_some());
        let mut judged = Self {
            report,
            passed,
            malloc: malloc.first().copied(),
            fastest: None,
            smallest: None,
            pick: None,
            verdict: Verdict::Nothing,
            by_arena,
        };
        judged.fastest = judged.least(|result| judged.ns(result));
        judged.smallest = judged.least(|result| judged.memory(result).map(|bytes| bytes as f64));
        judged.pick = judged.best();
        // The memory of `malloc` is not measured, so time alone can speak for leaving it: a pick that is
        // not clearly faster gives way to the fastest where that one is.
        if !judged.beats_malloc(judged.pick) && judged.beats_malloc(judged.fastest) {
            judged.pick = judged.fastest;
        }
        judged.verdict = judged.judge();
        judged
    }

    /// Returns the first result with the least of something.
    fn least(&self, of: impl Fn(&ContenderReport) -> Option<f64>) -> Option<&'r ContenderReport> {
        let known = self.passed.iter().filter_map(|&result| Some((of(result)?, result)));
        known.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, result)| result)
    }

    /// Returns the time of a request, never zero.
    pub(super) fn ns(&self, result: &ContenderReport) -> Option<f64> {
        result.ns_per_op.map(|ns| ns.max(NS_MIN))
    }

    /// Returns the memory that a result is judged by.
    pub(super) fn memory(&self, result: &ContenderReport) -> Option<usize> {
        if self.by_arena { result.smallest_arena_bytes } else { result.footprint_bytes }
    }

    /// Returns what memory means here.
    pub(super) fn memory_word(&self) -> &'static str {
        if self.by_arena { "smallest region" } else { "footprint" }
    }

    /// Returns the time of a result as a multiple of the fastest.
    pub(super) fn times_fastest(&self, result: &ContenderReport) -> Option<f64> {
        Some(self.ns(result)? / self.ns(self.fastest?)?)
    }

    /// Returns the memory of a result as a multiple of the smallest.
    pub(super) fn times_smallest(&self, result: &ContenderReport) -> Option<f64> {
        Some(self.memory(result)? as f64 / self.memory(self.smallest?)?.max(1) as f64)
    }

    /// Returns the result with the least product of time and memory.
    fn best(&self) -> Option<&'r ContenderReport> {
        let product = |result: &ContenderReport| {
            self.times_fastest(result).unwrap_or(1.0) * self.times_smallest(result).unwrap_or(1.0)
        };
        let best = self.passed.iter().map(|result| product(result)).min_by(f64::total_cmp)?;
        let equals = self.passed.iter().filter(|result| product(result) <= best * LEVEL);
        let order = |one: &&&ContenderReport, other: &&&ContenderReport| {
            let defaults = |result: &ContenderReport| result.checks != Checks::Default;
            let modes = defaults(one).cmp(&defaults(other));
            modes.then(product(one).total_cmp(&product(other)))
        };
        equals.min_by(order).copied()
    }

    /// Returns whether a result takes clearly less time than `malloc`: by [`LEVEL`], and by more than the
    /// rounds of both differ. `true` if `malloc` was not timed.
    fn beats_malloc(&self, result: Option<&ContenderReport>) -> bool {
        let times = self.malloc.zip(result).and_then(|(malloc, result)| {
            let spread = malloc.spread_ns.unwrap_or(0.0) + result.spread_ns.unwrap_or(0.0);
            Some((self.ns(malloc)?, self.ns(result)?, spread))
        });
        times.is_none_or(|(malloc, ns, spread)| malloc > ns * LEVEL && malloc - ns > spread)
    }

    fn judge(&self) -> Verdict {
        if self.report.operations < REQUESTS_MIN {
            return Verdict::TooFewRequests;
        }
        let Some(pick) = self.pick else {
            return if self.malloc.is_some() { Verdict::OnlyMalloc } else { Verdict::Nothing };
        };
        let timed = |result| self.ns(result).is_some();
        if !self.malloc.is_some_and(timed) || !timed(pick) {
            return Verdict::Region;
        }
        if !self.beats_malloc(Some(pick)) {
            return Verdict::NotFaster;
        }
        match self.saved_share() {
            _ if self.saved_ns() < SAVING_NS_MIN => Verdict::SavesLittle,
            Some(share) if share.most < SHARE_MIN => Verdict::SavesLittle,
            Some(share) if share.least >= SHARE_MIN => Verdict::Take,
            _ => Verdict::Unknown,
        }
    }

    /// Returns the time that the pick saves over `malloc` in the whole trace; negative if it takes
    /// longer, zero if it is unknown.
    pub(super) fn saved_ns(&self) -> f64 {
        let ns = |result: Option<_>| result.and_then(|result| self.ns(result));
        let times = ns(self.malloc).zip(ns(self.pick));
        times.map_or(0.0, |(malloc, pick)| (malloc - pick) * self.report.operations as f64)
    }

    /// Returns the part of the run that `malloc` takes; `None` if the recording does not say how
    /// long the program ran.
    pub(super) fn malloc_share(&self) -> Option<Share> {
        let operations = self.report.operations as f64;
        let ns = self.ns(self.malloc?)? * operations;
        let run_ns = self.report.run.milliseconds as f64 * 1e6;
        if run_ns == 0.0 {
            return None;
        }
        // Without the recorder, the run takes at least as long as its requests.
        let least_run_ns = (run_ns - RECORDER_NS_MAX * operations).max(ns);
        Some(Share { least: (ns / run_ns).min(1.0), most: (ns / least_run_ns).min(1.0) })
    }

    /// Returns the part of the run that the pick saves.
    pub(super) fn saved_share(&self) -> Option<Share> {
        let Share { least, most } = self.malloc_share()?;
        let part = self.saved_ns() / (self.ns(self.malloc?)? * self.report.operations as f64);
        Some(Share { least: least * part, most: most * part })
    }
}
