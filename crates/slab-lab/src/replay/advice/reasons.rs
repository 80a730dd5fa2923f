//! The sentences of a recommendation.

use slab_peers::Side;

use super::{Judged, LEVEL, family, mode};
use crate::replay::{ContenderReport, TraceReport};
use crate::words;

/// Fewer requests than this are over before a difference shows.
const REQUESTS_FEW: usize = 10_000;

/// Quartiles farther apart than this part of the median make a time doubtful.
const SPREAD_LARGE: f64 = 0.25;

/// What goes after "because it".
pub(super) fn because(judged: &Judged<'_>, pick: &ContenderReport) -> String {
    let speed = judged.times_fastest(pick).map(|ratio| {
        let ns = words::nanoseconds(judged.ns(pick).unwrap_or_default());
        if judged.passed.len() == 1 {
            format!("takes {ns} a request")
        } else if ratio <= 1.0 {
            format!("is the fastest ({ns} a request)")
        } else if ratio <= LEVEL {
            format!("is as fast as the fastest ({ns} a request)")
        } else {
            format!("takes {} the time of the fastest ({ns} a request)", words::times(ratio))
        }
    });
    let memory = judged.times_smallest(pick).map(|ratio| {
        let bytes = format!("{}: {}", judged.memory_word(), judged.memory_said(pick));
        if judged.alone {
            format!("is the only one that was run ({bytes})")
        } else if judged.passed.len() == 1 {
            format!("is the only one that got through ({bytes})")
        } else if ratio <= 1.0 {
            format!("needs the least memory ({bytes})")
        } else if ratio <= LEVEL {
            format!("needs hardly more memory than any other ({bytes})")
        } else {
            format!("needs {} the memory of the smallest ({bytes})", words::times(ratio))
        }
    });
    let better = |ratio: Option<f64>| ratio.is_none_or(|ratio| ratio <= LEVEL);
    let good = better(judged.times_fastest(pick)) || better(judged.times_smallest(pick));
    let clauses: Vec<String> = speed.into_iter().chain(memory).collect();
    match good {
        true => words::list(&clauses),
        false => format!("is the best compromise: it {}", words::list(&clauses)),
    }
}

/// All sentences below the headline.
pub(super) fn reasons(
    report: &TraceReport,
    judged: &Judged<'_>,
    pick: &ContenderReport,
) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(speed(judged));
    sentences.extend(memory(report, judged));
    sentences.extend(if_only_speed_counts(judged, pick));
    sentences.extend(if_memory_is_short(judged, pick));
    sentences.extend(other_modes(judged, pick));
    sentences.extend(system(report, judged, pick));
    sentences.extend(failures(report));
    sentences.extend(doubts(report, judged, pick));
    sentences
}

/// Who is fastest, and by how much.
fn speed(judged: &Judged<'_>) -> Option<String> {
    let fastest = judged.fastest?;
    let ns = |result| judged.ns(result).map(words::nanoseconds);
    let others = judged.passed.iter().filter(|result| family(result) != family(fastest));
    let known = others.filter_map(|&result| Some((judged.times_fastest(result)?, result)));
    let next = known.min_by(|(one, _), (other, _)| one.total_cmp(other));
    let next = next.and_then(|(ratio, next)| {
        Some(format!(
            "; the next crate is {} with {} ({})",
            next.allocator,
            ns(next)?,
            words::times(ratio)
        ))
    });
    Some(format!(
        "Speed: {} is the fastest with {} a request{}.",
        fastest.allocator,
        ns(fastest)?,
        next.unwrap_or_default(),
    ))
}

/// Who needs the least memory, and how much more than the program's own bytes that is.
fn memory(report: &TraceReport, judged: &Judged<'_>) -> Option<String> {
    let smallest = judged.smallest?;
    let bytes = judged.memory(smallest)?;
    let over = bytes as f64 / report.peak_live_bytes.max(1) as f64;
    Some(format!(
        "Memory: {} needs the least, a {} of {}, {} the bytes that are live at the peak.",
        smallest.allocator,
        judged.memory_word(),
        words::bytes(bytes),
        words::times(over),
    ))
}

