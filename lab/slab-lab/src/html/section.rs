//! One trace: the recommendation and the numbers behind it.

use maud::{Markup, html};
use slab_peers::Checks;

use super::bars::{Bar, Bars};
use super::colours::colour;
use super::timeline::Watched;
use super::{heap_map, timeline};
use crate::replay::advice::Advice;
use crate::replay::{ContenderReport, TraceReport};
use crate::trace::{Bin, Profile};
use crate::words;

/// The colour of bars that belong to no allocator.
const NEUTRAL: &str = "var(--faint)";

/// Returns the anchor of a trace's section.
pub(super) fn anchor(index: usize) -> String {
    format!("trace-{}", index + 1)
}

/// Draws a trace.
pub(super) fn draw(
    index: usize,
    report: &TraceReport,
    watched: &[Watched],
    advice: &Advice,
) -> Markup {
    let named: Vec<&str> =
        [advice.pick, advice.fastest, advice.smallest].into_iter().flatten().collect();
    let headline = tight(&advice.headline);
    let (verdict, rest) = match headline.find(". ") {
        Some(end) => headline.split_at(end + 1),
        None => (&*headline, ""),
    };
    html! {
        section aria-labelledby=(anchor(index)) {
            h2 id=(anchor(index)) { (report.trace) }
            p.faint { (facts(report)) }
            div.advice {
                p.headline { b { (verdict) } " " (rest) }
                @if !advice.hints.is_empty() {
                    p.hints { "Other crates that suit what the trace shows:" }
                    ul { @for hint in &advice.hints { li { (tight(hint)) } } }
                }
                @if !advice.warnings.is_empty() {
                    p.bad { "Warnings of the recording: " (advice.warnings) "." }
                }
                ul { @for reason in &advice.reasons { li { (tight(reason)) } } }
            }
            h3 { "Speed and memory" }
            div.charts {
                @if report.harness_ns_per_op.is_some() { (speed(report)) }
                @if has_arena(report) { (arena(report)) }
                (footprint(report))
            }
            (table(report, advice))
            @if !watched.is_empty() {
                h3 { "The heap over time" }
                (timeline::draw(watched, report.operations))
                (heap_map::draw(watched, &named))
            }
            h3 { "The program's requests" }
            div.charts { (sizes(&report.profile)) (lifetimes(&report.profile)) }
        }
    }
}

/// Keeps numbers and their units on one line.
fn tight(sentence: &str) -> String {
    const UNITS: [&str; 9] = ["×", "B", "KiB", "MiB", "ns", "µs", "ms", "s", "%"];
    const ENDS: [&str; 5] = [" ", ")", ".", ",", ":"];
    let mut text = sentence.to_owned();
    for unit in UNITS {
        for end in ENDS {
            text = text.replace(&format!(" {unit}{end}"), &format!("\u{a0}{unit}{end}"));
        }
    }
    text
}

fn facts(report: &TraceReport) -> String {
    let profile = &report.profile;
    let kinds = [
        (profile.allocs + profile.zeroed, "allocation"),
        (profile.reallocs, "realloc"),
        (profile.frees, "free"),
    ];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0);
    let kinds: Vec<_> = kinds.map(|&(count, what)| words::counted(count, what)).collect();
    format!(
        "{}: {}. At most {} live, the largest block has {}.",
        words::counted(report.operations, "request"),
        words::list(&kinds),
        words::bytes(report.peak_live_bytes),
        words::bytes(profile.largest_bytes),
    )
}

/// Returns what the table adds to the outcome of a mode that is not a crate's default.
fn note(checks: Checks) -> &'static str {
    match checks {
        Checks::Default => "",
        Checks::Off => ", checks off",
        Checks::More => ", more checks",
    }
}

fn has_arena(report: &TraceReport) -> bool {
    report.results.iter().any(|result| result.smallest_arena_bytes.is_some())
}

fn bar(result: &ContenderReport, value: Option<f64>, said: String) -> Bar {
    Bar { name: result.allocator.to_owned(), value, said, colour: colour(result.allocator) }
}

/// Sorts bars by value, with the failed ones at the end.
fn sorted(mut bars: Vec<Bar>) -> Vec<Bar> {
    let key = |bar: &Bar| bar.value.unwrap_or(f64::INFINITY);
    bars.sort_by(|one, other| key(one).total_cmp(&key(other)));
    bars
}

fn speed(report: &TraceReport) -> Markup {
    let bars = report.results.iter().map(|result| match result.ns_per_op {
        Some(ns) => bar(result, Some(ns), words::nanoseconds(ns)),
        None => bar(result, None, result.status.clone()),
    });
    let note = "Median nanoseconds, less those of the harness; shorter is better.";
    let bars = sorted(bars.collect());
    Bars { title: "Time per request.", note, may_tear: true, bars }.draw()
}

