//! The page as a strict parser sees it.

use std::collections::BTreeMap;

use roxmltree::{Document, ParsingOptions};
use slab_peers::{Side, contenders};

use super::page::STYLE;
use super::*;
use crate::replay::Report;
use crate::replay::{ContenderReport, Samples, TraceReport};
use crate::trace::Profile;
use crate::trace::{Run, TraceBuilder, Warnings};

/// A name that breaks out of text, attributes and elements if it can.
const HOSTILE: &str = "\"'><script>alert(1)</script><b a='&lt;";

fn trace_report(name: &str) -> TraceReport {
    let results = contenders().iter().enumerate().map(|(index, contender)| {
        let region = contender.side() != Side::Reference;
        ContenderReport {
            allocator: contender.name(),
            status: if index == 1 { format!("panicked: {HOSTILE}") } else { "ok".to_owned() },
            ns_per_op: (index != 1).then_some(5.0 + index as f64),
            footprint_bytes: region.then_some(100_000 + index),
            smallest_arena_bytes: region.then_some(90_000 + index),
            spread_ns: (index != 1).then_some(0.2),
            side: contender.side(),
            checks: contender.checks(),
        }
    });
    TraceReport {
        trace: name.to_owned(),
        operations: 20_000,
        peak_live_bytes: 80_000,
        harness_ns_per_op: Some(2.0),
        results: results.collect(),
        rounds: 11,
        profile: profile(),
        run: Run::default(),
        warnings: HOSTILE.to_owned(),
    }
}

fn profile() -> Profile {
    let mut builder = TraceBuilder::default();
    builder.alloc(100, 16, false).expect("sound");
    builder.alloc(9000, 16, false).expect("sound");
    builder.free(0).expect("sound");
    Profile::of(&builder.finish("t", Run::default(), Warnings::default()))
}

fn watched() -> Vec<Watched> {
    let mut samples = Samples::new(0..1 << 20, 3);
    samples.observe(0, &BTreeMap::from([(0, 100)]));
    samples.observe(1, &BTreeMap::from([(0, 100), (5000, 14_000)]));
    samples.observe(2, &BTreeMap::from([(5000, 14_000)]));
    let heap = |contender: &slab_peers::Contender| Watched {
        allocator: contender.name(),
        samples: samples.clone(),
    };
    contenders().iter().map(heap).collect()
}

fn page(names: &[&str]) -> String {
    let report = Report { traces: names.iter().map(|name| trace_report(name)).collect() };
    let watched: Vec<_> = names.iter().map(|_| watched()).collect();
    let provenance = Provenance { command: HOSTILE.to_owned(), ..Provenance::default() };
    Page { report: &report, watched: &watched, provenance: &provenance }.html()
}

fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).expect("well-formed")
}

fn elements<'d>(document: &'d Document<'_>, name: &str) -> Vec<roxmltree::Node<'d, 'd>> {
    document.descendants().filter(|node| node.has_tag_name(name)).collect()
}

#[test]
fn it_is_well_formed_and_shows_every_allocator() {
    let page = page(&["lua"]);
    let document = parse(&page);
    let rows: Vec<&str> =
        elements(&document, "th").iter().filter_map(|th| th.last_child()?.text()).collect();
    let names: Vec<&str> = elements(&document, "span")
        .iter()
        .filter(|span| span.attribute("class") == Some("name"))
        .filter_map(|span| span.text())
        .collect();
    for contender in contenders() {
        assert!(rows.contains(&contender.name()), "no row for {}", contender.name());
        assert!(names.contains(&contender.name()), "no bar for {}", contender.name());
    }
}

#[test]
fn it_needs_nothing_but_itself() {
    let page = page(&["lua", "git"]);
    let document = parse(&page);
    for node in document.descendants().filter(|node| node.is_element()) {
        let name = node.tag_name().name();
        let foreign =
            ["script", "link", "img", "iframe", "object", "embed", "image", "use", "base"];
        assert!(!foreign.contains(&name), "{name}");
        for attribute in node.attributes() {
            let (key, value) = (attribute.name(), attribute.value());
            assert!(!key.starts_with("on") && key != "src", "{key}={value}");
            assert!(key != "href" || value.starts_with('#'), "{key}={value}");
            assert!(key != "style" || !value.contains("url("), "{key}={value}");
        }
    }
    for outside in ["http:", "https:", "@import", "url(", "//"] {
        assert!(!STYLE.contains(outside), "{outside} in the style");
    }
}

#[test]
fn links_lead_somewhere_and_ids_are_unique() {
    let page = page(&["lua", HOSTILE]);
    let document = parse(&page);
    let mut ids: Vec<&str> =
        document.descendants().filter_map(|node| node.attribute("id")).collect();
    for link in elements(&document, "a") {
        let target = link.attribute("href").expect("a link");
        assert!(ids.contains(&&target[1..]), "{target}");
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn text_from_elsewhere_stays_text() {
    let page = page(&[HOSTILE]);
    let document = parse(&page);
    assert!(elements(&document, "script").is_empty());
    let headings: Vec<_> = elements(&document, "h2").iter().filter_map(|h2| h2.text()).collect();
    assert_eq!(headings, [HOSTILE, "How it was measured"]);
    let command = elements(&document, "code").first().and_then(|code| code.text());
    assert_eq!(command, Some(HOSTILE));
    assert!(!page.contains("<script"));
}

#[test]
fn it_can_be_read_without_eyes() {
    let page = page(&["lua", "git"]);
    let document = parse(&page);
    for svg in elements(&document, "svg") {
        assert_eq!(svg.attribute("role"), Some("img"));
        assert!(svg.attribute("aria-label").is_some_and(|label| label.len() > 10));
    }
    for header in elements(&document, "th") {
        assert!(matches!(header.attribute("scope"), Some("col" | "row")));
    }
    for table in elements(&document, "table") {
        assert!(table.children().any(|child| child.has_tag_name("caption")));
    }
    assert_eq!(document.root_element().attribute("lang"), Some("en"));
}

#[test]
fn without_times_regions_or_results_there_is_still_a_page() {
    let mut bare = trace_report("bare");
    bare.harness_ns_per_op = None;
    bare.profile = Profile::default();
    bare.warnings.clear();
    for result in &mut bare.results {
        "too slow".clone_into(&mut result.status);
        result.ns_per_op = None;
        result.footprint_bytes = None;
        result.smallest_arena_bytes = None;
    }
    let mut none = bare.clone();
    none.results.clear();
    for traces in [vec![bare], vec![none], Vec::new()] {
        let report = Report { traces };
        let watched: Vec<_> = report.traces.iter().map(|_| Vec::new()).collect();
        let page = Page { report: &report, watched: &watched, provenance: &Provenance::default() };
        let text = page.html();
        parse(&text);
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }
}