fn if_only_speed_counts(judged: &Judged<'_>, pick: &ContenderReport) -> Option<String> {
    let fastest = judged.fastest?;
    let gain = judged.times_fastest(pick).filter(|&gain| gain > LEVEL)?;
    let memory = judged.times_smallest(fastest)? / judged.times_smallest(pick)?;
    Some(format!(
        "If only speed counts: {} takes {} the time of {}, with {} its memory.",
        fastest.allocator,
        words::times(1.0 / gain),
        pick.allocator,
        words::times(memory),
    ))
}

fn if_memory_is_short(judged: &Judged<'_>, pick: &ContenderReport) -> Option<String> {
    let smallest = judged.smallest?;
    let gain = judged.times_smallest(pick).filter(|&gain| gain > LEVEL)?;
    let time = judged.times_fastest(smallest)? / judged.times_fastest(pick)?;
    Some(format!(
        "If memory is short: {} needs {} the memory of {}, and takes {} its time.",
        smallest.allocator,
        words::times(1.0 / gain),
        pick.allocator,
        words::times(time),
    ))
}

/// What the other modes of the recommended crate cost.
fn other_modes(judged: &Judged<'_>, pick: &ContenderReport) -> Option<String> {
    let others = judged
        .passed
        .iter()
        .filter(|result| family(result) == family(pick) && result.allocator != pick.allocator);
    let costs: Vec<String> = others
        .filter_map(|other| {
            let ratio = judged.times_fastest(other)? / judged.times_fastest(pick)?;
            Some(format!("{} takes {}", mode(other).unwrap_or("the default"), words::times(ratio)))
        })
        .collect();
    (!costs.is_empty())
        .then(|| format!("Other modes of {}: {} its time.", family(pick), words::list(&costs)))
}

/// What the system's allocator takes, and from which length of a run on that is nothing.
fn system(report: &TraceReport, judged: &Judged<'_>, pick: &ContenderReport) -> Option<String> {
    let (system, ns) = (judged.ns(judged.system?)?, judged.ns(pick)?);
    let ratio = system / ns;
    if ratio <= LEVEL {
        return Some(format!(
            "The system allocator takes {} a request, {} the time of {}.",
            words::nanoseconds(system),
            words::times(ratio),
            pick.allocator,
        ));
    }
    let saved = (system - ns) * report.operations as f64;
    Some(format!(
        "The system allocator takes {} a request, {} as long. Over {} that is {}: less than 1 % of \
         a run longer than {}, and for such a run it will do.",
        words::nanoseconds(system),
        words::times(ratio),
        words::counted(report.operations, "request"),
        words::nanoseconds(saved),
        words::nanoseconds(saved * 100.0),
    ))
}

/// Who failed and why.
pub(super) fn failures(report: &TraceReport) -> Vec<String> {
    let failed = report.results.iter().filter(|result| result.status != "ok");
    let whose = |side| if side == Side::Ours { " (of this workspace)" } else { "" };
    let said = failed.map(|result| {
        let (name, whose) = (result.allocator, whose(result.side));
        format!("{name}{whose} did not get through: {}.", result.status.trim_end_matches('.'))
    });
    said.collect()
}

/// Why the numbers may be worth less than they look.
fn doubts(report: &TraceReport, judged: &Judged<'_>, pick: &ContenderReport) -> Vec<String> {
    let mut doubts = Vec::new();
    if report.operations < REQUESTS_FEW {
        doubts.push(format!(
            "Only {}: too few for small differences to mean anything.",
            words::counted(report.operations, "request"),
        ));
    }
    let unsteady =
        [Some(pick), judged.fastest.filter(|fastest| fastest.allocator != pick.allocator)];
    for result in unsteady.into_iter().flatten() {
        let Some((ns, spread)) = judged.ns(result).zip(result.spread_ns) else { continue };
        if spread > ns * SPREAD_LARGE {
            doubts.push(format!(
                "The times of {} were unsteady ({} ± {}): the machine was busy; try again on a \
                 quiet one.",
                result.allocator,
                words::nanoseconds(ns),
                words::nanoseconds(spread),
            ));
        }
    }
    doubts
}
