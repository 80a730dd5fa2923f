//! `info`: what is in a recording.

use std::process::ExitCode;

use super::args::InfoArguments;
use super::table::{Cells, table};
use super::{LabError, print};
use crate::trace::{Profile, Trace};
use crate::words::bytes;

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
    let profile = Profile::of(trace);
    vec![
        trace.name().to_owned(),
        trace.ops().len().to_string(),
        profile.allocs.to_string(),
        profile.zeroed.to_string(),
        profile.reallocs.to_string(),
        profile.frees.to_string(),
        profile.aligned.to_string(),
        trace.slots().to_string(),
        bytes(trace.peak_live_bytes()),
        bytes(profile.largest_bytes),
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
