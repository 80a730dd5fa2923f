//! Synthetic results and traces in, verdicts and sentences out.

use slab_peers::{Checks, Side};

use super::*;
use crate::replay::ContenderReport;
use crate::trace::{Profile, Run, TraceBuilder, Warnings};

/// A result: name, nanoseconds, bytes of the footprint.
fn result(allocator: &'static str, ns: f64, kib: usize) -> ContenderReport {
    let side = match allocator {
        "system" => Side::Reference,
        name if name.starts_with("ours") => Side::Ours,
        _ => Side::Rival,
    };
    ContenderReport {
        allocator,
        status: "ok".to_owned(),
        ns_per_op: Some(ns),
        footprint_bytes: (side != Side::Reference).then_some(kib << 10),
        smallest_arena_bytes: None,
        spread_ns: Some(0.1),
        side,
        checks: match allocator.split_once('/') {
            None => Checks::Default,
            Some((_, "unchecked")) => Checks::Off,
            Some(_) => Checks::More,
        },
    }
}

fn failed(allocator: &'static str, reason: &str) -> ContenderReport {
    let status = reason.to_owned();
    ContenderReport { status, ns_per_op: None, spread_ns: None, ..result(allocator, 0.0, 0) }
}

fn report(results: Vec<ContenderReport>) -> TraceReport {
    TraceReport {
        trace: "lua".to_owned(),
        operations: 50_000,
        peak_live_bytes: 100 << 10,
        harness_ns_per_op: Some(3.0),
        results,
        rounds: 11,
        profile: Profile::default(),
        run: Run::default(),
        warnings: String::new(),
    }
}

/// The same, of a program that ran for so many milliseconds.
fn run_of(milliseconds: u64, results: Vec<ContenderReport>) -> TraceReport {
    TraceReport { run: Run { milliseconds, resident_bytes: 0 }, ..report(results) }
}

/// The counts of a trace that allocates and frees one block after the other, of these sizes in turn.
fn profile_of_pairs(sizes: &[u64], pairs: usize) -> Profile {
    let mut builder = TraceBuilder::default();
    for &size in sizes.iter().cycle().take(pairs) {
        let slot = builder.alloc(size, 16, false).expect("sound");
        builder.free(slot.into()).expect("sound");
    }
    Profile::of(&builder.finish("t", Run::default(), Warnings::default()))
}

/// Asserts that one of the reasons contains a text.
fn says(advice: &Advice, text: &str) {
    assert!(advice.reasons.iter().any(|reason| reason.contains(text)), "{text}: {advice:#?}");
}

/// Asserts that none does.
fn says_not(advice: &Advice, text: &str) {
    assert!(!advice.reasons.iter().any(|reason| reason.contains(text)), "{text}: {advice:#?}");
}

#[test]
fn one_that_is_best_in_everything_is_taken() {
    let advice = advise(&report(vec![
        result("ours", 5.0, 110),
        result("b", 20.0, 200),
        result("system", 50.0, 0),
    ]));
    assert_eq!(advice.pick, Some("ours"));
    assert_eq!(advice.verdict, Verdict::Unknown);
    assert_eq!(
        advice.headline,
        "For lua it is unknown whether malloc matters, because the recording does not say how long \
         the program ran. If malloc matters, take ours: it is the fastest (5.0 ns a request) and \
         needs the least memory (footprint: 110 KiB), and saves 2.2 ms over 50,000 requests."
    );
    says(&advice, "Fastest: ours with 5.0 ns a request; the next crate is b with 20 ns (4.0 ×)");
    says(&advice, "a footprint of 110 KiB, 1.10 × the bytes");
    // (50 - 5) ns × 50,000 = 2.25 ms, which is 1 % of 225 ms.
    says(&advice, "malloc takes 50 ns a request, 2.5 ms for all, 10 × the time of ours");
    says(&advice, "In a run longer than 225 ms, the difference is less than 1 %");
    says(&advice, "Confidence: high, from 50,000 requests and 11 rounds");
    says_not(&advice, "If ");
}

#[test]
fn ours_is_not_taken_because_it_is_ours() {
    let advice = advise(&report(vec![result("ours", 9.0, 110), result("b", 5.0, 110)]));
    assert_eq!(advice.pick, Some("b"));
    says(&advice, "Fastest: b with 5.0 ns a request; the next crate is ours with 9.0 ns (1.80 ×)");
    assert_eq!(advice.verdict, Verdict::Region);
    says(&advice, "malloc was not timed");
}

