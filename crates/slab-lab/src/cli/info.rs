//! `info`: what is in a recording.

use std::process::ExitCode;

use super::args::InfoArguments;
use super::table::{Cells, bytes, table};
use super::{LabError, print};
use crate::trace::{Op, Trace};

pub(super) fn run(arguments: &InfoArguments) -> Result<ExitCode, LabError> {
    let mut rows = Vec::new();
    let mut notes = String::new();
    for trace in arguments.traces.read() {
        let trace = trace?;
        rows.push(row(&trace));
        notes += &note(&trace);
    }
    let head = [
        "trace",
        "operations",
        "allocs",
        "zeroed",
        "reallocs",
        "frees",
        "aligned",
        "peak blocks",
        "peak bytes",
        "largest",
    ];
    print(&format!("{}\n{notes}", table(&head, rows)))?;
    Ok(ExitCode::SUCCESS)
}

fn row(trace: &Trace) -> Cells {
    let count = |wanted: fn(&Op) -> bool| trace.ops().iter().filter(|op| wanted(op)).count();
    let aligned = |op: &Op| match op {
        Op::Alloc { layout, .. } | Op::AllocZeroed { layout, .. } => {
            layout.align() > crate::trace::MALLOC_ALIGN
        }
        _ => false,
    };
    vec![
        trace.name().to_owned(),
        trace.ops().len().to_string(),
        count(|op| matches!(op, Op::Alloc { .. })).to_string(),
        count(|op| matches!(op, Op::AllocZeroed { .. })).to_string(),
        count(|op| matches!(op, Op::Realloc { .. })).to_string(),
        count(|op| matches!(op, Op::Free { .. })).to_string(),
        count(aligned).to_string(),
        trace.slots().to_string(),
        bytes(trace.peak_live_bytes()),
        bytes(trace.ops().iter().map(Op::new_bytes).max().unwrap_or(0)),
    ]
}

/// Says what did not add up.
fn note(trace: &Trace) -> String {
    let oddities = trace.oddities();
    let counts = [
        (oddities.unknown_frees, "frees of unknown blocks"),
        (oddities.replaced_blocks, "blocks that were never seen freed"),
        (oddities.refused_requests, "requests refused when recorded"),
        (oddities.foreign_lines, "lines of other processes"),
    ];
    let seen = counts.iter().filter(|(count, _)| *count > 0);
    let seen: Vec<_> = seen.map(|(count, what)| format!("{count} {what}")).collect();
    match seen.is_empty() {
        true => String::new(),
        false => format!("{}: {}\n", trace.name(), seen.join(", ")),
    }
}
