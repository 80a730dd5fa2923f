//! Results as tables for people.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use slab_peers::Side;

use crate::replay::{ContenderReport, Report, TraceReport};

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

/// Writes a number of bytes as people say it.
pub(super) fn bytes(count: usize) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{:.0} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// Lays out the results of one trace.
pub(super) fn trace(report: &TraceReport) -> String {
    let head = ["allocator", "ns/op", "±", "× best rival", "footprint", "× peak", "status"];
    let rows = report.results.iter().map(|result| {
        vec![
            label(result),
            number(result.ns_per_op, 2),
            number(result.spread_ns, 2),
            number(report.times_best_rival(result), 2),
            result.footprint_bytes.map_or_else(String::new, bytes),
            number(report.times_peak(result), 2),
            result.status.clone(),
        ]
    });
    format!(
        "\n{}: {} operations, at most {} live; harness {} ns/op, subtracted\n{}\n",
        report.trace,
        report.operations,
        bytes(report.peak_live_bytes),
        number(report.harness_ns_per_op, 2),
        table(&head, rows.collect()),
    )
}

/// Lays out the geometric means over all traces.
pub(super) fn summary(report: &Report) -> String {
    let Some(first) = report.traces.first().filter(|_| report.traces.len() > 1) else {
        return String::new();
    };
    let rows = first.results.iter().enumerate().map(|(row, contender)| {
        let results = || report.traces.iter().map(|trace| (trace, &trace.results[row]));
        let passed = results().filter(|(_, result)| result.status == "ok").count();
        let ns = results().filter_map(|(_, result)| result.ns_per_op.filter(|&ns| ns > 0.0));
        let ratios = results().filter_map(|(trace, result)| trace.times_best_rival(result));
        let overheads = results().filter_map(|(trace, result)| trace.times_peak(result));
        vec![
            label(contender),
            number(geometric_mean(ns), 2),
            number(geometric_mean(ratios), 2),
            number(geometric_mean(overheads), 2),
            format!("{passed}/{}", report.traces.len()),
        ]
    });
    let head = ["geometric mean of all traces", "ns/op", "× best rival", "footprint × peak", "ok"];
    format!(
        "\n{}\n\nBest rival: the fastest region allocator that is not ours, on each trace anew. The \
         system allocator is a reference.\nMeans are over the traces an allocator got through.\n",
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

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}
