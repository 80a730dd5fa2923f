//! Synthetic results in, sentences out.

use super::*;

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
    }
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
    assert_eq!(
        advice.headline,
        "For lua take ours, because it is the fastest (5.0 ns a request) and needs the least memory \
         (footprint: 110 KiB)."
    );
    says(
        &advice,
        "ours is the fastest with 5.0 ns a request; the next crate is b with 20 ns (4.0 ×)",
    );
    says(&advice, "a footprint of 110 KiB, 1.10 × the bytes");
    // (50 - 5) ns × 50,000 = 2.25 ms, which is 1 % of 225 ms.
    says(&advice, "50 ns a request, 10 × as long. Over 50,000 requests that is 2.2 ms");
    says(&advice, "a run longer than 225 ms");
    says_not(&advice, "If ");
}

#[test]
fn ours_is_not_taken_because_it_is_ours() {
    let advice = advise(&report(vec![result("ours", 9.0, 110), result("b", 5.0, 110)]));
    assert_eq!(advice.pick, Some("b"));
    says(
        &advice,
        "b is the fastest with 5.0 ns a request; the next crate is ours with 9.0 ns (1.80 ×)",
    );
    assert!(!advice.headline.contains("system"), "{}", advice.headline);
}

#[test]
fn the_fastest_loses_if_it_wastes_memory() {
    let results =
        || vec![result("fast", 4.0, 900), result("even", 5.0, 120), result("small", 40.0, 100)];
    let advice = advise(&report(results()));
    assert_eq!(advice.pick, Some("even"));
    assert_eq!((advice.fastest, advice.smallest), (Some("fast"), Some("small")));
    assert!(
        advice.headline.contains("the best compromise: it takes 1.25 × the time"),
        "{}",
        advice.headline
    );
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
    let modes = |unchecked| {
        let hardened = result("ours/hardened", 50.0, 110);
        advise(&report(vec![
            result("ours", 5.0, 110),
            result("ours/unchecked", unchecked, 110),
            hardened,
        ]))
    };
    let level = modes(4.8);
    assert_eq!(level.pick, Some("ours"));
    assert!(level.headline.contains("as fast as the fastest"), "{}", level.headline);
    says(&level, "Other modes of ours: unchecked takes 0.96 × and hardened takes 10 × its time");
    assert_eq!(modes(3.0).pick, Some("ours/unchecked"));
}

#[test]
fn the_system_allocator_will_do_where_nothing_is_faster() {
    let advice = advise(&report(vec![result("ours", 5.0, 110), result("system", 5.3, 0)]));
    assert!(
        advice.headline.starts_with("For lua the system allocator will do"),
        "{}",
        advice.headline
    );
    assert!(advice.headline.contains("On a region of your own take ours"), "{}", advice.headline);
    says(&advice, "takes 5.3 ns a request, 1.06 × the time of ours");
    let advice = advise(&report(vec![result("ours", 5.0, 110), result("system", 6.0, 0)]));
    assert!(!advice.headline.contains("system"), "{}", advice.headline);
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
fn nobody_got_through() {
    let all = vec![failed("ours", "too slow"), failed("b", "too slow")];
    let advice = advise(&report(all.clone()));
    assert_eq!(advice.pick, None);
    assert!(advice.headline.contains("nothing to recommend"), "{}", advice.headline);
    assert_eq!(advice.reasons.len(), 2);
    let advice = advise(&report([all, vec![result("system", 5.0, 0)]].concat()));
    assert!(advice.headline.contains("take the system allocator"), "{}", advice.headline);
    assert!(advice.system_will_do);
    assert_eq!(advise(&report(vec![])).pick, None);
}

#[test]
fn what_was_not_measured_is_not_said() {
    let untimed =
        |name, kib| ContenderReport { ns_per_op: None, spread_ns: None, ..result(name, 0.0, kib) };
    let advice =
        advise(&report(vec![untimed("ours", 120), untimed("b", 100), untimed("system", 0)]));
    assert_eq!((advice.pick, advice.fastest), (Some("b"), None));
    assert!(
        advice.headline.contains("take b, because it needs the least memory"),
        "{}",
        advice.headline
    );
    says_not(&advice, "ns");
    says_not(&advice, "system");
}

#[test]
fn doubtful_numbers_are_doubted() {
    let steady = report(vec![result("ours", 5.0, 110), result("b", 9.0, 100)]);
    says_not(&advise(&steady), "unsteady");
    let mut unsteady = steady.clone();
    unsteady.results[0].spread_ns = Some(2.0);
    unsteady.operations = 7;
    let advice = advise(&unsteady);
    says(&advice, "The times of ours were unsteady (5.0 ns ± 2.0 ns)");
    says(&advice, "Only 7 requests");
    // So few that being ten times as fast saves next to nothing.
    unsteady.results.push(result("system", 50.0, 0));
    let advice = advise(&unsteady);
    assert!(advice.headline.starts_with("For lua the system allocator will do"), "{advice:?}");
    says(&advice, "Over 7 requests that is 315 ns");
}

#[test]
fn a_time_that_drowned_in_the_harness_divides_nothing_by_zero() {
    let advice = advise(&report(vec![result("ours", -0.5, 110), result("b", 9.0, 0)]));
    let text = format!("{advice:?}");
    assert!(!text.contains("inf") && !text.contains("NaN") && !text.contains('-'), "{text}");
}
