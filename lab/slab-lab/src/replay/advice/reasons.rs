//! The sentences of a recommendation.

use slab_peers::{Checks, Side};

use super::judged::{Judged, LEVEL, REQUESTS_MIN, SHARE_MIN, Share, Verdict};
use crate::replay::ContenderReport;
use crate::trace::YOUNG_REQUESTS;
use crate::words;

/// With fewer requests or rounds the confidence is low.
const REQUESTS_MANY: usize = 10_000;
const ROUNDS_MANY: u32 = 5;

/// Rounds differ too much if half the distance of their quartiles is more than this part of the median.
const SPREAD_LARGE: f64 = 0.25;

/// A size or a kind of buffer dominates from this part of all allocations, or of all bytes, on.
const DOMINANT: f64 = 0.5;

/// Buffers are in steady state if so many are allocated for each one that is live at the peak.
const REUSES_MIN: usize = 10;

/// Returns the recommendation in a few sentences.
pub(super) fn headline(judged: &Judged<'_>) -> String {
    let report = judged.report;
    let (name, requests) = (&report.trace, words::counted(report.operations, "request"));
    let pick = judged.pick.map_or("", |pick| pick.allocator);
    let because = judged.pick.map(|pick| because(judged, pick)).unwrap_or_default();
    let saved = words::nanoseconds(judged.saved_ns());
    let run = words::nanoseconds(report.run.milliseconds as f64 * 1e6);
    let malloc = judged.malloc_share().map(share).unwrap_or_default();
    let pick_saves = judged.saved_share().map(share).unwrap_or_default();
    let in_region = format!("In a region of your own take {pick}: it {because}.");
    match judged.verdict {
        Verdict::TooFewRequests => format!(
            "No verdict for {name}: it made {requests}, too few to tell. Below {}, a recording \
             shows how a program starts, not what it does.",
            words::count(REQUESTS_MIN)
        ),
        Verdict::Nothing => format!("No verdict for {name}: no allocator got through."),
        Verdict::OnlyMalloc => {
            format!("For {name} keep malloc: no allocator on a region got through.")
        }
        Verdict::NotFaster => {
            format!("For {name} keep malloc: {pick} is not clearly faster. {in_region}")
        }
        Verdict::SavesLittle if malloc.is_empty() => format!(
            "For {name} keep malloc: over all {requests} {pick} saves {saved}, which no run shows. \
             {in_region}"
        ),
        Verdict::SavesLittle => format!(
            "For {name} keep malloc: it takes {malloc} of the recorded run of {run}, and {pick} \
             would save {pick_saves} of it. {in_region}"
        ),
        Verdict::Unknown if malloc.is_empty() => format!(
            "For {name} it is unknown whether malloc matters, because the recording does not say \
             how long the program ran. If malloc matters, take {pick}: it {because}, and saves \
             {saved} over {requests}."
        ),
        Verdict::Unknown => format!(
            "For {name} it is unclear whether malloc matters: it takes {malloc} of the recorded \
             run of {run}, which the recorder slowed down. If malloc matters, take {pick}: it \
             {because}."
        ),
        Verdict::Take => format!(
            "For {name} malloc matters: it takes {malloc} of the recorded run of {run}. Take \
             {pick}, which saves {pick_saves} of the run: it {because}."
        ),
        Verdict::Region => {
            format!("For {name}, in a region of your own, take {pick}: it {because}.")
        }
    }
}

/// Writes a part of the run in per cent.
fn share(Share { least, most }: Share) -> String {
    let (least, most) = (words::percent(least), words::percent(most));
    if least == most { least } else { format!("{least} to {most}") }
}

/// Writes what goes after "it".
fn because(judged: &Judged<'_>, pick: &ContenderReport) -> String {
    let others_failed = judged.report.results.iter().any(|result| result.status != "ok");
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
        let bytes = judged.memory(pick).map_or_else(String::new, words::bytes);
        let bytes = format!("{}: {bytes}", judged.memory_word());
        if judged.passed.len() == 1 {
            let done = if others_failed { "got through" } else { "was run" };
            format!("is the only one that {done} ({bytes})")
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
        false => format!("{}, the best compromise", words::list(&clauses)),
    }
}

