//! Results as tables for people.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use slab_peers::Side;

use crate::replay::{ContenderReport, Report, TraceReport};
use crate::words::bytes;

/// One row.
pub(super) type Cells = Vec<String>;

/// Lays out rows; every column but the first is aligned to the right.
pub(super) fn table(head: &[&str], rows: Vec<Cells>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// One thing to show about a contender: its heading, and how it is worked out.
type Figure = (&'static str, fn(&TraceReport, &ContenderReport) -> Option<f64>);

const TIME: [Figure; 2] =
    [("ns/op", |_, result| result.ns_per_op), ("× best rival", TraceReport::times_best_rival)];
const ARENA: Figure = ("arena × peak", TraceReport::arena_times_peak);
const FOOTPRINT: Figure = ("footprint × peak", TraceReport::times_peak);

/// Lays out the results of one trace.
pub(super) fn trace(report: &TraceReport) -> String {
    let timed = report.harness_ns_per_op.is_some();
    let arenas = report.results.iter().any(|result| result.smallest_arena_bytes.is_some());
    let mut head = vec!["allocator"];
    if timed {
        head.extend(["ns/op", "±", "× best rival"]);
    }
    if arenas {
        head.extend(["smallest arena", "× peak"]);
    }
    head.extend(["footprint", "× peak", "status"]);
    let rows = report.results.iter().map(|result| {
        let mut row = vec![label(result)];
        if timed {
            row.extend([number(result.ns_per_op), number(result.spread_ns)]);
            row.push(number(report.times_best_rival(result)));
        }
        if arenas {
            row.push(result.smallest_arena_bytes.map_or_else(String::new, bytes));
            row.push(number(report.arena_times_peak(result)));
        }
        row.push(result.footprint_bytes.map_or_else(String::new, bytes));
        row.push(number(report.times_peak(result)));
        row.push(result.status.clone());
        row
    });
    let harness = report
        .harness_ns_per_op
        .map_or_else(String::new, |harness| format!("; harness {harness:.2} ns/op, subtracted"));
    format!(
        "\n{}: {} operations, at most {} live{harness}\n{}\n",
        report.trace,
        report.operations,
        bytes(report.peak_live_bytes),
        table(&head, rows.collect()),
    )
}

/// Lays out the geometric means over all traces.
pub(super) fn summary(report: &Report) -> String {
    let Some(first) = report.traces.first().filter(|_| report.traces.len() > 1) else {
        return String::new();
    };
    let timed = first.harness_ns_per_op.is_some();
    let arenas = first.results.iter().any(|result| result.smallest_arena_bytes.is_some());
    let mut figures = Vec::new();
    figures.extend(TIME.iter().filter(|_| timed));
    figures.extend(Some(&ARENA).filter(|_| arenas));
    figures.push(&FOOTPRINT);
    let rows = first.results.iter().enumerate().map(|(row, contender)| {
        let results = || report.traces.iter().map(|trace| (trace, &trace.results[row]));
        let passed = results().filter(|(_, result)| result.status == "ok").count();
        let means = figures.iter().map(|(_, figure)| {
            let values = results().filter_map(|(trace, result)| figure(trace, result));
            number(geometric_mean(values.filter(|&value| value > 0.0)))
        });
        let passed = format!("{passed}/{}", report.traces.len());
        [label(contender)].into_iter().chain(means).chain([passed]).collect()
    });
    let mut head = vec!["geometric mean of all traces"];
    head.extend(figures.iter().map(|(heading, _)| heading));
    head.push("ok");
    let note = match timed {
        true => {
            "Best rival: the fastest region allocator that is not ours, on each trace anew. The \
             system allocator is a reference.\n"
        }
        false => "",
    };
    format!(
        "\n{}\n\n{note}Means are over the traces an allocator got through.\n",
        table(&head, rows.collect()),
    )
}

fn label(result: &ContenderReport) -> String {
    match result.side {
        Side::Ours => format!("* {}", result.allocator),
        Side::Rival => format!("  {}", result.allocator),
        Side::Reference => format!("  ({})", result.allocator),
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.2}"))
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}