#[test]
fn the_fastest_loses_if_it_wastes_memory() {
    let results =
        || vec![result("fast", 4.0, 900), result("even", 5.0, 120), result("small", 40.0, 100)];
    let advice = advise(&report(results()));
    assert_eq!(advice.pick, Some("even"));
    assert_eq!((advice.fastest, advice.smallest), (Some("fast"), Some("small")));
    assert!(advice.headline.contains("takes 1.25 × the time"), "{}", advice.headline);
    assert!(advice.headline.contains("1.20 × the memory of the smallest"), "{}", advice.headline);
    says(
        &advice,
        "If only speed counts: fast takes 0.80 × the time of even, with 7.5 × its memory",
    );
    says(
        &advice,
        "If memory is short: small needs 0.83 × the memory of even, and takes 8.0 × its time",
    );
}

#[test]
fn malloc_is_compared_with_the_fastest_where_the_pick_is_no_faster() {
    let results =
        vec![result("fast", 4.0, 900), result("small", 9.5, 100), result("system", 10.0, 0)];
    assert_eq!(advise(&report(results[..2].to_vec())).pick, Some("small"));
    let advice = advise(&report(results));
    assert_eq!((advice.pick, advice.verdict), (Some("fast"), Verdict::Unknown));
    // Where the pick is clearly faster it stays, although another is faster still.
    let advice = advise(&report(vec![
        result("fast", 4.0, 900),
        result("small", 9.5, 100),
        result("system", 20.0, 0),
    ]));
    assert_eq!(advice.pick, Some("small"));
}

#[test]
fn the_smallest_region_counts_where_it_was_measured() {
    let with = |mut result: ContenderReport, kib: usize| {
        result.smallest_arena_bytes = Some(kib << 10);
        result
    };
    let results = vec![with(result("wide", 5.0, 900), 110), with(result("narrow", 6.0, 120), 120)];
    let advice = advise(&report(results));
    assert_eq!((advice.pick, advice.smallest), (Some("wide"), Some("wide")));
    assert!(advice.headline.contains("(smallest region: 110 KiB)"), "{}", advice.headline);
}

#[test]
fn between_equals_the_default_mode_is_taken() {
    let level = advise(&report(vec![
        result("ours", 5.0, 110),
        result("ours/unchecked", 4.0, 110),
        result("ours/hardened", 4.8, 110),
    ]));
    assert_eq!(level.pick, Some("ours"));
    assert!(level.headline.contains("as fast as the fastest"), "{}", level.headline);
    says(
        &level,
        "Other modes of ours: unchecked (checks off) takes 0.80 × and hardened takes 0.96 × its time",
    );
}

#[test]
fn a_mode_without_checks_is_never_the_advice() {
    let advice = advise(&run_of(
        20,
        vec![
            result("ours", 5.0, 110),
            result("ours/unchecked", 1.0, 50),
            result("b", 9.0, 120),
            result("system", 90.0, 0),
        ],
    ));
    assert_eq!(
        (advice.pick, advice.fastest, advice.smallest),
        (Some("ours"), Some("ours"), Some("ours"))
    );
    assert_eq!(advice.verdict, Verdict::Take);
    assert!(!advice.headline.contains("unchecked"), "{}", advice.headline);
    says(&advice, "unchecked (checks off) takes 0.20 × its time");
}

#[test]
fn the_system_allocator_will_do_where_nothing_is_faster() {
    let advice = advise(&report(vec![result("ours", 5.0, 110), result("system", 5.3, 0)]));
    assert!(
        advice.headline.starts_with("For lua keep malloc: ours is not clearly faster."),
        "{}",
        advice.headline
    );
    assert!(advice.headline.contains("In a region of your own take ours"), "{}", advice.headline);
    assert_eq!(advice.verdict, Verdict::NotFaster);
    says(&advice, "malloc takes 5.3 ns a request, 265 µs for all, 1.06 × the time of ours");
    let advice = advise(&report(vec![result("ours", 5.0, 110), result("system", 6.0, 0)]));
    assert_eq!(advice.verdict, Verdict::Unknown);
}

