//! Results as tables.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use slab_peers::{Checks, Side};

use crate::replay::{Report, TraceReport};
use crate::words::{self, bytes};

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

/// Lays out the results of one trace.
pub(super) fn trace(report: &TraceReport) -> String {
    let timed = report.harness_ns_per_op.is_some();
    let arenas = report.results.iter().any(|result| result.smallest_arena_bytes.is_some());
    let mut head = vec!["allocator"];
    if timed {
        head.extend(["ns/request", "± ns", "× best rival"]);
    }
    if arenas {
        head.extend(["smallest region", "× live"]);
    }
    head.extend(["footprint", "× live", "status"]);
    let rows = report.results.iter().map(|result| {
        let mut row = vec![label(result.allocator, result.side, result.checks)];
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
    let harness = report.harness_ns_per_op.map_or_else(String::new, |harness| {
        format!("; harness {harness:.2} ns/request, subtracted")
    });
    format!(
        "\n{}: {}, at most {} live{harness}\n{}\n",
        report.trace,
        words::counted(report.operations, "request"),
        bytes(report.peak_live_bytes),
        table(&head, rows.collect()),
    )
}

/// Lays out the geometric means over all traces; empty if there is only one.
pub(super) fn summary(report: &Report) -> String {
    let Some(summary) = report.summary() else { return String::new() };
    let arenas = summary.rows.iter().any(|row| row.worst_arena.is_some());
    let rows = summary.rows.iter().map(|row| {
        let worst = arenas.then(|| number(row.worst_arena));
        let means = row.means.iter().map(|&mean| number(mean)).chain(worst);
        let passed = format!("{}/{}", row.passed, report.traces.len());
        [label(row.allocator, row.side, row.checks)]
            .into_iter()
            .chain(means)
            .chain([passed])
            .collect()
    });
    let mut head = vec!["geometric mean of all traces"];
    head.extend(&summary.headings);
    head.extend(arenas.then_some("worst region × live"));
    head.push("ok");
    let note = match summary.timed {
        true => {
            "Best rival: on each trace the fastest region allocator that is not ours (*). The system \
             allocator is for orientation.\n"
        }
        false => "",
    };
    format!(
        "\n{}\n\n{note}Each mean is over the traces that the allocator got through.\n",
        table(&head, rows.collect()),
    )
}

pub(super) fn label(allocator: &str, side: Side, checks: Checks) -> String {
    match side {
        Side::Ours if checks == Checks::Off => format!("* {allocator} (checks off)"),
        Side::Ours => format!("* {allocator}"),
        Side::Rival => format!("  {allocator}"),
        Side::Reference => format!("  ({allocator})"),
    }
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.2}"))
}