fn arena(report: &TraceReport) -> Markup {
    let note = "The smallest region in which the whole trace runs; shorter is better.";
    memory(report, "Smallest region.", note, |result| result.smallest_arena_bytes)
}

fn footprint(report: &TraceReport) -> Markup {
    let note = "The pages written to in a generous region, and the allocator's own value; shorter is better.";
    memory(report, "Footprint.", note, |result| result.footprint_bytes)
}

/// Draws the bytes of all contenders with a region, below those of the program itself.
fn memory(
    report: &TraceReport,
    title: &str,
    note: &str,
    bytes: fn(&ContenderReport) -> Option<usize>,
) -> Markup {
    let peak = report.peak_live_bytes;
    let ok = report.results.iter().filter(|result| result.status == "ok");
    let bars = ok.filter_map(|result| {
        let bytes = bytes(result)?;
        let over = words::times(bytes as f64 / peak.max(1) as f64);
        Some(bar(result, Some(bytes as f64), format!("{}, {over}", words::bytes(bytes))))
    });
    let live = Bar {
        name: "live at the peak".to_owned(),
        value: Some(peak as f64),
        said: words::bytes(peak),
        colour: NEUTRAL,
    };
    let bars = [live].into_iter().chain(sorted(bars.collect())).collect();
    Bars { title, note, may_tear: true, bars }.draw()
}

fn table(report: &TraceReport, advice: &Advice) -> Markup {
    let timed = report.harness_ns_per_op.is_some();
    let arenas = has_arena(report);
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
    let bytes = |value: Option<usize>| value.map_or_else(String::new, words::bytes);
    html! {
        div.scroll tabindex="0" role="region" aria-label={ "All numbers of " (report.trace) } {
            table {
                caption {
                    span {
                        "All numbers. ± is half the distance of the quartiles. × live is a \
                         multiple of the bytes live at the peak. system is malloc, whose memory \
                         is not counted."
                    }
                }
                thead {
                    tr {
                        th scope="col" { "allocator" }
                        @if timed {
                            th scope="col" { "ns/request" }
                            th scope="col" { "± ns" }
                            th scope="col" { "× best rival" }
                        }
                        @if arenas {
                            th scope="col" { "smallest region" }
                            th scope="col" { "× live" }
                        }
                        th scope="col" { "footprint" }
                        th scope="col" { "× live" }
                        th.text scope="col" { "outcome" }
                    }
                }
                tbody {
                    @for result in &report.results {
                        tr.pick[advice.pick == Some(result.allocator)] {
                            th scope="row" {
                                span.dot style={ "background:" (colour(result.allocator)) } {}
                                (result.allocator)
                            }
                            @if timed {
                                td { (number(result.ns_per_op)) }
                                td { (number(result.spread_ns)) }
                                td { (number(report.times_best_rival(result))) }
                            }
                            @if arenas {
                                td { (bytes(result.smallest_arena_bytes)) }
                                td { (number(report.arena_times_peak(result))) }
                            }
                            td { (bytes(result.footprint_bytes)) }
                            td { (number(report.times_peak(result))) }
                            td.text.outcome.bad[result.status != "ok"] { (result.status) (note(result.checks)) }
                        }
                    }
                }
            }
        }
    }
}

fn sizes(profile: &Profile) -> Markup {
    let range = |bin: &Bin| match bin.least {
        0 => format!("up to {}", words::bytes(bin.most)),
        _ => format!("to {}", words::bytes(bin.most)),
    };
    let bars = histogram(&profile.sizes, range, 0);
    let note = "How often each size is requested, reallocs included.";
    Bars { title: "Sizes.", note, may_tear: false, bars }.draw()
}

fn lifetimes(profile: &Profile) -> Markup {
    let range = |bin: &Bin| match bin.most {
        1 => "freed at once".to_owned(),
        most => format!("to {} requests", words::count(most)),
    };
    let bars = histogram(&profile.lifetimes, range, profile.never_freed);
    let note = "Requests between a block's allocation and its free.";
    Bars { title: "Lifetimes.", note, may_tear: false, bars }.draw()
}

/// Makes one bar per bin, and one for the blocks that are never freed, if there are any.
fn histogram(bins: &[Bin], range: impl Fn(&Bin) -> String, never_freed: usize) -> Vec<Bar> {
    let all: usize = bins.iter().map(|bin| bin.count).sum::<usize>() + never_freed;
    let bar = |name: String, count: usize| {
        let percent = 100.0 * count as f64 / all.max(1) as f64;
        let said = match percent {
            0.0 => "none".to_owned(),
            ..0.1 => words::count(count),
            _ => format!("{percent:.1} %"),
        };
        Bar { name, value: Some(count as f64), said, colour: NEUTRAL }
    };
    let mut bars: Vec<Bar> = bins.iter().map(|bin| bar(range(bin), bin.count)).collect();
    if never_freed > 0 {
        bars.push(bar("never freed".to_owned(), never_freed));
    }
    bars
}