#[test]
fn a_difference_within_the_spread_of_the_rounds_is_none() {
    let mut busy = report(vec![result("ours", 5.0, 110), result("system", 6.0, 0)]);
    busy.results[0].spread_ns = Some(0.6);
    busy.results[1].spread_ns = Some(0.5);
    assert_eq!(advise(&busy).verdict, Verdict::NotFaster);
}

#[test]
fn malloc_stays_where_it_takes_too_little_of_the_run() {
    // 50,000 × 50 ns = 2.5 ms of ten seconds, of which the recorder took a tenth of a second at most.
    let results = || vec![result("ours", 5.0, 110), result("system", 50.0, 0)];
    let mut little = run_of(10_000, results());
    little.profile = profile_of_pairs(&[48], 25_000);
    little.run.resident_bytes = 10 << 20;
    let advice = advise(&little);
    assert_eq!(advice.verdict, Verdict::SavesLittle);
    assert!(advice.verdict.keeps_malloc());
    assert_eq!(
        advice.headline,
        "For lua keep malloc: it takes 0.03 % of the recorded run of 10 s, and ours would save \
         0.02 % of it. In a region of your own take ours: it takes 5.0 ns a request and is \
         the only one that was run (footprint: 110 KiB)."
    );
    says(&advice, "Memory: at most 100 KiB are live, 0.98 % of the 10.0 MiB that were resident");
    assert!(advice.hints.is_empty(), "nothing is needed: {:?}", advice.hints);
}

#[test]
fn a_checked_heap_is_taken_where_malloc_takes_much_of_the_run() {
    let advice = advise(&run_of(
        700,
        vec![
            result("ours", 50.0, 110),
            result("ours/unchecked", 40.0, 110),
            result("b", 90.0, 110),
            result("system", 2000.0, 0),
        ],
    ));
    assert_eq!((advice.verdict, advice.pick), (Verdict::Take, Some("ours")));
    assert_eq!(
        advice.headline,
        "For lua malloc matters: it takes 14 % to 17 % of the recorded run of 700 ms. Take ours, \
         which saves 14 % to 16 % of the run: it is the fastest (50 ns a request) and needs the \
         least memory (footprint: 110 KiB)."
    );
    says(&advice, "Threads: the recording does not show them");
}

#[test]
fn a_run_that_the_recorder_slowed_down_is_unclear() {
    // 2.5 ms of 260 ms, of which the recorder took 100 ms at most.
    let advice = advise(&run_of(260, vec![result("ours", 5.0, 110), result("system", 50.0, 0)]));
    assert_eq!(advice.verdict, Verdict::Unknown);
    assert!(advice.headline.contains("it takes 0.96 % to 1.6 % of"), "{}", advice.headline);
}

#[test]
fn too_few_requests_give_no_verdict() {
    let mut shim = run_of(900, vec![result("ours", 5.0, 110), result("system", 500.0, 0)]);
    shim.operations = 113;
    shim.profile = profile_of_pairs(&[48], 56);
    shim.warnings = "3 frees of unknown blocks (left out)".to_owned();
    let advice = advise(&shim);
    assert_eq!(advice.verdict, Verdict::TooFewRequests);
    assert_eq!(
        advice.headline,
        "No verdict for lua: it made 113 requests, too few to tell. Below 1,000, a recording shows \
         how a program starts, not what it does."
    );
    assert!(advice.reasons.is_empty() && advice.hints.is_empty(), "{advice:#?}");
    let shown = advice.to_string();
    assert!(shown.ends_with("Warnings of the recording: 3 frees of unknown blocks (left out).\n"));
    shim.operations = REQUESTS_MIN;
    assert_eq!(advise(&shim).verdict, Verdict::SavesLittle);
}

#[test]
fn one_size_that_dies_young_is_for_the_cache() {
    let hints = |sizes: &[u64]| {
        let results = vec![result("ours", 5.0, 110), result("system", 50.0, 0)];
        advise(&TraceReport { profile: profile_of_pairs(sizes, 5000), ..report(results) }).hints
    };
    let [hint] = &hints(&[48, 16, 48])[..] else { panic!("one hint") };
    let expected =
        "slab-cache: 67 % of the allocations are of 48 bytes, and 100 % of these are freed";
    assert!(hint.starts_with(expected), "{hint}");
    assert!(hints(&[16, 48, 80]).is_empty());
}