/// Returns the other crates that suit what the trace shows.
pub(super) fn hints(judged: &Judged<'_>) -> Vec<String> {
    let profile = &judged.report.profile;
    if matches!(judged.verdict, Verdict::TooFewRequests | Verdict::SavesLittle) {
        return Vec::new();
    }
    let blocks = (profile.allocs + profile.zeroed).max(1) as f64;
    let size = profile.top_size;
    let share = size.blocks as f64 / blocks;
    let young = size.young as f64 / size.blocks.max(1) as f64;
    let objects = (share >= DOMINANT && young >= DOMINANT).then(|| {
        format!(
            "slab-cache: {} of the allocations are of {} bytes, and {} of these are freed within \
             {} requests. It is made for such objects of one type.",
            words::percent(share),
            words::count(size.bytes),
            words::percent(young),
            words::count(YOUNG_REQUESTS),
        )
    });
    let buffers = profile.top_buffers;
    let turnover = buffers.blocks.saturating_mul(buffers.bytes) as f64;
    let steady = buffers.blocks >= buffers.peak_live.max(1) * REUSES_MIN;
    let buffers = (steady && turnover >= DOMINANT * profile.requested_bytes as f64).then(|| {
        format!(
            "slab-pool: {} of up to {} are allocated, but at most {} at one time. It keeps such \
             buffers for reuse.",
            words::counted(buffers.blocks, "buffer"),
            words::bytes(buffers.bytes),
            words::count(buffers.peak_live),
        )
    });
    objects.into_iter().chain(buffers).collect()
}

/// Returns all sentences below the headline.
pub(super) fn reasons(judged: &Judged<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    if judged.verdict != Verdict::TooFewRequests {
        sentences.extend(malloc_time(judged));
        sentences.push(live_memory(judged));
        sentences.push(confidence(judged));
        sentences.extend(fastest(judged));
        sentences.extend(smallest(judged));
        if let Some(pick) = judged.pick {
            sentences.extend(if_only_speed_counts(judged, pick));
            sentences.extend(if_memory_is_short(judged, pick));
            sentences.extend(other_modes(judged, pick));
        }
        if matches!(judged.verdict, Verdict::Unknown | Verdict::Take) {
            sentences.push(
                "Threads: the recording does not show them. A heap behind one lock is no match for \
                 malloc where several threads allocate at once."
                    .to_owned(),
            );
        }
    }
    sentences.extend(failures(judged));
    sentences
}

/// Says how long `malloc` takes, and which part of the run that is.
fn malloc_time(judged: &Judged<'_>) -> Option<String> {
    let Some(ns) = judged.malloc.and_then(|malloc| judged.ns(malloc)) else {
        let timed = judged.report.harness_ns_per_op.is_some();
        return timed.then(|| {
            "Time: malloc was not timed; run it too to see whether it matters.".to_owned()
        });
    };
    let operations = judged.report.operations;
    let all = words::nanoseconds(ns * operations as f64);
    let mut text =
        format!("Time: malloc takes {} a request, {all} for all", words::nanoseconds(ns));
    if let Some((pick, pick_ns)) = judged.pick.and_then(|pick| Some((pick, judged.ns(pick)?))) {
        text += &format!(", {} the time of {}", words::times(ns / pick_ns), pick.allocator);
    }
    let saved = judged.saved_ns();
    text += &match judged.malloc_share() {
        Some(part) => format!(
            ". That is {} of the recorded run of {}; without the recorder the run is shorter.",
            share(part),
            words::nanoseconds(judged.report.run.milliseconds as f64 * 1e6),
        ),
        None if saved > 0.0 => format!(
            ". The recording does not say how long the program ran. In a run longer than {}, the \
             difference is less than {}.",
            words::nanoseconds(saved / SHARE_MIN),
            words::percent(SHARE_MIN),
        ),
        None => ". The recording does not say how long the program ran.".to_owned(),
    };
    Some(text)
}

