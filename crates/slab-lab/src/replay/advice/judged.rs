//! Which allocator to take, and why: a judgement of nothing but the numbers of one trace.
//!
//! The rule is meant to be retold in one sentence: of the allocators that got through, take the one
//! whose time and memory, each as a multiple of the best, have the smallest product. Differences
//! below a tenth do not count, and between equals a crate's default mode comes before its others.

mod reasons;
#[cfg(test)]
mod tests;

use slab_peers::Side;

use super::{ContenderReport, TraceReport};
use crate::words;

/// What differs by less than this factor counts as equal: medians taken one after the other on one
/// machine do.
pub const LEVEL: f64 = 1.10;

/// A time below this, in nanoseconds, has drowned in the harness's own cost.
const NS_MIN: f64 = 0.1;

/// To save less than this in the whole of a trace, in nanoseconds, is to save nothing: it is one per
/// cent of the shortest run that a process can have.
const SAVING_NS_MIN: f64 = 10_000.0;

/// A recommendation for one trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The allocator to take where memory is a region; `None` if none got through.
    pub pick: Option<&'static str>,
    /// Whether, on an operating system, the system's allocator is as good.
    pub system_will_do: bool,
    /// The one that took the least time.
    pub fastest: Option<&'static str>,
    /// The one that needed the least memory.
    pub smallest: Option<&'static str>,
    /// The recommendation in one line.
    pub headline: String,
    /// What speaks for it, what else could be taken, who failed, and what to doubt: sentences.
    pub reasons: Vec<String>,
}

/// Judges the results of one trace.
pub fn advise(report: &TraceReport) -> Advice {
    let judged = Judged::new(report);
    let Some(pick) = judged.pick() else { return without_pick(report, &judged) };
    let because = reasons::because(&judged, pick);
    let take = format!("take {}, because it {because}", pick.allocator);
    let name = &report.trace;
    let system_will_do = judged.system_will_do(pick);
    let headline = match system_will_do {
        true => format!(
            "For {name} the system allocator will do: on an operating system there is nothing to \
             gain. On a region of your own {take}."
        ),
        false => format!("For {name} {take}."),
    };
    Advice {
        pick: Some(pick.allocator),
        system_will_do,
        fastest: judged.fastest.map(|fastest| fastest.allocator),
        smallest: judged.smallest.map(|smallest| smallest.allocator),
        headline,
        reasons: reasons::reasons(report, &judged, pick),
    }
}

fn without_pick(report: &TraceReport, judged: &Judged<'_>) -> Advice {
    let name = &report.trace;
    let headline = match judged.system {
        Some(_) => {
            format!(
                "For {name} take the system allocator: none that lives on a region got through."
            )
        }
        None => format!("For {name} there is nothing to recommend: no allocator got through."),
    };
    let reasons = reasons::failures(report);
    Advice {
        pick: None,
        system_will_do: judged.system.is_some(),
        fastest: None,
        smallest: None,
        headline,
        reasons,
    }
}

/// The results that can be compared, and the best of them.
struct Judged<'r> {
    /// Those on a region that got through, in the order of the registry.
    passed: Vec<&'r ContenderReport>,
    /// The reference, if it got through.
    system: Option<&'r ContenderReport>,
    fastest: Option<&'r ContenderReport>,
    smallest: Option<&'r ContenderReport>,
    /// Of the trace.
    requests: usize,
    /// Whether nothing else was run.
    alone: bool,
    /// Whether memory means the smallest region; else it means the footprint.
    by_arena: bool,
}

impl<'r> Judged<'r> {
    fn new(report: &'r TraceReport) -> Self {
        let ok = |result: &&ContenderReport| result.status == "ok";
        let (system, passed): (Vec<_>, Vec<_>) =
            report.results.iter().filter(ok).partition(|result| result.side == Side::Reference);
        let by_arena = passed.iter().any(|result| result.smallest_arena_bytes.is_some());
        let mut judged = Self {
            passed,
            system: system.first().copied(),
            fastest: None,
            smallest: None,
            requests: report.operations,
            alone: report.results.len() == 1,
            by_arena,
        };
        judged.fastest = judged.least(|result| judged.ns(result));
        judged.smallest = judged.least(|result| judged.memory(result).map(|bytes| bytes as f64));
        judged
    }

    /// Returns the first result with the least of something.
    fn least(&self, of: impl Fn(&ContenderReport) -> Option<f64>) -> Option<&'r ContenderReport> {
        let known = self.passed.iter().filter_map(|&result| Some((of(result)?, result)));
        known.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, result)| result)
    }

    /// Returns the time of a request, so that it can be divided by.
    fn ns(&self, result: &ContenderReport) -> Option<f64> {
        result.ns_per_op.map(|ns| ns.max(NS_MIN))
    }

    /// Returns the memory that a result is judged by.
    fn memory(&self, result: &ContenderReport) -> Option<usize> {
        if self.by_arena { result.smallest_arena_bytes } else { result.footprint_bytes }
    }

    /// Returns how many times the time of the fastest a result took.
    fn times_fastest(&self, result: &ContenderReport) -> Option<f64> {
        Some(self.ns(result)? / self.ns(self.fastest?)?)
    }

    /// Returns how many times the memory of the smallest a result needed.
    fn times_smallest(&self, result: &ContenderReport) -> Option<f64> {
        Some(self.memory(result)? as f64 / self.memory(self.smallest?)?.max(1) as f64)
    }

    /// Applies the rule.
    fn pick(&self) -> Option<&'r ContenderReport> {
        let product = |result: &ContenderReport| {
            self.times_fastest(result).unwrap_or(1.0) * self.times_smallest(result).unwrap_or(1.0)
        };
        let best = self.passed.iter().map(|result| product(result)).min_by(f64::total_cmp)?;
        let equals = self.passed.iter().filter(|result| product(result) <= best * LEVEL);
        let order = |one: &&&ContenderReport, other: &&&ContenderReport| {
            let modes = mode(one).is_some().cmp(&mode(other).is_some());
            modes.then(product(one).total_cmp(&product(other)))
        };
        equals.min_by(order).copied()
    }

    /// Returns whether nothing is gained over the system allocator where there is one.
    fn system_will_do(&self, pick: &ContenderReport) -> bool {
        let system = self.system.and_then(|system| self.ns(system));
        let times = system.zip(self.ns(pick));
        times.is_some_and(|(system, pick)| {
            let saved = (system - pick) * self.requests as f64;
            system <= pick * LEVEL || saved < SAVING_NS_MIN
        })
    }

    /// Says what memory means here.
    fn memory_word(&self) -> &'static str {
        if self.by_arena { "smallest region" } else { "footprint" }
    }

    /// Says how much memory a result needed.
    fn memory_said(&self, result: &ContenderReport) -> String {
        self.memory(result).map_or_else(String::new, words::bytes)
    }
}

/// Returns the crate of a contender: its name up to the mode.
fn family(result: &ContenderReport) -> &'static str {
    result.allocator.split_once('/').map_or(result.allocator, |(family, _)| family)
}

/// Returns the mode of a contender, nothing for its crate's default.
fn mode(result: &ContenderReport) -> Option<&'static str> {
    result.allocator.split_once('/').map(|(_, mode)| mode)
}