#[test]
fn large_buffers_in_steady_state_are_for_the_pool() {
    let hints = |profile| {
        let results = vec![result("ours", 5.0, 110), result("system", 50.0, 0)];
        advise(&TraceReport { profile, ..report(results) }).hints
    };
    let [hint] = &hints(profile_of_pairs(&[60_000, 100, 200, 300], 4000))[..] else {
        panic!("one hint")
    };
    let expected =
        "slab-pool: 1,000 buffers of up to 64 KiB are allocated, but at most 1 at one time.";
    assert!(hint.starts_with(expected), "{hint}");
    // As many, but kept: nothing is reused.
    let mut builder = TraceBuilder::default();
    for _ in 0..1000 {
        builder.alloc(60_000, 16, false).expect("sound");
    }
    let kept = Profile::of(&builder.finish("t", Run::default(), Warnings::default()));
    assert!(hints(kept).is_empty());
}

#[test]
fn failures_are_named_and_never_recommended() {
    let results = vec![
        failed("ours", "crashed: signal 11"),
        failed("b", "panicked: no."),
        result("c", 90.0, 300),
    ];
    let advice = advise(&report(results));
    assert_eq!(advice.pick, Some("c"));
    assert!(advice.headline.contains("the only one that got through"), "{}", advice.headline);
    says(&advice, "ours (of this workspace) did not get through: crashed: signal 11.");
    says(&advice, "b did not get through: panicked: no.");
    let alone = advise(&report(vec![result("c", 90.0, 300)]));
    assert!(alone.headline.contains("the only one that was run"), "{}", alone.headline);
}

#[test]
fn no_allocator_got_through() {
    let all = vec![failed("ours", "too slow"), failed("b", "too slow")];
    let advice = advise(&report(all.clone()));
    assert_eq!(advice.pick, None);
    assert!(advice.headline.contains("no allocator got through"), "{}", advice.headline);
    says(&advice, "ours (of this workspace) did not get through: too slow.");
    let advice = advise(&report([all, vec![result("system", 5.0, 0)]].concat()));
    assert!(
        advice.headline.contains("keep malloc: no allocator on a region got through"),
        "{}",
        advice.headline
    );
    assert!(advice.verdict.keeps_malloc());
    assert_eq!(advise(&report(vec![])).pick, None);
}

#[test]
fn unmeasured_numbers_are_not_mentioned() {
    let untimed =
        |name, kib| ContenderReport { ns_per_op: None, spread_ns: None, ..result(name, 0.0, kib) };
    let advice = advise(&TraceReport {
        harness_ns_per_op: None,
        ..report(vec![untimed("ours", 120), untimed("b", 100), untimed("system", 0)])
    });
    assert_eq!((advice.pick, advice.fastest), (Some("b"), None));
    assert!(advice.headline.contains("take b: it needs the least memory"), "{}", advice.headline);
    says_not(&advice, "ns");
    says_not(&advice, "malloc");
}

#[test]
fn doubtful_numbers_are_doubted() {
    let steady = report(vec![result("ours", 5.0, 110), result("b", 9.0, 100)]);
    says(&advise(&steady), "Confidence: high");
    let mut unsteady = steady.clone();
    unsteady.results[0].spread_ns = Some(2.0);
    unsteady.operations = 2000;
    unsteady.rounds = 3;
    says(
        &advise(&unsteady),
        "Confidence: low, only 2,000 requests, only 3 rounds and unsteady times of ours (5.0 ns ± \
         2.0 ns).",
    );
    // So few that to be twice as fast saves next to nothing.
    unsteady.results.push(result("system", 9.9, 0));
    let advice = advise(&unsteady);
    assert_eq!(advice.verdict, Verdict::SavesLittle);
    assert!(advice.headline.contains("over all 2,000 requests ours saves 9,800 ns"), "{advice:?}");
}

#[test]
fn a_time_below_that_of_the_harness_divides_nothing_by_zero() {
    let advice = advise(&report(vec![result("ours", -0.5, 110), result("b", 9.0, 0)]));
    let text = format!("{advice:?}");
    assert!(!text.contains("inf") && !text.contains("NaN") && !text.contains('-'), "{text}");
}