/// Says how much of the program's memory is live blocks.
fn live_memory(judged: &Judged<'_>) -> String {
    let live = judged.report.peak_live_bytes;
    let resident = judged.report.run.resident_bytes;
    let live_said = words::bytes(live);
    match resident {
        0 => format!(
            "Memory: at most {live_said} are live. The recording does not say how much memory the \
             program had in all."
        ),
        _ => format!(
            "Memory: at most {live_said} are live, {} of the {} that were resident.",
            words::percent((live as f64 / resident as f64).min(1.0)),
            words::bytes(usize::try_from(resident).unwrap_or(usize::MAX)),
        ),
    }
}

fn confidence(judged: &Judged<'_>) -> String {
    let doubts = doubts(judged);
    match doubts.is_empty() {
        true => format!(
            "Confidence: high, from {} and {}.",
            words::counted(judged.report.operations, "request"),
            words::counted(judged.report.rounds as usize, "round"),
        ),
        false => format!("Confidence: low, {}.", words::list(&doubts)),
    }
}

/// Returns why the numbers may be worth less than they look.
pub(super) fn doubts(judged: &Judged<'_>) -> Vec<String> {
    let report = judged.report;
    let mut doubts = Vec::new();
    if report.operations < REQUESTS_MANY {
        doubts.push(format!("only {}", words::counted(report.operations, "request")));
    }
    if report.harness_ns_per_op.is_some() && report.rounds < ROUNDS_MANY {
        doubts.push(format!("only {}", words::counted(report.rounds as usize, "round")));
    }
    let mut compared: Vec<&ContenderReport> = Vec::new();
    for result in [judged.pick, judged.malloc, judged.fastest].into_iter().flatten() {
        if !compared.iter().any(|known| known.allocator == result.allocator) {
            compared.push(result);
        }
    }
    for result in compared {
        let Some((ns, spread)) = judged.ns(result).zip(result.spread_ns) else { continue };
        if spread > ns * SPREAD_LARGE {
            doubts.push(format!(
                "unsteady times of {} ({} ± {})",
                result.allocator,
                words::nanoseconds(ns),
                words::nanoseconds(spread),
            ));
        }
    }
    doubts
}

/// Names the fastest and the next crate.
fn fastest(judged: &Judged<'_>) -> Option<String> {
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
        "Fastest: {} with {} a request{}.",
        fastest.allocator,
        ns(fastest)?,
        next.unwrap_or_default(),
    ))
}

/// Names the one with the least memory.
fn smallest(judged: &Judged<'_>) -> Option<String> {
    let smallest = judged.smallest?;
    let bytes = judged.memory(smallest)?;
    let over = bytes as f64 / judged.report.peak_live_bytes.max(1) as f64;
    Some(format!(
        "Least memory: {} with a {} of {}, {} the bytes that are live at the peak.",
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

/// Says what the other modes of the pick cost, the one without checks included.
fn other_modes(judged: &Judged<'_>, pick: &ContenderReport) -> Option<String> {
    let is_other = |result: &&ContenderReport| {
        family(result) == family(pick) && result.allocator != pick.allocator
    };
    let others = judged.report.results.iter().filter(is_other);
    let costs: Vec<String> = others
        .filter_map(|other| {
            let ratio = judged.ns(other)? / judged.ns(pick)?;
            let mode = other.allocator.split_once('/').map_or("the default", |(_, mode)| mode);
            let note = if other.checks == Checks::Off { " (checks off)" } else { "" };
            Some(format!("{mode}{note} takes {}", words::times(ratio)))
        })
        .collect();
    (!costs.is_empty())
        .then(|| format!("Other modes of {}: {} its time.", family(pick), words::list(&costs)))
}

/// Names those that failed and the reasons.
fn failures(judged: &Judged<'_>) -> Vec<String> {
    let failed = judged.report.results.iter().filter(|result| result.status != "ok");
    let whose = |side| if side == Side::Ours { " (of this workspace)" } else { "" };
    let said = failed.map(|result| {
        let (name, whose) = (result.allocator, whose(result.side));
        format!("{name}{whose} did not get through: {}.", result.status.trim_end_matches('.'))
    });
    said.collect()
}

/// Returns the crate of a contender: its name up to the mode.
fn family(result: &ContenderReport) -> &'static str {
    result.allocator.split_once('/').map_or(result.allocator, |(family, _)| family)
}
